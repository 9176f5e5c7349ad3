"""``keras.ops``: NumPy's functions on shapes, and new tensors, with Keras's names and arguments."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.probing import probed_symbols
from fovea.keras.ops.elementwise import common, floating, tensor
from fovea.keras.ops.symbolic import FUNCTIONS, shapes_of, symbolic

__all__ = [
    "arange", "broadcast_to", "concatenate", "diag", "expand_dims", "eye", "flip", "full",
    "full_like", "get_item", "hstack", "identity", "linspace", "meshgrid", "moveaxis", "ones",
    "ones_like", "pad", "ravel", "repeat", "reshape", "roll", "shape", "size", "split", "squeeze",
    "stack", "swapaxes", "take", "take_along_axis", "tile", "transpose", "tril", "triu", "unstack",
    "vstack", "zeros", "zeros_like",
]  # fmt: skip


@symbolic
def get_item(x: Any, key: Any) -> Any:
    """``x[key]``; a list of indices stands for a tuple of them, as in files."""
    return tensor(x)[tuple(key) if isinstance(key, list) else key]


def shape(x: Any) -> tuple[Any, ...]:
    """The sizes; None for those of a symbolic tensor that vary.

    >>> shape([[1.0, 2.0]])
    (1, 2)
    """
    return tuple(tensor(x).shape)


@symbolic
def size(x: Any) -> Any:
    """How many elements there are."""
    return fovea.tensor(tensor(x).numel(), dtype=fovea.int32)


@symbolic
def reshape(x: Any, newshape: Any) -> Any:
    """The same elements in another shape; one size may be -1."""
    return fovea.reshape(tensor(x), [newshape] if isinstance(newshape, int) else list(newshape))


@shapes_of(reshape)
def _(x: Any, newshape: Any) -> Any:
    """Found by trying, unless no size that stands in for the batch's fits: a -1 then varies."""
    try:
        return probed_symbols(FUNCTIONS["reshape"], (x, newshape), {})
    except ShapeError:
        sizes = [newshape] if isinstance(newshape, int) else list(newshape)
        if sizes.count(-1) != 1 or None not in x.shape:
            raise
        return KerasTensor([None if d == -1 else d for d in sizes], x.dtype)


@symbolic
def ravel(x: Any) -> Any:
    """All elements in one row."""
    return tensor(x).reshape(-1)


@symbolic
def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order; reversed unless given."""
    x = tensor(x)
    return x.permute(*(axes if axes is not None else reversed(range(x.ndim))))


@symbolic
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    return fovea.transpose(tensor(x), axis1, axis2)


@symbolic
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places."""
    return fovea.movedim(tensor(x), source, destination)


@symbolic
def expand_dims(x: Any, axis: Any) -> Any:
    """With new axes of size 1."""
    x = tensor(x)
    axes = [axis] if isinstance(axis, int) else list(axis)
    for a in sorted(a % (x.ndim + len(axes)) for a in axes):
        x = x.unsqueeze(a)
    return x


@symbolic
def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1."""
    x = tensor(x)
    return x.squeeze() if axis is None else x.squeeze(axis)


@symbolic
def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeated along new axes and those of size 1."""
    return fovea.broadcast_to(tensor(x), list(shape))


@symbolic
def concatenate(xs: Any, axis: int = 0) -> Any:
    """Several tensors one after the other."""
    return fovea.cat(common(*xs), axis)


@symbolic
def stack(x: Any, axis: int = 0) -> Any:
    """Several tensors along a new axis."""
    return fovea.stack(common(*x), axis)


@symbolic
def hstack(xs: Any) -> Any:
    """Several tensors side by side."""
    return fovea.hstack(common(*xs))


@symbolic
def vstack(xs: Any) -> Any:
    """Several tensors below one another."""
    return fovea.vstack(common(*xs))


@symbolic
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Equal parts, or those between indices."""
    parts = fovea.tensor_split(tensor(x), indices_or_sections, axis)
    return list(parts)


@symbolic
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """The slices along an axis."""
    return list(tensor(x).unbind(axis))


@symbolic
def tile(x: Any, repeats: Any) -> Any:
    """The whole repeated along each axis."""
    return fovea.tile(tensor(x), (repeats,) if isinstance(repeats, int) else tuple(repeats))


@symbolic
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated, ``repeats`` times or as often as each of them says."""
    counts = repeats if isinstance(repeats, int) else tensor(repeats).to(fovea.int64)
    return fovea.repeat_interleave(tensor(x), counts, axis)


@symbolic
def flip(x: Any, axis: Any = None) -> Any:
    """In reverse order along axes."""
    x = tensor(x)
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return fovea.flip(x, list(axes))


@symbolic
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Moved along, and in again at the other end."""
    return fovea.roll(tensor(x), shift, axis)


@symbolic
def pad(x: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = None) -> Any:
    """Bordered.

    Args:
        pad_width: a number, a pair, or a pair for each axis: how much before and behind.
        mode: ``"constant"``; or with x's own elements: ``"reflect"`` and ``"symmetric"`` turn back
            at the edge (which comes once, or twice), ``"edge"`` repeats it, ``"wrap"`` begins anew.
    """
    x = tensor(x)
    if isinstance(pad_width, int):
        pad_width = [(pad_width, pad_width)] * x.ndim
    elif isinstance(pad_width[0], int):
        pad_width = [tuple(pad_width)] * x.ndim
    pairs = [(int(low), int(high)) for low, high in pad_width]
    if mode == "constant":
        flat = [n for low_high in reversed(pairs) for n in low_high]
        return fovea.nn.functional.pad(x, flat, value=constant_values or 0)
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise ArgumentError(
            "pad: mode is 'constant', 'reflect', 'symmetric', 'edge' or 'wrap', got " + repr(mode)
        )
    for d, low_high in enumerate(pairs):
        if low_high != (0, 0):
            order = np.pad(np.arange(x.shape[d]), low_high, mode=mode)
            x = fovea.index_select(x, d, fovea.tensor(order))
    return x


@symbolic
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements at indices along an axis."""
    x, i = tensor(x), tensor(indices).to(fovea.int64)
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis %= x.ndim
    i = fovea.where(i < 0, i + x.shape[axis], i)
    y = fovea.index_select(x, axis, i.reshape(-1))
    return y.reshape(*x.shape[:axis], *i.shape, *x.shape[axis + 1 :])


@symbolic
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """For each place the element that its index names along an axis."""
    return fovea.take_along_dim(tensor(x), tensor(indices).to(fovea.int64), axis)


@symbolic
def diag(x: Any, k: int = 0) -> Any:
    """A matrix's diagonal, or the matrix of one."""
    return fovea.diag(tensor(x), k)


@symbolic
def tril(x: Any, k: int = 0) -> Any:
    """Zeros above a diagonal."""
    return fovea.tril(tensor(x), k)


@symbolic
def triu(x: Any, k: int = 0) -> Any:
    """Zeros below a diagonal."""
    return fovea.triu(tensor(x), k)


@symbolic
def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """Coordinates of a grid."""
    return list(fovea.meshgrid(*[tensor(v).reshape(-1) for v in x], indexing=indexing))


# -- new ones ------------------------------------------------------------------------------------


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros."""
    return fovea.zeros(shape, dtype=config.as_dtype(dtype))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones."""
    return fovea.ones(shape, dtype=config.as_dtype(dtype))


@symbolic
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere."""
    return fovea.full(
        [shape] if isinstance(shape, int) else shape, fill_value, dtype=config.as_dtype(dtype)
    )


@symbolic
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of another."""
    return fovea.zeros_like(tensor(x), dtype=None if dtype is None else config.as_dtype(dtype))


@symbolic
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of another."""
    return fovea.ones_like(tensor(x), dtype=None if dtype is None else config.as_dtype(dtype))


@symbolic
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value in the shape of another."""
    kind = None if dtype is None else config.as_dtype(dtype)
    return fovea.full_like(tensor(x), fill_value, dtype=kind)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:  # noqa: N803
    """Ones on a diagonal."""
    ones_everywhere = fovea.ones(N, N if M is None else M, dtype=config.as_dtype(dtype))
    return fovea.triu(fovea.tril(ones_everywhere, k), k)


def identity(n: int, dtype: Any = None) -> Any:
    """The unit matrix."""
    return eye(n, dtype=dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from ``start`` to before ``stop``; integers are int32."""
    low, high = (0, start) if stop is None else (start, stop)
    each = 1 if step is None else step
    floats = _any_float(low, high, each)
    kind = (
        config.as_dtype(dtype)
        if dtype is not None
        else (config.as_dtype(None) if floats else fovea.int32)
    )
    return fovea.arange(low, high, each, dtype=kind)


def _any_float(*numbers: Any) -> bool:
    """Whether one of them is no integer."""
    return not {type(n) for n in numbers} <= {int}


@symbolic
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """So many numbers at equal distances, along an axis where the ends are tensors."""
    kind = config.as_dtype(dtype)
    parts = num - 1 if endpoint else num
    shares = np.arange(num) / builtins.max(parts, 1)
    if isinstance(start, int | float) and isinstance(stop, int | float):
        step: Any = (stop - start) / parts if parts > 0 else math.nan
        y = fovea.tensor(start * (1 - shares) + stop * shares).to(kind)
        return (y, step) if retstep else y
    a, b = common(floating(start), floating(stop))
    a, b = fovea.broadcast_tensors(a, b)
    place = fovea.tensor(shares, dtype=a.dtype).reshape(-1, *(1,) * a.ndim)
    y = fovea.movedim(a * (1 - place) + b * place, 0, axis).to(kind)
    return (y, (b - a) / parts if parts > 0 else (b - a) * math.nan) if retstep else y
