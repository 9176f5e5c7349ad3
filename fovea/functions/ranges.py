"""Tensors of numbers in steps, and identity matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import devices, dtypes
from fovea.dtypes import DType
from fovea.errors import ArgumentError
from fovea.functions.creation import finish, float_or, from_array
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["arange", "eye", "linspace", "logspace"]


def arange(
    start: Any = 0,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` up to, not including, ``end``: int64 for ints, else the default dtype.

    Raises:
        ArgumentError: a step of zero, or one that leads away from ``end``.

    >>> arange(1, 7, 2)
    tensor([1, 3, 5])
    """
    devices.as_device(device)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"arange: step {step} does not lead from {start} to {end}.")
    whole = all(isinstance(v, int) for v in (start, end, step))
    kind = (
        dtypes.as_dtype(dtype)
        if dtype is not None
        else dtypes.int64
        if whole
        else dtypes.get_default_dtype()
    )
    if not whole and not kind.is_floating_point and int(step):
        start, end, step, whole = int(start), int(end), int(step), True
    n = max(0, math.ceil((end - start) / step))
    values = (
        np.arange(n, dtype=np.int64) * step + start
        if whole
        else start + np.arange(n, dtype=np.float64) * step
    )
    return finish(from_array(values, kind), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers evenly spaced from ``start`` to ``end``, both included.

    >>> linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    devices.as_device(device)
    kind = float_or(dtype)
    return finish(from_array(_evenly("linspace", start, end, steps, kind), kind), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the power of ``linspace(start, end, steps)``."""
    devices.as_device(device)
    kind = float_or(dtype)
    powers = np.power(base, _evenly("logspace", start, end, steps, kind))
    return finish(from_array(powers, kind), requires_grad)


def _evenly(name: str, start: Any, end: Any, steps: int, kind: DType) -> np.ndarray[Any, Any]:
    """Numbers from ``start`` to ``end`` (numbers, or 0-d tensors); whole ones for integer types."""
    if steps < 0:
        raise ArgumentError(f"{name}: steps must not be negative, got {steps}.")
    first, last = (v.item() if is_tensor(v) else v for v in (start, end))
    if not kind.is_inexact:
        first, last = int(first), int(last)
    return np.linspace(first, last, steps)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A matrix with ones on the diagonal.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    devices.as_device(device)
    return finish(from_array(np.eye(n, m), float_or(dtype)), requires_grad)
