"""``x[...]`` and ``x[...] = v``, and picking, ordering and scattering by index."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch, dtypes, watching
from fovea.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, describe
from fovea.form import Form
from fovea.functions.creation import constant, from_array
from fovea.functions.numpy_names import numpy_names
from fovea.functions.pointwise import to_dtype
from fovea.functions.regions import Again, Region, is_plain, place_of, region_at
from fovea.functions.shaping import expand, narrow, picker, reshape, sliced
from fovea.ops import elementwise as elementwise_ops
from fovea.ops import index as ops
from fovea.ops import shape as shape_ops
from fovea.ops.reduce import DimAttrs
from fovea.ops.rules import normalize_dim
from fovea.size import Size
from fovea.tensorbase import is_tensor
from fovea.views import Viewer, form_seen

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]``: ints, slices, ``None``, ``...`` give views; tensors and lists pick copies."""
    if key.__class__ is int and input.ndim:
        return _row(input, key)
    if key.__class__ is slice and key.step is None and input.ndim:
        start, stop, _ = key.indices(input.shape[0])
        return _rows(input, start, max(stop - start, 0))
    if watching.watcher is None and (place := place_of(key)) is not None:
        form = form_seen(input)
        if region := region_at(form, place):
            if not (input.requires_grad or input._level):
                return _view_of(input, region, key)
            shown: Tensor = _shown(form, place)(input)
            return shown
    view, picks = _basic(input, key)
    if not picks:
        return view
    dims, indices = _adjacent(picks)
    return ops.index.bind((view, *indices), ops.IndexAttrs.of(dims))


_AGAIN = Again(getitem)


def _view_of(input: Tensor, region: Region, key: Any) -> Tensor:
    offset = input.offset + region.behind
    return input._make_view(input, region.shape, region.strides, offset, _AGAIN, (key,))


@lru_cache(maxsize=4096)
def _shown(form: Form, place: tuple[Any, ...]) -> Viewer:
    region = region_at(form, place)
    assert region is not None
    return picker(form, region.start, region.length, region.step, region.shape)


def _rows(input: Tensor, start: int, length: int) -> Tensor:
    """A view of consecutive rows: what mini-batch loops ask for."""
    if not (input.requires_grad or input._level):
        shape = Size((length, *input.shape[1:]))
        offset = input.offset + start * input.strides[0] * (length > 0)
        place = slice(start, start + length)
        return input._make_view(input, shape, input.strides, offset, _AGAIN, (place,))
    rows: Tensor = _shown(form_seen(input), ((start, start + length, None),))(input)
    return rows


def _row(input: Tensor, i: int) -> Tensor:
    shape = input.shape
    size = shape[0]
    if not -size <= i < size:
        raise _outside(size, i, 0)
    if not (input.requires_grad or input._level):
        strides = input.strides
        offset = input.offset + i % size * strides[0]
        return input._make_view(input, shape[1:], strides[1:], offset, _AGAIN, (i,))
    row: Tensor = _shown(form_seen(input), (i,))(input)
    return row


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """``input[key] = value``, in place; ``value`` is cast and broadcast."""
    if not is_tensor(value):
        value = (
            constant(value, input.dtype)
            if isinstance(value, bool | int | float)
            else from_array(np.asarray(watching.foreign(value)))
        )
    if value.dtype is not input.dtype:
        value = to_dtype(value, input.dtype)
    if is_tensor(key) and _masks(key, input) and not value.ndim:  # no need to know which
        masked_fill_(input, reshape(key, (*key.shape, *(1,) * (input.ndim - key.ndim))), value)
        return
    place = place_of(key) if is_plain(input) and not value.requires_grad else None
    if place is not None and (region := region_at(form_seen(input), place)):
        copy_(_view_of(input, region, key), _shrunk(value, region.shape))
        return
    view, picks = _basic(input, key)
    if picks:
        dims, indices = _adjacent(picks)
        shape = ops.indexed_shape("index_put", view.shape, indices, dims)
        value = _shrunk(value, shape)
        dispatch.bind_into(
            ops.index_put, view, (view, value, *indices), ops.IndexPutAttrs.of(dims, False)
        )
        return
    copy_(view, _shrunk(value, view.shape))


def _masks(key: Tensor, input: Tensor) -> bool:
    """Whether a key is a mask of a tensor's first dimensions."""
    return key.dtype is dtypes.bool_ and key.ndim > 0 and key.shape == input.shape[: key.ndim]


def _shrunk(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Drop leading dimensions of size 1 that the target does not have, as NumPy and PyTorch do."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    return value


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy ``src``'s values (cast, broadcast) into this tensor."""
    if not is_tensor(src):
        src = from_array(np.asarray(watching.foreign(src)))
    if src.shape != self.shape:
        try:
            src = expand(src, *self.shape)
        except ShapeError:
            raise ShapeError(
                f"copy_: {describe(src)} does not broadcast to {describe(self)}."
            ) from None
    return dispatch.bind_into(
        elementwise_ops.cast, self, (src,), elementwise_ops.CastAttrs.of(self.dtype)
    )


def _basic(input: Tensor, key: Any) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Apply the view part of a key; returns the view and (dimension, index tensor) for the rest."""
    items = _expanded(input, key if isinstance(key, tuple) else (key,))
    start: list[int] = []
    length: list[int] = []
    step: list[int] = []
    shape: list[int] = []
    picks: list[tuple[int, Tensor]] = []
    d = 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        if is_tensor(item):
            if item.dtype is dtypes.bool_ and not item.ndim:  # picks all or nothing, in front
                picks.append((len(shape), from_array(np.flatnonzero(item._array()))))
                shape.append(1)
                continue
            for index in _as_indices(input, item, d):
                picks.append((len(shape), index))
                _whole(input, d, start, length, step, shape)
                d += 1
            continue
        first, count, by = _span(item, input.shape[d], d)
        start.append(first)
        length.append(count)
        step.append(by)
        if isinstance(item, slice):
            shape.append(count)
        d += 1
    if length != list(input.shape) or any(s != 1 for s in step):
        view = sliced(input, tuple(start), tuple(length), tuple(step), tuple(shape))
        return view, picks
    if shape == length and picks:
        return input, picks
    return shape_ops.view.bind((input,), shape_ops.ShapeAttrs.of(tuple(shape))), picks


def _whole(
    input: Tensor, d: int, start: list[int], length: list[int], step: list[int], shape: list[int]
) -> None:
    start.append(0)
    length.append(input.shape[d])
    step.append(1)
    shape.append(input.shape[d])


def _expanded(input: Tensor, key: tuple[Any, ...]) -> list[Any]:
    """Replace ``...``, sequences and NumPy items; fill up with full slices."""
    items: list[Any] = []
    for item in key:
        if isinstance(item, bool | np.bool_):
            items.append(from_array(np.asarray(item)))
        elif isinstance(item, list | range | np.ndarray):
            kind = np.int64 if len(item) == 0 else None
            items.append(from_array(np.asarray(watching.foreign(item), dtype=kind)))
        elif is_tensor(item) and item.ndim == 0 and item.dtype is not dtypes.bool_:
            items.append(int(item.item()))
        else:
            items.append(item)
    used = sum(
        1 if not is_tensor(i) or i.dtype is not dtypes.bool_ else i.ndim
        for i in items
        if i is not None and i is not Ellipsis
    )
    if used > input.ndim:
        raise OutOfRangeError(
            f"too many indices: {describe(input)} has {input.ndim} dimensions, got {used}."
        )
    if sum(i is Ellipsis for i in items) > 1:
        raise OutOfRangeError("an index can hold only one ellipsis ('...').")
    fill = [slice(None)] * (input.ndim - used)
    for n, item in enumerate(items):
        if item is Ellipsis:
            return items[:n] + fill + items[n + 1 :]
    return items + fill


def _outside(size: int, i: int, d: int) -> OutOfRangeError:
    return OutOfRangeError(
        f"index {i} is out of range for dimension {d} of size {size}.",
        fix=f"indices run from {-size} to {size - 1}" if size else "the dimension is empty",
    )


def _span(item: Any, size: int, d: int) -> tuple[int, int, int]:
    """First index, count and step of an int or a slice."""
    if isinstance(item, slice):
        if item.step is not None and int(item.step) <= 0:
            raise ArgumentError(
                f"a slice's step must be positive, got {item.step}.", fix="use flip"
            )
        first, stop, by = item.indices(size)
        return first, max(0, -(-(stop - first) // by)), by
    if not hasattr(item, "__index__"):
        raise DTypeError(
            "only integers, slices, '...', None and integer or bool tensors can index, got "
            f"{type(item).__name__}."
        )
    i = item.__index__()
    if not -size <= i < size:
        raise _outside(size, i, d)
    return i % size, 1, 1


def _as_indices(input: Tensor, item: Tensor, d: int) -> list[Tensor]:
    """Index tensors: a mask gives one for each of its dimensions."""
    if item.dtype is not dtypes.bool_:
        if item.dtype.is_inexact:
            raise DTypeError(f"an index must be integer or bool, got {describe(item)}.")
        return [to_dtype(item, dtypes.int64)]
    if tuple(item.shape) != tuple(input.shape[d : d + item.ndim]):
        raise OutOfRangeError(
            f"the mask {describe(item)} does not fit {describe(input)} at dimension {d}."
        )
    return [from_array(a) for a in np.nonzero(item._array())]


def _adjacent(picks: list[tuple[int, Tensor]]) -> tuple[tuple[int, ...], list[Tensor]]:
    return tuple(d for d, _ in picks), [t for _, t in picks]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where elements are not zero: an (n, ndim) int64 tensor, or one index tensor a dimension."""
    found = np.nonzero(np.atleast_1d(input._array()))
    if as_tuple:
        return tuple(from_array(a) for a in found)
    return from_array(np.stack(found, -1)[:, : input.ndim])


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """``nonzero`` with exactly ``size`` rows: cut, or filled with ``fill_value``.

    >>> import fovea
    >>> nonzero_static(fovea.tensor([0, 3]), size=2)
    tensor([[ 1],
            [-1]])
    """
    if size < 0:
        raise ArgumentError(f"nonzero_static: size must not be negative, got {size}.")
    rows = nonzero(input)._array()[:size]
    found = np.full((size, input.ndim), fill_value, np.int64)
    found[: len(rows)] = rows
    return from_array(found)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, as a 1-D tensor."""
    from fovea.functions.shaping import broadcast_tensors

    x, m = broadcast_tensors(input, mask)
    return getitem(reshape(x, -1), reshape(m, -1)) if m.ndim == 0 else getitem(x, m)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with ``value`` where ``mask``, a tensor of truth values, holds."""
    _check_mask("masked_fill", mask)
    fill = value if is_tensor(value) else constant(value, input.dtype)
    return elementwise_ops.where.bind((mask, to_dtype(fill, input.dtype), input))


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill`` in place."""
    _check_mask("masked_fill_", mask)
    fill = value if is_tensor(value) else constant(value, self.dtype)
    inputs = (mask, to_dtype(fill, self.dtype), self)
    return dispatch.bind_into(elementwise_ops.where, self, inputs)


def _check_mask(name: str, mask: Tensor) -> None:
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(
            f"{name}: the mask must be bool, got {describe(mask)}.", fix="compare, or mask.bool()"
        )


def _index_dim(name: str, input: Tensor, dim: int) -> Any:
    return DimAttrs.of(normalize_dim(name, dim, input.ndim))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Pick along ``dim``: ``out[i][j] = input[index[i][j]][j]`` for dim 0.

    >>> import fovea
    >>> gather(fovea.tensor([[1, 2], [3, 4]]), 1, fovea.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    if not index.numel():
        return reshape(narrow(reshape(input, -1), 0, 0, 0), index.shape)
    if input.ndim == 0:
        input = reshape(input, 1 if index.ndim else ())
    return ops.gather.bind((input, index), _index_dim("gather", input, dim))


@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The rows (along ``dim``) that a 1-D index names."""
    d = normalize_dim("index_select", dim, input.ndim)
    if index.ndim > 1:
        raise ShapeError(f"index_select: index must be 1-D, got {describe(index)}.")
    if input.ndim == 0:
        return reshape(index_select(reshape(input, 1), 0, index), ())
    return ops.index.bind(
        (input, reshape(to_dtype(index, dtypes.int64), -1)), ops.IndexAttrs.of((d,))
    )


def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor."""
    return getitem(reshape(input, -1), index)


@numpy_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with broadcasting; over the flattened tensor without ``dim``."""
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    d = normalize_dim("take_along_dim", dim, input.ndim)
    shape = [max(n, m) for n, m in zip(input.shape, indices.shape, strict=True)]
    grown_index = expand(indices, [indices.shape[i] if i == d else n for i, n in enumerate(shape)])
    grown = expand(input, [input.shape[i] if i == d else n for i, n in enumerate(shape)])
    return gather(grown, d, grown_index)
