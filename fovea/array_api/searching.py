"""The standard's functions that search, sort, and pick elements out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import fovea

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the greatest element is."""
    return _place(fovea.argmax, x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the least element is."""
    return _place(fovea.argmin, x, axis, keepdims)


def _place(function: Any, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    if axis is None:
        found: Tensor = function(x)
        return found.reshape((1,) * x.ndim) if keepdims else found
    return function(x, axis, keepdims)


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The order that sorts an array."""
    return fovea.argsort(x, axis, descending, stable)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sorted values."""
    return fovea.sort(x, axis, descending, stable).values


def count_nonzero(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements are not 0."""
    return (x != 0).to(fovea.int64).sum(axis, keepdims)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The places of elements that are not 0, axis by axis."""
    return tuple(fovea.nonzero(x, as_tuple=True))


def searchsorted(x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Tensor:
    """Where ``x2`` would be put into the sorted ``x1``."""
    return fovea.searchsorted(x1, x2, side=side, sorter=sorter)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Slices along an axis, which may be left out for a vector."""
    place = 0 if axis is None and x.ndim == 1 else axis
    if place is None:
        raise TypeError(f"take: axis is needed for an array of {x.ndim} dimensions")
    return x[(slice(None),) * (place % x.ndim) + (indices,)]


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """An element of each vector along an axis."""
    return fovea.take_along_dim(x, fovea.where(indices < 0, indices + x.shape[axis], indices), axis)


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """Elements of ``x1`` where the condition holds, else of ``x2``."""
    return fovea.where(condition, x1, x2)


class UniqueAllResult(NamedTuple):
    """What `unique_all` finds."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` finds."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` finds."""

    values: Any
    inverse_indices: Any


def unique_all(x: Tensor, /) -> UniqueAllResult:
    """Distinct values, where each comes first, which one each element is, and how many."""
    values, inverse, counts = fovea.unique(x, return_inverse=True, return_counts=True)
    order = fovea.argsort(inverse.flatten(), stable=True)
    return UniqueAllResult(values, order[fovea.cumsum(counts, 0) - counts], inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCountsResult:
    """Distinct values, and how many of each."""
    return UniqueCountsResult(*fovea.unique(x, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverseResult:
    """Distinct values, and which one each element is."""
    return UniqueInverseResult(*fovea.unique(x, return_inverse=True))


def unique_values(x: Tensor, /) -> Tensor:
    """Distinct values."""
    return fovea.unique(x)
