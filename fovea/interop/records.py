"""Objects of classes that are not here, read as what they hold: nothing of their code runs.

A whole module that ``torch.save`` wrote, or a TorchScript program, becomes a ``Record`` of its
attributes, from which the weights can be taken.
"""

from __future__ import annotations

import sys
from typing import Any

from fovea.errors import FileFormatError
from fovea.interop.pickle_objects import PickleError, Plain, checked_key
from fovea.tensorbase import is_tensor

__all__ = ["ClassName", "Record", "is_foreign"]

_PYTHON = sys.stdlib_module_names | {"__builtin__", "copy_reg", "posix", "nt", "__main__"}
_MAX_DEPTH = 100


class ClassName(Plain):
    """The name of a class or function that a file refers to; nothing is looked up.

    Args:
        name: with its module.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


def is_foreign(module: str, name: str) -> bool:
    """Whether a name may stand in a file as a mere name: none of Python's own, but those of a
    program's main file."""
    root = module.partition(".")[0]
    return (root not in _PYTHON or root == "__main__") and name.isidentifier()


class Record(Plain):
    """An object of a class that is not here: its attributes are readable, its code is not there.

    Attributes:
        type_name: the class's name, with its module.
        arguments: what it was made with, often nothing.
        mapping, sequence: its items, where its class is a dict or a list.

    Attributes from the file are ``vars(record)["attributes"]`` and read like one's own where their
    names are not taken.
    """

    def __init__(self, type_name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.type_name = type_name
        self.arguments = arguments
        self.attributes: dict[str, Any] = {}
        self.mapping: dict[Any, Any] = {}
        self.sequence: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__.get("attributes", {})
        if name in attributes:
            return attributes[name]
        raise AttributeError(f"the record of a {self.__dict__.get('type_name')} has no {name!r}")

    def __repr__(self) -> str:
        return f"Record({self.type_name}: {', '.join(map(str, self.attributes)) or 'nothing'})"

    def set(self, state: Any) -> int:
        """Take attributes from a file; returns how many."""
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if not all(part is None or isinstance(part, dict) for part in parts):
            self.attributes["state"] = state
            return 1
        for part in parts:
            for name, value in (part or {}).items():
                if not isinstance(name, str):
                    raise PickleError("an attribute has no name")
                self.attributes[checked_key(name)] = value
        return sum(len(part or {}) for part in parts)

    def state_dict(self) -> dict[str, Any]:
        """The parameters and buffers below this module by dotted name, as in PyTorch.

        Raises:
            FileFormatError: modules that contain themselves, or deeper than any real ones.
        """
        found: dict[str, Any] = {}
        waiting: list[tuple[str, Record, tuple[int, ...]]] = [("", self, ())]
        while waiting:
            prefix, module, above = waiting.pop()
            if id(module) in above or len(above) > _MAX_DEPTH:
                raise FileFormatError(f"{self.type_name}: its modules contain themselves.")
            tensors, children = module._parts()
            found.update({prefix + name: value for name, value in tensors.items()})
            if len(found) + len(waiting) > 1_000_000:
                raise FileFormatError(f"{self.type_name}: it has more than a million parts.")
            here = (*above, id(module))
            waiting += [
                (f"{prefix}{name}.", child, here) for name, child in reversed(children.items())
            ]
        return found

    def _parts(self) -> tuple[dict[str, Any], dict[str, Record]]:
        """The tensors and the modules that this one has itself."""
        attributes = self.attributes
        if "_modules" not in attributes:  # TorchScript keeps all among the attributes
            return _tensors(attributes), _records(attributes)
        hidden = attributes.get("_non_persistent_buffers_set")
        hidden = hidden if isinstance(hidden, set) else set()
        buffers = {k: v for k, v in _tensors(attributes.get("_buffers")).items() if k not in hidden}
        return (
            {**_tensors(attributes.get("_parameters")), **buffers},
            _records(attributes.get("_modules")),
        )


def _tensors(items: Any) -> dict[str, Any]:
    items = items if isinstance(items, dict) else {}
    return {str(name): value.detach() for name, value in items.items() if is_tensor(value)}


def _records(items: Any) -> dict[str, Record]:
    items = items if isinstance(items, dict) else {}
    return {str(name): value for name, value in items.items() if isinstance(value, Record)}
