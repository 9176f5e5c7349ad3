"""``keras.ops``: sums, extrema, means and the like over axes, and along one."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.keras import config
from fovea.keras.ops.elementwise import floating, tensor
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "average", "count_nonzero", "cumprod", "cumsum",
    "logsumexp", "max", "mean", "median", "min", "norm", "prod", "sort", "std", "sum", "var",
]  # fmt: skip


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    """The axes that an argument names: all without it."""
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _reduced(f: Any, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
    """A reduction over some axes, or over all; over none, nothing is changed."""
    axes = _axes(x, axis)
    return f(x, axes, keepdim=keepdims, **options) if axes or axis is None else x


def _total(x: Any) -> Any:
    """The dtype of sums: integers of at most 32 bits, and booleans, in int32."""
    return fovea.int32 if not x.dtype.is_inexact and x.dtype.itemsize <= 4 else x.dtype


@symbolic
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over axes; over all unless given."""
    x = tensor(x)
    kind = _total(x)
    if kind is x.dtype and kind.is_inexact:
        return _reduced(fovea.sum, x, axis, keepdims)
    return _reduced(fovea.sum, x, axis, keepdims, dtype=kind).to(kind)


@symbolic
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over axes; integers become floats."""
    return _reduced(fovea.mean, floating(x), axis, keepdims)


@symbolic
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest over axes, at least ``initial``, which is that of no elements."""
    return _extreme(fovea.amax, fovea.maximum, tensor(x), axis, keepdims, initial)


@symbolic
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest over axes, at most ``initial``, which is that of no elements."""
    return _extreme(fovea.amin, fovea.minimum, tensor(x), axis, keepdims, initial)


def _extreme(f: Any, of_two: Any, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    if initial is None:
        return _reduced(f, x, axis, keepdims)
    least = fovea.as_tensor(initial, dtype=x.dtype)
    if not x.numel():
        return fovea.zeros_like(_reduced(fovea.sum, x, axis, keepdims), dtype=x.dtype) + least
    return of_two(_reduced(f, x, axis, keepdims), least)


@symbolic
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean square of the distance from the mean."""
    x = floating(x)
    center = _reduced(fovea.mean, x, axis, True)
    return _reduced(fovea.mean, (x - center) ** 2, axis, keepdims)


@symbolic
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of ``var``."""
    return var(x, axis, keepdims).sqrt()


@symbolic
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product over axes."""
    x = tensor(x)
    kind = _total(x) if dtype is None else config.as_dtype(dtype)
    x = x.to(kind)
    for d in sorted((a % x.ndim for a in _axes(x, axis)), reverse=True):
        x = fovea.prod(x, d, keepdim=keepdims, dtype=kind)
    return x


@symbolic
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all hold."""
    return _reduced(fovea.all, tensor(x).to(fovea.bool), axis, keepdims)


@symbolic
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether one holds."""
    return _reduced(fovea.any, tensor(x).to(fovea.bool), axis, keepdims)


@symbolic
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many are not 0, in int32."""
    return sum((tensor(x) != 0).to(fovea.int32), axis)


@symbolic
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials."""
    return _reduced(fovea.logsumexp, floating(x), axis, keepdims)


@symbolic
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean, weighted if weights are given: in the shape of x, or of the one axis."""
    if weights is None:
        return mean(x, axis)
    x, w = floating(x), floating(weights)
    if w.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
        w = w.reshape([-1 if d == axis % x.ndim else 1 for d in range(x.ndim)])
    return sum(x * w, axis) / sum(w.expand(x.shape), axis)


@symbolic
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle value; the mean of two for an even number."""
    from fovea.keras.ops.statistics import quantile

    return quantile(x, 0.5, axis, keepdims=keepdims)


@symbolic
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors or matrices, as NumPy's."""
    return fovea.linalg.norm(floating(x), ord, axis, keepdims)


@symbolic
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the largest is, in int32."""
    return fovea.argmax(tensor(x), axis, keepdim=keepdims).to(fovea.int32)


@symbolic
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the smallest is, in int32."""
    return fovea.argmin(tensor(x), axis, keepdim=keepdims).to(fovea.int32)


@symbolic
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The places in order of the values, in int32."""
    x = tensor(x)
    return (
        (x.reshape(-1) if axis is None else x).argsort(-1 if axis is None else axis).to(fovea.int32)
    )


@symbolic
def sort(x: Any, axis: int | None = -1) -> Any:
    """The values in order."""
    x = tensor(x)
    return fovea.sort(x.reshape(-1) if axis is None else x, -1 if axis is None else axis)[0]


@symbolic
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running sums, of all in a row without an axis."""
    return _running(fovea.cumsum, x, axis, dtype)


@symbolic
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running products, of all in a row without an axis."""
    return _running(fovea.cumprod, x, axis, dtype)


def _running(f: Any, x: Any, axis: int | None, dtype: Any) -> Any:
    x = tensor(x)
    own = fovea.int32 if x.dtype is fovea.bool else x.dtype
    kind = own if dtype is None else config.as_dtype(dtype)
    x = x.to(kind)
    row = x.reshape(-1) if axis is None else x
    return f(row, 0, dtype=kind) if axis is None else f(row, axis, dtype=kind)
