"""Modified Bessel functions, and the scaled complement of the error function; as NumPy.

Sources: Abramowitz and Stegun, Handbook of Mathematical Functions, 9.6.10 (series), 9.7.1
(asymptotic expansion), 7.1.14 (continued fraction).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fovea.ops.elementwise import sign, unary
from fovea.ops.op import Op

Array = np.ndarray[Any, Any]

_FAR = 20.0  # where the asymptotic expansion takes over
_TERMS = 60
_LEVELS = 60


def _scaled_bessel(order: int, x: Array) -> Array:
    """exp(-|x|) I_order(x), for order 0 or 1."""
    size = np.abs(x.astype(np.float64))
    near = np.minimum(size, _FAR)
    term = np.ones_like(near) if order == 0 else near / 2
    total = term.copy()
    for k in range(1, _TERMS):
        term = term * (near / 2) ** 2 / (k * (k + order))
        total += term
    far = np.maximum(size, _FAR)
    step, series = np.ones_like(far), np.ones_like(far)
    for k in range(1, 25):
        step = -step * (4 * order**2 - (2 * k - 1) ** 2) / (k * 8 * far)
        series += step
    with np.errstate(invalid="ignore"):
        tail = np.where(np.isinf(far), 0.0, series / np.sqrt(2 * math.pi * far))
    found = np.where(size <= _FAR, total * np.exp(-near), tail)
    found = np.where(np.isnan(x), np.nan, found)
    return np.copysign(found, x) if order else found


def _grown(order: int, x: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        value = _scaled_bessel(order, x) * np.exp(np.abs(x.astype(np.float64)))
    infinite = np.copysign(np.inf, x) if order else np.full(x.shape, np.inf)
    return np.where(np.isinf(x), infinite, value)


def _erfcx(x: Array) -> Array:
    """exp(x^2) erfc(x)."""
    x = x.astype(np.float64)
    size = np.abs(x)
    near = np.minimum(size, 4.0)
    direct = np.exp(near**2) * np.vectorize(math.erfc, otypes=[np.float64])(near)
    far = np.maximum(size, 4.0)
    fraction = far
    for k in range(_LEVELS, 0, -1):
        fraction = far + (k / 2) / fraction
    positive = np.where(size <= 4, direct, 1 / (math.sqrt(math.pi) * fraction))
    with np.errstate(over="ignore"):
        return np.where(x < 0, 2 * np.exp(x**2) - positive, positive)


def _log_ndtr(x: Array) -> Array:
    t = x.astype(np.float64) / math.sqrt(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.log(_erfcx(np.maximum(-t, 0)) / 2) - t * t
        high = np.log1p(-np.vectorize(math.erfc, otypes=[np.float64])(np.maximum(t, -1)) / 2)
    return np.where(np.isnan(t), np.nan, np.where(t < -0.7, low, high))


def _i1_slope(c: Any) -> Any:
    zero = c.x == 0
    safe = c.x.masked_fill(zero, 1.0)
    return (i0.bind((c.x,)) - c.y / safe).masked_fill(zero, 0.5)


def _i1e_slope(c: Any) -> Any:
    zero = c.x == 0
    safe = c.x.masked_fill(zero, 1.0)
    slope = i0e.bind((c.x,)) - c.y * (sign.bind((c.x,)) + safe.reciprocal())
    return slope.masked_fill(zero, 0.5)


i0: Op = unary("i0", lambda x: _grown(0, x), lambda c, g: g * i1.bind((c.x,)), ("x",))
i1: Op = unary("i1", lambda x: _grown(1, x), lambda c, g: g * _i1_slope(c), ("x", "y"))
i0e: Op = unary(
    "i0e",
    lambda x: _scaled_bessel(0, x),
    lambda c, g: g * (i1e.bind((c.x,)) - sign.bind((c.x,)) * c.y),
    ("x", "y"),
)
i1e: Op = unary("i1e", lambda x: _scaled_bessel(1, x), lambda c, g: g * _i1e_slope(c), ("x", "y"))
erfcx = unary(
    "erfcx", _erfcx, lambda c, g: g * (c.x * c.y * 2 - 2 / math.sqrt(math.pi)), ("x", "y")
)
log_ndtr = unary(
    "log_ndtr",
    _log_ndtr,
    lambda c, g: g * (math.sqrt(2 / math.pi) / erfcx.bind((c.x * -math.sqrt(0.5),))),
    ("x",),
)
