"""Nested lists, tuples and dictionaries of things: what models take and return.

Dictionaries go by sorted key, but an ``OrderedDict`` by its own order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fovea.errors import ArgumentError

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_as",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:  # noqa: N801 - Keras's name
    """What a function gives ``traverse`` to have None in a part's place."""


def is_nested(structure: Any) -> bool:
    """Whether it is a list, a tuple or a dictionary.

    >>> is_nested([1]), is_nested(1)
    (True, False)
    """
    return isinstance(structure, list | tuple | dict)


def _keys(structure: dict[Any, Any]) -> Iterable[Any]:
    return structure if isinstance(structure, OrderedDict) else sorted(structure)


def flatten(structure: Any) -> list[Any]:
    """The leaves in order; dictionaries by sorted key.

    >>> flatten({"b": 2, "a": [1, (3,)]})
    [1, 3, 2]
    """
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in flatten(part)]
    if isinstance(structure, dict):
        return [leaf for key in _keys(structure) for leaf in flatten(structure[key])]
    return [structure]


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves in order, each after its path: the numbers and keys that lead to it.

    >>> flatten_with_path([{"foo": 42}, 7])
    [((0, 'foo'), 42), ((1,), 7)]
    """
    if not is_nested(structure):
        return [((), structure)]
    return [
        ((key, *path), leaf)
        for key, part in _items(structure)
        for path, leaf in flatten_with_path(part)
    ]


def _items(structure: Any) -> list[tuple[Any, Any]]:
    """The parts of a structure with the number or key of each, in ``flatten``'s order."""
    if isinstance(structure, dict):
        return [(key, structure[key]) for key in _keys(structure)]
    return list(enumerate(structure))


def _remade(structure: Any, parts: list[Any]) -> Any:
    """A structure with other parts, which come in ``flatten``'s order."""
    if isinstance(structure, dict):
        by_key = dict(zip(_keys(structure), parts, strict=True))
        kind = OrderedDict if isinstance(structure, OrderedDict) else dict
        return kind((key, by_key[key]) for key in structure)
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*parts)
    return type(structure)(parts)


def map_structure(f: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """The same structure with ``f`` of each leaf, or of the leaves at one place of several
    structures.

    Args:
        f: the function.
        structures: structures that are nested alike.
        none_is_leaf: give ``f`` also None; else that stays.

    Raises:
        ArgumentError: there is no structure, or they are nested differently.

    >>> map_structure(str, [1, {"a": 2}])
    ['1', {'a': '2'}]
    >>> map_structure(lambda a, b: a + b, (1, [2]), (10, [20]))
    (11, [22])
    """
    if len(structures) == 1 and none_is_leaf:
        return _mapped(f, structures[0])
    if not structures:
        raise ArgumentError("map_structure: at least one structure is needed.")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)

    def given(*leaves: Any) -> Any:
        if none_is_leaf or any(leaf is not None for leaf in leaves):
            return f(*leaves)
        return None

    return map_structure_up_to(structures[0], given, *structures)


def _mapped(f: Callable[..., Any], structure: Any) -> Any:
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(_mapped(f, part) for part in structure))
    if isinstance(structure, list | tuple):
        return type(structure)(_mapped(f, part) for part in structure)
    if isinstance(structure, dict):
        return {key: _mapped(f, part) for key, part in structure.items()}
    return f(structure)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """``shallow_structure`` with ``func`` of what the structures have in place of its leaves.

    Raises:
        ArgumentError: a structure that is shallower, or nested differently.

    >>> map_structure_up_to([0, 0], len, [[1, 1], [2, 2, 2]])
    [2, 3]
    """
    if not structures:
        raise ArgumentError("map_structure_up_to: at least one structure is needed.")
    if not is_nested(shallow_structure):
        return func(*structures)
    for other in structures:
        _check_level(shallow_structure, other)
    parts = [
        map_structure_up_to(part, func, *(_part(other, key) for other in structures))
        for key, part in _items(shallow_structure)
    ]
    return _remade(shallow_structure, parts)


def _part(structure: Any, key: Any) -> Any:
    return structure[key]


def _check_level(a: Any, b: Any) -> None:
    """ArgumentError unless two structures have the same kind and the same keys."""
    if is_nested(a) != is_nested(b):
        alike = False
    elif isinstance(a, dict) and isinstance(b, dict):
        alike = set(a) == set(b)
    else:
        alike = not is_nested(a) or (type(a) is type(b) and len(a) == len(b))
    if not alike:
        raise ArgumentError(
            "the structures are not nested alike.", {"first": repr(a), "second": repr(b)}
        )


def assert_same_structure(a: Any, b: Any, check_types: Any = None) -> None:
    """Raise unless two structures are nested in the same way, whatever their leaves are.

    Args:
        a, b: the structures.
        check_types: has no effect, as in Keras.

    Raises:
        ArgumentError: they are not.

    >>> assert_same_structure([(0, 1)], [(2, 3)])
    """
    _check_level(a, b)
    if is_nested(a):
        for key, part in _items(a):
            assert_same_structure(part, _part(b, key))


def assert_same_paths(a: Any, b: Any) -> None:
    """Raise unless the leaves of two structures have the same paths; a list may be a tuple.

    Raises:
        ArgumentError: they have not.

    >>> assert_same_paths([0, 1], (2, 3))
    """
    paths = [{path for path, _ in flatten_with_path(s)} for s in (a, b)]
    if paths[0] != paths[1]:
        raise ArgumentError(
            "the leaves of the structures have different paths.",
            {
                "only first": str(sorted(paths[0] - paths[1], key=str)),
                "only second": str(sorted(paths[1] - paths[0], key=str)),
            },
        )


def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """The structure with its leaves replaced, in ``flatten``'s order.

    Raises:
        ArgumentError: there are more leaves, or fewer.

    >>> pack_sequence_as({"b": 0, "a": [0, 0]}, [1, 2, 3])
    {'b': 3, 'a': [1, 2]}
    """
    leaves = list(flat_sequence)
    count = len(flatten(structure))
    if len(leaves) != count:
        raise ArgumentError(
            f"pack_sequence_as: the structure has {count} leaves, {len(leaves)} were given."
        )
    return pack_as(structure, leaves)


def pack_as(structure: Any, leaves: list[Any]) -> Any:
    """``pack_sequence_as`` of a list with as many leaves as there are."""
    return _pack(structure, iter(leaves))


def _pack(structure: Any, rest: Iterator[Any]) -> Any:
    if not is_nested(structure):
        return next(rest)
    return _remade(structure, [_pack(part, rest) for _, part in _items(structure)])


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """The structure with parts replaced by what ``func`` makes of them.

    Args:
        func: called with every part, the whole included. None means: leave it, and go on within;
            `MAP_TO_NONE`: None takes its place.
        structure: the structure.
        top_down: a whole before its parts, which are not visited if it is replaced; else after.

    >>> traverse(lambda s: sum(s) if isinstance(s, list) else None, (1, [2, 3]))
    (1, 5)
    """
    if top_down:
        found = func(structure)
        if found is None:
            return _traversed(func, structure, top_down)
    else:
        structure = _traversed(func, structure, top_down)
        found = func(structure)
        if found is None:
            return structure
    return None if found is MAP_TO_NONE else found


def _traversed(func: Callable[[Any], Any], structure: Any, top_down: bool) -> Any:
    if not is_nested(structure):
        return structure
    return _remade(structure, [traverse(func, part, top_down) for _, part in _items(structure)])


def lists_to_tuples(structure: Any) -> Any:
    """The structure with tuples in place of lists.

    >>> lists_to_tuples([1, {"a": [2]}])
    (1, {'a': (2,)})
    """
    return traverse(lambda s: tuple(s) if isinstance(s, list) else None, structure, top_down=False)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """``map_structure`` whose leaves are shapes: tuples or lists of sizes and None.

    >>> map_shape_structure(len, {"a": (None, 3), "b": (2,)})
    {'a': 2, 'b': 1}
    """

    def shape(s: Any) -> Any:
        whole = isinstance(s, list | tuple) and all(d is None or isinstance(d, int) for d in s)
        if not whole:
            return None
        found = func(s)
        return MAP_TO_NONE if found is None else found

    return traverse(shape, structure)
