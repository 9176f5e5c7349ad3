"""Resizing: each output pixel is a weighted sum of a few input pixels, along one axis and then the
other.

Pixel i covers [i, i + 1), so its centre is i + 0.5 ("half-pixel centres"). With antialiasing the
filter is stretched when an image shrinks, so that every input pixel counts.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from fovea.vision.transforms.kernels.values import Array, as_float, restore

__all__ = ["resize"]


def resize(x: Array, size: tuple[int, int], mode: str, antialias: bool) -> Array:
    """Resize the last two axes to ``size``.

    Args:
        x: (..., height, width).
        size: new height and width.
        mode: ``nearest``, ``nearest-exact``, ``bilinear`` or ``bicubic``.
        antialias: for bilinear and bicubic, whether shrinking averages over all input pixels.
    """
    if mode in ("nearest", "nearest-exact"):
        rows = _nearest(x.shape[-2], size[0], mode)
        columns = _nearest(x.shape[-1], size[1], mode)
        return x[..., rows[:, None], columns[None, :]]
    y = as_float(x)
    for axis, length in ((x.ndim - 2, size[0]), (x.ndim - 1, size[1])):
        if y.shape[axis] != length:
            y = _weighted(y, *_taps(y.shape[axis], length, mode, antialias), axis)
    return _in_order_of(x, restore(y, x.dtype))


def _memory_order(x: Array) -> list[int]:
    """Axes from the widest stride to the narrowest."""
    return sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))


def _in_order_of(model: Array, y: Array) -> Array:
    """``y`` with its axes in memory as those of ``model`` are (copied only if they are not)."""
    order = _memory_order(model)
    return np.ascontiguousarray(y.transpose(order)).transpose(np.argsort(order))


def _nearest(n: int, out: int, mode: str) -> Array:
    # The ratio is a float32, as PyTorch has it: which pixel is nearest can hang on its last bit.
    scale = np.float32(n) / np.float32(out)
    shift = np.float32(0.5 if mode == "nearest-exact" else 0.0)
    places = np.floor((np.arange(out, dtype=np.float32) + shift) * scale).astype(np.int64)
    return np.minimum(places, n - 1)


def _weighted(x: Array, index: Array, weight: Array, axis: int) -> Array:
    """Sum over taps k of ``weight[k, i] * x[index[k, i]]`` along an axis."""
    # With the axis in front, a tap takes whole rows of memory.
    order = [axis, *(i for i in _memory_order(x) if i != axis)]
    lines = np.ascontiguousarray(x.transpose(order))
    shape = (-1,) + (1,) * (x.ndim - 1)
    total = np.zeros((index.shape[1], *lines.shape[1:]), x.dtype)
    for places, factors in zip(index, weight.astype(x.dtype), strict=True):
        part = lines[places]
        part *= factors.reshape(shape)
        total += part
    return total.transpose(np.argsort(order))


@functools.lru_cache(maxsize=256)
def _taps(n: int, out: int, mode: str, antialias: bool) -> tuple[Array, Array]:
    """Which input pixels make each output pixel, and their weights: two arrays (taps, out)."""
    scale = n / out
    centers = (np.arange(out) + 0.5) * scale
    if antialias:
        stretch = max(scale, 1.0)
        support = (1.0 if mode == "bilinear" else 2.0) * stretch
        first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
        last = np.minimum((centers + support + 0.5).astype(np.int64), n)
        index = first + np.arange(math.ceil(support) * 2 + 1)[:, None]
        curve = _triangle if mode == "bilinear" else functools.partial(_cubic, a=-0.5)
        weight = np.where(index < last, curve((index - centers + 0.5) / stretch), 0.0)
        used = weight.any(axis=1)
        index, weight = index[used], weight[used] / weight.sum(axis=0)
    elif mode == "bilinear":
        places = np.maximum(centers - 0.5, 0.0)
        first = places.astype(np.int64)
        index = np.stack([first, first + 1])
        weight = np.stack([1 - (places - first), places - first])
    else:
        places = centers - 0.5
        index = np.floor(places).astype(np.int64) + np.arange(-1, 3)[:, None]
        weight = _cubic(places - index, a=-0.75)
    return np.clip(index, 0, n - 1), weight


def _triangle(t: Array) -> Array:
    return np.maximum(1.0 - np.abs(t), 0.0)


def _cubic(t: Array, a: float) -> Array:
    """Keys's cubic convolution: R. Keys, "Cubic Convolution Interpolation for Digital Image
    Processing", 1981.
    """
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))
