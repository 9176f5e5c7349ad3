"""Running kernel programs on NumPy arrays, as the tests of the contractions do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.views import View

Array = np.ndarray[Any, Any]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "bfloat16": 8e-3, "float16": 1e-3}


def numpy_type(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def view_of(a: Array) -> View:
    return View(a.shape, tuple(s // a.itemsize for s in a.strides), a.dtype.name)


def address_of(a: Array) -> int:
    return int(a.__array_interface__["data"][0])


def run(program: KernelProgram, arrays: Sequence[Array]) -> None:
    """Run on inputs, then outputs."""
    ranges = None
    if checking():
        ranges = [(address_of(a), address_of(a) + _extent(a)) for a in arrays]
    program.run([address_of(a) for a in arrays], ranges)


def _extent(a: Array) -> int:
    if a.size == 0:
        return 0
    return sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + a.itemsize


def poisoned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array whose every byte is 255: NaN, or an unlikely number."""
    a = np.empty(shape, dtype)
    a.view(np.uint8)[...] = 1 if dtype == np.bool_ else 255
    return a


def close(result: Array, expected: Array, dtype: str, terms: int) -> None:
    """Compare sums of `terms` products of magnitude about 1 with their exact values."""
    scale = TOLERANCE.get(dtype, 0.0) * max(1.0, terms**0.5)
    error = np.abs(result.astype(np.float64) - expected)
    bound = scale * np.maximum(1.0, np.abs(expected))
    assert not (~(error <= bound)).any(), f"largest error {np.nanmax(error)}"
