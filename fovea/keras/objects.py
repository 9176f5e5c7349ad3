"""Layers, losses and the like as plain data, and back: what ``get_config`` and files are made of.

The form is Keras's: ``{"module": "keras.layers", "class_name": "Dense", "config": {...}}``. Reading
makes only objects of this package and those that the program itself registered: a file names
classes, it cannot bring code.
"""

from __future__ import annotations

import importlib
import inspect
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import tensor as make_tensor
from fovea.keras.naming import nearest
from fovea.tensorbase import is_tensor

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "lookup",
    "register_keras_serializable",
    "serialize_keras_object",
]

PLAIN = (str, int, float, bool)
# Modules that files may name, and the kinds of things that may be taken from each.
_MODULES = {
    "keras": "fovea.keras",
    "keras.layers": "fovea.keras.layers",
    "keras.models": "fovea.keras.models",
    "keras.initializers": "fovea.keras.initializers",
    "keras.regularizers": "fovea.keras.regularizers",
    "keras.constraints": "fovea.keras.constraints",
    "keras.activations": "fovea.keras.activations",
    "keras.distillation": "fovea.keras.distillation",
    "keras.losses": "fovea.keras.losses",
    "keras.metrics": "fovea.keras.metrics",
    "keras.optimizers": "fovea.keras.optimizers",
    "keras.optimizers.schedules": "fovea.keras.optimizers.schedules",
    "keras.src.applications.convnext": "fovea.keras.applications.convnext",
    "keras.src.applications.inception_resnet_v2": "fovea.keras.applications.inception_resnet_v2",
    "keras.src.models.functional": "fovea.keras.models",
    "keras.src.models.sequential": "fovea.keras.models",
}
_FUNCTION_MODULES = ("activations", "losses", "metrics")

_registered: dict[str, Any] = {}
_registered_names: dict[Any, str] = {}
_scopes: list[dict[str, Any]] = []
T = TypeVar("T")


# -- objects of one's own ---------------------------------------------------------------------


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Any:
    """Decorator: let files name this class or function, as ``"package>name"``.

    >>> @register_keras_serializable("demo")
    ... def double(x):
    ...     return x * 2
    >>> get_registered_name(double)
    'demo>double'
    """

    def register(thing: T) -> T:
        described = hasattr(thing, "get_config") or hasattr(thing, "named_modules")
        if inspect.isclass(thing) and not described:
            raise ArgumentError(f"{thing.__name__} needs a get_config method to be registered.")
        key = f"{package}>{name or thing.__name__}"  # type: ignore[attr-defined]
        _registered[key] = thing
        _registered_names[thing] = key
        return thing

    return register


def get_custom_objects() -> dict[str, Any]:
    """The registered classes and functions by name; the dictionary itself, which may be changed."""
    return _registered


def get_registered_name(obj: Any) -> str:
    """The name that an object was registered under, else its own."""
    return _registered_names.get(obj) or str(obj.__name__)


def get_registered_object(
    name: str, custom_objects: dict[str, Any] | None = None, module_objects: Any = None
) -> Any:
    """The class or function that goes by ``name``, or None."""
    for known in (*reversed(_scopes), _registered, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


class CustomObjectScope:
    """Within the block, files may name these classes and functions.

    Args:
        custom_objects: name to class or function.

    >>> class Mine: pass
    >>> with CustomObjectScope({"Mine": Mine}):
    ...     get_registered_object("Mine") is Mine
    True
    """

    def __init__(self, custom_objects: dict[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self) -> CustomObjectScope:
        _scopes.append(self.custom_objects)
        return self

    def __exit__(self, *exc: object) -> None:
        _scopes.remove(self.custom_objects)


custom_object_scope = CustomObjectScope


# -- to plain data ----------------------------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Plain data (numbers, strings, lists, dictionaries) that describes an object.

    Raises:
        ArgumentError: the object has no ``get_config``, or is a lambda.

    >>> serialize_keras_object({"kernel": (3, 3)})
    {'kernel': (3, 3)}
    """
    if obj is None or isinstance(obj, PLAIN):
        return obj
    if isinstance(obj, list | tuple):
        kind = list if isinstance(obj, list) else type(obj)  # lists that follow what they hold, too
        return kind(serialize_keras_object(x) for x in obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    special = _serialize_special(obj)
    if special is not None:
        return special
    if isinstance(obj, types.FunctionType | types.BuiltinFunctionType | type):
        return _serialize_function(obj)
    if not hasattr(obj, "get_config"):
        raise ArgumentError(
            f"{type(obj).__name__} cannot be written to a file: it has no get_config method."
        )
    config = _described(type(obj), serialize_keras_object(obj.get_config()))
    for extra in ("build", "compile"):
        get = getattr(obj, f"get_{extra}_config", None)
        value = get() if get is not None else None
        if value is not None:
            config[f"{extra}_config"] = serialize_keras_object(value)
    return config


def _serialize_special(obj: Any) -> Any:
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        parts = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {"class_name": "__slice__", "config": parts}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if hasattr(obj, "keras_history"):
        layer, node, place = obj.keras_history
        config = {"shape": obj.shape, "dtype": obj.dtype}
        return {
            "class_name": "__keras_tensor__",
            "config": {**config, "keras_history": [layer.name, node, place]},
        }
    if is_tensor(obj):
        value = {"value": obj.detach().tolist(), "dtype": obj.dtype.name}
        return {"class_name": "__tensor__", "config": value}
    if isinstance(obj, np.ndarray) and obj.ndim:
        value = {"value": obj.tolist(), "dtype": obj.dtype.name}
        return {"class_name": "__numpy__", "config": value}
    if isinstance(obj, np.generic | np.ndarray):
        return obj.item()
    if type(obj).__name__ == "DType":
        return obj.name
    return None


def _serialize_function(f: Any) -> dict[str, Any]:
    if getattr(f, "__name__", "") == "<lambda>":
        raise ArgumentError(
            "a lambda cannot be written to a file: files hold no code.",
            fix="define a function and decorate it with @register_keras_serializable()",
        )
    name = get_registered_name(f)
    module = "builtins" if f.__module__.startswith("fovea.") else f.__module__
    registered = name if ">" in name else "function"
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": registered,
    }


def _described(cls: type, config: Any) -> dict[str, Any]:
    registered, name = _registered_names.get(cls), cls.__name__
    if registered is None and cls.__module__.startswith("fovea.keras."):
        module, registered_name = getattr(cls, "keras_module", "keras"), None
        name = getattr(cls, "keras_name", name)
    else:
        module, registered_name = cls.__module__, registered or cls.__name__
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered_name,
    }


# -- from plain data --------------------------------------------------------------------------


def deserialize_keras_object(
    config: Any,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    **kwargs: Any,
) -> Any:
    """The object that plain data describes.

    Args:
        config: what ``serialize_keras_object`` returned, here or in Keras.
        custom_objects: classes and functions that the data may name.
        safe_mode: accepted for Keras's sake; no code is ever read from data.

    Raises:
        ArgumentError: an unknown class or function, or data that describes nothing.
    """
    if config is None or isinstance(config, PLAIN):
        return config
    if isinstance(config, list | tuple):
        return [deserialize_keras_object(x, custom_objects) for x in config]
    if not isinstance(config, dict):
        raise ArgumentError(f"{type(config).__name__} describes no object.")
    if "class_name" not in config or "config" not in config:
        return {k: deserialize_keras_object(v, custom_objects) for k, v in config.items()}
    with CustomObjectScope(custom_objects):
        return _deserialized(config)


def _deserialized(config: dict[str, Any]) -> Any:
    name, inner = str(config["class_name"]), config["config"]
    if name.startswith("__") and name.endswith("__"):
        return _deserialize_special(name, inner)
    if name == "function":
        return find(str(inner), config.get("module"), config.get("registered_name"), True)
    cls = find(name, config.get("module"), config.get("registered_name"), False)
    if not hasattr(cls, "from_config"):
        raise ArgumentError(f"{name} cannot be made from a file: it has no from_config method.")
    if not isinstance(inner, dict):
        raise ArgumentError(f"{name}: its config must be a dictionary, got {type(inner).__name__}.")
    made = cls.from_config(inner)
    build = config.get("build_config")
    if build and not getattr(made, "built", True):
        made.build_from_config(build)
    compiled = config.get("compile_config")
    if compiled and hasattr(made, "compile_from_config"):
        made.compile_from_config(compiled)
    return made


def _deserialize_special(name: str, inner: Any) -> Any:
    if name == "__bytes__":
        return str(inner["value"]).encode("utf-8")
    if name == "__slice__":
        return slice(inner["start"], inner["stop"], inner["step"])
    if name == "__ellipsis__":
        return Ellipsis
    if name == "__tensor__":
        return make_tensor(inner["value"], dtype=inner["dtype"])
    if name == "__numpy__":
        return np.array(inner["value"], dtype=inner["dtype"])
    if name == "__keras_tensor__":
        return inner
    if name == "__lambda__":
        raise ArgumentError(
            "the file holds a lambda, which is code; fovea runs none from files.",
            fix="save the model again with a registered function in its place",
        )
    raise ArgumentError(f"unknown kind of object {name}.")


def find(name: str, module: str | None, registered: str | None, function: bool) -> Any:
    """The class or function that a file names.

    Raises:
        ArgumentError: it is neither this package's nor registered.
    """
    for key in (registered, name):
        custom = get_registered_object(key) if key else None
        if custom is not None:
            return custom
    if function and module in (None, "builtins"):
        places = [f"fovea.keras.{m}" for m in _FUNCTION_MODULES]
    elif module in _MODULES:
        places = [_MODULES[module]]
    else:  # Keras names some classes by where it defines them
        places = sorted(set(_MODULES.values())) if str(module).startswith("keras.") else []
    for place in places:
        found = vars(importlib.import_module(place)).get(name)
        wanted = inspect.isfunction(found) if function else inspect.isclass(found)
        if wanted and found.__module__.startswith("fovea.keras."):
            return found
    kind = "function" if function else "class"
    raise ArgumentError(
        f"the {kind} {name!r} (of {module}) is not known.",
        fix=f"pass custom_objects={{{name!r}: ...}}, or register it with "
        "@fovea.keras.saving.register_keras_serializable()",
    )


# -- short names ------------------------------------------------------------------------------


def lookup(
    kind: str,
    identifier: Any,
    known: dict[str, Any],
    accepts: Callable[[Any], bool] = callable,
) -> Any:
    """What a user means by ``identifier``: an object, its class, its name, or its description.

    Args:
        kind: what is looked for, for errors: ``"activation"``.
        identifier: None gives None.
        known: names to classes and functions.
        accepts: whether an object will do as it is.

    Raises:
        ArgumentError: an unknown name; the nearest known one is told.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize_keras_object(_completed(identifier, known))
    if isinstance(identifier, str):
        found = get_registered_object(identifier)
        found = known.get(identifier, known.get(identifier.lower())) if found is None else found
        if found is None:
            raise _unknown(kind, identifier, known)
        return found() if inspect.isclass(found) else found
    if inspect.isclass(identifier):
        return identifier()
    if accepts(identifier):
        return identifier
    raise ArgumentError(
        f"{identifier!r} is no {kind}.", fix=f"a name such as {next(iter(known))!r}"
    )


def _completed(config: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A short description ({"class_name", "config"}) with the module that its class has."""
    if "module" in config or config.get("class_name") not in known:
        return config
    cls = known[config["class_name"]]
    return {**config, "module": getattr(cls, "keras_module", None), "registered_name": None}


def _unknown(kind: str, name: str, known: Iterable[str]) -> ArgumentError:
    options = sorted(set(known))
    near = nearest(name, options)
    hint = f"did you mean {near!r}?" if near else f"one of: {', '.join(options)}"
    return ArgumentError(f"unknown {kind} {name!r}.", fix=hint)


def warn_ignored(what: str, why: str) -> None:
    """Say that an argument of Keras's has no effect here."""
    warnings.warn(f"{what} has no effect: {why}.", stacklevel=3)
