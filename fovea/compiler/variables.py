"""What functions read by name: variables, and attributes of what these hold.

Nothing tells when one of them changes, so all of them are looked up in each call: in one list, by
identity where no list or dictionary is among them.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable
from operator import is_
from typing import Any, NamedTuple

from fovea.errors import _PACKAGE, is_users
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor

__all__ = [
    "FUNCTIONS",
    "MOST_ITEMS",
    "SCALARS",
    "UNREAD",
    "Reads",
    "Same",
    "Variables",
    "reached",
    "read_by",
]

SCALARS = (bool, int, float, complex, str, bytes, type(None))
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
MOST_ITEMS = 64
# What a training loop notes in a model: no step reads it. A class names more in ``_notes``.
UNREAD = ("stop_training", "stop_evaluating", "stop_predicting", "_initial_epoch")
_EMPTY = object()  # what a cell without a value holds
_NO_USERS = ("fovea", "builtins", "numpy", "typing")


class Same:
    """Compares by identity."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{getattr(self.value, '__name__', type(self.value).__name__)}>"


def _snapshot(value: Any) -> Any:
    """What can be compared later: a scalar itself, a short container's items, or nothing."""
    if isinstance(value, SCALARS):
        return (type(value), value)
    if isinstance(value, list | tuple) and len(value) <= MOST_ITEMS:
        return (type(value), tuple(_snapshot(v) for v in value))
    if isinstance(value, dict) and len(value) <= MOST_ITEMS:
        items = tuple((k, _snapshot(v)) for k, v in value.items() if isinstance(k, SCALARS))
        return (dict, items)
    return Same(value)


class Reads(NamedTuple):
    """What one function reads.

    Args:
        places: names, each with the dictionary (or what is like one) in which it is looked up.
        cells: names and cells of its closure.
    """

    places: list[tuple[Any, Any]]
    cells: list[tuple[str, types.CellType]]

    def held(self) -> list[Any]:
        """What all of them hold now."""
        return [
            *[own.get(name, _EMPTY) for name, own in self.places],
            *[_content(cell) for _, cell in self.cells],
        ]


class Variables:
    """What several functions read, each of it once.

    Args:
        reads: what each reads.
    """

    def __init__(self, reads: Iterable[Reads]) -> None:
        reads = list(reads)
        places = {(name, id(own)): (name, own) for r in reads for name, own in r.places}
        cells = {id(cell): (name, cell) for r in reads for name, cell in r.cells}
        self._reads = Reads([*places.values()], [*cells.values()])
        self._held = self._reads.held()
        self._seen = [_snapshot(v) for v in self._held]
        # Whether what they hold changes only if something else takes its place.
        self._fixed = not any(isinstance(v, list | tuple | dict) for v in self._held)

    def changed(self) -> str:
        """Which of them is another than it was, or an empty string."""
        found = self._reads.held()
        if self._fixed and all(map(is_, found, self._held)):
            return ""
        now = [_snapshot(v) for v in found]
        if now == self._seen:
            self._held = found
            return ""
        names = [name for name, _ in (*self._reads.places, *self._reads.cells)]
        for name, a, b in zip(names, self._seen, now, strict=True):
            if a != b:
                return f"the variable {name!r} changed"
        return "a variable changed"


def reached(function: Any, given: Iterable[Any] = ()) -> list[tuple[types.FunctionType, Reads]]:
    """A function and the user's functions that it can reach by name, with what each reads.

    Args:
        given: objects that it is called with, that of a method among them.
    """
    found: list[tuple[types.FunctionType, Reads]] = []
    seen: set[int] = set()
    stack, given = [function], [*given]
    while stack and len(found) < MOST_ITEMS:
        f = stack.pop()
        while isinstance(f, functools.partial):
            given += [*f.args, *f.keywords.values()]
            f = f.func
        f = getattr(f, "__func__", f)
        f = getattr(f, "__wrapped__", f)
        if not isinstance(f, types.FunctionType) or id(f) in seen or not _is_users(f):
            continue
        seen.add(id(f))
        reads = _reads_of(f, given)
        found.append((f, reads))
        held = reads.held()
        stack += held
        given += [v for v in held if _has_fields(v)]  # whose methods may come next
    return found


def _reads_of(function: types.FunctionType, given: list[Any]) -> Reads:
    code = function.__code__
    names = _names(code)
    cells = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
    places: list[tuple[str, Any]] = [
        (n, function.__globals__) for n in names if n in function.__globals__
    ]
    arguments = reversed(code.co_varnames[: code.co_argcount])
    usual = dict(zip(arguments, reversed(function.__defaults__ or ()), strict=False))
    usual |= function.__kwdefaults__ or {}
    places += [(n, usual) for n in usual]
    held = Reads(places, cells).held()
    return Reads([*places, *_fields([*held, *given], names)], cells)


def _fields(objects: list[Any], names: list[str]) -> list[tuple[str, Any]]:
    """The attributes with these names of the user's objects, and of what these hold. Of a module
    those alone that hold something else: its plain ones are known otherwise.
    """
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()
    while objects and len(found) < MOST_ITEMS:
        held = objects.pop(0)
        if id(held) in seen or not _has_fields(held):
            continue
        seen.add(id(held))
        for own in _spaces(held):
            there = [n for n in names if n in own and n not in UNREAD]
            objects += [own.get(n) for n in there]
            if isinstance(held, Module) and own is held.__dict__:
                there = [n for n in there if _can_change(own[n])]
            found += [(n, own) for n in there]
    return found


def _spaces(held: Any) -> list[Any]:
    """The dictionaries in which Python looks for an object's attributes."""
    bases = () if isinstance(held, type) else type(held).__mro__
    found = [vars(held)] if hasattr(held, "__dict__") else [_Slots(held)]
    return [*found, *(vars(b) for b in bases if not _is_known(b))]


class _Slots:
    """The attributes of an object without a dictionary, as if it had one."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.names = {n for b in type(held).__mro__ for n in getattr(b, "__slots__", ())}

    def __contains__(self, name: str) -> bool:
        return name in self.names and hasattr(self.held, name)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self.held, name, default)


def _can_change(value: Any) -> bool:
    return isinstance(value, list | tuple | dict) or _has_fields(value)


def _has_fields(value: Any) -> bool:
    """Whether something is an object, a class or a file of the user's."""
    if isinstance(value, types.ModuleType):
        file = getattr(value, "__file__", None)
        return file is not None and is_users(file) and "site-packages" not in file
    kind = value if isinstance(value, type) else type(value)
    plain = hasattr(value, "__dict__") or hasattr(kind, "__slots__")
    return plain and not (isinstance(value, FUNCTIONS) or is_tensor(value) or _is_known(kind))


def _is_known(kind: type) -> bool:
    """Whether a class is fovea's own, or of a library whose objects keep their attributes."""
    return str(kind.__module__).partition(".")[0] in _NO_USERS


def read_by(kind: type) -> set[str]:
    """The names that the user's classes among a class and its bases read."""
    found: set[str] = set()
    for base in kind.__mro__:
        if _is_known(base):
            continue
        for f in vars(base).values():
            f = getattr(f, "fget", getattr(f, "__func__", f))
            f = getattr(f, "__wrapped__", f)
            if isinstance(f, types.FunctionType) and _is_users(f):
                found.update(_names(f.__code__))
    return found


def _is_users(function: types.FunctionType) -> bool:
    return not function.__code__.co_filename.startswith(_PACKAGE)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _names(code: types.CodeType) -> list[str]:
    """The names of variables and attributes that code mentions."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return list(dict.fromkeys(names))
