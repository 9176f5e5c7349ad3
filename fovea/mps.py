"""``fovea.mps``: there is no such device; what only looks after it does nothing.

>>> import fovea
>>> fovea.device("mps" if fovea.backends.mps.is_available() else "cpu")
device(type='cpu')
"""

from __future__ import annotations

__all__ = [
    "current_allocated_memory",
    "device_count",
    "driver_allocated_memory",
    "empty_cache",
    "is_available",
    "manual_seed",
    "seed",
    "set_per_process_memory_fraction",
    "synchronize",
]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def synchronize() -> None:
    """Nothing to wait for."""


def empty_cache() -> None:
    """Nothing to give back."""


def manual_seed(seed: int) -> None:
    """Nothing to seed."""


def seed() -> None:
    """Nothing to seed."""


def current_allocated_memory() -> int:
    """0."""
    return 0


def driver_allocated_memory() -> int:
    """0."""
    return 0


def set_per_process_memory_fraction(fraction: float) -> None:
    """Nothing to limit."""
