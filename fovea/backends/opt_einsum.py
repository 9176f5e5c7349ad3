"""opt_einsum, which orders PyTorch's ``einsum``: not used; what is set has no effect."""

from __future__ import annotations

from typing import Any

__all__ = ["is_available"]

enabled = False
strategy: Any = None


def is_available() -> bool:
    """False."""
    return False
