"""cuDNN, PyTorch's engine on CUDA devices: not used; its switches can be set, to no effect."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from fovea.backends.switches import switched

__all__ = ["flags", "is_acceptable", "is_available", "version"]

SWITCHES = ("enabled", "benchmark", "deterministic", "allow_tf32", "benchmark_limit")

enabled = False
benchmark = False
deterministic = False
allow_tf32 = False
benchmark_limit = 10


def is_available() -> bool:
    """False."""
    return False


def version() -> None:
    """None."""


def is_acceptable(tensor: Any) -> bool:
    """False."""
    return False


def flags(**switches: Any) -> AbstractContextManager[None]:
    """Switches as given inside, as before outside."""
    return switched(globals(), SWITCHES, switches)
