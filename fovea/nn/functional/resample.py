"""Resizing one dimension after the other, as products with small matrices of weights: filters that
keep thin structures when images shrink (``antialias``), and volumes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.functions.creation import from_array
from fovea.functions.indexing import index_select
from fovea.functions.shaping import movedim

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["filtered", "picked", "trilinear"]

Array = np.ndarray[Any, Any]


def _triangle(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _keys(x: Array) -> Array:
    """Keys's cubic filter with a = -0.5."""
    a, d = -0.5, np.abs(x)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0))


_FILTERS: dict[str, tuple[Any, float]] = {"bilinear": (_triangle, 1.0), "bicubic": (_keys, 2.0)}


def _step(size: int, out: int, align: bool, scale: float) -> float:
    """How far apart the results lie in the input; ``scale`` (0: from the sizes) was asked for."""
    if align:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return scale or size / out


@lru_cache(256)
def _filter_weights(size: int, out: int, mode: str, align: bool, scale: float) -> Array:
    """(out, size): the filter, stretched over what one pixel of the result covers."""
    shape, reach = _FILTERS[mode]
    step = _step(size, out, align, scale)
    stretch = max(step, 1.0)
    weights = np.zeros((out, size))
    for i in range(out):
        center = step * (i + 0.5)
        first = max(int(center - reach * stretch + 0.5), 0)
        last = min(int(center + reach * stretch + 0.5), size)
        taps = shape((np.arange(first, last) - center + 0.5) / stretch)
        weights[i, first:last] = taps / taps.sum()
    return weights


@lru_cache(256)
def _linear_weights(size: int, out: int, align: bool, scale: float) -> Array:
    """(out, size): the two neighbors of each place."""
    step = _step(size, out, align, scale)
    place = np.arange(out) * step if align else (np.arange(out) + 0.5) * step - 0.5
    place = np.clip(place, 0, size - 1)
    below = np.floor(place).astype(np.int64)
    rest = place - below
    weights = np.zeros((out, size))
    np.add.at(weights, (np.arange(out), below), 1 - rest)
    np.add.at(weights, (np.arange(out), np.minimum(below + 1, size - 1)), rest)
    return weights


def _along(x: Tensor, dim: int, weights: Array) -> Tensor:
    matrix = from_array(weights.T, x.dtype)
    return movedim(movedim(x, dim, -1).matmul(matrix), -1, dim)


def filtered(
    x: Tensor, size: tuple[int, ...], mode: str, align: bool, scale: tuple[float, ...]
) -> Tensor:
    """Images (N, C, H, W) resized by a filter as wide as a pixel of the result."""
    for d in (3, 2):
        if x.shape[d] != size[d - 2] or mode == "bicubic":
            n, s = x.shape[d], scale[d - 2]
            x = _along(x, d, _filter_weights(n, size[d - 2], mode, align, s))
    return x


def trilinear(x: Tensor, size: tuple[int, ...], align: bool, scale: tuple[float, ...]) -> Tensor:
    """Volumes (N, C, D, H, W) resized between neighbors."""
    for d in (4, 3, 2):
        x = _along(x, d, _linear_weights(x.shape[d], size[d - 2], align, scale[d - 2]))
    return x


def picked(x: Tensor, size: tuple[int, ...], exact: bool, scale: tuple[float, ...]) -> Tensor:
    """Volumes resized by the nearest element; ``exact`` counts from the centers."""
    for d in range(2, x.ndim):
        n, out = x.shape[d], size[d - 2]
        step = np.float32(_step(n, out, False, scale[d - 2]))
        offset = np.float32(0.5 if exact else 0.0)
        place = np.floor((np.arange(out, dtype=np.float32) + offset) * step).astype(np.int64)
        x = index_select(x, d, from_array(np.minimum(place, n - 1)))
    return x
