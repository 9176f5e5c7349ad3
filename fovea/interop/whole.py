"""Whole modules in PyTorch's format: ``fovea.save(model, path)``.

A file names the module's class and holds its attributes. Reading it back needs
``fovea.load(path, weights_only=False)`` and the program that defines the class; no file makes
fovea import or call anything: it may name classes and functions of fovea and of modules that the
program itself has imported and that define a network, and it may only set the attributes of
objects of such classes. Of fovea's functions it may name those of tensors, which read and write no
files, and it may fix arguments of classes of modules and of layers' functions alone: what it leaves
in a module is called once the module is.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from enum import Enum
from types import FunctionType
from typing import Any

from fovea.interop.pickle_objects import PickleError
from fovea.nn.module import Module

__all__ = ["Named", "is_module", "named", "parts_of", "resolve"]

_OF_TENSORS = ("fovea.functions.", "fovea.nn.functional.", "fovea.nn.init", "fovea.vision.ops.")
MEMBER = "fovea.interop.whole", "_member"
PARTIAL = "fovea.interop.whole", "_partial"


def is_module(obj: Any) -> bool:
    """Whether an object is a module, which a file can hold as a whole."""
    return isinstance(obj, Module)


def named(obj: Any) -> tuple[str, str] | None:
    """Where a class or function is found again: its module and its name there; None: nowhere."""
    if not isinstance(obj, type | FunctionType):
        return None
    module, name = obj.__module__, obj.__qualname__
    return (module, name) if resolve(module, name) is obj else None


def parts_of(obj: Any) -> tuple[tuple[str, str], dict[str, Any]] | None:
    """The class and the attributes of an object that they make again; None if they do not."""
    kind = named(type(obj))
    if kind is None or not (is_module(obj) or hasattr(obj, "__dict__")):
        return None
    try:
        reduced = obj.__reduce_ex__(2)
    except TypeError:
        return None
    plain = isinstance(reduced, tuple) and getattr(reduced[0], "__name__", "") == "__newobj__"
    if not plain or reduced[1] != (type(obj),) or any(reduced[3:]):
        return None
    state = reduced[2]
    return (kind, state or {}) if state is None or isinstance(state, dict) else None


def _found(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


# -- reading --------------------------------------------------------------------------------------


class Named:
    """What a file being read has named, and the objects made of it so far."""

    def __init__(self) -> None:
        self.given: dict[int, Any] = {}
        self.made: dict[int, Any] = {}

    def lookup(self, module: str, name: str) -> Any:
        """The class or function, or None if it is not for files to name."""
        found = resolve(module, name)
        if found is not None:
            self.given[id(found)] = found
        return found

    def is_given(self, obj: Any) -> bool:
        """Whether an object is such a class or function, which is not to be called."""
        return self.given.get(id(obj)) is obj

    def new(self, kind: type) -> Any:
        """An object of a class, without attributes as yet."""
        if hasattr(kind, "__del__"):
            raise PickleError("an object is of a class that does something when it goes")
        made: Any = object.__new__(kind)
        self.made[id(made)] = made
        return made

    def set(self, obj: Any, state: Any) -> bool:
        """Give an object its attributes; False if it was not made here."""
        if self.made.get(id(obj)) is not obj:
            return False
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise PickleError("a module has attributes without names")
        if isinstance(obj, Module):
            obj.__setstate__(state)
        else:
            vars(obj).update(state)
        return True


def resolve(module: str, name: str) -> Any:
    """What a file may name: see the top. None for anything else."""
    if (module, name) == PARTIAL:
        return _partial
    if (module, name) == MEMBER:
        return _member
    if module.partition(".")[0] != "fovea" and not _defines_networks(module):
        return None
    found = _found(module, name)
    if not isinstance(found, type | FunctionType) or found.__module__ != module:
        return None
    return found if isinstance(found, type) or _is_harmless(module, name) else None


def _is_harmless(module: str, name: str) -> bool:
    """Whether a function is one of tensors, or the program's own: no method of a class."""
    own = module.partition(".")[0] != "fovea"
    return "." not in name and (own or module.startswith(_OF_TENSORS))


def _defines_networks(module: str) -> bool:
    """Whether the program has a module of that name with a network's class in it."""
    here = vars(sys.modules[module]).values() if module in sys.modules else ()
    return any(
        isinstance(x, type) and issubclass(x, Module) and x.__module__ == module for x in here
    )


def _partial(function: Any, arguments: Any, named: Any) -> functools.partial[Any]:
    """Stands for ``functools.partial`` of a class of modules, or a layer's function."""
    of_modules = isinstance(function, type) and issubclass(function, Module)
    of_layers = getattr(function, "__module__", "").startswith("fovea.nn.functional.")
    if not (of_modules or (of_layers and isinstance(function, FunctionType))):
        raise PickleError("arguments are fixed of something that makes no part of a network")
    if not isinstance(arguments, tuple) or not isinstance(named, dict):
        raise PickleError("a part of a function is none")
    return functools.partial(function, *arguments, **named)


def _member(kind: Any, name: Any) -> Enum:
    """A member of an enumeration."""
    if not isinstance(kind, type) or not issubclass(kind, Enum) or name not in kind.__members__:
        raise PickleError("a member of an enumeration is none")
    return kind[name]


CALLED: tuple[Callable[..., Any], ...] = (_partial, _member)
