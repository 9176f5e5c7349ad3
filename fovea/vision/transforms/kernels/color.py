"""Brightness, contrast, saturation, hue and gray."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.vision.transforms.kernels.values import Array, as_float, is_float, max_value

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "convert_dtype",
    "to_gray",
]


def to_gray(x: Array) -> Array:
    """Luma of an RGB image (..., 3, height, width): one channel, in the image's type (integers cut
    off).
    """
    r, g, b = (as_float(x[..., i, :, :]) for i in range(3))
    # ITU-R BT.601, to four digits as is usual here
    return (0.2989 * r + 0.587 * g + 0.114 * b).astype(x.dtype)[..., None, :, :]


def _blend(x: Array, other: Array | float, ratio: float) -> Array:
    """``ratio * x + (1 - ratio) * other``, cut off to the valid range (integers towards zero)."""
    y = as_float(x) * ratio + (1.0 - ratio) * np.asarray(other, as_float(x).dtype)
    return np.clip(y, 0, max_value(x.dtype)).astype(x.dtype)


def adjust_brightness(x: Array, factor: float) -> Array:
    """Towards black (0) or away from it (above 1)."""
    return _blend(x, 0.0, factor)


def adjust_contrast(x: Array, factor: float) -> Array:
    """Towards (0) or away from the image's mean gray."""
    gray = to_gray(x) if x.shape[-3] == 3 else x
    return _blend(x, as_float(gray).mean(axis=(-3, -2, -1), keepdims=True), factor)


def adjust_saturation(x: Array, factor: float) -> Array:
    """Towards (0) or away from gray."""
    return x if x.shape[-3] == 1 else _blend(x, as_float(to_gray(x)), factor)


def adjust_hue(x: Array, factor: float) -> Array:
    """Turn the color circle by ``factor`` of a whole turn."""
    if x.shape[-3] == 1:
        return x
    hue, saturation, value = _to_hsv(convert_dtype(x, np.dtype(np.float32)))
    return convert_dtype(_from_hsv((hue + factor) % 1.0, saturation, value), x.dtype)


def _to_hsv(x: Array) -> tuple[Array, Array, Array]:
    """Hue, saturation and value in [0, 1]; gray has hue 0."""
    r, g, b = x[..., 0, :, :], x[..., 1, :, :], x[..., 2, :, :]
    value, low = x.max(axis=-3), x.min(axis=-3)
    spread = value - low
    gray = spread == 0
    safe = np.where(gray, np.float32(1), spread)
    sector = np.where(
        value == r, (g - b) / safe, np.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe)
    )
    hue = np.where(gray, np.float32(0), (sector / 6) % 1.0)
    saturation = spread / np.where(gray, np.float32(1), value)
    return hue, saturation, value


def _from_hsv(hue: Array, saturation: Array, value: Array) -> Array:
    """Each channel falls from ``value`` by ``value * saturation`` times its distance from its
    sector of the circle.
    """
    channels = []
    for n in (5, 3, 1):
        k = (n + hue * 6) % 6
        distance = np.clip(np.minimum(k, 4 - k), 0, 1)
        channels.append(value - value * saturation * distance)
    return np.clip(np.stack(channels, axis=-3), 0, 1).astype(np.float32)


def convert_dtype(x: Array, dtype: np.dtype[Any]) -> Array:
    """Another element type with values scaled: floats span [0, 1], integers from 0 to their
    greatest.

    Raises:
        ValueError: a float to an integer type too wide for it to number exactly.
    """
    if x.dtype == dtype:
        return x
    old, new = max_value(x.dtype), max_value(dtype)
    if is_float(x.dtype):
        if is_float(dtype):
            return x.astype(dtype)
        if new > 2.0**24 and not (x.dtype == np.float64 and new <= 2.0**31):
            raise ValueError(f"the cast from {x.dtype} to {dtype} cannot be performed safely")
        # Just below the next integer, so that each value gets an equal share of [0, 1].
        return np.clip(as_float(x) * (new + 1.0 - 1e-3), np.iinfo(dtype).min, new).astype(dtype)
    if is_float(dtype):
        wide = np.float64 if dtype == np.float64 else np.float32
        return np.divide(x, wide(old), dtype=wide, casting="unsafe").astype(dtype, copy=False)
    if new < old:
        return (x // int((old + 1) // (new + 1))).astype(dtype)
    return x.astype(dtype) * dtype.type(int((new + 1) // (old + 1)))
