"""Reshaping, joining and splitting. ``axis`` is ``dim`` under NumPy's name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea import watching
from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.form import Form, form_of
from fovea.functions.creation import strided_over
from fovea.functions.numpy_names import numpy_names
from fovea.functions.regions import Again, is_plain
from fovea.ops import rearrange
from fovea.ops import shape as ops
from fovea.ops.op import contiguous_strides
from fovea.ops.rules import broadcast_shapes, channels_last_strides, normalize_dim
from fovea.size import Size
from fovea.views import Viewer, form_seen, viewer

if TYPE_CHECKING:
    from fovea.dtypes import DType
    from fovea.tensor import Tensor

contiguous_format, preserve_format = "contiguous", "preserve"
channels_last, channels_last_3d = "channels_last", "channels_last_3d"


def as_ints(values: tuple[Any, ...]) -> tuple[int, ...]:
    if len(values) == 1 and isinstance(
        values[0], (list, tuple)
    ):  # a union would be made in each call
        values = tuple(values[0])
    return tuple([int(v) for v in values])


def _resolve(t: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Replace a -1 by what is left."""
    total = t.numel()
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1 or (known and total % known) or (not known and total):
            raise ShapeError(
                f"reshape: {describe(t)} has {total} elements, which shape {shape} cannot hold.",
                fix="at most one -1, and the other sizes must divide the element count",
            )
        if not known:
            raise ShapeError(f"reshape: -1 is ambiguous in {shape} for a tensor without elements.")
        return tuple(total // known if n == -1 else n for n in shape)
    if min(shape, default=0) < 0 or math.prod(shape) != total:
        raise ShapeError(
            f"reshape: {describe(t)} has {total} elements, shape {tuple(shape)} needs "
            f"{math.prod(shape)}.",
            fix=_one_open(t, shape, total),
        )
    return shape


def _one_open(t: Tensor, shape: tuple[int, ...], total: int) -> str:
    """A shape like the one that was asked for, which fits: one size is left open."""
    for place in range(len(shape)):
        rest = [n for i, n in enumerate(shape) if i != place]
        known = math.prod(rest)
        if min(rest, default=1) > 0 and total % known == 0:
            fits = tuple(-1 if i == place else n for i, n in enumerate(shape))
            return f"{fits} fits, with {total // known} for -1"
    return f"sizes whose product is {total}, such as {tuple(t.shape)}"


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape: a view where the memory allows it, else a copy.

    >>> import fovea
    >>> reshape(fovea.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    given = sizes if shape is None else (shape,)
    try:
        found = _reshapings.get((input._form or form_of(input), given))
    except (AttributeError, TypeError):  # no tensor, or sizes in a list
        found = None
    reshaped: Tensor = (found or _reshaping(input, given))(input)
    return reshaped


_reshapings: dict[Any, Viewer] = {}  # by form and sizes as given, where those are ints


def _reshaping(input: Tensor, given: tuple[Any, ...]) -> Viewer:
    """What gives tensors like this one other sizes."""
    sizes = as_ints(given)
    wanted = _resolve(input, sizes)
    attrs = ops.ShapeAttrs.of(wanted)
    if ops.view_strides(input.shape, input.strides, wanted) is None:
        return lambda x: ops.view.bind((contiguous(x),), attrs)
    found = viewer(ops.view, attrs, form_of(input))
    listed = given[0] if len(given) == 1 and isinstance(given[0], tuple) else given
    if all(n.__class__ is int for n in listed):
        if len(_reshapings) > 4096:
            _reshapings.clear()
        _reshapings[form_of(input), given] = found
    return found


def view(input: Tensor, *shape: Any) -> Tensor:
    """``reshape``; with a dtype, the same bytes read as another type, along the last dimension if
    that is larger or smaller.

    >>> import fovea
    >>> fovea.tensor([[1, 256]]).view(fovea.uint8).shape
    fovea.Size([1, 16])
    """
    if len(shape) == 1 and not isinstance(shape[0], int | list | tuple):
        from fovea.dtypes import as_dtype

        return _reread(input, as_dtype(shape[0]))
    return reshape(input, *shape)


def _reread(input: Tensor, kind: DType) -> Tensor:
    """The same bytes as another type."""
    size, strides, offset = list(input.shape), list(input.strides), input.offset
    old, new = input.dtype.itemsize, kind.itemsize
    if old != new:
        if not size or strides[-1] != 1:
            raise ShapeError(
                f"view: {input.dtype.name} and {kind.name} differ in size; the last dimension must "
                "lie without gaps.",
                {"tensor": f"{describe(input)}, strides {tuple(strides)}"},
                "use x.contiguous()",
            )
        spans = [size[-1] * old, offset * old, *(s * old for s in strides[:-1])]
        if any(span % new for span in spans):
            raise ShapeError(
                f"view: the rows of {describe(input)} are no whole numbers of {kind.name}."
            )
        size[-1], offset, *rest = (span // new for span in spans)
        strides = [*rest, 1]
    return type(input)._make(input.storage, Size(size), tuple(strides), offset, kind)


def is_contiguous(input: Tensor, memory_format: str = contiguous_format) -> bool:
    """Whether the elements lie without gaps in this order."""
    if memory_format in ops.CHANNELS_LAST:
        fits = input.ndim == ops.CHANNELS_LAST[memory_format]
        expected = channels_last_strides(input.shape) if fits else ()
    else:
        expected = contiguous_strides(input.shape)
    if input.numel() == 0:
        return True
    return len(expected) == input.ndim and all(
        n == 1 or s == e for n, s, e in zip(input.shape, input.strides, expected, strict=True)
    )


def contiguous(input: Tensor, memory_format: str = contiguous_format) -> Tensor:
    """The tensor itself if it lies in this order, else a copy that does."""
    if is_contiguous(input, memory_format):
        return input
    return ops.clone.bind((input,), ops.LayoutAttrs.of(memory_format))


def clone(input: Tensor, *, memory_format: str = preserve_format) -> Tensor:
    """A copy; the gradient flows through."""
    return ops.clone.bind((input,), ops.LayoutAttrs.of(memory_format))


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A view with the dimensions in another order (ints, or one sequence of them)."""
    order = as_ints(order if dims is None else (dims,))
    permuted: Tensor = _order(form_seen(input), order)(input)
    return permuted


@lru_cache(maxsize=4096)
def _order(form: Form, order: tuple[int, ...]) -> Viewer:
    rank = len(form.shape)
    if len(order) != rank:
        raise ShapeError(f"permute: {describe(form)} has {rank} dimensions, got the order {order}.")
    dims = tuple(normalize_dim("permute", d, rank) for d in order)
    return viewer(ops.permute, ops.PermuteAttrs.of(dims), form)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged."""
    if not input.shape:
        return input
    exchanged: Tensor = _exchange(form_seen(input), dim0, dim1)(input)
    return exchanged


@lru_cache(maxsize=4096, typed=True)
def _exchange(form: Form, dim0: int, dim1: int) -> Viewer:
    rank = len(form.shape)
    a, b = normalize_dim("transpose", dim0, rank), normalize_dim("transpose", dim1, rank)
    order = list(range(rank))
    order[a], order[b] = order[b], order[a]
    return viewer(ops.permute, ops.PermuteAttrs.of(tuple(order)), form)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix (a vector stays as it is)."""
    rank = len(input.shape)
    if rank > 2:
        raise ShapeError(
            f"t: at most 2 dimensions, got {describe(input)}.", fix="use .mT or .transpose(d0, d1)"
        )
    return input if rank < 2 else transpose(input, 0, 1)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with dimensions moved to other places."""
    n = input.ndim
    src = [
        normalize_dim("movedim", d, n) for d in ([source] if isinstance(source, int) else source)
    ]
    dst = [
        normalize_dim("movedim", d, n)
        for d in ([destination] if isinstance(destination, int) else destination)
    ]
    order = [d for d in range(n) if d not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return permute(input, order)


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """A view in which dimensions of size 1 repeat; -1 keeps a size."""
    expanded: Tensor = _expansion(form_seen(input), as_ints(sizes))(input)
    return expanded


@lru_cache(maxsize=4096)
def _expansion(form: Form, shape: tuple[int, ...]) -> Viewer:
    lead = len(shape) - len(form.shape)
    if lead < 0 or -1 in shape[:lead]:
        raise ShapeError(f"expand: {describe(form)} cannot expand to {shape}.")
    if -1 in shape:
        shape = tuple([form.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])
    return viewer(ops.expand, ops.ShapeAttrs.of(shape), form)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``expand`` to the shape of ``other``."""
    return expand(input, *other.shape)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``expand`` under its NumPy name."""
    return expand(input, *size)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of all tensors with their common shape."""
    shape = broadcast_shapes("broadcast_tensors", *(t.shape for t in tensors))
    return tuple(expand(t, *shape) for t in tensors)


def squeeze(input: Tensor, dim: Any = None, *, axis: Any = None) -> Tensor:
    """A view without dimensions of size 1 (all of them, or those in ``dim`` that are)."""
    dim = dim if axis is None else axis
    given = tuple(dim) if isinstance(dim, (list, tuple)) else dim
    squeezed: Tensor = _without(form_seen(input), given)(input)
    return squeezed


@lru_cache(maxsize=4096, typed=True)
def _without(form: Form, dim: Any) -> Viewer:
    shape = form.shape
    if dim is None:
        drop = {i for i, n in enumerate(shape) if n == 1}
    else:
        chosen = [dim] if isinstance(dim, int) else list(dim)
        drop = {normalize_dim("squeeze", d, len(shape)) for d in chosen}
        drop = {d for d in drop if shape and shape[d] == 1}
    left = tuple(n for i, n in enumerate(shape) if i not in drop)
    return viewer(ops.view, ops.ShapeAttrs.of(left), form)


@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a dimension of size 1 inserted at ``dim``."""
    longer: Tensor = _longer(form_seen(input), dim)(input)
    return longer


@lru_cache(maxsize=4096, typed=True)
def _longer(form: Form, dim: int) -> Viewer:
    d = normalize_dim("unsqueeze", dim, len(form.shape) + 1)
    return viewer(ops.view, ops.ShapeAttrs.of((*form.shape[:d], 1, *form.shape[d:])), form)


def _viewed(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    viewed: Tensor = _sight(form_seen(input), shape)(input)
    return viewed


@lru_cache(maxsize=4096)
def _sight(form: Form, shape: tuple[int, ...]) -> Viewer:
    return viewer(ops.view, ops.ShapeAttrs.of(shape), form)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge dimensions ``start_dim`` to ``end_dim`` into one."""
    if input.ndim == 0:
        return _viewed(input, (1,))
    a, b = (
        normalize_dim("flatten", start_dim, input.ndim),
        normalize_dim("flatten", end_dim, input.ndim),
    )
    if a > b:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}.")
    return reshape(
        input, (*input.shape[:a], math.prod(input.shape[a : b + 1]), *input.shape[b + 1 :])
    )


def ravel(input: Tensor) -> Tensor:
    """All elements as one dimension: a view where the memory allows it."""
    return reshape(input, -1)


@numpy_names
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one dimension into several."""
    d = normalize_dim("unflatten", dim, input.ndim)
    sizes = tuple(sizes)
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        if sizes.count(-1) > 1 or not known or input.shape[d] % known:
            raise ShapeError(
                f"unflatten: {sizes} does not divide dimension {dim} of {describe(input)}."
            )
        sizes = tuple(input.shape[d] // known if n == -1 else n for n in sizes)
    return reshape(input, (*input.shape[:d], *sizes, *input.shape[d + 1 :]))


@numpy_names
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A view of ``length`` indices of one dimension, from ``start``."""
    d = normalize_dim("narrow", dim, input.ndim)
    size, start, length = input.shape[d], int(start), int(length)
    first = start + size if start < 0 else start
    if not (0 <= first <= size and 0 <= length <= size - first):
        raise OutOfRangeError(
            f"narrow: {length} from {start} is out of range for dimension {d} of {describe(input)}."
        )
    if is_plain(input):
        shape = Size((*input.shape[:d], length, *input.shape[d + 1 :]))
        offset = input.offset + first * input.strides[d] * (length > 0)
        return input._make_view(input, shape, input.strides, offset, _NARROW, (d, first, length))
    piece: Tensor = part(form_seen(input), d, first, length)(input)
    return piece


@lru_cache(maxsize=4096)
def part(form: Form, d: int, first: int, length: int) -> Viewer:
    """What gives `narrow` of tensors of a form."""
    rank = len(form.shape)
    begin = tuple(first if i == d else 0 for i in range(rank))
    lengths = tuple(length if i == d else n for i, n in enumerate(form.shape))
    return viewer(ops.slice_, ops.SliceAttrs.of(begin, lengths, (1,) * rank), form)


_NARROW = Again(narrow)


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``narrow`` as a copy."""
    return clone(narrow(input, dim, start, length))


def sliced(
    input: Tensor,
    start: tuple[int, ...],
    length: tuple[int, ...],
    step: tuple[int, ...],
    shape: tuple[int, ...],
) -> Tensor:
    """A slice, seen as a shape with other dimensions of size 1: one op for a tape, two for a
    program or a target, which know slices and views.
    """
    if shape == length:
        return ops.slice_.bind((input,), ops.SliceAttrs.of(start, length, step))
    if watching.watcher is None and not input._level:
        return ops.pick.bind((input,), ops.PickAttrs.of(start, length, step, shape))
    part = ops.slice_.bind((input,), ops.SliceAttrs.of(start, length, step))
    return _viewed(part, shape)


def picker(
    form: Form,
    start: tuple[int, ...],
    length: tuple[int, ...],
    step: tuple[int, ...],
    shape: tuple[int, ...],
) -> Viewer:
    """What gives `sliced` of tensors of a form."""

    def in_two(x: Tensor) -> Tensor:
        return sliced(x, start, length, step, shape)

    if form.planner is not None:  # of `vmap`, which knows slices and views
        return in_two
    if shape == length:
        return viewer(ops.slice_, ops.SliceAttrs.of(start, length, step), form)
    at_once = viewer(ops.pick, ops.PickAttrs.of(start, length, step, shape), form)
    return lambda x: at_once(x) if watching.watcher is None else in_two(x)


@numpy_names
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of one index of a dimension, without that dimension."""
    d = normalize_dim("select", dim, input.ndim)
    size = input.shape[d]
    if not -size <= index < size:
        raise OutOfRangeError(
            f"select: index {index} is out of range for dimension {d} of size {size}."
        )
    index = int(index) % size
    if is_plain(input):
        shape, strides = input.shape, input.strides
        offset = input.offset + index * strides[d]
        rest = Size((*shape[:d], *shape[d + 1 :])), (*strides[:d], *strides[d + 1 :])
        return input._make_view(input, *rest, offset, SELECT, (d, index))
    selected: Tensor = selection(form_seen(input), d, index)(input)
    return selected


@lru_cache(maxsize=4096)
def selection(form: Form, d: int, index: int) -> Viewer:
    """What gives `select` of tensors of a form."""
    before, after = tuple(form.shape[:d]), tuple(form.shape[d + 1 :])
    start = (*(0,) * d, index, *(0,) * len(after))
    return picker(form, start, (*before, 1, *after), (1,) * len(form.shape), (*before, *after))


SELECT = Again(select)


def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A copy with the order along ``dims`` (ints, or one sequence of them) reversed."""
    if dims is not None:
        order = (dims,)
    along = tuple(normalize_dim("flip", d, input.ndim) for d in as_ints(order))
    return rearrange.flip.bind((input,), rearrange.DimsAttrs.of(along if input.ndim else ()))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shift elements along ``dims``; those that leave come back at the other end."""
    by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None:
        return reshape(roll(reshape(input, -1), by, 0), input.shape)
    order = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(by) != len(order):
        raise ArgumentError(f"roll: {len(by)} shifts for {len(order)} dimensions.")
    along = tuple(normalize_dim("roll", d, input.ndim) for d in order)
    return rearrange.roll.bind((input,), rearrange.RollAttrs.of(by, along))


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of ``size`` elements, ``step`` apart, along a dimension; each window's
    elements stand along a new last dimension.

    >>> import fovea
    >>> unfold(fovea.arange(4), 0, 2, 1)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    d = normalize_dim("unfold", dimension, input.ndim)
    if input.ndim == 0:
        return select(unfold(reshape(input, 1), 0, size, step), 0, 0)
    return ops.unfold.bind((input,), ops.WindowAttrs.of(d, int(size), int(step)))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle; zeros above ``diagonal``."""
    return rearrange.tril.bind((input,), rearrange.TriangleAttrs.of(diagonal))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle; zeros below ``diagonal``."""
    return rearrange.triu.bind((input,), rearrange.TriangleAttrs.of(diagonal))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of a diagonal."""
    a, b = normalize_dim("diagonal", dim1, input.ndim), normalize_dim("diagonal", dim2, input.ndim)
    return ops.diagonal.bind((input,), ops.DiagonalAttrs.of(offset, a, b))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with this diagonal."""
    if input.ndim == 2:
        return _diagonal(input, diagonal).clone()
    n = input.shape[0] + abs(diagonal)
    out = input.new_zeros((n, n))
    _diagonal(out, diagonal).copy_(input)
    return out


_diagonal = diagonal  # which is an argument of `diag`


def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A view with any shape and strides inside the storage (not recorded for backward)."""
    return strided_over(
        input,
        tuple(size),
        tuple(stride),
        input.offset if storage_offset is None else storage_offset,
    )


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids from 1-D tensors."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', got {indexing!r}.")
    swap = indexing == "xy" and len(tensors) > 1
    items = (tensors[1], tensors[0], *tensors[2:]) if swap else tensors
    shape = tuple(t.numel() for t in items)
    grids = [
        expand(reshape(t, [-1 if i == j else 1 for j in range(len(items))]), shape)
        for i, t in enumerate(items)
    ]
    return (grids[1], grids[0], *grids[2:]) if swap else tuple(grids)
