"""Reductions: many numbers to one, along dimensions; and running ones.

``dims`` are sorted and counted from the front; `fovea.functions.reductions` normalizes what users
pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import dense_strides, require_dims, require_inexact, require_real
from fovea.ops.shape import DimAttrs, ShapeAttrs, cat, expand, view

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ReduceAttrs(Attrs):
    dims: tuple[int, ...]
    keepdim: bool


@dataclass(frozen=True, eq=False)
class ArgAttrs(Attrs):
    dim: int
    keepdim: bool


def reduced_shape(shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing ``dims``.

    >>> reduced_shape((2, 3, 4), (1,), False), reduced_shape((2, 3, 4), (0, 2), True)
    ((2, 4), (1, 3, 1))
    """
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def reduced_spec(x: Shaped, dims: tuple[int, ...], keepdim: bool, dtype: DType) -> Spec:
    """What remains keeps the memory order it had."""
    shape = reduced_shape(tuple(x.shape), dims, keepdim)
    if x.strides is None:
        return Spec(shape, dtype)
    kept = x.strides if keepdim else tuple(s for i, s in enumerate(x.strides) if i not in dims)
    return Spec(shape, dtype, dense_strides(shape, kept))


def unreduced(t: Any, ctx: Any) -> Any:
    """A reduced tensor with its dimensions of size 1 back, ready to broadcast."""
    a = ctx.attrs
    if a.keepdim or not a.dims:
        return t
    return view.bind((t,), ShapeAttrs.of(reduced_shape(ctx.shape(0), a.dims, True)))


def spread(t: Any, ctx: Any) -> Any:
    """A reduced tensor over all that was reduced, as a view."""
    return expand.bind((unreduced(t, ctx),), ShapeAttrs.of(ctx.shape(0)))


def reduction(
    name: str,
    reference: Callable[..., Any],
    *,
    result: Callable[[DType], DType] | None = None,
    empty_ok: bool = True,
    why_none: str | None = None,
) -> Op:
    """Declare a reduction over ``attrs.dims``."""
    op = Op(name, ("x",), ReduceAttrs, nondifferentiable=why_none)

    @op.shape
    def _(x: Shaped, a: ReduceAttrs) -> Spec:
        require_dims(name, len(x.shape), a.dims)
        if not empty_ok:
            require_real(name, x)
        if not empty_ok and any(x.shape[d] == 0 for d in a.dims):
            raise ShapeError(f"{name}: a dimension of size 0 has no {name}, got {describe(x)}.")
        return reduced_spec(x, a.dims, a.keepdim, result(x.dtype) if result else x.dtype)

    op.reference(lambda x, a: reference(x, axis=a.dims, keepdims=a.keepdim))
    return op


def _boolean(dtype: DType) -> DType:
    return dtypes.bool_


def _sum(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _prod(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


sum_ = reduction("sum", _sum)
mean = reduction("mean", lambda x, axis, keepdims: _sum(x, axis, keepdims) / _count(x, axis))
prod = reduction("prod", _prod)
amax = reduction("amax", np.max, empty_ok=False)
amin = reduction("amin", np.min, empty_ok=False)
any_ = reduction("any", np.any, result=_boolean, why_none="the result is boolean")
all_ = reduction("all", np.all, result=_boolean, why_none="the result is boolean")


def _count(x: Array, axis: tuple[int, ...]) -> Any:
    n = 1
    for d in axis:
        n *= x.shape[d]
    return x.dtype.type(n)


sum_.grad()(lambda ctx, gy: spread(gy, ctx))


@mean.shape
def _(x: Shaped, a: ReduceAttrs) -> Spec:
    require_inexact("mean", x)
    require_dims("mean", len(x.shape), a.dims)
    return reduced_spec(x, a.dims, a.keepdim, x.dtype)


@mean.grad()
def _(ctx: Any, gy: Any) -> Any:
    shape = ctx.shape(0)
    count = 1
    for d in ctx.attrs.dims:
        count *= shape[d]
    return spread(gy * (1.0 / count if count else float("nan")), ctx)


@prod.grad(saves=("x",))
def _(ctx: Any, gy: Any) -> Any:
    # The product of the others: exclusive products from the left and from the right, so zeros need
    # no special case.
    x, dims = ctx.x, ctx.attrs.dims
    if 0 in ctx.shape(0):
        return spread(gy, ctx)
    keep = [d for d in range(x.ndim) if d not in dims]
    order = (*keep, *dims)
    flat = x.permute(order).reshape((*(x.shape[d] for d in keep), -1))
    last, n = flat.ndim - 1, flat.shape[-1]
    ones = flat.new_ones((*flat.shape[:-1], 1))
    left = _cat(last, ones, flat.narrow(last, 0, max(n - 1, 0))).cumprod(last)
    right = (
        _cat(last, ones, flat.flip((last,)).narrow(last, 0, max(n - 1, 0)))
        .cumprod(last)
        .flip((last,))
    )
    others = (left * right).reshape(tuple(x.shape[d] for d in order))
    back = tuple(int(i) for i in np.argsort(order))
    return unreduced(gy, ctx) * others.permute(back)


def _cat(dim: int, *tensors: Any) -> Any:
    return cat(*tensors, dim=dim)


def _extremum_grad(ctx: Any, gy: Any) -> Any:
    """Ties share the gradient equally, as PyTorch's amax does."""
    hit = (ctx.x == unreduced(ctx.y, ctx)).to(gy.dtype)
    ties = sum_.bind((hit,), ReduceAttrs.of(ctx.attrs.dims, True))
    return unreduced(gy, ctx) * hit / ties


amax.grad(saves=("x", "y"))(_extremum_grad)
amin.grad(saves=("x", "y"))(_extremum_grad)


def _arg(name: str, pick: Callable[..., Any]) -> Op:
    op = Op(name, ("x",), ArgAttrs, nondifferentiable="the result is an index")

    @op.shape
    def _(x: Shaped, a: ArgAttrs) -> Spec:
        require_real(name, x)
        require_dims(name, len(x.shape), (a.dim,), scalars=True)
        if x.shape and x.shape[a.dim] == 0:
            raise ShapeError(f"{name}: a dimension of size 0 has no {name}, got {describe(x)}.")
        return Spec(reduced_shape(tuple(x.shape), (a.dim,), a.keepdim), dtypes.int64)

    @op.reference
    def _(x: Array, a: ArgAttrs) -> Array:
        if x.ndim == 0:
            return np.zeros((), np.int64)
        found = pick(x, axis=a.dim)
        if x.dtype.kind == "f" and np.isnan(x).any():
            nan = np.isnan(x)
            found = np.where(nan.any(a.dim), nan.argmax(a.dim), found)
        return np.expand_dims(found, a.dim) if a.keepdim else np.asarray(found)

    return op


argmax = _arg("argmax", np.argmax)
argmin = _arg("argmin", np.argmin)


def _running_spec(name: str, x: Shaped, a: DimAttrs) -> Spec:
    require_dims(name, len(x.shape), (a.dim,), scalars=True)
    return Spec(tuple(x.shape), x.dtype)


cumsum = Op("cumsum", ("x",), DimAttrs)
cumsum.shape(lambda x, a: _running_spec("cumsum", x, a))
cumsum.grad()(
    lambda ctx, gy: gy.flip((ctx.attrs.dim,)).cumsum(ctx.attrs.dim).flip((ctx.attrs.dim,))
)
cumsum.reference(lambda x, a: np.cumsum(x, axis=a.dim, dtype=x.dtype))

cumprod = Op("cumprod", ("x",), DimAttrs)
cumprod.shape(lambda x, a: _running_spec("cumprod", x, a))
cumprod.reference(lambda x, a: np.cumprod(x, axis=a.dim, dtype=x.dtype))


@cumprod.grad(saves=("x", "y"))
def _(ctx: Any, gy: Any) -> Any:
    """d y_j / d x_i = prod of x_k for k <= j, k != i, for i <= j: exact with zeros, O(n^2)."""
    if not ctx.shape(0):
        return gy
    dim, n = ctx.attrs.dim, ctx.shape(0)[ctx.attrs.dim]
    parts = []
    for i in range(n):
        x = ctx.x
        one = x.narrow(dim, i, 1) * 0 + 1
        without = _cat(dim, x.narrow(dim, 0, i), one, x.narrow(dim, i + 1, n - i - 1))
        products = without.cumprod(dim).narrow(dim, i, n - i)
        parts.append((gy.narrow(dim, i, n - i) * products).sum((dim,), keepdim=True))
    return _cat(dim, *parts) if parts else gy
