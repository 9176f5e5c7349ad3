"""Sizes, crops, flips, padding, rotation and affine maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.tensor import Tensor
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms.functional import traced
from fovea.vision.transforms.functional.images import (
    check_image,
    from_array,
    get_dimensions,
    is_tensor,
    number_pair,
    pil_kernels,
    to_array,
)
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.kernels import resample, spatial, warp

__all__ = [
    "affine",
    "center_crop",
    "crop",
    "hflip",
    "pad",
    "resize",
    "resized_crop",
    "rotate",
    "vflip",
]

Fill = float | Sequence[float] | None
_PAD_MODES = ("constant", "edge", "reflect", "symmetric")
_TENSOR_RESIZE = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC")
TENSOR_WARP = ("NEAREST", "BILINEAR")


def mode_for(image: Any, interpolation: Any, known: tuple[str, ...]) -> InterpolationMode:
    mode = as_mode(interpolation)
    if is_tensor(image) and mode.name not in known:
        raise ArgumentError(
            f"interpolation {mode.name} works on PIL images only; tensors know {', '.join(known)}."
        )
    return mode


def resized_size(height: int, width: int, size: Any, max_size: int | None) -> tuple[int, int]:
    """The size asked for: (height, width), or the shorter edge and as long as the picture's shape
    makes it.
    """
    values = [int(n) for n in size] if isinstance(size, Sequence | np.ndarray) else [int(size)]
    if len(values) not in (1, 2) or min(values) < 1:
        raise ArgumentError(f"resize: size must be 1 or 2 positive integers, got {size!r}.")
    if len(values) == 2:
        if max_size is not None:
            raise ArgumentError(
                "resize: max_size goes with a single size, that of the shorter edge."
            )
        return values[0], values[1]
    short, long = min(height, width), max(height, width)
    new_short, new_long = values[0], int(values[0] * long / short)
    if max_size is not None:
        if max_size <= values[0]:
            raise ArgumentError(f"resize: max_size {max_size} must exceed size {values[0]}.")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Resize an image.

    Args:
        img: a PIL image or a tensor (..., height, width).
        size: (height, width), or the new length of the shorter edge.
        interpolation: how values between pixels are found.
        max_size: with a single ``size``, what the longer edge may be at most.
        antialias: for tensors with bilinear or bicubic interpolation, whether shrinking averages
            over all pixels. PIL images always are.

    Raises:
        ArgumentError: sizes out of range, or an interpolation that tensors don't know.

    >>> import fovea
    >>> resize(fovea.zeros(3, 4, 6), 2).shape
    fovea.Size([3, 2, 3])
    """
    check_image("resize", img)
    mode = mode_for(img, interpolation, _TENSOR_RESIZE)
    _, height, width = get_dimensions(img)
    wanted = resized_size(height, width, size, max_size)
    if wanted == (height, width):
        return img
    if is_tensor(img):
        if traced.wanted(img):
            return traced.resize(img, wanted, mode.value, bool(antialias))
        return from_array(resample.resize(to_array(img), wanted, mode.value, bool(antialias)))
    return pil_kernels().resize(img, wanted, mode)


def sides_of(padding: int | Sequence[int]) -> list[int]:
    """Padding as left, top, right, bottom."""
    values = [int(n) for n in padding] if isinstance(padding, Sequence) else [int(padding)]
    if len(values) not in (1, 2, 4):
        raise ArgumentError(f"pad: padding must be a number or 1, 2 or 4 numbers, got {padding!r}.")
    return values * (4 // len(values))


def pad(
    img: Any, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"
) -> Any:
    """Widen an image at its edges (negative amounts cut off).

    Args:
        img: a PIL image or a tensor (..., height, width).
        padding: one amount, (left and right, top and bottom), or (left, top, right, bottom).
        fill: with ``constant``, one value or one a channel.
        padding_mode: ``constant``, ``edge``, ``reflect`` (without the edge pixel) or ``symmetric``
            (with it).

    Raises:
        ArgumentError: another mode or number of amounts.

    >>> import fovea
    >>> pad(fovea.zeros(3, 4, 6), (1, 2)).shape
    fovea.Size([3, 8, 8])
    """
    check_image("pad", img)
    if padding_mode not in _PAD_MODES:
        raise ArgumentError(
            f"pad: padding_mode must be one of {', '.join(_PAD_MODES)}, got {padding_mode!r}."
        )
    sides = sides_of(padding)
    if is_tensor(img):
        if traced.wanted(img):
            return traced.pad(img, sides, padding_mode, 0 if fill is None else fill)
        return from_array(
            spatial.pad(to_array(img), sides, padding_mode, 0 if fill is None else fill)
        )
    return pil_kernels().pad(img, sides, padding_mode, fill)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """Cut out a box; what lies outside the image is 0.

    >>> import fovea
    >>> crop(fovea.ones(1, 4, 4), -1, 2, 3, 4).sum().item()
    4.0
    """
    check_image("crop", img)
    if not is_tensor(img):
        return pil_kernels().crop(img, top, left, height, width)
    if traced.wanted(img):
        return traced.crop(img, top, left, height, width)
    array = to_array(img)
    sides = [-left, -top, left + width - array.shape[-1], top + height - array.shape[-2]]
    if max(sides) > 0:
        return from_array(spatial.pad(array, sides, "constant"))
    return from_array(array[..., top : top + height, left : left + width])


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """Cut out the middle; an image that is too small is first widened with 0.

    Args:
        img: a PIL image or a tensor (..., height, width).
        output_size: (height, width), or one number for both.

    >>> import fovea
    >>> center_crop(fovea.zeros(3, 4, 6), 2).shape
    fovea.Size([3, 2, 2])
    """
    height, width = (int(n) for n in number_pair(output_size, "center_crop: output_size"))
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        x, y = max(width - w, 0), max(height - h, 0)
        img = pad(img, [x // 2, y // 2, (x + 1) // 2, (y + 1) // 2])
        _, h, w = get_dimensions(img)
    return crop(img, *_middle(h, w, height, width), height, width)


def resized_center(
    img: Any,
    size: int | Sequence[int],
    output_size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """``resize`` and then ``center_crop``; of a PIL image, what is cut off is not made at all."""
    mode = as_mode(interpolation)
    if is_pil_image(img) and mode is InterpolationMode.BILINEAR:
        new = resized_size(img.height, img.width, size, max_size)
        height, width = (int(n) for n in number_pair(output_size, "center_crop: output_size"))
        if new != (img.height, img.width) and 0 < height <= new[0] and 0 < width <= new[1]:
            window = (*_middle(*new, height, width), height, width)
            return pil_kernels().resize(img, new, mode, window)
    return center_crop(resize(img, size, mode, max_size, antialias), output_size)


def _middle(h: int, w: int, height: int, width: int) -> tuple[int, int]:
    """Top and left of the box in the middle of (h, w)."""
    return round((h - height) / 2.0), round((w - width) / 2.0)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """``crop`` and then ``resize``.

    >>> import fovea
    >>> resized_crop(fovea.zeros(3, 8, 8), 0, 0, 4, 4, (2, 2)).shape
    fovea.Size([3, 2, 2])
    """
    box = (int(top), int(left), int(height), int(width))
    if is_pil_image(img) and min(box[2:]) > 0:
        wanted = resized_size(box[2], box[3], size, None)
        return pil_kernels().resized_crop(img, box, wanted, as_mode(interpolation))
    return resize(crop(img, *box), size, interpolation, antialias=antialias)


def _flip(img: Tensor, dim: int) -> Tensor:
    if traced.wanted(img):
        return traced.flip(img, dim)
    return from_array(np.flip(to_array(img), dim))


def hflip(img: Any) -> Any:
    """Left to right.

    >>> import fovea
    >>> hflip(fovea.tensor([[[1, 2, 3]]])).tolist()
    [[[3, 2, 1]]]
    """
    check_image("hflip", img)
    return _flip(img, -1) if is_tensor(img) else pil_kernels().hflip(img)


def vflip(img: Any) -> Any:
    """Top to bottom.

    >>> import fovea
    >>> vflip(fovea.tensor([[[1], [2]]])).tolist()
    [[[2], [1]]]
    """
    check_image("vflip", img)
    return _flip(img, -2) if is_tensor(img) else pil_kernels().vflip(img)


def _from_center(center: Sequence[float] | None, width: int, height: int) -> tuple[float, float]:
    """A point given from the upper left corner, counted from the middle."""
    return (center[0] - width * 0.5, center[1] - height * 0.5) if center is not None else (0.0, 0.0)


def fill_values(img: Any, fill: Fill) -> list[float] | None:
    if fill is None:
        return None
    values = [float(v) for v in fill] if isinstance(fill, Sequence) else [float(fill)]
    if len(values) not in (1, get_dimensions(img)[0]):
        raise ArgumentError(
            f"fill has {len(values)} values, the image {get_dimensions(img)[0]} channels."
        )
    return values


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> Any:
    """Turn an image counter-clockwise.

    Args:
        img: a PIL image or a tensor (..., channels, height, width).
        angle: degrees.
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        expand: make the result large enough for the whole turned image.
        center: the point (x, y) to turn about (default: the middle).
        fill: value outside the image, one or one a channel.

    >>> import fovea
    >>> rotate(fovea.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 90).tolist()
    [[[2.0, 4.0], [1.0, 3.0]]]
    """
    check_image("rotate", img)
    mode = mode_for(img, interpolation, TENSOR_WARP)
    if not is_tensor(img):
        return pil_kernels().rotate(img, angle, mode, expand, center, fill)
    _, height, width = get_dimensions(img)
    fits = expand or height == width or angle % 180 == 0
    if center is None and angle % 90 == 0 and fits:
        # Exact, as for PIL images; the general way would add an edge of fill to the larger box.
        return from_array(np.rot90(to_array(img), int(angle // 90), (-2, -1)))
    matrix = warp.inverse_affine_matrix(
        _from_center(center, width, height), -angle, (0, 0), 1.0, (0.0, 0.0)
    )
    size = warp.rotated_size(matrix, width, height) if expand else None
    return from_array(warp.affine(to_array(img), matrix, mode.value, fill_values(img, fill), size))


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Turn, scale and shear an image about its middle, then move it.

    Args:
        img: a PIL image or a tensor (..., channels, height, width).
        angle: degrees, clockwise.
        translate: pixels to the right and down.
        scale: factor, above 0.
        shear: degrees, along x or along (x, y).
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        fill: value outside the image, one or one a channel.
        center: the point (x, y) that stays (default: the middle).

    Raises:
        ArgumentError: ``translate`` or ``shear`` of another length, or ``scale`` not positive.

    >>> import fovea
    >>> affine(fovea.tensor([[[1.0, 2.0, 3.0]]]), 0, (1, 0), 1.0, 0.0).tolist()
    [[[0.0, 1.0, 2.0]]]
    """
    check_image("affine", img)
    mode = mode_for(img, interpolation, TENSOR_WARP)
    shears = [float(s) for s in shear] if isinstance(shear, Sequence) else [float(shear), 0.0]
    shears = shears * 2 if len(shears) == 1 else shears
    if len(translate) != 2 or len(shears) != 2:
        raise ArgumentError("affine: translate has two values, shear one or two.")
    if scale <= 0:
        raise ArgumentError(f"affine: scale must be positive, got {scale}.")
    _, height, width = get_dimensions(img)
    if not is_tensor(img):
        middle = center if center is not None else (width * 0.5, height * 0.5)
        matrix = warp.inverse_affine_matrix(middle, angle, translate, scale, shears)
        return pil_kernels().affine(img, matrix, mode, fill)
    matrix = warp.inverse_affine_matrix(
        _from_center(center, width, height), angle, translate, scale, shears
    )
    return from_array(warp.affine(to_array(img), matrix, mode.value, fill_values(img, fill)))
