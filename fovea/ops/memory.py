"""Ops that speak of memory rather than of elements: layouts, and regions of a block.

Tensors of one block of memory see each other's changes. A captured graph has no memory, only
values; these ops say what a view sees of a changed block, and what a block holds once a view was
changed. "Flat" is the order in which elements lie in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import OutOfRangeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, contiguous_strides, numel
from fovea.ops.rules import dense_strides

Array = np.ndarray[Any, Any]

__all__ = ["RegionAttrs", "StridesAttrs", "is_dense", "lay_out", "strided", "strided_scatter"]


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements with these strides fill a block of memory, each in a place of its own.

    >>> is_dense((2, 3), (1, 2)), is_dense((2, 3), (4, 1))
    (True, False)
    """
    step = 1
    for s, n in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if s != step:
            return False
        step *= n
    return True


@dataclass(frozen=True, eq=False)
class StridesAttrs(Attrs):
    strides: tuple[int, ...]


lay_out = Op("lay_out", ("x",), StridesAttrs)  # a copy with these strides


@lay_out.shape
def _(x: Shaped, a: StridesAttrs) -> Spec:
    shape = tuple(x.shape)
    if len(a.strides) != len(shape) or not is_dense(shape, a.strides):
        raise ShapeError(f"lay_out: strides {a.strides} leave gaps for {describe(x)}.")
    return Spec(shape, x.dtype, a.strides)


lay_out.grad()(lambda ctx, gy: gy)
lay_out.reference(lambda x, a: x)


@dataclass(frozen=True, eq=False)
class RegionAttrs(Attrs):
    """A part of a block: elements by strides, from ``offset`` on (all in elements)."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


_MADE = "tracers make it, after differentiation"

# x, whose memory has no gaps, seen through other strides.
strided = Op("strided", ("x",), RegionAttrs, view=True, nondifferentiable=_MADE)


def _check(name: str, x: Shaped, a: RegionAttrs) -> None:
    if len(a.shape) != len(a.strides) or min(a.shape, default=0) < 0:
        raise ShapeError(f"{name}: shape {a.shape} and strides {a.strides} are no region.")
    last = a.offset + sum(s * (n - 1) for n, s in zip(a.shape, a.strides, strict=True))
    negative = a.offset < 0 or min(a.strides, default=0) < 0
    if negative or (numel(a.shape) and last >= numel(x.shape)):
        raise OutOfRangeError(f"{name}: the region leaves the block of {describe(x)}.")


@strided.strided
def _(x: Shaped, a: RegionAttrs) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    _check("strided", x, a)
    if x.strides is not None and not is_dense(tuple(x.shape), x.strides):
        raise ShapeError(f"strided: {describe(x)} with strides {x.strides} is no whole block.")
    return a.shape, a.strides, a.offset


@strided.shape
def _(x: Shaped, a: RegionAttrs) -> Spec:
    _check("strided", x, a)
    return Spec(a.shape, x.dtype, a.strides)


@strided.reference
def _(x: Array, a: RegionAttrs) -> Array:
    return _region(x.ravel(order="K"), a)


def _region(flat: Array, a: RegionAttrs) -> Array:
    steps = tuple(s * flat.itemsize for s in a.strides)
    return np.lib.stride_tricks.as_strided(flat[a.offset :], a.shape, steps)


# x, copied into memory without gaps, with the elements of y in the region.
strided_scatter = Op("strided_scatter", ("x", "y"), RegionAttrs, nondifferentiable=_MADE)


@strided_scatter.shape
def _(x: Shaped, y: Shaped, a: RegionAttrs) -> Spec:
    _check("strided_scatter", x, a)
    if tuple(y.shape) != a.shape or y.dtype is not x.dtype:
        raise ShapeError(f"strided_scatter: {describe(y)} is not the region {a.shape}.")
    strides = contiguous_strides(x.shape) if x.strides is None else tuple(x.strides)
    return Spec(tuple(x.shape), x.dtype, dense_strides(tuple(x.shape), strides))


@strided_scatter.reference
def _(x: Array, y: Array, a: RegionAttrs) -> Array:
    order = sorted(range(x.ndim), key=lambda d: -x.strides[d])
    flat = np.ascontiguousarray(x.transpose(order)).reshape(-1).copy()
    _region(flat, a)[...] = y
    back = [order.index(d) for d in range(x.ndim)]
    return flat.reshape([x.shape[d] for d in order]).transpose(back)
