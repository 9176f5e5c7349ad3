"""``fovea.nn`` modules as plain data: what ``.keras`` files hold of a module within a model.

A module is described by its class, its plain attributes, and the shapes of its tensors; their
values stand with the other weights. Reading makes only modules of this package and of classes that
the program registered, or passed as ``custom_objects``, and calls nothing but ``reset_parameters``.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.keras.objects import (
    deserialize_keras_object,
    get_registered_name,
    get_registered_object,
    serialize_keras_object,
)
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensorbase import is_tensor

__all__ = ["describe_module", "module_from"]

_OWN = frozenset(Module().__dict__) - {"training"}  # the registries, and hooks, which are code
_SKIPPED = _OWN | {"_hooked"}


def describe_module(module: Module) -> dict[str, Any]:
    """A module as plain data. Modules and parameters that stand in several places stay shared.

    Raises:
        ArgumentError: an attribute that is no plain data; names it.

    >>> import fovea
    >>> describe_module(fovea.nn.ReLU())["class_name"]
    'ReLU'
    """
    return _Describing().module(module, "")


def module_from(description: dict[str, Any]) -> Module:
    """The module that plain data describes, with fresh weights.

    Raises:
        ArgumentError: a class that is neither this package's nor registered.

    >>> import fovea
    >>> module_from(describe_module(fovea.nn.Linear(3, 2)))
    Linear(in_features=3, out_features=2, bias=True)
    """
    made = _Making().module(description, "")
    for module in made.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset) and not hasattr(module, "get_config"):
            reset()
    return made


class _Describing:
    """One walk over a module; knows what it has met, and where."""

    def __init__(self) -> None:
        self.met: dict[int, str] = {}

    def module(self, module: Any, path: str) -> dict[str, Any]:
        """A module, or where it was met before."""
        if id(module) in self.met:
            return {"same_as": self.met[id(module)]}
        self.met[id(module)] = path
        if hasattr(module, "get_config"):  # a Keras layer describes itself
            return {"layer": serialize_keras_object(module)}
        cls = type(module)
        attributes = {
            name: _written(value, f"{cls.__name__}.{name}")
            for name, value in module.__dict__.items()
            if name not in _SKIPPED
        }
        return {
            "module": cls.__module__,
            "class_name": cls.__name__,
            "registered_name": get_registered_name(cls),
            "attributes": attributes,
            "parameters": {n: self.tensor(p, path, n) for n, p in module._parameters.items()},
            "buffers": {n: self.buffer(module, n, path) for n in module._buffers},
            "modules": {
                n: None if m is None else self.module(m, f"{path}.{n}" if path else n)
                for n, m in module._modules.items()
            },
        }

    def tensor(self, t: Any, path: str, name: str) -> dict[str, Any] | None:
        """What a parameter is like, or where it was met before."""
        if t is None:
            return None
        if id(t) in self.met:
            return {"same_as": self.met[id(t)]}
        self.met[id(t)] = f"{path}.{name}" if path else name
        return {"shape": list(t.shape), "dtype": t.dtype.name, "learned": t.requires_grad}

    def buffer(self, module: Any, name: str, path: str) -> dict[str, Any] | None:
        """What a buffer is like; its values, too, if states leave it out."""
        found = self.tensor(module._buffers[name], path, name)
        if found is not None and name in module._non_persistent_buffers_set:
            found["values"] = _written(module._buffers[name], name)
        return found


class _Making:
    """The way back."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def module(self, description: Any, path: str) -> Any:
        """The module at a path."""
        if "same_as" in description:
            return self.made[description["same_as"]]
        if "layer" in description:
            made = self.made[path] = deserialize_keras_object(description["layer"])
            return made
        cls = _class(description)
        made = self.made[path] = cls.__new__(cls)
        Module.__init__(made)
        for name, value in description["attributes"].items():
            made.__dict__[name] = _read(value)
        prefix = f"{path}." if path else ""
        for name, value in description["parameters"].items():
            made._parameters[name] = self.parameter(value, prefix + name)
        for name, value in description["buffers"].items():
            made._buffers[name] = self.buffer(made, name, value, prefix + name)
        for name, value in description["modules"].items():
            made._modules[name] = None if value is None else self.module(value, prefix + name)
        return made

    def parameter(self, value: Any, path: str) -> Any:
        """A parameter of zeros."""
        if value is None or "same_as" in value:
            return value and self.made[value["same_as"]]
        zeros = creation.zeros(tuple(value["shape"]), dtype=dtypes.as_dtype(value["dtype"]))
        made = self.made[path] = Parameter(zeros, requires_grad=bool(value["learned"]))
        return made

    def buffer(self, module: Any, name: str, value: Any, path: str) -> Any:
        """A buffer: of zeros, or of the values that stand here."""
        if value is None or "same_as" in value:
            return value and self.made[value["same_as"]]
        if "values" in value:
            module._non_persistent_buffers_set.add(name)
            made = _read(value["values"])
        else:
            made = creation.zeros(tuple(value["shape"]), dtype=dtypes.as_dtype(value["dtype"]))
        self.made[path] = made
        return made


def _class(description: dict[str, Any]) -> Any:
    name, module = description["class_name"], str(description["module"])
    found = get_registered_object(description["registered_name"]) or get_registered_object(name)
    if found is None and module.startswith("fovea."):
        found = vars(importlib.import_module(module)).get(name)
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise ArgumentError(
            f"the module class {name!r} (of {module}) is not known.",
            fix=f"pass custom_objects={{{name!r}: {name}}}, or register it with "
            "@fovea.keras.saving.register_keras_serializable()",
        )
    return found


def _written(value: Any, where: str) -> Any:
    """An attribute's value as plain data; what JSON has no word for is tagged."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_written(v, where) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_written(v, where) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[_written(k, where), _written(v, where)] for k, v in value.items()]}
    if isinstance(value, dtypes.DType):
        return {"dtype": value.name}
    if is_tensor(value):
        return {"tensor": value.detach().tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.ndarray | np.generic):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, types.FunctionType) and value.__module__.startswith("fovea."):
        return {"function": value.__name__, "module": value.__module__}
    raise ArgumentError(
        f"{where} is a {type(value).__name__}, which cannot be written to a file.",
        fix="keep it as numbers, strings or modules, or save the state_dict alone",
    )


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_read(v) for v in value["tuple"])
    if "dict" in value:
        return {_read(k): _read(v) for k, v in value["dict"]}
    if "tensor" in value:
        return creation.tensor(value["tensor"], dtype=dtypes.as_dtype(value["dtype"]))
    if "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    if "function" in value:
        return _function(str(value["module"]), str(value["function"]))
    return dtypes.as_dtype(value["dtype"])


def _function(module: str, name: str) -> Any:
    """A function of ``fovea.nn.functional`` or another room of functions."""
    if module.startswith(("fovea.nn.functional", "fovea.functions")):
        found = vars(importlib.import_module(module)).get(name)
        if isinstance(found, types.FunctionType):
            return found
    raise ArgumentError(f"the file names a function {module}.{name}, which is not known.")
