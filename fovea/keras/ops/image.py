"""``keras.ops.image``: images resized, moved, cut into patches, filtered, in other colors."""

from __future__ import annotations

import math
from typing import Any

import fovea
import fovea.nn.functional as F
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.layers.augmentation import color, sizing
from fovea.keras.ops.elementwise import tensor
from fovea.keras.ops.image_batches import Batch
from fovea.keras.ops.image_filters import gaussian_blur, sobel_edges, ssim
from fovea.keras.ops.image_warps import (
    affine_transform,
    elastic_transform,
    map_coordinates,
    perspective_transform,
    scale_and_translate,
)
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches",
    "extract_patches_3d", "gaussian_blur", "hsv_to_rgb", "map_coordinates", "pad_images",
    "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate",
    "sobel_edges", "ssim",
]  # fmt: skip


@symbolic
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images of another size (height, width); see ``keras.layers.Resizing``."""
    if interpolation not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentError(
            f"resize: interpolation is 'bilinear', 'nearest' or 'bicubic', got {interpolation!r}."
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("resize: crop to the aspect ratio, or pad to it; not both.")
    batch = Batch(images, data_format)
    height, width = size
    y = sizing.resized(
        batch.images, height, width, interpolation, crop=crop_to_aspect_ratio,
        pad=pad_to_aspect_ratio, fill_value=fill_value, antialias=antialias,
    )  # fmt: skip
    return batch.back(y)


@symbolic
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """Luminance, in one channel; of integers, without the fraction."""
    batch = Batch(images, data_format)
    return batch.back(color.gray(batch.images), rounded=False)


@symbolic
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value."""
    batch = Batch(images, data_format)
    return batch.back(fovea.stack(list(color.to_hsv(batch.images)), -1))


@symbolic
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue."""
    batch = Batch(images, data_format)
    return batch.back(color.from_hsv(*batch.images.unbind(-1)))


@symbolic
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with zeros around: two of top, bottom and target height are given, and of left, right
    and target width.
    """
    batch = Batch(images, data_format)
    h, w = batch.images.shape[1:3]
    top, bottom = _sides("pad_images", h, top_padding, bottom_padding, target_height, 1)
    left, right = _sides("pad_images", w, left_padding, right_padding, target_width, 1)
    return batch.back(F.pad(batch.images, (0, 0, left, right, top, bottom)))


@symbolic
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images cut at the sides: two of top, bottom and target height are given, and of left, right
    and target width.
    """
    batch = Batch(images, data_format)
    h, w = batch.images.shape[1:3]
    top, bottom = _sides("crop_images", h, top_cropping, bottom_cropping, target_height, -1)
    left, right = _sides("crop_images", w, left_cropping, right_cropping, target_width, -1)
    return batch.back(batch.images[:, top : h - bottom, left : w - right])


def _sides(
    name: str, size: int, before: int | None, after: int | None, target: int | None, sign: int
) -> tuple[int, int]:
    given = [before, after, target]
    if given.count(None) != 1:
        raise ArgumentError(f"{name}: exactly two of both sides and the target size are given.")
    if before is None:
        assert after is not None and target is not None
        before = sign * (target - size) - after
    elif after is None:
        assert target is not None
        after = sign * (target - size) - before
    assert after is not None
    if before < 0 or after < 0 or (sign < 0 and before + after >= size):
        raise ArgumentError(f"{name}: {before} and {after} do not go with a size of {size}.")
    return before, after


@symbolic
def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Windows as channels: (N, H, W, C) to (N, rows, columns, height * width * C).

    Args:
        size: of a window.
        strides: from window to window; its size unless given.
        dilation_rate: between the pixels of a window.
        padding: ``"valid"`` or ``"same"``.
    """
    return _patches(images, size, strides, dilation_rate, padding, data_format, 2)


@symbolic
def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """``extract_patches`` of volumes (N, D, H, W, C)."""
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


def _patches(
    images: Any, size: Any, strides: Any, dilation: Any, padding: str, data_format: Any, rank: int
) -> Any:
    x = tensor(images)
    if padding not in ("valid", "same"):
        raise ArgumentError(f"padding is 'valid' or 'same', got {padding!r}.")
    single, first = x.ndim == rank + 1, config.standardize_data_format(data_format)
    x = x.unsqueeze(0) if single else x
    x = fovea.movedim(x, 1, -1) if first == "channels_first" else x
    sizes, rates = (_each(v, rank) for v in (size, dilation))
    steps = sizes if strides is None else _each(strides, rank)
    for axis, (k, s, d) in enumerate(zip(sizes, steps, rates, strict=True), 1):
        reach = d * (k - 1) + 1
        n = x.shape[axis]
        if padding == "same":
            total = max((math.ceil(n / s) - 1) * s + reach - n, 0)
            sides = [0, 0] * (x.ndim - 1 - axis) + [total // 2, total - total // 2]
            x = F.pad(x, sides)
        # The window's axis goes to the end, behind those before it.
        x = x.unfold(axis, reach, s)[..., ::d]
    # (N, places..., C, window...): the channels behind the window's pixels.
    x = fovea.movedim(x, rank + 1, -1)
    x = x.reshape(*x.shape[: rank + 1], -1)
    x = fovea.movedim(x, -1, 1) if first == "channels_first" else x
    return x.squeeze(0) if single else x


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
