"""Element types: value ranges, and the way to float and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dtypes

__all__ = ["Array", "as_float", "is_float", "max_value", "restore"]

BFLOAT16 = dtypes.bfloat16.numpy

Array = np.ndarray[Any, np.dtype[Any]]


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a NumPy dtype is a float type, bfloat16 included."""
    return dtype.kind == "f" or dtype == BFLOAT16


def max_value(dtype: np.dtype[Any]) -> float:
    """The value that means full brightness: 1 for floats, the greatest for integers."""
    if dtype == np.uint8:
        return 255.0
    if is_float(dtype) or dtype == np.bool_:
        return 1.0
    return float(np.iinfo(dtype).max)


def as_float(x: Array) -> Array:
    """float32 and float64 as they are, everything else as float32."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)


def restore(x: Array, dtype: np.dtype[Any]) -> Array:
    """Back to ``dtype``: integers by rounding, cut off at their limits."""
    if x.dtype == dtype:
        return x
    if is_float(dtype):
        return x.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(x), info.min, info.max).astype(dtype)
