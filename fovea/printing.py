"""How a tensor prints: PyTorch's layout, so notebooks and doctests read the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["format_tensor", "set_printoptions"]


class _Options:
    precision = 4
    threshold = 1000
    edgeitems = 3
    linewidth = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}

_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print.

    Args:
        precision: digits after the point.
        threshold: tensors with more elements are summarized.
        edgeitems: how many elements at each end a summary shows.
        linewidth: characters of a line.
        profile: ``"default"``, ``"short"`` or ``"full"``: what the arguments before are unless
            given.
        sci_mode: whether numbers are in scientific notation; None: where it is shorter.

    Raises:
        ArgumentError: an unknown profile.
    """
    if profile is not None and profile not in _PROFILES:
        raise ArgumentError(f"set_printoptions: profile is one of {[*_PROFILES]}, got {profile!r}.")
    for name, value in _PROFILES.get(profile or "", {}).items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    for name, value in given.items():
        if value is not None:
            setattr(_options, name, value)


def format_tensor(t: Tensor, name: str = "tensor") -> str:
    """The text of ``repr(t)``."""
    values = t.detach()._array()
    if t.dtype in (dtypes.bfloat16, dtypes.float16):
        values = values.astype(np.float32)
    prefix = f"{name}("
    notes = _notes(t)
    if t.numel() == 0:
        notes = ([f"size={tuple(t.shape)}"] if t.shape != (0,) else []) + notes
        body = "[]"
    else:
        shown = _summarized(values) if t.numel() > _options.threshold else values
        body = _body(values, len(prefix), _formatter(shown), t.numel() > _options.threshold)
    text = prefix + body
    for note in notes:
        last = len(text) - (text.rfind("\n") + 1)
        text += (
            f",\n{' ' * len(prefix)}{note}"
            if last + len(note) + 3 > _options.linewidth
            else f", {note}"
        )
    return text + ")"


def _notes(t: Tensor) -> list[str]:
    notes = []
    plain = dtypes.get_default_dtype()
    if t.dtype not in (plain, plain.to_complex(), dtypes.int64, dtypes.bool_) or (
        t.numel() == 0 and t.dtype is not dtypes.get_default_dtype()
    ):
        notes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        notes.append("requires_grad=True")
    return notes


def _summarized(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Only the elements that will be shown."""
    edge = _options.edgeitems
    for d, n in enumerate(values.shape):
        if n > 2 * edge:
            values = np.take(values, [*range(edge), *range(n - edge, n)], d)
    return values


def _formatter(values: np.ndarray[Any, Any]) -> Callable[[Any], str]:
    """How to write one element, decided by all that are shown."""
    if values.dtype.kind == "b":
        width = max((len(str(bool(v))) for v in values.flat), default=0)
        return lambda v: f"{bool(v)!s:>{width}}"
    if values.dtype.kind in "iu":
        width = max(len(str(int(v))) for v in values.flat)
        return lambda v: f"{int(v):>{width}}"
    if values.dtype.kind == "c":
        re, im = _formatter(values.real), _formatter(np.abs(values.imag))
        return lambda v: f"{re(v.real)}{'-' if np.signbit(v.imag) else '+'}{im(abs(v.imag))}j"
    values = np.asarray(values, np.float64)
    write = _float_writer(values)
    counted = values[np.isfinite(values) & (values != 0)]  # zeros, -0 too, and infinities fit in
    width = max((len(write(float(v))) for v in counted), default=0)
    return lambda v: f"{write(float(v)):>{width}}"


def _float_writer(values: np.ndarray[Any, Any]) -> Callable[[float], str]:
    """Integers as ``1.``, plain decimals, or scientific notation where magnitudes differ much."""
    finite = np.abs(values[np.isfinite(values) & (values != 0)])
    digits = _options.precision
    if finite.size == 0:
        return lambda v: f"{v:.0f}." if math.isfinite(v) else _special(v)
    high, low = float(finite.max()), float(finite.min())
    if bool((finite == np.ceil(finite)).all()):
        if _scientific(high / low > 1000.0 or high > 1.0e8):
            return lambda v: f"{v:.{digits}e}" if math.isfinite(v) else _special(v)
        return lambda v: f"{v:.0f}." if math.isfinite(v) else _special(v)
    if _scientific(high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4):
        return lambda v: f"{v:.{digits}e}" if math.isfinite(v) else _special(v)
    return lambda v: f"{v:.{digits}f}" if math.isfinite(v) else _special(v)


def _scientific(shorter: bool) -> bool:
    return shorter if _options.sci_mode is None else _options.sci_mode


def _special(v: float) -> str:
    return "nan" if math.isnan(v) else "inf" if v > 0 else "-inf"


def _body(
    values: np.ndarray[Any, Any], indent: int, write: Callable[[Any], str], summarize: bool
) -> str:
    if values.ndim == 0:
        return write(values[()])
    edge, n = _options.edgeitems, values.shape[0]
    cut = summarize and n > 2 * edge
    rows = [*range(edge), *range(n - edge, n)] if cut else range(n)
    if values.ndim == 1:
        items = [write(values[i]) for i in rows]
        if cut:
            items.insert(edge, " ...")
        per_line = max(1, (_options.linewidth - indent) // (max(map(len, items)) + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_body(values[i], indent + 1, write, summarize) for i in rows]
    if cut:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
