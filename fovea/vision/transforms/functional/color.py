"""Brightness, contrast, saturation, hue, gray, erasing and blurring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms.functional import traced
from fovea.vision.transforms.functional.images import (
    as_channels,
    check_image,
    from_array,
    is_tensor,
    number_pair,
    pil_kernels,
    to_array,
)
from fovea.vision.transforms.kernels import color, spatial

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.tensor import Tensor

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "erase",
    "gaussian_blur",
    "rgb_to_grayscale",
    "to_grayscale",
]


def _check_factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ArgumentError(f"{name}: the factor must not be negative, got {factor}.")


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Scale brightness: 0 gives black, 1 the image, 2 twice its brightness.

    Raises:
        ArgumentError: a negative factor.
        ShapeError: a tensor without 1 or 3 channels.

    >>> import fovea
    >>> adjust_brightness(fovea.full((1, 1, 1), 0.25), 2.0).item()
    0.5
    """
    check_image("adjust_brightness", img)
    _check_factor("adjust_brightness", brightness_factor)
    if not is_tensor(img):
        return pil_kernels().adjust_brightness(img, brightness_factor)
    array = as_channels(img, "adjust_brightness", (1, 3))
    return from_array(color.adjust_brightness(array, brightness_factor))


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Scale contrast: 0 gives the mean gray, 1 the image.

    Raises:
        ArgumentError: a negative factor.
        ShapeError: a tensor without 1 or 3 channels.

    >>> import fovea
    >>> adjust_contrast(fovea.tensor([[[0.0, 1.0]]]), 0.5).tolist()
    [[[0.25, 0.75]]]
    """
    check_image("adjust_contrast", img)
    _check_factor("adjust_contrast", contrast_factor)
    if not is_tensor(img):
        return pil_kernels().adjust_contrast(img, contrast_factor)
    array = as_channels(img, "adjust_contrast", (1, 3))
    return from_array(color.adjust_contrast(array, contrast_factor))


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Scale saturation: 0 gives gray, 1 the image. Gray images stay.

    Raises:
        ArgumentError: a negative factor.
        ShapeError: a tensor without 1 or 3 channels.

    >>> import fovea
    >>> adjust_saturation(fovea.ones(3, 1, 1), 2.0).shape
    fovea.Size([3, 1, 1])
    """
    check_image("adjust_saturation", img)
    _check_factor("adjust_saturation", saturation_factor)
    if not is_tensor(img):
        return pil_kernels().adjust_saturation(img, saturation_factor)
    array = as_channels(img, "adjust_saturation", (1, 3))
    return from_array(color.adjust_saturation(array, saturation_factor))


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Turn the color circle by ``hue_factor`` of a whole turn, -0.5 to 0.5. Gray images stay.

    Raises:
        ArgumentError: a factor out of range.
        ShapeError: a tensor without 1 or 3 channels.

    >>> import fovea
    >>> red = fovea.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    >>> adjust_hue(red, 0.5).flatten().tolist()
    [0.0, 1.0, 1.0]
    """
    check_image("adjust_hue", img)
    if not -0.5 <= hue_factor <= 0.5:
        raise ArgumentError(f"adjust_hue: hue_factor must lie in [-0.5, 0.5], got {hue_factor}.")
    if not is_tensor(img):
        return pil_kernels().adjust_hue(img, hue_factor)
    return from_array(color.adjust_hue(as_channels(img, "adjust_hue", (1, 3)), hue_factor))


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """An image in gray.

    Args:
        img: a PIL image or a tensor (..., 1 or 3, height, width).
        num_output_channels: 1, or 3 equal ones.

    Raises:
        ArgumentError: another number of channels.

    >>> import fovea
    >>> rgb_to_grayscale(fovea.zeros(3, 2, 2)).shape
    fovea.Size([1, 2, 2])
    """
    check_image("rgb_to_grayscale", img)
    if num_output_channels not in (1, 3):
        raise ArgumentError(
            f"rgb_to_grayscale: num_output_channels must be 1 or 3, got {num_output_channels}."
        )
    if not is_tensor(img):
        return pil_kernels().to_gray(img, num_output_channels)
    if traced.wanted(img) and img.ndim > 2 and img.shape[-3] in (1, 3):
        one = traced.to_gray(img) if img.shape[-3] == 3 else img
        return one if num_output_channels == 1 else cat([one] * 3, -3)
    array = as_channels(img, "rgb_to_grayscale", (1, 3))
    gray = color.to_gray(array) if array.shape[-3] == 3 else array
    if num_output_channels == 3:
        gray = np.repeat(gray, 3, axis=-3)
    return from_array(gray)


def to_grayscale(img: Image, num_output_channels: int = 1) -> Image:
    """``rgb_to_grayscale`` for PIL images of any mode.

    Raises:
        TypeError: ``img`` is no PIL image.
    """
    if not is_pil_image(img):
        raise TypeError(f"to_grayscale: img should be a PIL image, got {type(img).__name__}.")
    return rgb_to_grayscale(img, num_output_channels)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """Overwrite a box of a tensor.

    Args:
        img: (..., channels, height, width).
        i, j: row and column of the box's upper left corner.
        h, w: the box's height and width.
        v: what to write: a tensor or number that broadcasts to the box.
        inplace: write into ``img``.

    Raises:
        TypeError: ``img`` is no tensor.

    >>> import fovea
    >>> erase(fovea.ones(1, 4, 4), 0, 0, 2, 2, fovea.tensor(0.0)).sum().item()
    12.0
    """
    if not is_tensor(img):
        raise TypeError(f"erase: img should be a tensor, got {type(img).__name__}.")
    if inplace:
        img[..., i : i + h, j : j + w] = v
        return img
    array = to_array(img).copy(order="K")
    array[..., i : i + h, j : j + w] = to_array(v) if is_tensor(v) else v
    return from_array(array)


def gaussian_blur(
    img: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None
) -> Any:
    """Blur with a Gaussian, the image reflected at its edges.

    Args:
        img: a PIL image or a tensor (..., height, width).
        kernel_size: odd, one size or (x, y).
        sigma: standard deviation, one or (x, y); default 0.15 times the size plus 0.35.

    Raises:
        ArgumentError: an even size, one that the image is too small for, or a sigma that is not
            positive.

    >>> import fovea
    >>> gaussian_blur(fovea.ones(1, 5, 5), 3).shape
    fovea.Size([1, 5, 5])
    """
    check_image("gaussian_blur", img)
    sizes = number_pair(kernel_size, "gaussian_blur: kernel_size")
    if any(size % 2 == 0 or size < 1 for size in sizes):
        raise ArgumentError(
            f"gaussian_blur: kernel_size must be odd and positive, got {kernel_size}."
        )
    default = [size * 0.15 + 0.35 for size in sizes]
    widths = default if sigma is None else number_pair(sigma, "gaussian_blur: sigma")
    if any(width <= 0 for width in widths):
        raise ArgumentError(f"gaussian_blur: sigma must be positive, got {sigma}.")
    if is_tensor(img):
        return from_array(spatial.gaussian_blur(to_array(img), sizes, widths))
    return pil_kernels().gaussian_blur(img, sizes, widths)
