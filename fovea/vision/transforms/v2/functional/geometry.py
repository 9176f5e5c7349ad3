"""Flips, sizes, crops and padding of whatever moves with an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.functional.geometry import resized_size, sides_of
from fovea.vision.transforms.functional.images import number_pair
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.v2.functional.kinds import Array, by_kind, moves

__all__ = [
    "center_crop",
    "crop",
    "five_crop",
    "hflip",
    "horizontal_flip",
    "pad",
    "resize",
    "resized_crop",
    "ten_crop",
    "vertical_flip",
    "vflip",
]

Size = tuple[int, int]
NEAREST = (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT)


@by_kind
def horizontal_flip(inpt: Any) -> Any:
    """Left to right.

    >>> from fovea.vision.tv_tensors import BoundingBoxes
    >>> boxes = BoundingBoxes([[0, 0, 2, 4]], format="XYXY", canvas_size=(5, 10))
    >>> horizontal_flip(boxes).tolist()
    [[8, 0, 10, 4]]
    """
    return F.hflip(inpt)


def _flip_points(points: Array, size: Size, last: int = 0) -> tuple[Array, Size]:
    return np.stack([size[1] - last - points[..., 0], points[..., 1]], -1), size


moves(horizontal_flip, _flip_points, whole=True)
hflip = horizontal_flip


@by_kind
def vertical_flip(inpt: Any) -> Any:
    """Top to bottom.

    >>> import fovea
    >>> vertical_flip(fovea.tensor([[[1], [2]]])).tolist()
    [[[2], [1]]]
    """
    return F.vflip(inpt)


def _turn_points_over(points: Array, size: Size, last: int = 0) -> tuple[Array, Size]:
    return np.stack([points[..., 0], size[0] - last - points[..., 1]], -1), size


moves(vertical_flip, _turn_points_over, whole=True)
vflip = vertical_flip


@by_kind
def resize(
    inpt: Any,
    size: int | Sequence[int] | None,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Resize whatever lies in an image; masks by the nearest pixel.

    Args:
        inpt: an image, masks, boxes or points.
        size: (height, width); the new length of the shorter edge; or None: the longer edge becomes
            ``max_size``.
        interpolation: how an image's values between pixels are found.
        max_size: with a single ``size``, what the longer edge may be at most.
        antialias: for tensors, whether shrinking averages over all pixels.

    >>> from fovea.vision.tv_tensors import KeyPoints
    >>> resize(KeyPoints([[2.0, 1.0]], canvas_size=(4, 8)), [8, 8]).tolist()
    [[2.0, 2.0]]
    """
    size, max_size = _longest(F.get_dimensions(inpt)[1:], size, max_size)
    return F.resize(inpt, size, interpolation, max_size, antialias)


def _longest(shape: Sequence[int], size: Any, max_size: int | None) -> tuple[Any, int | None]:
    """Size and max_size, where size None asks for a longer edge of max_size."""
    if size is not None:
        return size, max_size
    if max_size is None:
        raise ArgumentError("resize: size=None needs max_size.")
    height, width = shape
    short = int(max_size * min(height, width) / max(height, width))
    return ((max_size, short) if height >= width else (short, max_size)), None


def _resize_mask(
    mask: Any,
    size: Any,
    interpolation: Any = "nearest",
    max_size: Any = None,
    antialias: Any = None,
) -> Any:
    mode = as_mode(interpolation)
    mode = mode if mode in NEAREST else InterpolationMode.NEAREST
    return resize.image(mask, size, mode, max_size)


def _resize_points(
    points: Array,
    shape: Size,
    size: Any,
    interpolation: Any = None,
    max_size: Any = None,
    antialias: Any = None,
) -> tuple[Array, Size]:
    height, width = resized_size(*shape, *_longest(shape, size, max_size))
    return points * np.array([width / shape[1], height / shape[0]]), (height, width)


moves(resize, _resize_points, _resize_mask)


@by_kind
def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """Cut out a box; what lies outside an image or a mask is 0.

    >>> from fovea.vision.tv_tensors import BoundingBoxes
    >>> boxes = BoundingBoxes([[0, 0, 6, 6]], format="XYXY", canvas_size=(9, 9))
    >>> crop(boxes, 2, 3, 3, 5)
    BoundingBoxes([[0, 0, 3, 3]], format=XYXY, canvas_size=(3, 5), clamping_mode=soft)
    """
    return F.crop(inpt, top, left, height, width)


def _crop_points(
    points: Array, size: Size, top: int, left: int, height: int, width: int
) -> tuple[Array, Size]:
    return points - np.array([left, top]), (height, width)


moves(crop, _crop_points)


@by_kind
def center_crop(inpt: Any, output_size: int | Sequence[int]) -> Any:
    """Cut out the middle; what is too small is first widened with 0.

    >>> import fovea
    >>> center_crop(fovea.zeros(3, 4, 6), 2).shape
    fovea.Size([3, 2, 2])
    """
    return F.center_crop(inpt, output_size)


def _center_crop_points(points: Array, size: Size, output_size: Any) -> tuple[Array, Size]:
    height, width = (int(n) for n in number_pair(output_size, "center_crop: output_size"))
    anchor = round((size[1] - width) / 2.0), round((size[0] - height) / 2.0)
    return points - np.array(anchor), (height, width)


moves(center_crop, _center_crop_points)


@by_kind
def resized_crop(
    inpt: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """`crop` and then `resize`.

    >>> import fovea
    >>> resized_crop(fovea.zeros(3, 8, 8), 0, 0, 4, 4, (2, 2)).shape
    fovea.Size([3, 2, 2])
    """
    return F.resized_crop(inpt, top, left, height, width, size, interpolation, antialias)


def _resized_crop_mask(
    mask: Any, top: int, left: int, height: int, width: int, size: Any, *rest: Any, **more: Any
) -> Any:
    return _resize_mask(F.crop(mask, top, left, height, width), size)


def _resized_crop_points(
    points: Array,
    shape: Size,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = None,
    antialias: Any = None,
) -> tuple[Array, Size]:
    return _resize_points(*_crop_points(points, shape, top, left, height, width), size)


moves(resized_crop, _resized_crop_points, _resized_crop_mask)


@by_kind
def pad(
    inpt: Any,
    padding: int | Sequence[int],
    fill: Any = None,
    padding_mode: str = "constant",
) -> Any:
    """Widen an image and what lies in it (negative amounts cut off).

    Args:
        inpt: an image, masks, boxes or points.
        padding: one amount, (left and right, top and bottom), or (left, top, right, bottom).
        fill: with ``constant``, one value or one a channel; None is 0.
        padding_mode: ``constant``, ``edge``, ``reflect`` or ``symmetric``.

    Raises:
        ArgumentError: boxes or points with a mode but ``constant``: what is repeated would need
            boxes, too.

    >>> import fovea
    >>> pad(fovea.zeros(3, 4, 6), [1, 2]).shape
    fovea.Size([3, 8, 8])
    """
    return F.pad(inpt, padding, 0 if fill is None else fill, padding_mode)


def _pad_points(
    points: Array, size: Size, padding: Any, fill: Any = None, padding_mode: str = "constant"
) -> tuple[Array, Size]:
    if padding_mode != "constant":
        raise ArgumentError(
            f"pad: padding_mode {padding_mode!r} repeats what the boxes or points are of.",
            fix="padding_mode='constant'",
        )
    left, top, right, bottom = sides_of(padding)
    return points + np.array([left, top]), (size[0] + top + bottom, size[1] + left + right)


def _pad_mask(mask: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    if isinstance(fill, Sequence):
        raise ArgumentError("pad: the fill of masks is one number.")
    return pad.image(mask, padding, fill, padding_mode)


moves(pad, _pad_points, _pad_mask)


@by_kind
def five_crop(inpt: Any, size: int | Sequence[int]) -> tuple[Any, ...]:
    """The four corners of an image (upper left, upper right, lower left, lower right) and its
    middle.

    Raises:
        ArgumentError: an image smaller than ``size``.

    >>> import fovea
    >>> [part.shape[1:] for part in five_crop(fovea.zeros(3, 8, 8), 4)] == [(4, 4)] * 5
    True
    """
    tall, wide = (int(n) for n in number_pair(size, "five_crop: size"))
    _, height, width = F.get_dimensions(inpt)
    if tall > height or wide > width:
        raise ArgumentError(
            f"five_crop: the crop of {(tall, wide)} is larger than the image of {(height, width)}."
        )
    corners = [(t, left) for t in (0, height - tall) for left in (0, width - wide)]
    crops = [F.crop(inpt, top, left, tall, wide) for top, left in corners]
    return (*crops, F.center_crop(inpt, (tall, wide)))


@by_kind
def ten_crop(inpt: Any, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of an image and of its mirror image.

    >>> import fovea
    >>> len(ten_crop(fovea.zeros(3, 8, 8), 4))
    10
    """
    turned = F.vflip(inpt) if vertical_flip else F.hflip(inpt)
    return (*five_crop.image(inpt, size), *five_crop.image(turned, size))
