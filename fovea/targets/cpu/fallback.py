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
        "complex",
        "complex_abs",
        "complex_angle",
        "conj",
        "cummax",
        "cummin",
        "det",
        "eig",
        "eigh",
        "erfc",
        "erfcx",
        "erfinv",
        "fft_c2c",
        "fft_c2r",
        "fft_r2c",
        "gamma_slope",
        "gcd",
        "i0",
        "i0e",
        "i1",
        "i1e",
        "imag",
        "inverse",
        "igamma",
        "igammac",
        "lgamma",
        "log_ndtr",
        "logcumsumexp",
        "lu_factor",
        "matrix_exp",
        "mode",
        "nextafter",
        "pinv",
        "pivoted_rows",
        "polygamma",
        "qr",
        "random_multinomial",
        "random_poisson",
        "real",
        "scatter_reduce",
        "searchsorted",
        "slogdet",
        "solve",
        "solve_triangular",
        "sort",
        "svd",
        "view_as_complex",
        "view_as_real",
    }
)
