"""``fovea.serialization``: what ``fovea.load`` may make of a file, by PyTorch's names.

``fovea.load`` never runs code from a file, whatever is added here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fovea.interop import load, save

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

_safe: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Remember classes, to no effect on what is read."""
    _safe.extend(x for x in safe_globals if x not in _safe)


def get_safe_globals() -> list[Any]:
    """What was added."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Forget what was added."""
    _safe.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """``add_safe_globals`` for a while."""
    before = get_safe_globals()
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe[:] = before
