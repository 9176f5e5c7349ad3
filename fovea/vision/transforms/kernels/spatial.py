"""Padding and blurring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fovea.vision.transforms.kernels.values import Array, as_float, restore

__all__ = ["gaussian_blur", "pad"]


def pad(x: Array, sides: Sequence[int], mode: str, fill: float | Sequence[float] = 0) -> Array:
    """Widen the last two axes; negative amounts cut off.

    Args:
        x: (..., channels, height, width).
        sides: left, top, right, bottom.
        mode: ``constant``, ``edge``, ``reflect`` (the edge pixel once) or ``symmetric`` (twice).
        fill: with ``constant``, one value or one a channel.
    """
    left, top, right, bottom = sides
    height, width = x.shape[-2:]
    kept = x[..., _kept(height, top, bottom), _kept(width, left, right)]
    if mode != "constant":
        around = [(0, 0)] * (x.ndim - 2)
        around += [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
        return np.pad(kept, around, mode=mode)  # type: ignore[call-overload]
    shape = (*x.shape[:-2], max(height + top + bottom, 0), max(width + left + right, 0))
    out = np.empty(shape, x.dtype)
    out[...] = np.asarray(fill).astype(x.dtype).reshape(-1, 1, 1)
    if kept.size and out.size:
        row, column = max(top, 0), max(left, 0)
        out[..., row : row + kept.shape[-2], column : column + kept.shape[-1]] = kept
    return out


def _kept(length: int, before: int, after: int) -> slice:
    """The part of an axis that is not cut off."""
    start = min(max(-before, 0), length)
    return slice(start, max(length - max(-after, 0), start))


def gaussian_blur(x: Array, kernel_size: Sequence[int], sigma: Sequence[float]) -> Array:
    """Convolve with a Gaussian of odd ``kernel_size`` (x, y) and ``sigma`` (x, y), the image
    reflected at its edges.
    """
    y = as_float(x)
    for axis, size, deviation in ((-1, kernel_size[0], sigma[0]), (-2, kernel_size[1], sigma[1])):
        y = _convolve(y, _gaussian(size, deviation).astype(y.dtype), axis)
    return restore(y, x.dtype)


def _gaussian(size: int, sigma: float) -> Array:
    offsets = np.arange(size) - (size - 1) * 0.5
    curve = np.exp(-0.5 * (offsets / sigma) ** 2)
    return curve / curve.sum()


def _convolve(x: Array, weights: Array, axis: int) -> Array:
    half, length = len(weights) // 2, x.shape[axis]
    around = [(0, 0)] * x.ndim
    around[axis] = (half, half)
    wide = np.pad(x, around, mode="reflect")
    total = np.zeros_like(x)
    for i, weight in enumerate(weights):
        window = [slice(None)] * x.ndim
        window[axis] = slice(i, i + length)
        total += weight * wide[tuple(window)]
    return total
