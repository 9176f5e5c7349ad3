"""``fovea.accelerator``: eager tensors live on the CPU, so there is none.

>>> import fovea
>>> fovea.accelerator.is_available()
False
"""

from __future__ import annotations

__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """None."""


def synchronize() -> None:
    """Nothing to wait for."""
