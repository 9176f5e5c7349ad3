"""Random operands for kernel tests: every dtype, odd layouts, and the values that hurt."""

from __future__ import annotations

from typing import Any

import numpy as np

import fovea
from fovea import dtypes
from fovea.dtypes import DType
from fovea.ops.op import Attrs, Op
from fovea.targets.reference import reference_plan

TOLERANCE = {"float32": 3e-6, "float64": 1e-13, "float16": 1.5e-3, "bfloat16": 1e-2}


def values(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Values of moderate size; floats with NaN, infinities and zeros, integers with their limits."""
    if dtype is dtypes.bool_:
        return np.asarray(rng.integers(0, 2, shape), np.bool_)
    if dtype.is_floating_point:
        found = np.asarray(rng.normal(size=shape) * 3)
        special: list[float] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    else:
        found = np.asarray(rng.integers(-9 if dtype.is_signed else 0, 10, shape))
        info = np.iinfo(dtype.numpy)
        special = [info.min, info.max, 0]
    if found.size > 8:
        flat = found.reshape(-1)
        flat[rng.choice(found.size, len(special), replace=False)] = special
    with np.errstate(all="ignore"):
        return np.asarray(found.astype(dtype.numpy))


def laid_out(rng: np.random.Generator, array: np.ndarray[Any, Any]) -> Any:
    """A tensor with these values: row-major, permuted in memory, with gaps, or all of it."""
    turn = rng.integers(4)
    rank = array.ndim
    if turn == 0 or rank == 0:
        return fovea.from_numpy(np.array(array, order="C"))
    order = [int(d) for d in rng.permutation(rank)]
    back = tuple(int(d) for d in np.argsort(order))
    dense = np.array(array.transpose(order), order="C")
    if turn == 1:
        return fovea.from_numpy(dense).permute(back)
    gaps = np.zeros([2 * n + 1 for n in dense.shape], array.dtype)
    part = gaps[tuple(slice(1, None, 2) for _ in dense.shape)]
    part[...] = dense
    return fovea.from_numpy(part).permute(back)


def agree(got: Any, want: Any, scale: float = 1.0) -> bool:
    """Whether two tensors have the same shape and dtype, and the same values but for rounding."""
    if got.shape != want.shape or got.dtype is not want.dtype:
        return False
    a, b = got._array(), want._array()
    if not got.dtype.is_floating_point:
        return bool(np.array_equal(a, b))
    tolerance = TOLERANCE[got.dtype.name] * scale
    with np.errstate(all="ignore"):
        near = np.isclose(
            a.astype(np.float64), b.astype(np.float64), tolerance, tolerance, equal_nan=True
        )
    return bool(near.all())


def both(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None) -> tuple[Any, Any]:
    """What the CPU target and what the NumPy reference make of a call."""
    want = reference_plan(op, attrs, op.specs(inputs, attrs))(inputs)
    return op.bind(inputs, attrs), want
