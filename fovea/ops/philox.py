"""Philox 4x32-10, and how its words become numbers.

A random number is a function of a key (the seed) and a counter, with no state in between (Salmon,
Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). So every element of
a tensor can be computed on its own, by any target and any number of threads, and comes out the
same.

The formulas below use nothing but operators and the few functions of ``Math``, each of which rounds
in one way only. They are run here on NumPy arrays and, as they stand, on the vectors of a kernel;
products and sums are never fused.
"""

from __future__ import annotations

from math import factorial, log, pi
from typing import Any, Protocol

import numpy as np

__all__ = ["Math", "NumpyMath", "box_muller", "exponential", "philox", "random_words", "uniform"]

MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LN2 = log(2.0)


def philox(
    counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any], rounds: int = 10
) -> tuple[Any, Any, Any, Any]:
    """Four random 32-bit words for each counter.

    Args:
        counter, key: 32-bit words held in unsigned 64-bit numbers.
        rounds: 10 is the generator's published strength.

    >>> zero = np.zeros((), np.uint64)
    >>> [hex(int(w)) for w in philox((zero, zero, zero, zero), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for n in range(rounds):
        if n:
            k0, k1 = (k0 + _WEYL[0]) & MASK, (k1 + _WEYL[1]) & MASK
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ k0,
            second & MASK,
            (first >> 32) ^ c3 ^ k1,
            first & MASK,
        )
    return c0, c1, c2, c3


def random_words(seed: int, offset: int, count: int) -> np.ndarray[Any, Any]:
    """The words (uint32, shape (count, 4)) of ``count`` counters from ``offset`` on."""
    at = np.arange(count, dtype=np.uint64) + np.uint64(offset & (1 << 64) - 1)
    zero = np.zeros(count, np.uint64)
    words = philox((at & MASK, at >> 32, zero, zero), (seed & MASK, seed >> 32 & MASK))
    return np.stack(words, axis=1).astype(np.uint32)


class Math(Protocol):
    """What the formulas need beyond operators, at one precision: ``bits`` is 32 or 64."""

    bits: int

    def number(self, word: Any) -> Any:
        """An integer as a floating-point number, rounded to nearest."""

    def sqrt(self, x: Any) -> Any:
        """The square root."""

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        """``yes`` where the condition holds, else ``no``."""

    def signed_bits(self, x: Any) -> Any:
        """The bits of a floating-point number, as a signed integer."""

    def from_signed_bits(self, bits: Any) -> Any:
        """The floating-point number with these bits."""

    def signed(self, word: Any) -> Any:
        """The same bits as a signed integer."""


class NumpyMath:
    """``Math`` on arrays."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.float = np.dtype(f"float{bits}")
        self.int = np.dtype(f"int{bits}")

    def number(self, word: Any) -> Any:
        return word.astype(self.float)

    def sqrt(self, x: Any) -> Any:
        return np.sqrt(x)

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no)

    def signed_bits(self, x: Any) -> Any:
        return x.view(self.int)

    def from_signed_bits(self, bits: Any) -> Any:
        return bits.view(self.float)

    def signed(self, word: Any) -> Any:
        return word.view(self.int)


def uniform(m: Math, word: Any, digits: int) -> Any:
    """A number in [0, 1) with that many binary digits, from the top of a word."""
    return m.number(word >> (m.bits - digits)) * 2.0**-digits


def exponential(m: Math, word: Any) -> Any:
    """A number of density exp(-x), never 0: minus the logarithm of a number between 0 and 1."""
    digits = 23 if m.bits == 32 else 52
    middle = (m.number(word >> (m.bits - digits)) + 0.5) * 2.0**-digits
    return -_logarithm(m, middle)


def box_muller(m: Math, first: Any, second: Any) -> tuple[Any, Any]:
    """Two independent standard normal numbers from two words: a radius and an angle."""
    if m.bits == 32:
        unit = m.number(first) * 2.0**-32 + 2.0**-33
        turn = uniform(m, second, 24)
    else:
        unit = m.number(first >> 11) * 2.0**-53 + 2.0**-53
        turn = uniform(m, second, 53)
    radius = m.sqrt(_logarithm(m, unit) * -2.0)
    # The nearest quarter turn, and what is left of it: between -1/8 and 1/8 of a turn.
    quarter = ((second >> (m.bits - 3)) + 1) >> 1
    angle = (turn * 4.0 - m.number(quarter)) * (pi / 2)
    square = angle * angle
    terms = 5 if m.bits == 32 else 9
    sine = _polynomial(square, [(-1) ** n / factorial(2 * n + 1) for n in range(terms)]) * angle
    cosine = _polynomial(square, [(-1) ** n / factorial(2 * n) for n in range(terms + 1)])
    odd = (quarter & 1) > 0
    x = _with_sign(m, m.select(odd, sine, cosine), (quarter + 1) & 2)
    y = _with_sign(m, m.select(odd, cosine, sine), quarter & 2)
    return radius * x, radius * y


def _with_sign(m: Math, x: Any, two: Any) -> Any:
    """``x``, negated where ``two`` is 2 rather than 0."""
    return m.from_signed_bits(m.signed_bits(x) ^ m.signed(two << (m.bits - 2)))


def _logarithm(m: Math, x: Any) -> Any:
    """The natural logarithm of a normal positive number, by 2 atanh((x - 1) / (x + 1)) near 1."""
    digits, root_half = (23, 0x3F3504F3) if m.bits == 32 else (52, 0x3FE6A09E667F3BCD)
    bits = m.signed_bits(x)
    exponent = (bits - root_half) >> digits
    mantissa = m.from_signed_bits(bits - (exponent << digits))  # in [sqrt(1/2), sqrt(2))
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    terms = 5 if m.bits == 32 else 11
    series = _polynomial(ratio * ratio, [1 / (2 * n + 1) for n in range(terms)])
    return m.number(exponent) * _LN2 + ratio * 2.0 * series


def _polynomial(x: Any, coefficients: list[float]) -> Any:
    """Horner's rule; the constant term comes first."""
    result = x * coefficients[-1] + coefficients[-2]
    for c in reversed(coefficients[:-2]):
        result = result * x + c
    return result
