"""Ops about order along a dimension: running extrema, the most frequent value, insertion points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import require_dims, require_floating, require_real, same_dtype
from fovea.ops.shape import DimAttrs

__all__ = ["DimAttrs", "SideAttrs", "cummax", "cummin", "logcumsumexp", "mode", "searchsorted"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class SideAttrs(Attrs):
    """``right``: after equal elements."""

    right: bool


def _running(name: str, extreme: Any) -> Op:
    op = Op(name, ("x",), DimAttrs, outputs=("values", "indices"))

    @op.shape
    def _(x: Shaped, a: DimAttrs) -> tuple[Spec, Spec]:
        require_real(name, x)
        require_dims(name, len(x.shape), (a.dim,), scalars=True)
        return Spec(tuple(x.shape), x.dtype), Spec(tuple(x.shape), dtypes.int64)

    @op.reference
    def _(x: Array, a: DimAttrs) -> tuple[Array, Array]:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        so_far = extreme.accumulate(x, a.dim)
        shape = [-1 if d == a.dim else 1 for d in range(x.ndim)]
        place = np.arange(x.shape[a.dim]).reshape(shape)
        held = np.where((x == so_far) | (x != x), place, 0)
        return so_far, np.maximum.accumulate(held, a.dim)

    op.grad(saves=("indices",))(_picked_grad)
    return op


def _picked_grad(ctx: Any, gv: Any, gi: Any) -> Any:
    return gv.new_zeros(ctx.shape(0)).scatter_add(ctx.attrs.dim, ctx.indices, gv)


cummax = _running("cummax", np.maximum)
cummin = _running("cummin", np.minimum)

mode = Op("mode", ("x",), DimAttrs, outputs=("values", "indices"))  # dim stays, with size 1


@mode.shape
def _(x: Shaped, a: DimAttrs) -> tuple[Spec, Spec]:
    require_real("mode", x)
    require_dims("mode", len(x.shape), (a.dim,), scalars=True)
    if x.shape and not x.shape[a.dim]:
        raise ShapeError(f"mode: a dimension of size 0 has no mode, got {describe(x)}.")
    shape = tuple(1 if d == a.dim else n for d, n in enumerate(x.shape))
    return Spec(shape, x.dtype), Spec(shape, dtypes.int64)


mode.grad(saves=("indices",))(_picked_grad)


@mode.reference
def _(x: Array, a: DimAttrs) -> tuple[Array, Array]:
    if not x.ndim:
        return x, np.zeros((), np.int64)
    rows = np.moveaxis(x, a.dim, -1)
    places = np.empty((*rows.shape[:-1], 1), np.int64)
    for at in np.ndindex(rows.shape[:-1]):
        row = rows[at]
        values, counts = np.unique(row, return_counts=True)
        most = values[counts.argmax()]
        places[(*at, 0)] = np.flatnonzero(row == most if most == most else row != row)[-1]
    places = np.moveaxis(places, -1, a.dim)
    return np.take_along_axis(x, places, a.dim), places


searchsorted = Op(
    "searchsorted", ("sequence", "values"), SideAttrs, nondifferentiable="the result is an index"
)


@searchsorted.shape
def _(sequence: Shaped, values: Shaped, a: SideAttrs) -> Spec:
    same_dtype("searchsorted", sequence, values)
    lead = tuple(sequence.shape[:-1])
    fits = len(sequence.shape) == 1 or (sequence.shape and lead == tuple(values.shape[:-1]))
    if not fits or not sequence.shape:
        raise ShapeError(
            f"searchsorted: the sequence {describe(sequence)} must be 1-D or have the leading "
            f"dimensions of the values {describe(values)}."
        )
    return Spec(tuple(values.shape), dtypes.int64)


@searchsorted.reference
def _(sequence: Array, values: Array, a: SideAttrs) -> Array:
    side: Any = "right" if a.right else "left"
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, values, side))
    found = np.empty(values.shape, np.int64)
    for at in np.ndindex(sequence.shape[:-1]):
        found[at] = np.searchsorted(sequence[at], values[at], side)
    return found


logcumsumexp = Op("logcumsumexp", ("x",), DimAttrs)


@logcumsumexp.shape
def _(x: Shaped, a: DimAttrs) -> Spec:
    require_floating("logcumsumexp", x=x)
    require_dims("logcumsumexp", len(x.shape), (a.dim,), scalars=True)
    return Spec(tuple(x.shape), x.dtype)


@logcumsumexp.reference
def _(x: Array, a: DimAttrs) -> Array:
    return np.logaddexp.accumulate(x, a.dim) if x.ndim else x


@logcumsumexp.grad(saves=("x", "y"))
def _(ctx: Any, gy: Any) -> Any:
    """d y_j / d x_i = exp(x_i - y_j) for i <= j, summed as logarithms so that nothing overflows."""
    if not ctx.shape(0):
        return gy
    dim = ctx.attrs.dim

    def part(sign: int) -> Any:
        size = (gy * sign).clamp(min=0.0).log()
        later = _reversed_sum(size - ctx.y, dim)
        return (later + ctx.x).exp()

    return part(1) - part(-1)


def _reversed_sum(x: Any, dim: int) -> Any:
    return logcumsumexp.bind((x.flip((dim,)),), DimAttrs.of(dim)).flip((dim,))
