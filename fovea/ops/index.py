"""Ops that pick elements by index, order them, or put them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import OutOfRangeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, contiguous_strides, numel
from fovea.ops.reduce import DimAttrs
from fovea.ops.rules import (
    broadcast_shapes,
    dense_strides,
    require_dims,
    require_dtype,
    require_real,
    same_dtype,
)

Array = np.ndarray[Any, Any]
INDEX_TYPES = (dtypes.int64, dtypes.int32)


@dataclass(frozen=True, eq=False)
class IndexAttrs(Attrs):
    """Which dimension each index tensor picks from; the rest are kept whole."""

    dims: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class IndexPutAttrs(Attrs):
    dims: tuple[int, ...]
    accumulate: bool


@dataclass(frozen=True, eq=False)
class IndexGradAttrs(Attrs):
    dims: tuple[int, ...]
    shape: tuple[int, ...]


def indexed_shape(
    name: str, shape: tuple[int, ...], indices: Any, dims: tuple[int, ...]
) -> tuple[int, ...]:
    """NumPy's rule: the broadcast index shape stands at the first indexed dimension if these are
    adjacent, else first.
    """
    require_dims(name, len(shape), dims)
    if not dims or len(dims) != len(indices):
        raise ShapeError(f"{name}: {len(indices)} index tensors for {len(dims)} dimensions.")
    for t in indices:
        require_dtype(name, "index", t, *INDEX_TYPES)
    picked = broadcast_shapes(name, *(t.shape for t in indices))
    kept = [n for i, n in enumerate(shape) if i not in dims]
    adjacent = dims == tuple(range(dims[0], dims[0] + len(dims)))
    at = dims[0] if adjacent else 0
    return (*kept[:at], *picked, *kept[at:])


def _key(indices: Any, dims: tuple[int, ...], rank: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    key: list[Any] = [slice(None)] * rank
    for t, d in zip(indices, dims, strict=True):
        check_range("index", t, shape[d], d)
        key[d] = t
    return tuple(key)


def check_range(name: str, index: Array, size: int, dim: int) -> None:
    """OutOfRangeError if an index is outside [-size, size)."""
    if index.size and (int(index.min()) < -size or int(index.max()) >= size):
        bad = index[(index < -size) | (index >= size)].flat[0]
        raise OutOfRangeError(
            f"{name}: index {int(bad)} is out of range for dimension {dim} of size {size}.",
            fix=f"indices run from {-size} to {size - 1}" if size else "the dimension is empty",
        )


index = Op("index", ("x", "*indices"), IndexAttrs)


@index.shape
def _(x: Shaped, *rest: Any) -> Spec:
    *indices, a = rest
    shape = indexed_shape("index", tuple(x.shape), indices, a.dims)
    return Spec(shape, x.dtype, _row_strides(x, shape, a.dims))


def _row_strides(
    x: Shaped, shape: tuple[int, ...], dims: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Rows picked along leading dimensions keep their own layout, so a batch of images stays
    channels-last.
    """
    lead = len(dims)
    if x.strides is None or dims != tuple(range(lead)) or lead == len(x.shape):
        return None
    inner = dense_strides(tuple(x.shape[lead:]), x.strides[lead:])
    size, picked = numel(x.shape[lead:]), shape[: len(shape) - len(inner)]
    return (*(s * max(size, 1) for s in contiguous_strides(picked)), *inner)


@index.grad(saves=("indices",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    gx = index_grad.bind((gy, *ctx.indices), IndexGradAttrs.of(ctx.attrs.dims, tuple(ctx.shape(0))))
    return (gx, *[None] * len(ctx.indices))


@index.reference
def _(x: Array, *rest: Any) -> Array:
    *indices, a = rest
    return x[_key(indices, a.dims, x.ndim, x.shape)]


index_grad = Op(
    "index_grad", ("gy", "*indices"), IndexGradAttrs
)  # zeros, with gy summed in at the indices


@index_grad.shape
def _(gy: Shaped, *rest: Any) -> Spec:
    *indices, a = rest
    picked = indexed_shape("index_grad", a.shape, indices, a.dims)
    if tuple(gy.shape) != picked:
        raise ShapeError(f"index_grad: gy {describe(gy)} does not have the indexed shape {picked}.")
    return Spec(a.shape, gy.dtype)


@index_grad.grad(saves=("indices",))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    return (
        index.bind((g, *ctx.indices), IndexAttrs.of(ctx.attrs.dims)),
        *[None] * len(ctx.indices),
    )


@index_grad.reference
def _(gy: Array, *rest: Any) -> Array:
    *indices, a = rest
    out = np.zeros(a.shape, gy.dtype)
    np.add.at(out, _key(indices, a.dims, len(a.shape), a.shape), gy)
    return out


index_put = Op("index_put", ("x", "values", "*indices"), IndexPutAttrs)


@index_put.shape
def _(x: Shaped, values: Shaped, *rest: Any) -> Spec:
    *indices, a = rest
    same_dtype("index_put", x, values)
    picked = indexed_shape("index_put", tuple(x.shape), indices, a.dims)
    if broadcast_shapes("index_put", values.shape, picked) != picked:
        raise ShapeError(
            f"index_put: values {describe(values)} do not broadcast to the indexed shape {picked}."
        )
    return Spec(tuple(x.shape), x.dtype)


@index_put.grad(saves=("indices",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    from fovea.ops.rules import sum_to

    a, indices = ctx.attrs, ctx.indices
    gx = gy
    if not a.accumulate:
        gx = index_put.bind((gy, gy.new_zeros(()), *indices), IndexPutAttrs.of(a.dims, False))
    gv = (
        sum_to(index.bind((gy, *indices), IndexAttrs.of(a.dims)), ctx.shape(1))
        if ctx.needed[1]
        else None
    )
    return (gx, gv, *[None] * len(indices))


@index_put.reference
def _(x: Array, values: Array, *rest: Any) -> Array:
    *indices, a = rest
    out = x.copy()
    key = _key(indices, a.dims, x.ndim, x.shape)
    if a.accumulate:
        # NumPy 2.4's ufunc.at can read past values that it has to broadcast: spread them first.
        np.add.at(out, key, np.array(np.broadcast_to(values, out[key].shape)))
    else:
        out[key] = values
    return out


# -- along one dimension ----------------------------------------------------------------------

gather = Op("gather", ("x", "index"), DimAttrs)


def _check_along(name: str, x: Shaped, i: Shaped, dim: int) -> None:
    require_dtype(name, "index", i, *INDEX_TYPES)
    require_dims(name, len(x.shape), (dim,), scalars=True)
    fits = len(i.shape) == len(x.shape) and all(
        n <= m for d, (n, m) in enumerate(zip(i.shape, x.shape, strict=True)) if d != dim
    )
    if not fits:
        raise ShapeError(
            f"{name}: index {describe(i)} does not fit {describe(x)} outside dimension {dim}."
        )


@gather.shape
def _(x: Shaped, i: Shaped, a: DimAttrs) -> Spec:
    _check_along("gather", x, i, a.dim)
    return Spec(tuple(i.shape), x.dtype)


@gather.grad(saves=("index",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    zeros = gy.new_zeros(ctx.shape(0))
    return scatter_add.bind((zeros, ctx.index, gy), DimAttrs.of(ctx.attrs.dim)), None


def _along(i: Array, dim: int, size: int, name: str) -> tuple[Any, ...]:
    check_range(name, i, size, dim)
    grid = list(np.ogrid[tuple(slice(n) for n in i.shape)])
    grid[dim] = i
    return tuple(grid)


@gather.reference
def _(x: Array, i: Array, a: DimAttrs) -> Array:
    if x.ndim == 0:
        return x.reshape(i.shape)
    return x[_along(i, a.dim, x.shape[a.dim], "gather")]


scatter = Op("scatter", ("x", "index", "src"), DimAttrs)
scatter_add = Op("scatter_add", ("x", "index", "src"), DimAttrs)


def _scatter_spec(name: str, x: Shaped, i: Shaped, src: Shaped, a: DimAttrs) -> Spec:
    _check_along(name, x, i, a.dim)
    same_dtype(name, x, src)
    if len(src.shape) != len(i.shape) or any(
        n > m for n, m in zip(i.shape, src.shape, strict=True)
    ):
        raise ShapeError(f"{name}: index {describe(i)} is larger than src {describe(src)}.")
    return Spec(tuple(x.shape), x.dtype)


scatter.shape(lambda x, i, src, a: _scatter_spec("scatter", x, i, src, a))
scatter_add.shape(lambda x, i, src, a: _scatter_spec("scatter_add", x, i, src, a))


def _src_grad(ctx: Any, gy: Any) -> Any:
    """gy at the indices, zero where src is larger than index."""
    g = gather.bind((gy, ctx.index), ctx.attrs)
    for d, n in enumerate(ctx.shape(2)):
        if g.shape[d] != n:
            from fovea.ops.rearrange import pad

            after = tuple(n - g.shape[d] if e == d else 0 for e in range(g.ndim))
            g = pad(g, before=(0,) * g.ndim, after=after, value=0.0)
    return g


@scatter_add.grad(saves=("index",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    return gy, None, _src_grad(ctx, gy) if ctx.needed[2] else None


@scatter.grad(saves=("index",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    gx = None
    if ctx.needed[0]:
        gx = scatter.bind((gy, ctx.index, gy.new_zeros(ctx.index.shape)), ctx.attrs)
    return gx, None, _src_grad(ctx, gy) if ctx.needed[2] else None


def _scattered(x: Array, i: Array, src: Array, a: DimAttrs, add: bool) -> Array:
    out = x.copy()
    values = src[tuple(slice(n) for n in i.shape)]
    if x.ndim == 0:
        return out + values.reshape(()) if add else values.reshape(())
    key = _along(i, a.dim, x.shape[a.dim], "scatter")
    if add:
        np.add.at(out, key, values)
    else:
        out[key] = values
    return out


scatter.reference(lambda x, i, src, a: _scattered(x, i, src, a, False))
scatter_add.reference(lambda x, i, src, a: _scattered(x, i, src, a, True))

# -- order ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SortAttrs(Attrs):
    dim: int
    descending: bool


sort = Op(
    "sort", ("x",), SortAttrs, outputs=("values", "indices")
)  # stable; NaN counts as the largest


@sort.shape
def _(x: Shaped, a: SortAttrs) -> tuple[Spec, Spec]:
    require_real("sort", x)
    require_dims("sort", len(x.shape), (a.dim,), scalars=True)
    return Spec(tuple(x.shape), x.dtype), Spec(tuple(x.shape), dtypes.int64)


@sort.grad(saves=("indices",))
def _(ctx: Any, gv: Any, gi: Any) -> Any:
    return gv.new_zeros(ctx.shape(0)).scatter_add(ctx.attrs.dim, ctx.indices, gv)


@sort.reference
def _(x: Array, a: SortAttrs) -> tuple[Array, Array]:
    if x.ndim == 0:
        return x, np.zeros((), np.int64)
    if a.descending:  # stable and descending: sort the reversed sequence, then reverse
        order = np.flip(np.argsort(np.flip(x, a.dim), axis=a.dim, kind="stable"), a.dim)
        order = x.shape[a.dim] - 1 - order
    else:
        order = np.argsort(x, axis=a.dim, kind="stable")
    return np.take_along_axis(x, order, a.dim), order
