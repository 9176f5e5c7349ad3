"""Nested lists, tuples and dictionaries of things: what models take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["flatten", "map_structure", "pack_as"]


def flatten(structure: Any) -> list[Any]:
    """The leaves in order; dictionaries by sorted key.

    >>> flatten({"b": 2, "a": [1, (3,)]})
    [1, 3, 2]
    """
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in flatten(part)]
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    return [structure]


def map_structure(f: Callable[..., Any], structure: Any) -> Any:
    """The same structure with ``f`` of each leaf.

    >>> map_structure(str, [1, {"a": 2}])
    ['1', {'a': '2'}]
    """
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(map_structure(f, part) for part in structure))
    if isinstance(structure, list | tuple):
        return type(structure)(map_structure(f, part) for part in structure)
    if isinstance(structure, dict):
        return {key: map_structure(f, part) for key, part in structure.items()}
    return f(structure)


def pack_as(structure: Any, leaves: list[Any]) -> Any:
    """The structure with its leaves replaced, in ``flatten``'s order.

    >>> pack_as({"b": 0, "a": [0, 0]}, [1, 2, 3])
    {'b': 3, 'a': [1, 2]}
    """
    rest = iter(leaves)
    return _pack(structure, rest)


def _pack(structure: Any, rest: Iterator[Any]) -> Any:
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(_pack(part, rest) for part in structure))
    if isinstance(structure, list | tuple):
        return type(structure)(_pack(part, rest) for part in structure)
    if isinstance(structure, dict):
        packed = {key: _pack(structure[key], rest) for key in sorted(structure)}
        return {key: packed[key] for key in structure}
    return next(rest)
