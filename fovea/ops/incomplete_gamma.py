"""The incomplete gamma functions, divided by the complete one; as NumPy, in float64.

Sources: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.5.29 (series), 6.5.31
(continued fraction); Loader, "Fast and accurate computation of binomial probabilities", 2000
(the density without cancellation); Press et al., Numerical Recipes, 3rd edition, 6.2 (quadrature
for large a).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fovea.ops.elementwise import FLOATS, binary
from fovea.ops.special import digamma, lgamma

Array = np.ndarray[Any, Any]

_LARGE = 60.0  # the first argument from which on the density is integrated numerically
_TINY = 1e-300
_NORMAL = 1e4  # and from which on a draw is as good as the cube of a normal one
_LONGEST = 2000  # terms; what converges at all needs far fewer
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_FADED = 50.0  # an integral ends where the density has fallen by exp(-_FADED)
# lgamma(1 + a) / a as a polynomial, highest power first: Euler's constant, and zeta(k) / k.
_NEAR_ONE = (0.12550966952474304, -0.1440498967688461, 0.16955717699740816, -0.207385551028674,
             0.27058080842778454, -0.40068563438653143, 0.8224670334241132,
             -0.5772156649015329)  # fmt: skip

_lgamma_each = np.vectorize(math.lgamma, otypes=[np.float64])


def _lgamma1p(a: Array) -> Array:
    """lgamma(1 + a) for a >= 0, also where 1 + a rounds to 1."""
    return np.where(a < 0.01, a * np.polyval(_NEAR_ONE, a), _lgamma_each(1 + a))


def _stirling_error(a: Array) -> Array:
    """lgamma(a + 1) without Stirling's formula, for a of 60 and above."""
    s = 1 / (a * a)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s / 1680))) / a


def _power(a: Array, x: Array) -> Array:
    """x^a exp(-x) / gamma(a + 1), for positive a and x."""
    small = np.minimum(a, _LARGE)
    plain = np.exp(small * np.log(x) - x - _lgamma1p(small))
    large = np.maximum(a, _LARGE)
    apart = (x - large) / large
    away = large * (apart - np.log1p(np.maximum(apart, -1 + 1e-16)))
    far = np.exp(-away - _stirling_error(large)) / np.sqrt(2 * math.pi * large)
    return np.where(a < _LARGE, plain, far)


def _lower_series(a: Array, x: Array) -> Array:
    """P(a, x) = x^a exp(-x) sum x^n / gamma(a + n + 1)."""
    term, total = np.ones_like(a), np.ones_like(a)
    for n in range(1, _LONGEST):
        term = term * (x / (a + n))
        total += term
        if np.all(term <= 1e-17 * total):
            break
    return _power(a, x) * total


def _upper_fraction(a: Array, x: Array) -> Array:
    """Q(a, x) by the continued fraction, in Lentz's way."""
    b = x + 1 - a
    c, d = np.full_like(a, 1 / _TINY), 1 / b
    found = d
    for n in range(1, _LONGEST):
        factor = n * (a - n)
        b = b + 2
        d = b + factor * d
        d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = b + factor / c
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        change = c * d
        found = found * change
        if np.all(np.abs(change - 1) <= 1e-16):
            break
    return _power(a, x) * a * found


def _upper_small(a: Array, x: Array) -> Array:
    """Q(a, x) for small a and x, where 1 - P would cancel."""
    term, total = np.ones_like(a), np.zeros_like(a)
    for n in range(1, 60):
        term = term * (-x / n)
        total += term / (a + n)
    log_power = a * np.log(x) - _lgamma1p(a)
    return -np.expm1(log_power) - np.exp(log_power) * a * total


def _tail(a: Array, x: Array, upper: bool) -> Array:
    """Q or P of large a, from x outwards, by quadrature of the density."""
    slope, sign = np.abs(x - a) / x, 1 if upper else -1
    width = 2 * _FADED / (slope + np.sqrt(slope * slope + 2 * _FADED / x))
    width = width if upper else np.minimum(width, x)
    t = sign * width[:, None] * (_NODES + 1) / 2
    with np.errstate(divide="ignore"):
        density = np.exp((a[:, None] - 1) * np.log1p(t / x[:, None]) - t)
    return _power(a, x) * a / x * width / 2 * (density @ _WEIGHTS)


def _where(fits: Array, compute: Callable[..., Array], found: Array, *args: Any) -> None:
    """Set ``found`` to ``compute(...)`` where it fits."""
    if fits.any():
        chosen = [v[fits] if isinstance(v, np.ndarray) else v for v in args]
        found[fits] = compute(*chosen)


def _both(a: Array, x: Array) -> tuple[Array, Array]:
    """P and Q of flat, finite, positive arrays: the smaller one first, the other from it."""
    p, q = np.full_like(a, np.nan), np.full_like(a, np.nan)
    large, below = a >= _LARGE, x < a
    close = ~large & (x <= 1.1)
    cancels = close & np.where(x <= 0.5, a < -0.4 / np.log(np.minimum(x, 0.5)), a < 1.1 * x)
    series = ~large & ~cancels & (below | close)
    fraction = ~(large | cancels | series)
    _where(large & below, _tail, p, a, x, False)
    _where(large & ~below, _tail, q, a, x, True)
    _where(series, _lower_series, p, a, x)
    _where(fraction, _upper_fraction, q, a, x)
    _where(cancels, _upper_small, q, a, x)
    return np.where(np.isnan(p), 1 - q, p), np.where(np.isnan(q), 1 - p, q)


def _incomplete(a: Array, x: Array, upper: bool) -> Array:
    """P(a, x), or Q with ``upper``, with what holds at the ends of their domain."""
    a, x = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
    zero, one = (1.0, 0.0) if upper else (0.0, 1.0)
    found = np.full(a.shape, np.nan)
    valid = (a >= 0) & (x >= 0)
    found[valid & (x == 0) & (a > 0)] = zero
    found[valid & (a == 0) & (x > 0)] = one
    found[valid & np.isinf(a) & np.isfinite(x)] = zero
    found[valid & np.isinf(x) & np.isfinite(a)] = one
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    found[inside] = _both(a[inside], x[inside])[upper]
    return found


def _slope(a: Array, x: Array) -> Array:
    """How a draw x from Gamma(a, 1) changes with a at the same probability P(a, x).

    P is a sum of x^(a + n) exp(-x) / gamma(a + n + 1); each term's derivative to a is the term
    times log x - digamma(a + n + 1), and the density is the first term's a / x. Far above a, where
    no draw lies, it is 0.
    """
    a, x = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
    inside = (a > 0) & (x > 0) & (x < a + 40 * np.sqrt(np.maximum(a, 0)) + 60)
    found = np.where(np.isnan(a + x), np.nan, 0.0)
    many = inside & (a > _NORMAL)
    _where(inside & ~many, _exact_slope, found, a, x)
    _where(many, _cube_slope, found, a, x)
    return found


def _exact_slope(a: Array, x: Array) -> Array:
    term, total = np.ones_like(a), np.zeros_like(a)
    psi, log_x = digamma(a + 1), np.log(x)
    for n in range(1, 100_000):
        more = term * (log_x - psi)
        total = total + more
        if np.all((np.abs(more) <= 1e-17 * np.abs(total)) & (a + n > x)):
            break
        psi = psi + 1 / (a + n)
        term = term * x / (a + n)
    return -x / a * total


def _cube_slope(a: Array, x: Array) -> Array:
    """`_slope` where x = a (1 - 1 / 9a + z / 3 sqrt(a))^3 for a normal z.

    Source: Wilson and Hilferty, "The distribution of chi-square", 1931.
    """
    root = np.cbrt(x / a)
    z = (root - 1 + 1 / (9 * a)) * 3 * np.sqrt(a)
    return x / a + 3 * a * root**2 * (1 / (9 * a**2) - z / (6 * a**1.5))


gamma_slope = binary("gamma_slope", _slope, kinds=FLOATS, why_none="it is a derivative itself")


def _density(c: Any) -> Any:
    """The derivative of P to x."""
    return ((c.a - 1) * c.b.log() - c.b - lgamma.bind((c.a,))).exp()


def _gradients(c: Any, g: Any) -> Any:
    """Of P: at the same x, P falls by what a larger a would move x."""
    return lambda: -g * _density(c) * gamma_slope.bind((c.a, c.b)), lambda: g * _density(c)


igamma = binary(
    "igamma", lambda a, x: _incomplete(a, x, False), _gradients, ("a", "b"), kinds=FLOATS
)
igammac = binary(
    "igammac",
    lambda a, x: _incomplete(a, x, True),
    lambda c, g: _gradients(c, -g),
    ("a", "b"),
    kinds=FLOATS,
)
