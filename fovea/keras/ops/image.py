"""``keras.ops.image``: images resized, moved, cut into patches, filtered, in other colors."""

from __future__ import annotations

import math
from typing import Any

import fovea
import fovea.nn.functional as F
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.layers.augmentation import color, sizing, warping
from fovea.keras.ops.elementwise import floating, tensor
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "affine_transform", "crop_images", "extract_patches", "extract_patches_3d", "gaussian_blur",
    "hsv_to_rgb", "map_coordinates", "pad_images", "perspective_transform", "resize",
    "rgb_to_grayscale", "rgb_to_hsv", "sobel_edges",
]  # fmt: skip


class _Batch:
    """Images as (N, H, W, C) floats, and the way back."""

    def __init__(self, images: Any, data_format: str | None) -> None:
        x = tensor(images)
        if x.ndim not in (3, 4):
            raise ShapeError(f"images have 3 or 4 dimensions, got {tuple(x.shape)}.")
        self.single, self.dtype = x.ndim == 3, x.dtype
        self.first = config.standardize_data_format(data_format) == "channels_first"
        x = x.unsqueeze(0) if self.single else x
        x = fovea.permute(x, (0, 2, 3, 1)) if self.first else x
        self.images = floating(x)

    def back(self, images: Any, keep: bool = True) -> Any:
        """The layout and (with ``keep``) the dtype that came in; integers are rounded."""
        y = images
        if keep and y.dtype is not self.dtype:
            y = (y if self.dtype.is_floating_point else y.round()).to(self.dtype)
        y = fovea.permute(y, (0, 3, 1, 2)) if self.first else y
        return y.squeeze(0) if self.single else y


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
    batch = _Batch(images, data_format)
    height, width = size
    y = sizing.resized(
        batch.images, height, width, interpolation, crop=crop_to_aspect_ratio,
        pad=pad_to_aspect_ratio, fill_value=fill_value, antialias=antialias,
    )  # fmt: skip
    return batch.back(y)


@symbolic
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """Luminance, in one channel."""
    batch = _Batch(images, data_format)
    return batch.back(color.gray(batch.images))


@symbolic
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation and value."""
    batch = _Batch(images, data_format)
    return batch.back(fovea.stack(list(color.to_hsv(batch.images)), -1))


@symbolic
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue."""
    batch = _Batch(images, data_format)
    return batch.back(color.from_hsv(*batch.images.unbind(-1)))


@symbolic
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images read where maps say: the result's pixel (x, y) is that at
    (a0 x + a1 y + a2, b0 x + b1 y + b2).

    Args:
        transform: (8,) or (N, 8): a0, a1, a2, b0, b1, b2 and two zeros.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
    """
    warping.check_warp("affine_transform", fill_mode, interpolation)
    batch = _Batch(images, data_format)
    maps = floating(transform)
    maps = (maps.unsqueeze(0) if maps.ndim == 1 else maps)[:, :6]
    maps = maps.expand(batch.images.shape[0], 6)
    y = warping.warp(batch.images, maps, interpolation, fill_mode, float(fill_value))
    return batch.back(y)


@symbolic
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images seen from elsewhere: ``start_points`` (4, 2) or (N, 4, 2), as (x, y), come to lie at
    ``end_points``.
    """
    warping.check_warp("perspective_transform", "constant", interpolation)
    batch = _Batch(images, data_format)
    starts, ends = (floating(p) for p in (start_points, end_points))
    starts, ends = (p.unsqueeze(0) if p.ndim == 2 else p for p in (starts, ends))
    maps = warping.homographies(starts, ends).expand(batch.images.shape[0], 8)
    return batch.back(warping.project(batch.images, maps, interpolation, fill_value))


@symbolic
def map_coordinates(
    inputs: Any,
    coordinates: Any,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Any:
    """Values between elements.

    Args:
        coordinates: for each axis of ``inputs`` a tensor of places.
        order: 0 reads the nearest element, 1 between neighbors.
        fill_mode: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
    """
    if order not in (0, 1):
        raise ArgumentError(f"map_coordinates: order is 0 or 1, got {order}.")
    warping.check_warp("map_coordinates", fill_mode, "bilinear")
    x = tensor(inputs)
    given = tensor(coordinates) if not isinstance(coordinates, list | tuple) else coordinates
    places = [tensor(c) for c in given]
    if len(places) != x.ndim:
        raise ShapeError(f"map_coordinates: {x.ndim} axes, but {len(places)} coordinates.")
    y = warping.between(x, places, order, fill_mode, fill_value)
    return (y.round() if not x.dtype.is_floating_point else y).to(x.dtype)


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
    batch = _Batch(images, data_format)
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
    batch = _Batch(images, data_format)
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
    x = floating(images)
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


def _filtered(images: Any, kernels: Any) -> Any:
    """Each channel of (N, H, W, C) convolved with each of (K, KH, KW): (N, H, W, C, K)."""
    n, h, w, c = images.shape
    k, kh, kw = kernels.shape
    x = fovea.permute(images, (0, 3, 1, 2)).reshape(n * c, 1, h, w)
    y = F.conv2d(x, kernels.unsqueeze(1).to(x.dtype), padding=(kh // 2, kw // 2))
    return fovea.permute(y.reshape(n, c, k, h, w), (0, 3, 4, 1, 2))


@symbolic
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    """Images blurred by a bell; zeros lie outside."""
    batch = _Batch(images, data_format)
    sigmas = tensor(sigma) if not isinstance(sigma, list | tuple) else fovea.tensor(list(sigma))
    bells = []
    for size, width in zip(kernel_size, sigmas.unbind(0), strict=True):
        place = fovea.arange(int(size), dtype=fovea.float32) - (int(size) - 1) / 2
        bell = fovea.exp(-0.5 * (place / width) ** 2)
        bells.append(bell / bell.sum())
    kernel = fovea.outer(bells[1], bells[0]) if len(bells) == 2 else bells[0]
    kernel = kernel.reshape(1, int(kernel_size[0]), int(kernel_size[1]))
    return batch.back(_filtered(batch.images, kernel).squeeze(-1))


@symbolic
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """How values change downwards and to the right, in a last axis of two; zeros lie outside."""
    x = floating(images)
    first = config.standardize_data_format(data_format) == "channels_first"
    x = fovea.permute(x, (0, 2, 3, 1)) if first else x
    across = fovea.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = fovea.stack([across.t(), across])
    y = _filtered(x, kernels)
    return fovea.permute(y, (0, 3, 1, 2, 4)) if first else y
