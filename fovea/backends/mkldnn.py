"""oneDNN, PyTorch's engine on CPUs: not used; its switches can be set, to no effect."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from fovea.backends.switches import switched

__all__ = ["flags", "is_available"]

SWITCHES = ("enabled", "deterministic", "allow_tf32")

enabled = False
deterministic = False
allow_tf32 = False


def is_available() -> bool:
    """False."""
    return False


def flags(**switches: Any) -> AbstractContextManager[None]:
    """Switches as given inside, as before outside."""
    return switched(globals(), SWITCHES, switches)
