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
        "cholesky",
        "cummax",
        "cummin",
        "det",
        "eigh",
        "erfc",
        "erfinv",
        "gcd",
        "inverse",
        "lgamma",
        "logcumsumexp",
        "matrix_exp",
        "mode",
        "nextafter",
        "pinv",
        "polygamma",
        "qr",
        "random_multinomial",
        "resize2d",
        "resize2d_grad",
        "scatter_reduce",
        "searchsorted",
        "slogdet",
        "solve",
        "sort",
        "svd",
    }
)
