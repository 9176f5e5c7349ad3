"""oneDNN, PyTorch's engine on CPUs: not used; its switches can be set, to no effect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["flags", "is_available"]

SWITCHES = ("enabled", "deterministic", "allow_tf32")

enabled = False
deterministic = False
allow_tf32 = False


def is_available() -> bool:
    """False."""
    return False


@contextlib.contextmanager
def flags(**switches: Any) -> Iterator[None]:
    """Switches as given inside, as before outside."""
    here = globals()
    before = {name: here[name] for name in SWITCHES}
    here.update(switches)
    try:
        yield
    finally:
        here.update(before)
