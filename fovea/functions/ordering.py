"""Sorting, ranks, distinct elements and counting. ``axis`` is ``dim`` under NumPy's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes, return_types
from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.indexing import gather, nonzero, take_along_dim
from fovea.functions.numpy_names import numpy_names
from fovea.functions.pointwise import result_type, to_dtype
from fovea.functions.shaping import narrow, reshape, select, transpose
from fovea.ops import index as index_ops
from fovea.ops import order as ops
from fovea.ops.rules import normalize_dim
from fovea.ops.topk import TopkAttrs
from fovea.ops.topk import topk as topk_op
from fovea.return_types import ValuesIndices
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: Any = None
) -> ValuesIndices:
    """Values in order along ``dim``, and where they stood; always stable, NaN last.

    >>> import fovea
    >>> sort(fovea.tensor([3, 1, 2])).values
    tensor([1, 2, 3])
    """
    dim = dim if axis is None else axis
    d = normalize_dim("sort", dim, input.ndim)
    attrs = index_ops.SortAttrs.of(d, bool(descending))
    return return_types.sort(*index_ops.sort.bind((input,), attrs))


def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: Any = None
) -> Tensor:
    """The indices that sort a tensor along ``dim``."""
    dim = dim if axis is None else axis
    return sort(input, dim, descending).indices


def msort(input: Tensor) -> Tensor:
    """The values in order along the first dimension."""
    return sort(input, 0).values


def topk(
    input: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    axis: Any = None,
) -> ValuesIndices:
    """The ``k`` largest (or smallest) values along ``dim``, in order, and their indices."""
    dim = dim if axis is None else axis
    d = normalize_dim("topk", dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if not 0 <= k <= size:
        raise OutOfRangeError(f"topk: k={k} is out of range for dimension {d} of size {size}.")
    if input.ndim == 0:
        return return_types.topk(*sort(input, d, descending=largest))
    last = input.ndim - 1
    rows = input if d == last else transpose(input, d, last)
    values, indices = topk_op.bind((rows,), TopkAttrs.of(int(k), bool(largest)))
    if d != last:
        values, indices = transpose(values, d, last), transpose(indices, d, last)
    return return_types.topk(values, indices)


@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The ``k``-th smallest value along ``dim`` (1 is the smallest), and its index.

    >>> import fovea
    >>> kthvalue(fovea.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    d = normalize_dim("kthvalue", dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if not 1 <= k <= size:
        raise OutOfRangeError(f"kthvalue: k={k} is out of range for dimension {d} of size {size}.")
    values, indices = sort(input, d)
    if input.ndim == 0:
        return return_types.kthvalue(values, indices)
    if keepdim:
        return return_types.kthvalue(narrow(values, d, k - 1, 1), narrow(indices, d, k - 1, 1))
    return return_types.kthvalue(select(values, d, k - 1), select(indices, d, k - 1))


@numpy_names
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent value along ``dim`` (the smallest of several), and the last index of it."""
    d = normalize_dim("mode", dim, input.ndim)
    values, indices = ops.mode.bind((input,), ops.DimAttrs.of(d))
    if keepdim or input.ndim == 0:
        return return_types.mode(values, indices)
    return return_types.mode(select(values, d, 0), select(indices, d, 0))


@numpy_names
def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """The largest value so far along ``dim``, and the (last) place where it stood.

    >>> import fovea
    >>> cummax(fovea.tensor([1, 3, 2]), 0).values
    tensor([1, 3, 3])
    """
    attrs = ops.DimAttrs.of(normalize_dim("cummax", dim, input.ndim))
    return return_types.cummax(*ops.cummax.bind((input,), attrs))


@numpy_names
def cummin(input: Tensor, dim: int) -> ValuesIndices:
    """The smallest value so far along ``dim``, and the (last) place where it stood."""
    attrs = ops.DimAttrs.of(normalize_dim("cummin", dim, input.ndim))
    return return_types.cummin(*ops.cummin.bind((input,), attrs))


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along ``dim``), in order; on request with each element's
    place among them and their counts.

    >>> import fovea
    >>> unique(fovea.tensor([2, 1, 2]), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    axis = None if dim is None else normalize_dim("unique", dim, input.ndim)
    array = _plain(input)
    if axis is not None and input.ndim == 0:
        array, axis = array.reshape(1), 0
    values, inverse, counts = np.unique(
        array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    out = [from_array(values, input.dtype)]
    if return_inverse:
        shape = input.shape if dim is None else (-1,)
        out.append(from_array(inverse.reshape(shape)))
    if return_counts:
        out.append(from_array(counts))
    return out[0] if len(out) == 1 else tuple(out)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """One of each run of equal elements (or slices along ``dim``); extras as of ``unique``.

    >>> import fovea
    >>> unique_consecutive(fovea.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    array = _plain(input)
    d = 0 if dim is None else normalize_dim("unique_consecutive", dim, input.ndim)
    rows = array.reshape(-1) if dim is None or not input.ndim else np.moveaxis(array, d, 0)
    flat = rows.reshape(len(rows), -1)
    starts = np.ones(len(rows), bool)
    starts[1:] = (flat[1:] != flat[:-1]).any(1)
    kept = rows[starts]
    out = [from_array(kept if dim is None else np.moveaxis(kept, 0, d), input.dtype)]
    if return_inverse:
        places = np.cumsum(starts) - 1
        out.append(from_array(places.reshape(input.shape) if dim is None else places))
    if return_counts:
        out.append(from_array(np.diff(np.flatnonzero(np.append(starts, True)))))
    return out[0] if len(out) == 1 else tuple(out)


def _plain(t: Tensor) -> np.ndarray[Any, Any]:
    """The values in a type that NumPy orders."""
    array = t._array()
    return array.astype(np.float32) if t.dtype is dtypes.bfloat16 else array


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs (or the sum of its weights)."""
    values = input._array()
    integers = not input.dtype.is_inexact
    if not integers or input.ndim != 1 or (values.size and int(values.min()) < 0):
        raise ArgumentError(
            f"bincount: expected a 1-D tensor of non-negative integers, got {describe(input)}."
        )
    found = np.bincount(values, None if weights is None else weights._array(), minlength)
    single = weights is not None and weights.dtype is dtypes.float32
    return from_array(found, dtypes.float32 if single else None)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be inserted into a sorted sequence (the last dimension).

    Args:
        sorted_sequence: 1-D, or with the leading dimensions of ``input``.
        input: a tensor, or a number.
        right: after equal elements, not before them (``side="right"`` says the same).
        sorter: the order in which ``sorted_sequence`` is sorted, if it is not.

    >>> import fovea
    >>> searchsorted(fovea.tensor([1.0, 3.0, 5.0]), fovea.tensor([3.0, 4.0]))
    tensor([1, 2])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f"searchsorted: side={side!r} does not go with right={right}.")
    if not is_tensor(input):
        input = from_array(np.asarray(input))
    kind = result_type(sorted_sequence, input)
    if sorter is not None:
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    found: Tensor = ops.searchsorted.bind(
        (to_dtype(sorted_sequence, kind), to_dtype(input, kind)),
        ops.SideAttrs.of(right or side == "right"),
    )
    return to_dtype(found, dtypes.int32) if out_int32 else found


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Which interval between (1-D, sorted) ``boundaries`` each value lies in.

    >>> import fovea
    >>> bucketize(fovea.tensor([0.5, 1.0, 9.0]), fovea.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    if boundaries.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must be 1-D, got {describe(boundaries)}.")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is one of ``test_elements``.

    >>> import fovea
    >>> isin(fovea.tensor([1, 2, 3]), fovea.tensor([2, 5]))
    tensor([False,  True, False])
    """
    x, tests = (t if is_tensor(t) else from_array(np.asarray(t)) for t in (elements, test_elements))
    tests = reshape(tests, -1)
    if not tests.numel():
        found = x != x if not x.dtype.is_floating_point else to_dtype(x * 0, dtypes.bool_)
        found = found.logical_and(False)
    else:
        kind = result_type(x, tests)
        ordered = sort(to_dtype(tests, kind)).values
        place = searchsorted(ordered, x).clamp(max=tests.numel() - 1)
        there = take_along_dim(ordered, reshape(place, -1), 0)
        found = reshape(there, x.shape) == x
    return found.logical_not() if invert else found


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of ``bins`` equal parts of [``min``, ``max``].

    With ``min == max`` the range is that of the elements; elements outside it are not counted.

    >>> import fovea
    >>> histc(fovea.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if bins <= 0 or min > max:
        raise ArgumentError(f"histc: bins={bins}, min={min}, max={max} give no bins.")
    x = reshape(input, -1).detach()
    if min < max:
        low, high = x.new_full((), min), x.new_full((), max)
    elif x.numel():
        low, high = x.amin(), x.amax()
        low, high = (low - 1).where(low == high, low), (high + 1).where(low == high, high)
    else:
        return x.new_zeros(bins)
    inside = (x >= low).logical_and(x <= high)
    place = ((x - low) * bins / (high - low)).masked_fill(inside.logical_not(), 0)
    place = to_dtype(place, dtypes.int64).clamp(0, bins - 1)
    return x.new_zeros(bins).scatter_add(0, place, to_dtype(inside, x.dtype))


def argwhere(input: Tensor) -> Tensor:
    """The indices of elements that are not zero, one row each."""
    return nonzero(input)
