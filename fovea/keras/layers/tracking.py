"""Lists and dictionaries of layers as attributes: what they hold is part of the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

from fovea.nn.container import ModuleList
from fovea.nn.module import Module

__all__ = ["TrackedList", "follow_mode", "hold", "tracked"]


def tracked(owner: Module, name: str, value: Any) -> Any:
    """``value``, with the modules in it registered under the attribute's name.

    A list comes back as a list that also registers what is appended later.
    """
    if "_modules" not in owner.__dict__ or name.startswith("_"):
        return value
    held = owner._modules.get(name)
    if isinstance(held, _Holder):
        del owner._modules[name]
    if isinstance(value, list):
        if not all(isinstance(v, Module) for v in value):
            return value if not _modules_in(value) else hold(owner, name, value)
        return TrackedList(owner, name, value)
    return hold(owner, name, value) if _modules_in(value) else value


class _Holder(ModuleList):
    """Registers modules that an attribute holds in a list, a tuple or a dictionary."""

    def __init__(self, modules: list[Module]) -> None:
        super().__init__()
        self.__dict__["training"] = None  # the layer that has the list knows the mode
        self.extend(modules)


def hold(owner: Module, name: str, value: Any) -> Any:
    """``value``, with the modules in it registered under a name."""
    owner._modules[name] = _Holder(_modules_in(value))
    return value


def _modules_in(value: Any) -> list[Module]:
    if isinstance(value, Module):
        return [value]
    if isinstance(value, dict):
        return [m for v in value.values() for m in _modules_in(v)]
    if isinstance(value, list | tuple):
        return [m for v in value for m in _modules_in(v)]
    return []


def follow_mode(layer: Module, training: bool) -> None:
    """Put the modules that a layer holds, and that are no layers, into the mode of its call.

    Layers learn the mode from the call itself. What such a module holds is left as it is if the
    module itself is in the mode: parts that a user put into another one stay there.
    """
    for module in layer._modules.values():
        if module is None or module.training is training or hasattr(module, "call"):
            continue
        if isinstance(module, _Holder):
            follow_mode(module, training)
        else:
            module.train(training)


class TrackedList(list[Any]):
    """A list whose modules belong to the layer that has it as an attribute."""

    def __init__(self, owner: Module, name: str, values: Iterable[Any] = ()) -> None:
        super().__init__(values)
        self._owner, self._name = owner, name
        self._register()

    def _register(self) -> None:
        modules = _modules_in(list(self))
        if modules:
            self._owner._modules[self._name] = _Holder(modules)
        elif isinstance(self._owner._modules.get(self._name), _Holder):
            del self._owner._modules[self._name]

    def append(self, value: Any) -> None:
        super().append(value)
        self._register()

    def extend(self, values: Iterable[Any]) -> None:
        super().extend(values)
        self._register()

    def insert(self, index: SupportsIndex, value: Any) -> None:
        super().insert(index, value)
        self._register()

    def pop(self, index: SupportsIndex = -1) -> Any:
        value = super().pop(index)
        self._register()
        return value

    def remove(self, value: Any) -> None:
        super().remove(value)
        self._register()

    def clear(self) -> None:
        super().clear()
        self._register()

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        self._register()

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        self._register()

    def __iadd__(self, values: Any) -> Any:  # type: ignore[misc]
        self.extend(values)
        return self

    def __reduce__(self) -> Any:
        return (list, (list(self),))
