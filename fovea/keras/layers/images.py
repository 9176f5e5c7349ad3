"""Images between Keras's layout and the ops', and what is common to layers of images.

The ops take (N, C, H, W) with any strides, and images lie channels-last in memory, so a
channels-last layer passes permuted views: no element moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea.errors import ShapeError
from fovea.keras.keras_tensor import Shape
from fovea.nn.functional import pad
from fovea.ops.shape import PermuteAttrs, permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["from_channels_first", "padded", "same_padding", "spatial_sizes", "to_channels_first"]

_TO_FIRST = {
    3: PermuteAttrs.of((0, 2, 1)),
    4: PermuteAttrs.of((0, 3, 1, 2)),
    5: PermuteAttrs.of((0, 4, 1, 2, 3)),
}
_TO_LAST = {
    3: PermuteAttrs.of((0, 2, 1)),
    4: PermuteAttrs.of((0, 2, 3, 1)),
    5: PermuteAttrs.of((0, 2, 3, 4, 1)),
}


def to_channels_first(x: Tensor, data_format: str) -> Tensor:
    """(N, ..., C) as (N, C, ...), if that is not what ``x`` is already."""
    if data_format == "channels_first":
        return x
    return permute.bind((x,), _TO_FIRST[len(x.shape)])


def from_channels_first(x: Tensor, data_format: str) -> Tensor:
    """(N, C, ...) as the layer's format has it."""
    if data_format == "channels_first":
        return x
    return permute.bind((x,), _TO_LAST[len(x.shape)])


@lru_cache(4096)
def same_padding(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """Padding before and after each dimension that gives ceil(size / stride) outputs; an odd pixel
    goes to the end.

    >>> same_padding((28, 28), (3, 3), (2, 2), (1, 1))
    (0, 1, 0, 1)
    """
    sides: list[int] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        sides += [total // 2, total - total // 2]
    return tuple(sides)


def padded(x: Tensor, sides: Sequence[int], value: float = 0.0) -> Tensor:
    """(N, C, ...) with (before, after) each dimension; less of it where sides are negative."""
    if not any(sides):
        return x
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)]
    return pad(x, tuple(n for side in reversed(pairs) for n in side), "constant", value)


def spatial_sizes(shape: Shape, data_format: str) -> tuple[int | None, ...]:
    """The sizes of an image's dimensions, without batch and channels."""
    return tuple(shape[2:] if data_format == "channels_first" else shape[1:-1])


def with_channels(
    shape: Shape, sizes: Sequence[int | None], channels: int | None, data_format: str
) -> Shape:
    """The shape of a batch of images with these sizes and channels."""
    if data_format == "channels_first":
        return (shape[0], channels, *sizes)
    return (shape[0], *sizes, channels)


def channels_of(shape: Shape, data_format: str) -> int | None:
    """How many channels images of this shape have."""
    return shape[1 if data_format == "channels_first" else -1]


def window_sizes(
    layer: Any,
    sizes: Sequence[int | None],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: str,
    dilation: Sequence[int],
) -> tuple[int | None, ...]:
    """How many windows fit along each dimension; None where the size is not known.

    Raises:
        ShapeError: the window is larger than the image.
    """
    found: list[int | None] = []
    for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        if n is None:
            found.append(None)
        elif padding == "same":
            found.append(-(-n // s))
        else:
            reach = d * (k - 1) + 1
            if padding == "causal":
                n += reach - 1
            if n < reach:
                raise ShapeError(
                    f"{layer.name}: a window of {reach} does not fit a dimension of {n}.",
                    {"image": str(tuple(sizes)), "window": str(tuple(kernel))},
                    "feed larger images, or use padding='same'",
                )
            found.append((n - reach) // s + 1)
    return tuple(found)
