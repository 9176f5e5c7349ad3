"""Fit the polynomials of fovea/targets/cpu/vmath.py: best in the largest weighted error (Remez's
exchange).

python scripts/fit_polynomials.py            # prints every table; needs mpmath
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]


def remez(f: Function, weight: Function, low: float, high: float, degree: int) -> list[mp.mpf]:
    """Coefficients (constant first) that minimize the largest |weight * (f - p)| on [low, high]."""
    n = degree + 2
    a, b = mp.mpf(low), mp.mpf(high)
    points = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
    for _ in range(12):
        matrix = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                matrix[i, j] = x**j
            matrix[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[j] for j in range(degree + 1)]

        def error(x: mp.mpf, c: list[mp.mpf] = coefficients) -> mp.mpf:
            return weight(x) * (f(x) - mp.polyval(c[::-1], x))

        points = _extrema(error, a, b, n)
    return coefficients


def _extrema(error: Function, a: mp.mpf, b: mp.mpf, n: int) -> list[mp.mpf]:
    """The n alternating extrema of an error curve, found on a fine grid."""
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / 2000) for i in range(2001)]
    values = [error(x) for x in grid]
    picked: list[tuple[mp.mpf, mp.mpf]] = []
    for x, v in zip(grid, values, strict=True):
        if picked and (v > 0) == (picked[-1][1] > 0):
            if abs(v) > abs(picked[-1][1]):
                picked[-1] = (x, v)
        else:
            picked.append((x, v))
    while len(picked) > n:
        picked.pop(0 if abs(picked[0][1]) < abs(picked[-1][1]) else -1)
    return [x for x, _ in picked]


def _series(f: Function, terms: list[mp.mpf]) -> Function:
    """`f`, but by its Taylor series (constant first) near 0, where its formula cancels."""
    return lambda x: mp.polyval(terms[::-1], x) if abs(x) < mp.mpf(10) ** -12 else f(x)


def _in_square(f: Function, zero: mp.mpf) -> Function:
    return lambda t: zero if t < mp.mpf(10) ** -24 else f(mp.sqrt(t))


LOG2 = mp.log(2)
FITS: dict[str, tuple[Function, Function, float, float, int]] = {
    # exp(r) = 1 + r + r^2 q(r)
    "EXP_32": (
        _series(lambda r: (mp.exp(r) - 1 - r) / r**2, [mp.mpf(1) / 2, mp.mpf(1) / 6]),
        lambda r: r**2 + mp.mpf(10) ** -9,
        -0.34662,
        0.34662,
        4,
    ),
    # exp(r) = 1 + r + r^2 q(r)
    "EXP_64": (
        _series(lambda r: (mp.exp(r) - 1 - r) / r**2, [mp.mpf(1) / 2, mp.mpf(1) / 6]),
        lambda r: r**2 + mp.mpf(10) ** -9,
        -0.34662,
        0.34662,
        7,
    ),
    # log(1 + f) = f - f^2 / 2 + f^3 q(f)
    "LOG_32": (
        _series(lambda f: (mp.log(1 + f) - f + f**2 / 2) / f**3, [mp.mpf(1) / 3, -mp.mpf(1) / 4]),
        lambda f: f**2 + mp.mpf(10) ** -9,
        -0.2930,
        0.4143,
        8,
    ),
    # log((1 + s) / (1 - s)) = 2 s (1 + t q(t)), t = s^2
    "LOG_64": (
        _in_square(lambda s: (mp.atanh(s) / s - 1) / s**2, mp.mpf(1) / 3),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.02945,
        6,
    ),
    # sin(r) = r + r^3 q(r^2)
    "SIN_32": (
        _in_square(lambda r: (mp.sin(r) - r) / r**3, -mp.mpf(1) / 6),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.6169,
        3,
    ),
    # cos(r) = 1 - r^2 / 2 + r^4 q(r^2)
    "COS_32": (
        _in_square(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, mp.mpf(1) / 24),
        lambda t: t**2 + mp.mpf(10) ** -6,
        0.0,
        0.6169,
        2,
    ),
    "SIN_64": (
        _in_square(lambda r: (mp.sin(r) - r) / r**3, -mp.mpf(1) / 6),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.6169,
        5,
    ),
    "COS_64": (
        _in_square(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, mp.mpf(1) / 24),
        lambda t: t**2 + mp.mpf(10) ** -6,
        0.0,
        0.6169,
        5,
    ),
    # tanh(x) = x + x^3 q(x^2), |x| < 0.625
    "TANH_32": (
        _in_square(lambda x: (mp.tanh(x) - x) / x**3, -mp.mpf(1) / 3),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.3907,
        4,
    ),
    # erf(x) = x + x q(x^2), |x| < 1
    "ERF_SMALL_32": (
        _in_square(lambda x: mp.erf(x) / x - 1, 2 / mp.sqrt(mp.pi) - 1),
        lambda t: (
            mp.mpf(1) / (mp.erf(mp.sqrt(t + mp.mpf(10) ** -20)) / mp.sqrt(t + mp.mpf(10) ** -20))
        ),
        0.0,
        1.0,
        6,
    ),
    # erf(x) = 1 - exp(-x q(x)), 1 <= x < 4
    "ERF_LARGE_32": (
        lambda x: -mp.log(mp.erfc(x)) / x,
        lambda x: x * mp.erfc(x) / mp.erf(x),
        1.0,
        4.0,
        7,
    ),
    # asin(x) = x + x^3 q(x^2), |x| <= 1/2
    "ASIN_64": (
        _in_square(lambda x: (mp.asin(x) - x) / x**3, mp.mpf(1) / 6),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.25,
        8,
    ),
    # atan(x) = x + x^3 q(x^2), |x| <= tan(pi/8)
    "ATAN_64": (
        _in_square(lambda x: (mp.atan(x) - x) / x**3, -mp.mpf(1) / 3),
        lambda t: t + mp.mpf(10) ** -6,
        0.0,
        0.17158,
        8,
    ),
}


def main() -> None:
    for name, (f, weight, low, high, degree) in FITS.items():
        c = remez(f, weight, low, high, degree)
        grid = [mp.mpf(low) + (mp.mpf(high) - low) * i / 999 for i in range(1000)]
        worst = max(abs(weight(x) * (f(x) - mp.polyval(c[::-1], x))) for x in grid)
        digits = 10 if name.endswith("32") else 18
        print(f"{name} = (  # largest weighted error {mp.nstr(worst, 2)}")
        for value in c:
            print(f"    {mp.nstr(value, digits)},")
        print(")")


if __name__ == "__main__":
    main()
