"""Trees: tensors (and whatever else) in nested tuples, lists and dictionaries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["Tree", "flatten", "prefix", "tree_map"]


class Tree:
    """The shape of a nested value: its containers, with a place for each leaf.

    Args:
        kind: the container's class, or None for a leaf.
        keys: of a dictionary.
        children: what it holds.
    """

    __slots__ = ("children", "keys", "kind")

    def __init__(self, kind: Any = None, keys: Any = None, children: Sequence[Tree] = ()) -> None:
        self.kind, self.keys, self.children = kind, keys, tuple(children)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tree)
            and self.kind is other.kind
            and self.keys == other.keys
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        if self.keys is not None:
            rows = zip(self.keys, self.children, strict=True)
            return "{" + ", ".join(f"{k!r}: {c!r}" for k, c in rows) + "}"
        inside = ", ".join(map(repr, self.children))
        if self.kind is list:
            return f"[{inside}]"
        return f"({inside},)" if len(self.children) == 1 else f"({inside})"

    def build(self, leaves: Sequence[Any]) -> Any:
        """The value with these leaves, which are taken in order."""
        return self._filled(iter(leaves))

    def _filled(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        values = [child._filled(leaves) for child in self.children]
        if self.keys is not None:
            return self.kind(zip(self.keys, values, strict=True))
        return self.kind(*values) if hasattr(self.kind, "_fields") else self.kind(values)


_LEAF = Tree()


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """The leaves of a nested value, and its shape. ``tree.build(leaves)`` is the value again.

    >>> flatten({"a": 1, "b": (2, [3])})
    ([1, 2, 3], {'a': *, 'b': (*, [*])})
    """
    leaves: list[Any] = []
    return leaves, _taken_apart(value, leaves)


def _taken_apart(value: Any, leaves: list[Any]) -> Tree:
    kind = type(value)
    if kind is dict or kind is OrderedDict:
        return Tree(kind, tuple(value), [_taken_apart(v, leaves) for v in value.values()])
    if kind is tuple or kind is list or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return Tree(kind, None, [_taken_apart(v, leaves) for v in value])
    leaves.append(value)
    return _LEAF


def tree_map(function: Callable[[Any], Any], value: Any) -> Any:
    """A nested value with each leaf replaced by ``function`` of it.

    >>> tree_map(lambda n: n + 1, {"a": 1, "b": (2,)})
    {'a': 2, 'b': (3,)}
    """
    leaves, tree = flatten(value)
    return tree.build([function(leaf) for leaf in leaves])


def prefix(value: Any, tree: Tree, what: str) -> list[Any]:
    """For each leaf of a tree what a value says of it that may stop at any container.

    >>> prefix((0, None), flatten(([1, 2], 3))[1], "in_dims")
    [0, 0, None]
    """
    if tree.kind is not None and type(value) is tree.kind:
        inner, keys = (value, None) if tree.keys is None else (value.values(), tuple(value))
        if len(inner) == len(tree.children) and keys == tree.keys:
            rows = zip(inner, tree.children, strict=True)
            return [v for part, child in rows for v in prefix(part, child, what)]
    if isinstance(value, tuple | list | dict):
        raise ArgumentError(f"{what} does not fit the structure {tree!r}: got {value!r}.")
    return [value] * _count(tree)


def _count(tree: Tree) -> int:
    return 1 if tree.kind is None else sum(map(_count, tree.children))
