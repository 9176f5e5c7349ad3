"""Where a NaN came from: ``detect_nonfinite`` looks at the result of every op."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from fovea import watching
from fovea.autograd import anomaly
from fovea.errors import FoveaError, describe, user_line

__all__ = ["NonFiniteError", "detect_nonfinite"]


class NonFiniteError(FoveaError, ArithmeticError):
    """An op made NaN (or an infinity) from finite numbers, or was given it."""


class detect_nonfinite(watching.Observer):  # noqa: N801 - a context manager, like detect_anomaly
    """``with detect_nonfinite():`` raises where the first NaN is made, in forward or backward.

    The error names the op, the user's line, the module, the sample, and the numbers that it was
    made of. Infinities may be meant (masks); where a NaN comes of one, it is told who made that.
    For debugging: every result is looked at, and compiled functions run op by op.

    Args:
        infinities: raise for infinities, too.

    Raises:
        NonFiniteError: (within) a NaN is made, or an input, a weight or a buffer holds one.

    >>> import fovea
    >>> with detect_nonfinite():
    ...     y = fovea.tensor([[1.0, 2.0], [3.0, -1.0]]).log()
    Traceback (most recent call last):
        ...
    fovea.finite.NonFiniteError: log: the result is NaN in 1 of 4 elements, first at (1, 1).
      x       float32 (2, 2), there -1.0
      sample  1
      ...
    """

    def __init__(self, infinities: bool = False) -> None:
        self.infinities = infinities
        self._thread = threading.get_ident()
        self._made: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._outermost: Any = None
        self._eager = False
        self._backward: Any = None

    def backward_of(self, node: Any) -> None:
        self._backward = node

    def __enter__(self) -> detect_nonfinite:
        self._eager = watching.eager
        self._recording = anomaly.set_detect_anomaly(
            True, check_nan=False
        )  # nodes know their lines
        watching.eager = True
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._recording.__exit__(*error)
        watching.eager = self._eager

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outermost = self._outermost is None
        if outermost:
            self._outermost = module
        try:
            return module._call(args, kwargs)
        finally:
            if outermost:
                self._outermost = None

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        out = plan(inputs)
        if not op.view:
            self._look(op, inputs, out)
        return out

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        before = [_values(t, t is not None and t.storage is out.storage) for t in inputs]
        plan(inputs, out)
        self._look(op, inputs, out, before)

    # -- looking ------------------------------------------------------------------------------

    def _look(self, op: Any, inputs: Any, out: Any, before: Any = None) -> None:
        if threading.get_ident() != self._thread:
            return
        for result in out if isinstance(out, tuple) else (out,):
            values = _values(result)
            if values is None or bool(np.isfinite(values).all()):
                continue
            wrong = np.isnan(values)
            if not wrong.any():
                self._made.setdefault(result.storage, self._place(op))
                if not self.infinities:
                    continue
                wrong = ~np.isfinite(values)
            held = before if before is not None else [_values(t) for t in inputs]
            raise self._error(op, inputs, held, result, values, wrong)

    def _place(self, op: Any) -> str:
        line = user_line()
        if self._backward is not None:
            told = anomaly.place_of(self._backward)
            line = f"{self._backward.label}, of {told.get('module') or told['forward']}"
        return f"{op.name} made it" + (f" ({line})" if line else "")

    def _error(
        self, op: Any, inputs: Any, held: Any, result: Any, values: Any, wrong: Any
    ) -> NonFiniteError:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        names = [*op.inputs, *[op.inputs[-1]] * len(inputs)]
        rows: dict[str, str] = {}
        given: list[str] = []
        for name, t, array in zip(names, inputs, held, strict=False):
            if t is None or array is None:
                continue
            rows[name], bad = _told(t, array, at, result)
            if bad == "NaN":
                given.append(name)
                rows[name] += self._origin(t)
            elif bad and t.storage in self._made:
                rows[name] += f": {self._made[t.storage]}"
        if self._backward is not None:
            rows |= {"within": self._backward.label, **anomaly.place_of(self._backward)}
        if values.ndim and values.shape[0] > 1:
            rows["sample"] = str(at[0])
        if given:
            where = "the data or the weights" if self._outermost is not None else "what it is given"
            return _explained(
                NonFiniteError(f"{op.name}: {given[0]} holds NaN already.", rows, f"check {where}")
            )
        kind = "NaN" if np.isnan(values[at]) else "infinite"
        error = NonFiniteError(
            f"{op.name}: the result is {kind} in {int(wrong.sum())} of {values.size} elements, "
            f"first at {at}.",
            rows,
            "keep what it is made of in its range: clamp, add an epsilon, lower the learning rate",
        )
        return _explained(error)

    def _origin(self, t: Any) -> str:
        """The name of a parameter or a buffer."""
        if self._outermost is None:
            return ""
        both = (self._outermost.named_parameters(), self._outermost.named_buffers())
        for named in both:
            for name, own in named:
                if own is t:
                    return f": it is {name}"
        return ""


def _explained(error: NonFiniteError) -> NonFiniteError:
    """An error that tells already where its node was recorded."""
    error.explained = True  # type: ignore[attr-defined]
    return error


def _values(t: Any, copied: bool = False) -> Any:
    """A tensor's values, if they can be NaN; half types in float32."""
    if t is None or not t.dtype.is_floating_point:
        return None
    array = t._array()
    if t.dtype.itemsize == 2:
        return array.astype(np.float32)
    return array.copy() if copied else array


def _told(t: Any, array: Any, at: tuple[int, ...], result: Any) -> tuple[str, str]:
    """What an error says of an input, and whether it holds NaN or an infinity."""
    text, bad = describe(t), ""
    if np.isnan(array).any():
        bad = "NaN"
        text += f", NaN at {tuple(int(i) for i in np.argwhere(np.isnan(array))[0])}"
    elif not np.isfinite(array).all():
        bad = "infinite"
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        text += f", infinite at {place}"
    elif array.shape == tuple(result.shape):
        text += f", there {float(array[at])!r}"
    elif array.size:
        text += f", {float(array.min()):.4g} to {float(array.max()):.4g}"
    return text, bad
