"""The standard's reductions and running sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fovea
from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def all(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element is true."""
    return fovea.all(x, axis, keepdims).to(fovea.bool)


def any(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element is true."""
    return fovea.any(x, axis, keepdims).to(fovea.bool)


def _running(function: Any, x: Tensor, axis: Any, dtype: Any, first: int | None) -> Tensor:
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(f"axis is needed for an array of {x.ndim} dimensions.")
        axis = 0
    found = function(x, axis, dtype=dtype)
    if first is None:
        return found
    start = fovea.full_like(found.narrow(axis, 0, 1), first) if x.shape[axis] else None
    if start is None:
        shape = list(found.shape)
        shape[axis] = 1
        start = fovea.full(tuple(shape), first, dtype=found.dtype)
    return fovea.cat([start, found], axis)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Products of the elements so far; with ``include_initial``, from 1 on."""
    return _running(fovea.cumprod, x, axis, dtype, 1 if include_initial else None)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Sums of the elements so far; with ``include_initial``, from 0 on."""
    return _running(fovea.cumsum, x, axis, dtype, 0 if include_initial else None)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Tensor:
    """Differences of neighbors, ``n`` times."""
    return fovea.diff(x, n, axis, prepend, append)


def max(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The greatest element."""
    return fovea.amax(x, axis, keepdims)


def mean(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean."""
    return fovea.mean(x, axis, keepdims)


def min(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The least element."""
    return fovea.amin(x, axis, keepdims)


def prod(x: Tensor, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    found = x if dtype is None else x.to(dtype)
    for a in sorted((a % x.ndim for a in axes), reverse=True):
        found = fovea.prod(found, a, keepdims, dtype=dtype)
    return found if x.ndim else fovea.prod(found, dtype=dtype)


def std(x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The standard deviation, over n - ``correction``."""
    return fovea.std(x, axis, correction=correction, keepdim=keepdims)


def sum(x: Tensor, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum."""
    return fovea.sum(x, axis, keepdims, dtype=dtype)


def var(x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance, over n - ``correction``."""
    return fovea.var(x, axis, correction=correction, keepdim=keepdims)
