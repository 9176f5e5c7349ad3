"""Ops that run their NumPy reference on the CPU, by name: irregular or rare ones that have no
kernel yet.
"""

from __future__ import annotations

__all__ = ["FALLBACK"]

FALLBACK = frozenset(
    {
        "acosh",
        "asinh",
        "atanh",
        "cummax",
        "cummin",
        "erfc",
        "erfinv",
        "gcd",
        "lgamma",
        "logcumsumexp",
        "mode",
        "nextafter",
        "polygamma",
        "random_multinomial",
        "resize2d",
        "resize2d_grad",
        "scatter_reduce",
        "searchsorted",
        "sort",
    }
)
