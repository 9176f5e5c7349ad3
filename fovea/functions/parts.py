"""Joining tensors, cutting them into parts, and repeating them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import watching
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.form import Form
from fovea.functions import shaping
from fovea.functions.creation import from_array
from fovea.functions.pointwise import result_type, to_dtype
from fovea.functions.regions import is_plain
from fovea.functions.shaping import (
    SELECT,
    as_ints,
    expand,
    flatten,
    narrow,
    reshape,
    select,
    unsqueeze,
)
from fovea.ops import shape as ops
from fovea.ops.reduce import DimAttrs
from fovea.ops.rules import normalize_dim
from fovea.size import Size
from fovea.tensorbase import TensorBase, is_tensor
from fovea.views import Viewer, form_seen

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def _check_tensors(name: str, parts: Sequence[Any]) -> None:
    for place, part in enumerate(parts):
        if not is_tensor(part):
            raise DTypeError(
                f"{name}: element {place} must be a tensor, got {type(part).__name__}.",
                fix="make a tensor of it: fovea.as_tensor(x)",
            )


def cat(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: Any = None
) -> Tensor:
    """Join tensors along a dimension; types are promoted.

    >>> import fovea
    >>> cat([fovea.zeros(2), fovea.ones(1)])
    tensor([0., 0., 1.])
    """
    dim = dim if axis is None else axis
    parts = tuple(tensors)
    if not parts:
        raise TypeError("cat: expected a non-empty sequence of tensors.")
    first = parts[0]
    for p in parts:
        if not isinstance(p, TensorBase) or p.dtype is not first.dtype or p.shape == (0,):
            _check_tensors("cat", parts)
            parts = _alike(parts)
            break
    rank = len(parts[0].shape)
    if rank == 0:
        raise ShapeError("cat: 0-d tensors cannot be joined.", fix="use stack")
    result = ops.cat.bind(parts, _along("cat", rank, dim))
    return result if out is None else out.copy_(result)


@lru_cache(maxsize=1024, typed=True)
def _along(name: str, rank: int, dim: int) -> DimAttrs:
    attrs: DimAttrs = DimAttrs.of(normalize_dim(name, dim, rank))
    return attrs


def _alike(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors of one type, without those that are joined to whatever there is."""
    kind = result_type(*parts)
    parts = tuple(to_dtype(p, kind) for p in parts)
    return tuple(p for p in parts if p.shape != (0,)) or parts[:1]


def stack(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: Any = None
) -> Tensor:
    """Join tensors of one shape along a new dimension."""
    dim = dim if axis is None else axis
    parts = tuple(tensors)
    if not parts:
        raise TypeError("stack: expected a non-empty sequence of tensors.")
    first = parts[0]
    at_once = watching.watcher is None
    for p in parts:
        if not isinstance(p, TensorBase) or p.shape != first.shape:
            _check_tensors("stack", parts)
            shapes = ", ".join(str(tuple(p.shape)) for p in parts)
            raise ShapeError(f"stack: all tensors must have one shape, got {shapes}.")
        at_once = at_once and p.dtype is first.dtype and not p._level
    attrs = _along("stack", len(first.shape) + 1, dim)
    if not at_once:
        return cat([unsqueeze(p, attrs.dim) for p in parts], attrs.dim, out=out)
    result = ops.stack.bind(parts, attrs)
    return result if out is None else out.copy_(result)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces: of one size (the last may be less), or of the sizes listed."""
    d = normalize_dim("split", dim, tensor.ndim)
    size = tensor.shape[d]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0:
            raise ArgumentError(f"split: the size of a piece must be positive, got {step}.")
        sections = [min(step, size - i) for i in range(0, size, step)] or [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size:
            raise ShapeError(f"split: sections {sections} do not add up to {size}.")
    if len(sections) <= _FEW and min(sections, default=0) >= 0:
        pieces = _pieces(form_seen(tensor), d, tuple(sections))
        return tuple([piece(tensor) for piece in pieces])
    out, start = [], 0
    for n in sections:
        out.append(narrow(tensor, d, start, n))
        start += n
    return tuple(out)


def chunk(input: Tensor, chunks: int, dim: int = 0, *, axis: Any = None) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size (the last may be smaller)."""
    dim = dim if axis is None else axis
    if chunks <= 0:
        raise ArgumentError(f"chunk: the number of chunks must be positive, got {chunks}.")
    size = input.shape[normalize_dim("chunk", dim, input.ndim)]
    return split(input, max(1, -(-size // chunks)), dim)


_FEW = 64  # views whose plans are kept


@lru_cache(maxsize=256)
def _each(form: Form, d: int) -> list[Viewer]:
    return [shaping.selection(form, d, i) for i in range(form.shape[d])]


@lru_cache(maxsize=256)
def _pieces(form: Form, d: int, sections: tuple[int, ...]) -> list[Viewer]:
    starts = accumulate((0, *sections[:-1]))
    return [shaping.part(form, d, start, n) for start, n in zip(starts, sections, strict=True)]


def unbind(input: Tensor, dim: int = 0, *, axis: Any = None) -> tuple[Tensor, ...]:
    """Views of each index of a dimension."""
    dim = dim if axis is None else axis
    d = normalize_dim("unbind", dim, input.ndim)
    shape, strides, offset = input.shape, input.strides, input.offset
    if shape[d] <= _FEW:
        return tuple([one(input) for one in _each(form_seen(input), d)])
    if not is_plain(input):
        return tuple(select(input, d, i) for i in range(shape[d]))
    rest = Size((*shape[:d], *shape[d + 1 :])), (*strides[:d], *strides[d + 1 :])
    places = [(offset + i * strides[d], (d, i)) for i in range(shape[d])]
    return tuple([input._make_view(input, *rest, at, SELECT, place) for at, place in places])


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies of the tensor side by side, ``repeats`` times along each dimension."""
    counts = as_ints(repeats)
    if len(counts) < input.ndim:
        raise ShapeError(
            f"repeat: {describe(input)} needs at least {input.ndim} counts, got {counts}."
        )
    x = reshape(input, (1,) * (len(counts) - input.ndim) + tuple(input.shape))
    split_shape, grown, final = [], [], []
    for n, k in zip(x.shape, counts, strict=True):
        split_shape += [1, n]
        grown += [k, n]
        final.append(n * k)
    return reshape(expand(reshape(x, split_shape), grown), final).clone()


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """``repeat`` with counts filled up with 1 on the left."""
    counts = tuple(dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (along ``dim``) ``repeats`` times in a row.

    Args:
        repeats: a number, or an integer tensor with one for each element. Without it, ``input``
            holds the counts, and the result the indices that they repeat.
        dim: None repeats the elements of the flattened tensor.
        output_size: ignored: the result's size follows from ``repeats``.

    >>> import fovea
    >>> repeat_interleave(fovea.tensor([5, 6]), fovea.tensor([2, 1]))
    tensor([5, 5, 6])
    """
    if repeats is None:
        return _repeated_places(input)
    if dim is None:
        input, dim = reshape(input, -1), 0
    if is_tensor(repeats) and repeats.numel() != 1:
        from fovea.functions.indexing import index_select

        if repeats.numel() != input.shape[dim]:
            raise ShapeError(
                f"repeat_interleave: {repeats.numel()} counts for the {input.shape[dim]} elements "
                f"of dimension {dim}."
            )
        return index_select(input, dim, _repeated_places(repeats))
    repeats = int(repeats)
    d = normalize_dim("repeat_interleave", dim, input.ndim)
    shape = (*input.shape[: d + 1], repeats, *input.shape[d + 1 :])
    return flatten(expand(unsqueeze(input, d + 1), shape), d, d + 1)


def _repeated_places(counts: Tensor) -> Tensor:
    times = counts._array()
    return from_array(np.repeat(np.arange(len(times)), times))
