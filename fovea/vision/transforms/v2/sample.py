"""Samples taken apart: tuples, lists and dictionaries, nested in any way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["flatten"]


def flatten(sample: Any) -> tuple[list[Any], list[str | None], Callable[[list[Any]], Any]]:
    """The parts of a sample in order, the names that dictionaries have for them, and what puts
    other parts together in the same way.

    >>> parts, names, rebuild = flatten((1, {"a": [2, 3]}))
    >>> parts, names, rebuild([4, 5, 6])
    ([1, 2, 3], [None, 'a', 'a'], (4, {'a': [5, 6]}))
    """
    parts: list[Any] = []
    names: list[str | None] = []
    _collect(sample, None, parts, names)
    return parts, names, lambda changed: _rebuilt(sample, iter(changed))


def _collect(value: Any, name: str | None, parts: list[Any], names: list[str | None]) -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _collect(entry, key if isinstance(key, str) else name, parts, names)
    elif isinstance(value, tuple | list):
        for entry in value:
            _collect(entry, name, parts, names)
    else:
        parts.append(value)
        names.append(name)


def _rebuilt(value: Any, parts: Iterator[Any]) -> Any:
    if isinstance(value, Mapping):
        made = {key: _rebuilt(entry, parts) for key, entry in value.items()}
        return made if type(value) is dict else type(value)(made)  # type: ignore[call-arg]
    if isinstance(value, tuple | list):
        entries = [_rebuilt(entry, parts) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return next(parts)
