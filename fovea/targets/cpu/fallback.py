"""Ops that run their NumPy reference on the CPU, by name: irregular or rare ones that have no kernel yet."""

from __future__ import annotations

__all__ = ["FALLBACK"]

FALLBACK = frozenset({
    # picking and ordering
    "index", "index_grad", "index_put", "gather", "scatter", "scatter_add", "sort",
    # moving
    "cat", "pad", "slice_scatter", "clone", "flip", "roll", "tril", "triu",
    # reductions and running ones
    "sum", "mean", "prod", "amax", "amin", "any", "all", "argmax", "argmin", "cumsum", "cumprod",
})  # fmt: skip
