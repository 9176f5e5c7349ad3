"""Formulas in one variable for numbers that are known at a few of its values.

An integer is constant or linear, ``p * n + q``. Any other real number is constant, or one of a few
forms that averages and unbiased variances bring: ``c / n``, ``c * n``, ``k n / (k n - 1)`` and
``1 / (k n - 1)``, with constants that are integers or one over an integer where that explains the
numbers. A formula must give each known number exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fovea.ops.op import Attrs

__all__ = ["Formula", "NoFormulaError", "fit"]

Formula = Callable[[int], Any]
_Rounding = Callable[[float], float]
_NEAR = 1e-5  # how far a constant that was found from a rounded number may lie from what it is


class NoFormulaError(ValueError):
    """Numbers that follow no formula; the message says which."""


def fit(sizes: Sequence[int], values: Sequence[Any], rounded: _Rounding = lambda x: x) -> Formula:
    """A formula for values (numbers, or tuples and attributes of them) at certain sizes.

    Args:
        sizes: two or more different positive numbers.
        values: what is known at each.
        rounded: what becomes of real numbers before they are values.

    Raises:
        NoFormulaError: there is none.

    >>> shape = fit([2, 4], [(2, 3, 20), (4, 3, 40)])
    >>> shape(7)
    (7, 3, 70)
    >>> fit([2, 4], [1.5, 0.75])(3)
    1.0
    """
    first = values[0]
    if all(type(v) is type(first) and repr(v) == repr(first) for v in values):
        return lambda n: first
    if all(isinstance(v, tuple) for v in values):
        return _fit_tuple(sizes, values, rounded)
    if len({type(v) for v in values}) != 1:
        raise NoFormulaError(f"{', '.join(map(repr, values))} are of several types")
    if isinstance(first, Attrs):
        return _fit_attrs(sizes, values, rounded)
    if type(first) is int:
        return _linear(sizes, values)
    if type(first) is float:
        return _real(sizes, values, rounded)
    raise NoFormulaError(f"{', '.join(map(repr, values))} differ")


def _fit_attrs(sizes: Sequence[int], values: Sequence[Any], rounded: _Rounding) -> Formula:
    cls = type(values[0])
    names = [f.name for f in dataclasses.fields(cls)]
    fields = [fit(sizes, [getattr(v, name) for v in values], rounded) for name in names]
    return lambda n: cls.of(*(field(n) for field in fields))


def _fit_tuple(sizes: Sequence[int], values: Sequence[Any], rounded: _Rounding) -> Formula:
    if len({len(v) for v in values}) != 1:
        raise NoFormulaError(f"{', '.join(map(repr, values))} differ in length")
    items = [fit(sizes, column, rounded) for column in zip(*values, strict=True)]
    make = getattr(type(values[0]), "_make", tuple)  # named tuples have it
    return lambda n: make(item(n) for item in items)


def _linear(sizes: Sequence[int], values: Sequence[int]) -> Formula:
    slope, rest = divmod(values[1] - values[0], sizes[1] - sizes[0])
    offset = values[0] - slope * sizes[0]
    if rest or any(slope * n + offset != v for n, v in zip(sizes, values, strict=True)):
        raise NoFormulaError(f"{', '.join(map(str, values))} do not grow with {tuple(sizes)}")
    return lambda n: slope * n + offset


def _real(sizes: Sequence[int], values: Sequence[float], rounded: _Rounding) -> Formula:
    if all(v.is_integer() for v in values):
        whole = _linear(sizes, [int(v) for v in values])
        return lambda n: float(whole(n))
    for formula in _real_formulas(sizes[0], values[0]):
        if all(rounded(formula(n)) == v for n, v in zip(sizes, values, strict=True)):
            return formula
    raise NoFormulaError(f"{', '.join(map(repr, values))} follow no formula known")


def _real_formulas(n: int, value: float) -> Iterator[Formula]:
    """What may have given a value at one size."""
    for a, b in _likely(value * n):
        yield partial(_inverse, a, b)
        yield partial(_scaled_inverse, a / b)
    for a, b in _likely(value / n):
        yield partial(_multiple, a, b)
    if value > 1:
        yield partial(_correction, max(round(value / (value - 1) / n), 1))
    if value > 0:
        yield partial(_unbiased, max(round((1 / value + 1) / n), 1))


def _inverse(a: float, b: int, n: int) -> float:
    return a / (b * n)


def _scaled_inverse(c: float, n: int) -> float:
    return c * (1 / n)


def _multiple(a: float, b: int, n: int) -> float:
    return a * n / b


def _correction(k: int, n: int) -> float:
    return k * n / (k * n - 1)


def _unbiased(k: int, n: int) -> float:
    return 1 / (k * n - 1)


def _likely(x: float) -> Iterator[tuple[float, int]]:
    """Fractions that a number may stand for: an integer, one over an integer, itself."""
    if x == 0 or abs(x) > 1e15:
        return
    if abs(x - round(x)) <= _NEAR * abs(x):
        yield round(x), 1
    if abs(1 / x - round(1 / x)) <= _NEAR * abs(1 / x) and abs(x) < 1:
        yield 1, round(1 / x)
    yield x, 1
