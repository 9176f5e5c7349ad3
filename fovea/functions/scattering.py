"""Writing values to places that indices, masks or slices name: as copies, and in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import dispatch, dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import constant
from fovea.functions.indexing import _adjacent, _basic, _index_dim
from fovea.functions.numpy_names import numpy_names
from fovea.functions.pointwise import to_dtype, where
from fovea.functions.reductions import cumsum
from fovea.functions.shaping import (
    broadcast_tensors,
    broadcast_to,
    clone,
    diagonal,
    expand,
    narrow,
    reshape,
    select,
)
from fovea.ops import elementwise as elementwise_ops
from fovea.ops import index as ops
from fovea.ops.rules import normalize_dim
from fovea.ops.scatter import ScatterReduceAttrs
from fovea.ops.scatter import scatter_reduce as scatter_reduce_op
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor


# -- along one dimension, an index an element ---------------------------------------------------


def _source(name: str, input: Tensor, index: Tensor, src: Any) -> tuple[Tensor, Tensor]:
    """Index and source as tensors that an op takes."""
    if not is_tensor(src):
        src = expand(constant(src, input.dtype), *index.shape)
    return (index if index.numel() else to_dtype(index, dtypes.int64)), src


@numpy_names
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy with ``src`` (a tensor or a number) written at ``index`` along ``dim``.

    Args:
        value: a number, instead of ``src``.
        reduce: ``"add"`` sums to what is there, ``"multiply"`` multiplies.
    """
    if (src is None) == (value is None):
        raise ArgumentError("scatter: either src or value must be given.")
    index, src = _source("scatter", input, index, value if src is None else src)
    if reduce is None:
        return ops.scatter.bind((input, index, src), _index_dim("scatter", input, dim))
    if reduce not in ("add", "multiply"):
        raise ArgumentError(f"scatter: reduce is None, 'add' or 'multiply', got {reduce!r}.")
    return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")


@numpy_names
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with ``src`` summed in at ``index`` along ``dim``."""
    index, src = _source("scatter_add", input, index, src)
    return ops.scatter_add.bind((input, index, src), _index_dim("scatter_add", input, dim))


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy in which what ``src`` sends to one place is reduced.

    Args:
        reduce: ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``.
        include_self: whether the input's own element takes part where something arrives.

    >>> import fovea
    >>> at = fovea.tensor([0, 1, 0])
    >>> scatter_reduce(fovea.zeros(2), 0, at, fovea.tensor([1.0, 2.0, 3.0]), "amax")
    tensor([3., 2.])
    """
    index, src = _source("scatter_reduce", input, index, src)
    along = _index_dim("scatter_reduce", input, dim)
    if reduce in ("prod", "amax", "amin"):
        attrs = ScatterReduceAttrs.of(along.dim, reduce, include_self)
        return scatter_reduce_op.bind((input, index, src), attrs)
    if reduce not in ("sum", "mean"):
        raise ArgumentError(
            f"scatter_reduce: reduce is 'sum', 'prod', 'mean', 'amax' or 'amin', got {reduce!r}."
        )
    base = input
    if not include_self:
        base = ops.scatter.bind((input, index, input.new_zeros(index.shape)), along)
    total = ops.scatter_add.bind((base, index, src), along)
    if reduce == "sum":
        return total
    ones = input.new_ones(index.shape)
    count = input.new_ones(input.shape) if include_self else input.new_zeros(input.shape)
    count = ops.scatter_add.bind((count, index, ones), along).clamp(min=1)
    return total / count if input.dtype.is_floating_point else total // count


def scatter_(
    self: Tensor, dim: int, index: Tensor, src: Any, *, reduce: str | None = None
) -> Tensor:
    """``scatter`` in place."""
    if reduce == "multiply":
        return self.copy_(scatter(self, dim, index, src, reduce=reduce))
    index, src = _source("scatter_", self, index, src)
    op = ops.scatter if reduce is None else ops.scatter_add
    return dispatch.bind_into(op, self, (self, index, src), _index_dim("scatter_", self, dim))


def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``scatter_add`` in place."""
    index, src = _source("scatter_add_", self, index, src)
    attrs = _index_dim("scatter_add_", self, dim)
    return dispatch.bind_into(ops.scatter_add, self, (self, index, src), attrs)


# -- rows that a 1-D index names ------------------------------------------------------------------


def _rows(
    name: str, self: Tensor, dim: int, index: Tensor, accumulate: bool
) -> tuple[Tensor, ops.IndexPutAttrs]:
    if index.ndim > 1:
        raise ShapeError(f"{name}: index must be 1-D, got {describe(index)}.")
    d = normalize_dim(name, dim, self.ndim)
    return to_dtype(reshape(index, -1), dtypes.int64), ops.IndexPutAttrs.of((d,), accumulate)


def _put_rows(self: Tensor, values: Tensor, index: Tensor, attrs: Any, into: bool) -> Tensor:
    """``values`` at the rows, as a copy or in place; a 0-d tensor is a row of one element."""
    if self.ndim == 0:
        done = ops.index_put.bind((reshape(self, 1), reshape(values, -1), index), attrs)
        return self.copy_(reshape(done, ())) if into else reshape(done, ())
    if into:
        return dispatch.bind_into(ops.index_put, self, (self, values, index), attrs)
    return ops.index_put.bind((self, values, index), attrs)


@numpy_names
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """A copy with rows of ``source`` summed into the rows that ``index`` names."""
    at, attrs = _rows("index_add", input, dim, index, True)
    return _put_rows(input, source if alpha == 1 else source * alpha, at, attrs, False)


def index_add_(
    self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """``index_add`` in place."""
    at, attrs = _rows("index_add_", self, dim, index, True)
    return _put_rows(self, source if alpha == 1 else source * alpha, at, attrs, True)


@numpy_names
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with rows of ``source`` in place of the rows that ``index`` names."""
    at, attrs = _rows("index_copy", input, dim, index, False)
    return _put_rows(input, source, at, attrs, False)


def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``index_copy`` in place."""
    at, attrs = _rows("index_copy_", self, dim, index, False)
    return _put_rows(self, source, at, attrs, True)


@numpy_names
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the rows that ``index`` names set to ``value``."""
    at, attrs = _rows("index_fill", input, dim, index, False)
    if is_tensor(value):
        return where(_named(input, at, attrs), to_dtype(value, input.dtype), input)
    return _put_rows(input, constant(value, input.dtype), at, attrs, False)


def _named(x: Tensor, index: Tensor, attrs: ops.IndexPutAttrs) -> Tensor:
    """Which rows are named (also twice), ready to broadcast."""
    d = attrs.dims[0]
    mask = x.new_zeros(x.shape[d] if x.ndim else 1, dtype=dtypes.bool_)
    mask = ops.index_put.bind((mask, constant(True, dtypes.bool_), index), _ROWS)
    return reshape(mask, tuple(-1 if i == d else 1 for i in range(x.ndim)))


_ROWS = ops.IndexPutAttrs.of((0,), False)


def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``index_fill`` in place."""
    at, attrs = _rows("index_fill_", self, dim, index, False)
    if is_tensor(value):
        inputs = (_named(self, at, attrs), to_dtype(value, self.dtype), self)
        return dispatch.bind_into(elementwise_ops.where, self, inputs)
    return _put_rows(self, constant(value, self.dtype), at, attrs, True)


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """``scatter_reduce`` of whole rows: ``reduce`` is ``"prod"``, ``"mean"``, ``"amax"`` or
    ``"amin"``.
    """
    d = normalize_dim("index_reduce", dim, input.ndim)
    if input.ndim == 0:
        return scatter_reduce(
            input, 0, reshape(index, ()), reshape(source, ()), reduce, include_self=include_self
        )
    column = reshape(index, tuple(-1 if i == d else 1 for i in range(source.ndim)))
    spread = broadcast_to(column, source.shape)
    return scatter_reduce(input, d, spread, source, reduce, include_self=include_self)


# -- several dimensions, masks and slices ---------------------------------------------------------


def _places(self: Tensor, indices: Sequence[Any]) -> tuple[Tensor, tuple[int, ...], list[Tensor]]:
    key = tuple(slice(None) if i is None else i for i in indices)
    view, picks = _basic(self, key)
    return view, *_adjacent(picks)


def index_put(
    input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False
) -> Tensor:
    """A copy with ``values`` written (or summed) at ``indices``, as ``input[indices] = values``."""
    view, dims, found = _places(input, indices)
    attrs = ops.IndexPutAttrs.of(dims, accumulate)
    return ops.index_put.bind((view, to_dtype(values, input.dtype), *found), attrs)


def index_put_(
    self: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False
) -> Tensor:
    """Write (or sum) ``values`` at ``indices``, in place."""
    view, dims, found = _places(self, indices)
    attrs = ops.IndexPutAttrs.of(dims, accumulate)
    values = to_dtype(values, self.dtype)
    dispatch.bind_into(ops.index_put, view, (view, values, *found), attrs)
    return self


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``source`` written (or summed) at ``index`` of the flattened tensor."""
    attrs = ops.IndexPutAttrs.of((0,), accumulate)
    at = reshape(to_dtype(index, dtypes.int64), -1)
    flat = ops.index_put.bind((reshape(input, -1), reshape(source, -1), at), attrs)
    return reshape(flat, input.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy in which elements where ``mask`` holds are taken from ``source``, in order.

    >>> import fovea
    >>> mask = fovea.tensor([True, False, True])
    >>> masked_scatter(fovea.zeros(3), mask, fovea.tensor([5.0, 6.0]))
    tensor([5., 0., 6.])
    """
    x, m = broadcast_tensors(input, to_dtype(mask, dtypes.bool_))
    if not x.numel() or not source.numel():
        return clone(x)
    turn = cumsum(reshape(m, -1), 0) - 1
    there = ops.index.bind(
        (reshape(source, -1), turn.clamp(0, source.numel() - 1)), ops.IndexAttrs.of((0,))
    )
    return where(m, reshape(there, x.shape), x)


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with ``src`` in the slice ``start:end:step`` of ``dim``."""
    d = normalize_dim("slice_scatter", dim, input.ndim)
    out = clone(input)
    out[(*(slice(None),) * d, slice(start, end, step))] = src
    return out


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with ``src`` at one index of ``dim``."""
    out = clone(input)
    select(out, dim, index).copy_(src)
    return out


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy with ``src`` on a diagonal."""
    out = clone(input)
    diagonal(out, offset, dim1, dim2).copy_(src)
    return out


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Set the main diagonal, in place; ``wrap`` starts again below, in tall matrices."""
    if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
        raise ShapeError(
            f"fill_diagonal_: a matrix, or equal sizes, are needed, got {describe(self)}."
        )
    if wrap and self.ndim == 2:
        rows, columns = self.shape
        for start in range(0, rows, columns + 1):
            diagonal(narrow(self, 0, start, min(columns, rows - start))).fill_(fill_value)
        return self
    line = self
    while line.ndim > 1:
        line = diagonal(line, 0, 0, -1)
    line.fill_(fill_value)
    return self
