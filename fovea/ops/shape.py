"""Views, and the copies that undo and join them: slices put back, other layouts, joined tensors.

View ops share memory: their rule gives shape, strides and offset. Whether a reshape can be a view
depends on strides: `fovea.functions.shaping.reshape` decides, and calls `view` or copies first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import OutOfRangeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, contiguous_strides, numel
from fovea.ops.rules import like_layout, require_dims, same_dtype

Array = np.ndarray[Any, Any]
Strided = tuple[tuple[int, ...], tuple[int, ...], int]


def view_op(name: str, attrs: type[Attrs] | None = None) -> Op:
    """Declare a view op; its shape rule follows from its strided rule."""
    op = Op(name, ("x",), attrs, view=True)

    @op.shape
    def _(x: Shaped, *a: Any) -> Spec:
        assert op.strided_rule is not None
        shape, strides, _ = op.strided_rule(x, *a)
        return Spec(tuple(shape), x.dtype, tuple(strides))

    return op


def _strides(x: Shaped) -> tuple[int, ...]:
    return contiguous_strides(x.shape) if x.strides is None else x.strides


# -- views ------------------------------------------------------------------------------------

alias = view_op("alias")
alias.strided(lambda x: (tuple(x.shape), _strides(x), 0))
alias.grad()(lambda ctx, gy: gy)
alias.reference(lambda x: x)


@dataclass(frozen=True, eq=False)
class ShapeAttrs(Attrs):
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PermuteAttrs(Attrs):
    dims: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SliceAttrs(Attrs):
    """Per dimension: first index, number of elements, step (which may be negative for NumPy-style
    flips).
    """

    start: tuple[int, ...]
    length: tuple[int, ...]
    step: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PickAttrs(Attrs):
    """A slice, and the shape that its elements take: other dimensions of size 1."""

    start: tuple[int, ...]
    length: tuple[int, ...]
    step: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class DiagonalAttrs(Attrs):
    offset: int
    dim1: int
    dim2: int


def view_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], target: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides under which ``target`` reads the same elements in the same order, or None if there
    are none.

    >>> view_strides((2, 3, 4), (12, 4, 1), (6, 4)), view_strides((2, 3), (1, 2), (6,))
    ((4, 1), None)
    """
    if numel(shape) == 0:
        return contiguous_strides(target)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    out: list[int] = [0] * len(target)
    j = len(target) - 1
    while old:
        n, step = old.pop()
        base = step
        while old and old[-1][1] == base * n:  # merge dimensions that lie together
            n *= old.pop()[0]
        while n > 1 or (j >= 0 and target[j] == 1):
            if j < 0 or n % target[j]:
                return None
            out[j] = step
            step *= target[j]
            n //= target[j]
            j -= 1
            if n == 1:
                break
    while j >= 0:
        if target[j] != 1:
            return None
        out[j] = 1 if j + 1 >= len(target) else out[j + 1] * max(target[j + 1], 1)
        j -= 1
    return tuple(out)


view = view_op("view", ShapeAttrs)


@view.strided
def _(x: Shaped, a: ShapeAttrs) -> Strided:
    if numel(a.shape) != numel(x.shape) or min(a.shape, default=0) < 0:
        raise ShapeError(
            f"view: {describe(x)} has {numel(x.shape)} elements, shape {tuple(a.shape)} needs "
            f"{numel(a.shape)}."
        )
    strides = view_strides(tuple(x.shape), _strides(x), a.shape)
    if strides is None:
        raise ShapeError(
            f"view: shape {tuple(a.shape)} cannot alias the memory of {describe(x)}.",
            fix="use reshape",
        )
    return a.shape, strides, 0


view.grad()(lambda ctx, gy: gy.reshape(ctx.shape(0)))
view.reference(lambda x, a: x.reshape(a.shape))

permute = view_op("permute", PermuteAttrs)


@permute.strided
def _(x: Shaped, a: PermuteAttrs) -> Strided:
    if sorted(a.dims) != list(range(len(x.shape))):
        raise ShapeError(
            f"permute: dims {a.dims} do not name each dimension of {describe(x)} once."
        )
    strides = _strides(x)
    return tuple(x.shape[d] for d in a.dims), tuple(strides[d] for d in a.dims), 0


permute.grad()(lambda ctx, gy: gy.permute(tuple(int(i) for i in np.argsort(ctx.attrs.dims))))
permute.reference(lambda x, a: x.transpose(a.dims))

expand = view_op("expand", ShapeAttrs)


@expand.strided
def _(x: Shaped, a: ShapeAttrs) -> Strided:
    lead = len(a.shape) - len(x.shape)
    if lead < 0 or min(a.shape, default=0) < 0:
        raise ShapeError(f"expand: {describe(x)} cannot have the shape {a.shape}.")
    strides = [0] * lead
    for i, (n, s) in enumerate(zip(x.shape, _strides(x), strict=True)):
        if n not in (1, a.shape[i + lead]):
            raise ShapeError(
                f"expand: {describe(x)} cannot expand to {a.shape}: only dimensions of size 1 "
                "expand."
            )
        strides.append(s if n == a.shape[i + lead] else 0)
    return a.shape, tuple(strides), 0


@expand.grad()
def _(ctx: Any, gy: Any) -> Any:
    from fovea.ops.rules import sum_to

    return sum_to(gy, ctx.shape(0))


expand.reference(lambda x, a: np.broadcast_to(x, a.shape))

slice_ = view_op("slice", SliceAttrs)


def _check_slice(name: str, shape: Sequence[int], a: Any) -> None:
    """Raise unless every index of the slice lies in ``shape``."""
    if not len(a.start) == len(a.length) == len(a.step) == len(shape):
        raise ShapeError(f"{name}: a start, a length and a step are needed for each of {shape}.")
    for d, (first, length, step) in enumerate(zip(a.start, a.length, a.step, strict=True)):
        last = first + (length - 1) * step
        inside = 0 <= first < shape[d] and 0 <= last < shape[d] and (step or length == 1)
        if length < 0 or (length and not inside):
            raise OutOfRangeError(
                f"{name}: {length} indices from {first} in steps of {step} are out of range for "
                f"dimension {d} of size {shape[d]}."
            )


def _slice_strided(x: Shaped, a: SliceAttrs | PickAttrs) -> Strided:
    strides = _strides(x)
    _check_slice("slice", x.shape, a)
    offset = sum(
        first * s if n else 0 for first, n, s in zip(a.start, a.length, strides, strict=True)
    )
    return a.length, tuple(s * k for s, k in zip(strides, a.step, strict=True)), offset


slice_.strided(_slice_strided)


def _slices(a: SliceAttrs | PickAttrs) -> tuple[slice, ...]:
    out = []
    for first, length, step in zip(a.start, a.length, a.step, strict=True):
        end = first + length * step
        out.append(slice(first, None if end < 0 else end, step))
    return tuple(out)


@slice_.grad()
def _(ctx: Any, gy: Any) -> Any:
    return slice_scatter.bind((gy,), SliceScatterAttrs.of(ctx.shape(0), *_fields(ctx.attrs)))


def _fields(a: SliceAttrs | PickAttrs) -> tuple[Any, ...]:
    return a.start, a.length, a.step


slice_.reference(lambda x, a: x[_slices(a)])

# What eager indexing does at once; in programs it is a slice and a view.
pick = view_op("pick", PickAttrs)


@pick.strided
def _(x: Shaped, a: PickAttrs) -> Strided:
    length, steps, offset = _slice_strided(x, a)
    strides = view_strides(length, steps, a.shape)
    if strides is None or numel(length) != numel(a.shape):
        raise ShapeError(f"pick: {length} and {a.shape} are not the same but for sizes of 1.")
    return a.shape, strides, offset


@pick.grad()
def _(ctx: Any, gy: Any) -> Any:
    a, shape = ctx.attrs, ctx.shape(0)
    return slice_scatter.bind((gy.reshape(a.length),), SliceScatterAttrs.of(shape, *_fields(a)))


@pick.decompose
def _(x: Any, a: PickAttrs) -> Any:
    return view.bind((slice_.bind((x,), SliceAttrs.of(*_fields(a))),), ShapeAttrs.of(a.shape))


pick.reference(lambda x, a: x[_slices(a)].reshape(a.shape))

diagonal = view_op("diagonal", DiagonalAttrs)


@diagonal.strided
def _(x: Shaped, a: DiagonalAttrs) -> Strided:
    strides = _strides(x)
    require_dims("diagonal", len(x.shape), (a.dim1, a.dim2))
    rows, cols = x.shape[a.dim1], x.shape[a.dim2]
    n = max(0, min(rows, cols - a.offset) if a.offset >= 0 else min(rows + a.offset, cols))
    keep = [d for d in range(len(x.shape)) if d not in (a.dim1, a.dim2)]
    offset = (
        (a.offset * strides[a.dim2] if a.offset >= 0 else -a.offset * strides[a.dim1]) if n else 0
    )
    shape = (*(x.shape[d] for d in keep), n)
    return shape, (*(strides[d] for d in keep), strides[a.dim1] + strides[a.dim2]), offset


@diagonal.grad()
def _(ctx: Any, gy: Any) -> Any:
    a = ctx.attrs
    out = gy.new_zeros(ctx.shape(0))
    out.diagonal(a.offset, a.dim1, a.dim2).copy_(gy)
    return out


diagonal.reference(lambda x, a: np.diagonal(x, a.offset, a.dim1, a.dim2))


@dataclass(frozen=True, eq=False)
class WindowAttrs(Attrs):
    """Windows of ``size`` elements of ``dim``, ``step`` apart."""

    dim: int
    size: int
    step: int


unfold = view_op("unfold", WindowAttrs)  # the windows' elements along a new last dimension


@unfold.strided
def _(x: Shaped, a: WindowAttrs) -> Strided:
    require_dims("unfold", len(x.shape), (a.dim,))
    n, strides = x.shape[a.dim], _strides(x)
    if not 0 <= a.size <= n or a.step < 1:
        raise ShapeError(
            f"unfold: windows of {a.size}, {a.step} apart, do not fit dimension {a.dim} of "
            f"{describe(x)}."
        )
    shape, steps = list(x.shape), list(strides)
    shape[a.dim], steps[a.dim] = (n - a.size) // a.step + 1, strides[a.dim] * a.step
    return (*shape, a.size), (*steps, strides[a.dim]), 0


@unfold.grad()
def _(ctx: Any, gy: Any) -> Any:
    a, shape = ctx.attrs, ctx.shape(0)
    rank, count = len(shape), gy.shape[a.dim]
    total = gy.new_zeros(shape)
    for k in range(a.size):
        start, step = [0] * rank, [1] * rank
        start[a.dim], step[a.dim] = k, a.step
        length = tuple(count if d == a.dim else n for d, n in enumerate(shape))
        attrs = SliceScatterAttrs.of(shape, tuple(start), length, tuple(step))
        total = total + slice_scatter.bind((gy.select(rank, k),), attrs)
    return total


@unfold.reference
def _(x: Array, a: WindowAttrs) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, a.size, a.dim)
    return windows[(*(slice(None),) * a.dim, slice(None, None, a.step))]


# -- copies -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SliceScatterAttrs(Attrs):
    shape: tuple[int, ...]
    start: tuple[int, ...]
    length: tuple[int, ...]
    step: tuple[int, ...]


slice_scatter = Op(
    "slice_scatter", ("x",), SliceScatterAttrs
)  # zeros, with x in the slice: slice's gradient


@slice_scatter.shape
def _(x: Shaped, a: SliceScatterAttrs) -> Spec:
    if tuple(x.shape) != a.length:
        raise ShapeError(
            f"slice_scatter: {describe(x)} does not fill the slice of shape {a.length}."
        )
    _check_slice("slice_scatter", a.shape, a)
    return Spec(a.shape, x.dtype)


@slice_scatter.grad()
def _(ctx: Any, gy: Any) -> Any:
    a = ctx.attrs
    return slice_.bind((gy,), SliceAttrs.of(a.start, a.length, a.step))


@slice_scatter.reference
def _(x: Array, a: SliceScatterAttrs) -> Array:
    out = np.zeros(a.shape, x.dtype)
    out[_slices(a)] = x  # type: ignore[arg-type]
    return out


CHANNELS_LAST = {"channels_last": 4, "channels_last_3d": 5}  # and of how many dimensions


@dataclass(frozen=True, eq=False)
class LayoutAttrs(Attrs):
    """``"preserve"`` keeps the order of dimensions in memory; ``"contiguous"``,
    ``"channels_last"``, ``"channels_last_3d"``.
    """

    layout: str


clone = Op("clone", ("x",), LayoutAttrs)


@clone.shape
def _(x: Shaped, a: LayoutAttrs) -> Spec:
    from fovea.ops.rules import channels_last_strides

    shape = tuple(x.shape)
    if a.layout == "contiguous":
        return Spec(shape, x.dtype)
    if a.layout in CHANNELS_LAST:
        rank = CHANNELS_LAST[a.layout]
        if len(shape) != rank:
            raise ShapeError(f"contiguous: {a.layout} needs {rank} dimensions, got {describe(x)}.")
        return Spec(shape, x.dtype, channels_last_strides(shape))
    return Spec(shape, x.dtype, like_layout(shape, (x,)))


clone.grad()(lambda ctx, gy: gy)
clone.reference(lambda x, a: x)


@dataclass(frozen=True, eq=False)
class DimAttrs(Attrs):
    dim: int


cat = Op("cat", ("*tensors",), DimAttrs)


def _joinable(first: tuple[int, ...], other: tuple[int, ...], dim: int) -> str | None:
    """Along which dimension two shapes can be joined, if not along ``dim``."""
    if len(first) != len(other):
        return "tensors with as many dimensions: unsqueeze adds one"
    differ = [i for i, (n, m) in enumerate(zip(first, other, strict=True)) if n != m]
    return f"dim={differ[0]} joins them" if len(differ) == 1 else None


@cat.shape
def _(*args: Any) -> Spec:
    *tensors, a = args
    if not tensors:
        raise ShapeError("cat: at least one tensor is needed.")
    dtype = same_dtype("cat", *tensors)
    first = tuple(tensors[0].shape)
    if not first:
        raise ShapeError("cat: 0-d tensors cannot be joined.", fix="use stack")
    require_dims("cat", len(first), (a.dim,))
    total = 0
    for t in tensors:
        shape = tuple(t.shape)
        if len(shape) != len(first) or any(
            n != m for i, (n, m) in enumerate(zip(shape, first, strict=True)) if i != a.dim
        ):
            raise ShapeError(
                f"cat: shapes {', '.join(str(tuple(t.shape)) for t in tensors)} differ elsewhere "
                f"than in dimension {a.dim}.",
                fix=_joinable(first, shape, a.dim),
            )
        total += shape[a.dim]
    shape = (*first[: a.dim], total, *first[a.dim + 1 :])
    strides = None
    if tensors[0].strides is not None:
        from fovea.ops.rules import dense_strides

        order = dense_strides(first, tensors[0].strides)
        strides = dense_strides(shape, order) if numel(first) else None
    return Spec(shape, dtype, strides)


@cat.grad()
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    out, start = [], 0
    for i, need in enumerate(ctx.needed):
        n = ctx.shape(i)[ctx.attrs.dim]
        out.append(gy.narrow(ctx.attrs.dim, start, n) if need else None)
        start += n
    return tuple(out)


@cat.reference
def _(*args: Any) -> Array:
    *arrays, a = args
    return np.concatenate(arrays, a.dim)


# What eager stacking does at once; in programs it is views and a `cat`.
stack = Op("stack", ("*tensors",), DimAttrs)


@stack.shape
def _(*args: Any) -> Spec:
    *tensors, a = args
    require_dims("stack", len(tensors[0].shape) + 1, (a.dim,))
    (spec,) = cat.specs([_spaced(t, a.dim) for t in tensors], a)
    return spec


def _spaced(t: Shaped, dim: int) -> Spec:
    """A tensor with one more dimension, of size 1."""
    shape = (*t.shape[:dim], 1, *t.shape[dim:])
    strides = None if t.strides is None else view_strides(tuple(t.shape), _strides(t), shape)
    return Spec(shape, t.dtype, strides)


@stack.grad()
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    return tuple(gy.select(ctx.attrs.dim, i) if n else None for i, n in enumerate(ctx.needed))


@stack.decompose
def _(*args: Any) -> Any:
    *tensors, a = args
    return cat.bind(tuple(t.unsqueeze(a.dim) for t in tensors), a)


@stack.reference
def _(*args: Any) -> Array:
    *arrays, a = args
    return np.stack(arrays, a.dim)
