"""Switches of engines that are not used here: module attributes that can be set, to no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["switched"]


@contextmanager
def switched(module: dict[str, Any], names: Sequence[str], given: dict[str, Any]) -> Iterator[None]:
    """A module's attributes as given inside, as before outside."""
    before = {name: module[name] for name in names}
    module.update(given)
    try:
        yield
    finally:
        module.update(before)
