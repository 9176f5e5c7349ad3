"""The standard's functions that arrange arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import fovea
from fovea.errors import ShapeError, describe

if TYPE_CHECKING:
    from fovea.tensor import Tensor

Axes = int | tuple[int, ...]


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """Arrays expanded to one shape."""
    return tuple(fovea.broadcast_tensors(*arrays))


def broadcast_to(x: Tensor, /, shape: Sequence[int]) -> Tensor:
    """An array expanded to a shape."""
    return fovea.broadcast_to(x, tuple(shape))


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis; None joins all their elements."""
    if axis is None:
        return fovea.cat([a.flatten() for a in arrays], 0)
    return fovea.cat(list(arrays), axis)


def expand_dims(x: Tensor, /, axis: Axes) -> Tensor:
    """An array with axes of size 1 at places of the result."""
    axes = (axis,) if isinstance(axis, int) else axis
    count = x.ndim + len(axes)
    for a in axes:
        if not -count <= a < count:
            raise ShapeError(f"expand_dims: axis {a} is not one of {count}: {describe(x)}.")
    for a in sorted(a % count for a in axes):
        x = x.unsqueeze(a)
    return x


def flip(x: Tensor, /, *, axis: Axes | None = None) -> Tensor:
    """An array backwards along axes; along all of them if None."""
    axes: Any = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return fovea.flip(x, tuple(axes))


def moveaxis(x: Tensor, source: Axes, destination: Axes, /) -> Tensor:
    """An array whose axes have moved."""
    return fovea.moveaxis(x, source, destination)


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """An array with its axes in another order."""
    return fovea.permute(x, tuple(axes))


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element several times."""
    return fovea.repeat_interleave(x, repeats, axis)


def reshape(x: Tensor, /, shape: Sequence[int], *, copy: bool | None = None) -> Tensor:
    """An array in another shape; ``copy`` False is an error where memory must be copied."""
    if copy is False:
        return x.view(tuple(shape))
    found = x.reshape(tuple(shape))
    return found.clone() if copy else found


def roll(x: Tensor, /, shift: Axes, *, axis: Axes | None = None) -> Tensor:
    """Elements moved on, those at the end coming in at the front."""
    return fovea.roll(x, shift, axis)


def squeeze(x: Tensor, /, axis: Axes) -> Tensor:
    """An array without axes of size 1.

    Raises:
        ShapeError: an axis of another size.
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} is not of size 1: {describe(x)}.")
    return fovea.squeeze(x, axes)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays joined along a new axis."""
    return fovea.stack(list(arrays), axis)


def tile(x: Tensor, repetitions: Sequence[int], /) -> Tensor:
    """An array several times along each axis."""
    return fovea.tile(x, tuple(repetitions))


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of an array along an axis."""
    return tuple(fovea.unbind(x, axis))
