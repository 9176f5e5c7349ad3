"""Changes of values by their level: inverted, coarser, spread, sharpened."""

from __future__ import annotations

import numpy as np

from fovea.vision.transforms.kernels.color import convert_dtype
from fovea.vision.transforms.kernels.values import Array, as_float, is_float, max_value, restore

__all__ = [
    "adjust_gamma",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "gaussian_noise",
    "invert",
    "posterize",
    "solarize",
]


def invert(x: Array) -> Array:
    """Bright is dark."""
    return (np.asarray(max_value(x.dtype), x.dtype) - x).astype(x.dtype, copy=False)


def posterize(x: Array, bits: int) -> Array:
    """As many levels as so many bits name: integers lose the bits below, floats are cut off to the
    level below.
    """
    if is_float(x.dtype):
        levels = 1 << bits
        level = np.clip(np.floor(as_float(x) * levels), 0, levels - 1)
        return (level / levels).astype(x.dtype)
    whole = int(max_value(x.dtype)).bit_length()
    return x if bits >= whole else x & x.dtype.type(((1 << bits) - 1) << (whole - bits))


def solarize(x: Array, threshold: float) -> Array:
    """What is as bright as a threshold is inverted."""
    return np.where(x >= threshold, invert(x), x)


def adjust_sharpness(x: Array, factor: float) -> Array:
    """Away from (above 1) or towards (below) the image smoothed by its neighbors; pixels at the
    edge stay.
    """
    height, width = x.shape[-2:]
    if height <= 2 or width <= 2:
        return x
    y = as_float(x)
    middle = y[..., 1:-1, 1:-1]
    around = sum(y[..., i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3))
    smooth = (around + 4 * middle) / 13
    if not is_float(x.dtype):
        smooth = np.rint(smooth)
    out = y.copy()
    out[..., 1:-1, 1:-1] = middle + (1 - factor) * (smooth - middle)
    return np.clip(out, 0, max_value(x.dtype)).astype(x.dtype)


def autocontrast(x: Array) -> Array:
    """Each channel's values spread from 0 to full brightness."""
    bound, y = max_value(x.dtype), as_float(x)
    low, high = (f(axis=(-2, -1), keepdims=True) for f in (y.min, y.max))
    flat = low == high
    low, span = np.where(flat, 0, low), np.where(flat, bound, high - low)
    return np.clip((y - low) * (bound / span), 0, bound).astype(x.dtype)


def equalize(x: Array) -> Array:
    """Each channel's levels spread so that all are about as frequent."""
    if x.dtype != np.uint8:
        return convert_dtype(equalize(convert_dtype(x, np.dtype(np.uint8))), x.dtype)
    planes = x.reshape(-1, *x.shape[-2:])
    made = [_equalized(plane) for plane in planes]
    return np.stack(made).reshape(x.shape) if made else x


def _equalized(plane: Array) -> Array:
    counts = np.bincount(plane.reshape(-1), minlength=256)
    used = counts[counts > 0]
    step = int(used[:-1].sum()) // 255
    if not step:
        return plane
    before = np.cumsum(counts) - counts  # how many are darker
    table = np.clip((before + step // 2) // step, 0, 255).astype(np.uint8)
    return table[plane]


def adjust_gamma(x: Array, gamma: float, gain: float) -> Array:
    """``gain * value ** gamma``, where values are from 0 to 1."""
    y = as_float(convert_dtype(x, np.dtype(np.float32)) if not is_float(x.dtype) else x)
    made = np.clip(gain * np.clip(y, 0, None) ** gamma, 0, 1)
    return made.astype(x.dtype) if is_float(x.dtype) else convert_dtype(made, x.dtype)


def gaussian_noise(x: Array, noise: Array, mean: float, sigma: float, clip: bool) -> Array:
    """Normal noise added, in parts of full brightness; integers are rounded and always cut off."""
    bound = max_value(x.dtype)
    y = as_float(x) + (mean + sigma * noise) * bound
    if clip or not is_float(x.dtype):
        y = np.clip(y, 0, bound)
    return restore(y, x.dtype)
