"""Arguments and results as flat lists: tensors, and what holds them together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from fovea.tensorbase import is_tensor

__all__ = ["flatten", "rebuild"]


def flatten(value: Any, tensors: list[Any]) -> Any:
    """Take the tensors out of nested lists, tuples and dictionaries.

    Args:
        tensors: where they are appended.

    Returns:
        The structure: hashable where all else in it is. ``rebuild`` is its inverse.

    >>> import fovea
    >>> found = []
    >>> flatten({"x": fovea.ones(1), "n": [2]}, found)
    ('dict', ('x', 'n'), (('tensor',), ('list', (('value', <class 'int'>, 2),))))
    >>> len(found)
    1
    """
    if is_tensor(value):
        tensors.append(value)
        return ("tensor",)
    kind = type(value)
    if kind is tuple or kind is list:
        return (kind.__name__, tuple([flatten(v, tensors) for v in value]))
    if kind is dict or kind is OrderedDict:
        name = "dict" if kind is dict else "ordered"
        return (name, tuple(value), tuple([flatten(v, tensors) for v in value.values()]))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ("named", kind, tuple([flatten(v, tensors) for v in value]))
    return ("value", kind, value)


def rebuild(structure: Any, take: Callable[[], Any]) -> Any:
    """The value of a structure, with tensors from ``take()`` in order."""
    kind = structure[0]
    if kind == "tensor":
        return take()
    if kind == "value":
        return structure[2]
    if kind in ("dict", "ordered"):
        items = zip(structure[1], [rebuild(s, take) for s in structure[2]], strict=True)
        return dict(items) if kind == "dict" else OrderedDict(items)
    if kind == "named":
        return structure[1](*[rebuild(s, take) for s in structure[2]])
    parts = [rebuild(s, take) for s in structure[1]]
    return tuple(parts) if kind == "tuple" else parts
