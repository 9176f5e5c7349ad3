"""cuDNN, PyTorch's engine on CUDA devices: not used; its switches can be set, to no effect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

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
