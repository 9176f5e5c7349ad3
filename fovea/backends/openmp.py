"""OpenMP, PyTorch's threads: not used; its switches can be set, to no effect."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
