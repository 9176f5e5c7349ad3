"""Products and extrema of what is scattered to one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.ops.index import _along, _scatter_spec, gather, scatter, scatter_add
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.reduce import DimAttrs

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ScatterReduceAttrs(Attrs):
    """``reduce`` is ``"prod"``, ``"amax"`` or ``"amin"``; without ``include_self``, ``x`` counts
    only where nothing arrives.
    """

    dim: int
    reduce: str
    include_self: bool


_REDUCTIONS: dict[str, Any] = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}

scatter_reduce = Op("scatter_reduce", ("x", "index", "src"), ScatterReduceAttrs)


@scatter_reduce.shape
def _(x: Shaped, i: Shaped, src: Shaped, a: ScatterReduceAttrs) -> Spec:
    if a.reduce not in _REDUCTIONS:
        known = ", ".join(_REDUCTIONS)
        raise ArgumentError(f"scatter_reduce: reduce must be one of {known}, got {a.reduce!r}.")
    return _scatter_spec("scatter_reduce", x, i, src, DimAttrs.of(a.dim))


@scatter_reduce.reference
def _(x: Array, i: Array, src: Array, a: ScatterReduceAttrs) -> Array:
    combine = _REDUCTIONS[a.reduce]
    out = np.atleast_1d(x).copy()
    i, values = np.atleast_1d(i), np.atleast_1d(src[tuple(slice(n) for n in i.shape)])
    key = _along(i, a.dim, out.shape[a.dim], "scatter_reduce")
    if not a.include_self:
        out[key] = combine.identity if a.reduce == "prod" else values
    combine.at(out, key, values)
    return out.reshape(x.shape)


@scatter_reduce.grad(saves=("x", "index", "src", "y"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    a, index = ctx.attrs, ctx.index
    along = DimAttrs.of(a.dim)
    whole = ctx.src
    src = whole
    for d, n in enumerate(index.shape):
        src = src.narrow(d, 0, n) if index.ndim else src
    rule = _product_grad if a.reduce == "prod" else _extremum_grad
    gx, gs = rule(ctx, gy, src, lambda t: gather.bind((t, index), along))
    if not a.include_self:
        gx = scatter.bind((gx, index, gx.new_zeros(index.shape)), along)
    return gx, None, _grown(gs, tuple(whole.shape))


def _grown(g: Any, shape: tuple[int, ...]) -> Any:
    """Zero gradients where src is larger than index."""
    from fovea.ops.rearrange import pad

    if tuple(g.shape) == shape:
        return g
    after = tuple(n - m for n, m in zip(shape, g.shape, strict=True))
    return pad(g, before=(0,) * g.ndim, after=after, value=0.0)


def _summed(ctx: Any, own: Any, arriving: Any) -> Any:
    """``own`` (where ``x`` counts) plus what arrives, place by place."""
    along = DimAttrs.of(ctx.attrs.dim)
    if not ctx.attrs.include_self:
        own = scatter.bind((own, ctx.index, own.new_zeros(ctx.index.shape)), along)
    return scatter_add.bind((own, ctx.index, arriving), along)


def _extremum_grad(ctx: Any, gy: Any, src: Any, at: Any) -> tuple[Any, Any]:
    """Ties share the gradient equally."""
    own = (ctx.x == ctx.y).to(gy.dtype)
    arriving = (src == at(ctx.y)).to(gy.dtype)
    share = gy / _summed(ctx, own, arriving)
    return share * own, at(share) * arriving


def _product_grad(ctx: Any, gy: Any, src: Any, at: Any) -> tuple[Any, Any]:
    """The product of the others: all of them if none is zero, and 0 if two are."""
    own_zero, zero = ctx.x == 0, src == 0
    zeros = _summed(ctx, own_zero.to(gy.dtype), zero.to(gy.dtype))
    rest = scatter_reduce.bind(
        (ctx.x.masked_fill(own_zero, 1.0), ctx.index, src.masked_fill(zero, 1.0)), ctx.attrs
    )

    def others(value: Any, is_zero: Any, count: Any, product: Any) -> Any:
        alone = count == is_zero.to(gy.dtype)
        return (product / value.masked_fill(is_zero, 1.0)).masked_fill(alone.logical_not(), 0.0)

    gx = gy * others(ctx.x, own_zero, zeros, rest)
    return gx, at(gy) * others(src, zero, at(zeros), at(rest))
