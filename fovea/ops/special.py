"""Special functions, one number out for each number in; NumPy says what they mean.

Sources: Abramowitz and Stegun, Handbook of Mathematical Functions, chapter 6 (gamma and its
derivatives); Giles, "Approximating the erfinv function", 2010.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.ops.elementwise import BITS, binary, unary
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import elementwise_spec, require_floating

Array = np.ndarray[Any, Any]


def _acosh_slope(x: Any) -> Any:
    if x.is_complex():  # the branch of the root that acosh takes
        return (x - 1).rsqrt() * (x + 1).rsqrt()
    return (x * x - 1).rsqrt()


asinh = unary("asinh", np.arcsinh, lambda c, g: g * (c.x * c.x + 1).rsqrt(), ("x",), analytic=True)
acosh = unary("acosh", np.arccosh, lambda c, g: g * _acosh_slope(c.x), ("x",), analytic=True)
atanh = unary("atanh", np.arctanh, lambda c, g: g / (1 - c.x * c.x), ("x",), analytic=True)

_erfc_each = np.vectorize(math.erfc, otypes=[np.float64])
_erf_each = np.vectorize(math.erf, otypes=[np.float64])
_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _bell(x: Any) -> Any:
    """The derivative of erf."""
    return (-(x * x)).exp() * _TWO_OVER_ROOT_PI


erfc = unary("erfc", _erfc_each, lambda c, g: -g * _bell(c.x), ("x",))

# Giles's polynomials in w - 2.5 (w < 5) and in sqrt(w) - 3, highest power first.
_CENTER = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
           -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
         -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _erfinv(x: Array) -> Array:
    x64 = x.astype(np.float64)
    w = -np.log((1 - x64) * (1 + x64))
    y = x64 * np.where(w < 5, np.polyval(_CENTER, w - 2.5), np.polyval(_TAIL, np.sqrt(w) - 3))
    for _ in range(2):  # Newton's steps, on erfc where 1 - erf would cancel
        far = np.abs(x64) > 0.5
        with np.errstate(invalid="ignore"):
            low = _erf_each(y) - x64
            high = np.sign(x64) * ((1 - np.abs(x64)) - _erfc_each(np.abs(y)))
            step = np.where(far, high, low) / (_TWO_OVER_ROOT_PI * np.exp(-y * y))
        y = np.where(np.isfinite(step), y - step, y)
    edge = np.where(np.abs(x64) == 1, np.copysign(np.inf, x64), y)
    return np.where(np.abs(x64) > 1, np.nan, edge)


erfinv = unary("erfinv", _erfinv, lambda c, g: g * (c.y * c.y).exp() / _TWO_OVER_ROOT_PI, ("y",))


def _lgamma_one(x: float) -> float:
    if x != x:
        return x
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


_lgamma = np.vectorize(_lgamma_one, otypes=[np.float64])


@dataclass(frozen=True, eq=False)
class OrderAttrs(Attrs):
    """Which derivative of digamma: 0 is digamma itself."""

    n: int


_HIGHEST = 100  # derivative: factorials stay finite
# Bernoulli numbers B2, B4, ... of the asymptotic series.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma(x: Array) -> Array:
    """Upwards by recurrence to 10, then the asymptotic series; below 0 by reflection."""
    x = x.astype(np.float64)
    reflected = x < 0
    z = np.where(reflected, 1 - x, x)
    total = np.zeros_like(z)
    for _ in range(10):
        small = z < 10
        total -= np.where(small, 1 / np.where(small, z, 1), 0)
        z = np.where(small, z + 1, z)
    total += np.log(z) - 0.5 / z
    for k, b in enumerate(_BERNOULLI, 1):
        total -= b / (2 * k * z ** (2 * k))
    fraction = x - np.round(x)
    total = np.where(reflected, total - math.pi / np.tan(math.pi * fraction), total)
    pole = np.where(np.signbit(x), np.inf, -np.inf)
    return np.where(x == 0, pole, np.where(reflected & (fraction == 0), np.nan, total))


def _hurwitz(s: int, q: Array) -> Array:
    """zeta(s, q), the sum of (q + k)^-s, by Euler's and Maclaurin's formula."""
    total = np.zeros_like(q)
    for k in range(12):
        total += (q + k) ** -float(s)
    z = q + 12
    total += z ** (1.0 - s) / (s - 1) + 0.5 * z ** -float(s)
    factor = float(s)
    for k, b in enumerate(_BERNOULLI, 1):
        total += b / math.factorial(2 * k) * factor * z ** (-s - 2.0 * k + 1)
        factor *= (s + 2 * k - 1) * (s + 2 * k)
    return total


def _polygamma(x: Array, a: OrderAttrs) -> Array:
    if a.n == 0:
        return digamma(x)
    x = x.astype(np.float64)
    return (-1.0) ** (a.n + 1) * math.factorial(a.n) * _hurwitz(a.n + 1, x)


polygamma = Op("polygamma", ("x",), OrderAttrs)


@polygamma.shape
def _(x: Shaped, a: OrderAttrs) -> Spec:
    require_floating("polygamma", x=x)
    if not 0 <= a.n <= _HIGHEST:
        raise ArgumentError(f"polygamma: n must lie between 0 and {_HIGHEST}, got {a.n}.")
    return elementwise_spec("polygamma", (x,))


polygamma.reference(_polygamma)
polygamma.grad(saves=("x",))(lambda c, g: g * polygamma.bind((c.x,), OrderAttrs.of(c.attrs.n + 1)))
lgamma = unary("lgamma", _lgamma, lambda c, g: g * polygamma.bind((c.x,), OrderAttrs.of(0)), ("x",))

gcd = binary(
    "gcd", np.gcd, kinds=tuple(k for k in BITS if k.name != "bool"), why_none="integers have none"
)
nextafter = binary("nextafter", np.nextafter, why_none="it moves by one unit in the last place")
