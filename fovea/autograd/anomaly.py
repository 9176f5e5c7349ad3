"""Anomaly detection: where in the forward pass a gradient that went wrong was recorded.

While it is on, each node notes the user's line and the module that it was recorded in, and the walk
of backward looks at each gradient. While it is off, neither is there: recording calls
`fovea.tape.make_node`, backward makes a `fovea.backward.walk_class`.
"""

from __future__ import annotations

import itertools
import linecache
import os
import sys
import weakref
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from fovea import backward, watching
from fovea.autograd import graph
from fovea.errors import _PACKAGE, GradientError, is_users

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "place_of",
    "set_anomaly_enabled",
    "set_detect_anomaly",
]


class _Origin(NamedTuple):
    """Where a node was recorded."""

    file: str
    line: int
    function: str
    module: str

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        return f"{os.path.basename(self.file)}:{self.line} in {self.function}:  {code}"


_origins: weakref.WeakKeyDictionary[Any, _Origin] = weakref.WeakKeyDictionary()
_enabled = False
_check_nan = True


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on.

    >>> is_anomaly_enabled()
    False
    """
    return _enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, if it is on, looks for NaN."""
    return _check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off.

    Args:
        check_nan: raise for a gradient that is NaN; False only tells where errors in backward come
            from.
    """
    global _enabled, _check_nan
    _enabled, _check_nan = bool(mode), bool(check_nan)
    graph.watch_nodes(_note if _enabled else None)
    backward.walk_class = _Walk if _enabled else backward.Walk
    watching.eager = _enabled  # programs have no lines


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Switch anomaly detection on or off: at once, and as a context manager that switches back.

    Args:
        mode: on or off.
        check_nan: as for `detect_anomaly`.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = _enabled, _check_nan
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        set_anomaly_enabled(*self.before)


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """Find the op whose gradient goes wrong: for debugging, as everything is slower within.

    What is recorded within notes where. A gradient that is NaN raises in backward, naming the op,
    the user's line in the forward pass, and the module; other errors in backward get the same
    added. Compiled functions run op by op.

    Args:
        check_nan: look for NaN.

    Raises:
        GradientError: (in backward) a gradient has NaN.

    >>> import fovea
    >>> x = fovea.tensor([0.0], requires_grad=True)
    >>> with detect_anomaly():
    ...     y = (x * 0).sqrt() * 0
    ...     y.backward()
    Traceback (most recent call last):
        ...
    fovea.errors.GradientError: sqrt_backward: a gradient is NaN.
      ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self.before = _enabled, _check_nan
        set_anomaly_enabled(True, self.check_nan)

    def __exit__(self, *error: object) -> None:
        set_anomaly_enabled(*self.before)


def _note(node: Any) -> None:
    """Remember where a node is recorded: the innermost frame outside the package, and the calls of
    modules around it.
    """
    frame: FrameType | None = sys._getframe(1)
    user: FrameType | None = None
    modules: list[Any] = []
    while frame is not None:
        code = frame.f_code
        inside = code.co_filename.startswith(_PACKAGE)
        if user is None and is_users(code.co_filename):
            user = frame
        if inside and code.co_name == "_call" and hasattr(frame.f_locals.get("self"), "_modules"):
            modules.append(frame.f_locals["self"])
        frame = frame.f_back
    if user is not None:
        code = user.f_code
        path = _path(modules[::-1])
        _origins[node] = _Origin(code.co_filename, user.f_lineno, code.co_name, path)


def _path(modules: list[Any]) -> str:
    """Modules that call each other, from the outermost in, by their names in it."""
    if not modules:
        return ""
    names = [type(modules[0]).__name__]
    for outer, inner in itertools.pairwise(modules):
        found = (name for name, m in outer.named_modules() if m is inner)
        names.append(next(found, type(inner).__name__))
    return ".".join(names)


class _Walk(backward.Walk):
    """Backward that looks at what it computes."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            node = _running(error.__traceback__)
            if node is not None and not getattr(error, "explained", False):
                rows = "".join(f"\n  {name:<8}{text}" for name, text in place_of(node).items())
                error.add_note(f"in {node.label}:{rows}")
            raise

    def _checked(self, node: Any, edge: Any, g: Any) -> Any:
        checked = super()._checked(node, edge, g)
        if _check_nan and checked.dtype.is_inexact:
            values: Any = checked
            while values._level:  # of `vmap`: all samples
                values = values.physical
            bad = int((values.detach() != values.detach()).sum().item())
            if bad:
                raise self._anomaly(node, values, bad)
        return checked

    def _anomaly(self, node: Any, values: Any, bad: int) -> GradientError:
        rows = {"gradient": f"{bad} of {values.numel()} elements", **place_of(node)}
        error = GradientError(
            f"{node.label}: a gradient is NaN.",
            rows,
            "look at the values there: a root or logarithm of 0, 0 / 0, infinities that meet",
        )
        error.explained = True  # type: ignore[attr-defined]
        return error


def _running(trace: TracebackType | None) -> Any:
    """The node at which backward was when an error came."""
    node = None
    while trace is not None:
        if trace.tb_frame.f_code is backward.Walk.run.__code__:
            node = trace.tb_frame.f_locals.get("node")
        trace = trace.tb_next
    return node


def place_of(node: Any) -> dict[str, str]:
    """Where a node was recorded, as rows of an error."""
    origin = _origins.get(node)
    if origin is None:
        return {"forward": "recorded while anomaly detection was off"}
    return {"forward": str(origin), **({"module": origin.module} if origin.module else {})}
