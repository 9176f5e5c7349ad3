"""Configurations of Keras 1, 2 and 3 in ``.h5`` files, as ``.keras`` files would hold them.

Plain data in, plain data out: what comes out goes through the same reading as any other
description, which makes only objects of this package and those that the program registered.
"""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.keras.objects import get_registered_name, get_registered_object
from fovea.keras.saving.legacy import nodes
from fovea.keras.saving.legacy.activations import hard_sigmoid_of_keras_2
from fovea.keras.saving.legacy.arguments import class_now, config_now, merging_layer
from fovea.keras.saving.legacy.operations import modern_operation, tensorflow_operation

__all__ = ["description_now"]

Config = dict[str, Any]
_KINDS = {
    "_initializer": "keras.initializers",
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
_MODELS = ("Functional", "Model", "Sequential")
_INNER = ("layer", "backward_layer", "forward_layer", "cell")
_OLD_SIGMOID = {
    "module": None,
    "class_name": "function",
    "config": hard_sigmoid_of_keras_2.__name__,
    "registered_name": get_registered_name(hard_sigmoid_of_keras_2),
}


def description_now(entry: Any, era: int) -> Config:
    """A layer or a model as a ``.keras`` file would describe it.

    Args:
        entry: ``{"class_name": ..., "config": ...}``.
        era: the first number of the version of Keras that wrote it.

    Raises:
        FileFormatError: it describes nothing. ArgumentError: it needs code, or a class that is
            not known.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise FileFormatError("the file describes a layer without saying its class.")
    name, config = entry["class_name"], entry.get("config")
    if entry.get("module") is not None and name not in _MODELS and isinstance(config, dict):
        return {**entry, "config": {k: _value(k, v, era) for k, v in config.items()}}
    if name == "Sequential":
        return {**_named("keras", name), "config": _sequential(config, era)}
    if not isinstance(config, dict):
        raise FileFormatError(f"the file describes a {name} without its arguments.")
    if name in _MODELS and "layers" in config:
        return {**_named("keras", "Functional"), "config": _functional(config, era)}
    if name == "Merge":
        entry = merging_layer(config)
        name, config = entry["class_name"], entry["config"]
    if name == "Lambda":
        return {**_named("keras.layers", name), "config": _lambda(config)}
    return _layer(name, config, era)


def _named(module: str | None, name: str, registered: str | None = None) -> Config:
    return {"module": module, "class_name": name, "registered_name": registered}


# -- layers -----------------------------------------------------------------------------------


def _layer(name: str, config: Config, era: int) -> Config:
    own = next((n for n in (name, name.split(">")[-1]) if get_registered_object(n)), None)
    if own is None:
        _check_known(class_now(name), config)
        given = config if era > 2 else config_now(name, config)
        found = _named("keras.layers", class_now(name))
    else:
        given, found = config, _named(None, own, own)
    return {**found, "config": {k: _value(k, v, era) for k, v in given.items()}}


def _check_known(name: str, config: Config) -> None:
    from fovea.keras import layers

    if not isinstance(vars(layers).get(name), type):
        raise ArgumentError(
            f"the layer {config.get('name')!r} is of the class {name!r}, which is not known.",
            fix=f"pass custom_objects={{{name!r}: ...}}",
        )


def _value(key: str, value: Any, era: int) -> Any:
    """An argument of a layer."""
    if key in _INNER and isinstance(value, dict):
        return description_now(value, era)
    if key == "cells" and isinstance(value, list):
        return [description_now(v, era) for v in value]
    if key == "dtype" and isinstance(value, dict) and "module" not in value:
        return (value.get("config") or {}).get("name", value.get("name"))
    if "activation" in key:
        return _activation(value, era)
    kind = next((m for end, m in _KINDS.items() if key.endswith(end)), None)
    if kind is not None and isinstance(value, dict) and value.get("module") is None:
        return _described(kind, value)
    if isinstance(value, dict) and set(value) == {"type", "value"}:  # a NumPy number of Keras 2
        return value["value"]
    return value


def _activation(value: Any, era: int) -> Any:
    if isinstance(value, dict) and value.get("module") is None:
        return description_now(value, era) if value.get("class_name") != "function" else value
    return _OLD_SIGMOID if value == "hard_sigmoid" and era < 3 else value


def _described(module: str, value: Config) -> Config:
    """An initializer, a regularizer or a constraint."""
    name, given = value.get("class_name"), value.get("config")
    if name is None:  # Keras 1: {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01}
        given = {k: v for k, v in value.items() if k != "name"}
        name = str(value.get("name"))
        if module == "keras.regularizers":
            name = "L1L2"
        if name == "MaxNorm" and "m" in given:
            given["max_value"] = given.pop("m")
    given = {k: v for k, v in (given or {}).items() if k != "dtype"}
    if name == "VarianceScaling" and given.get("distribution") == "normal":
        given["distribution"] = "truncated_normal"
    own = get_registered_object(name)
    return {**_named(module, name, name if own is not None else None), "config": given}


def _lambda(config: Config) -> Config:
    """A Lambda, whose function the program must bring: under its own name, or the layer's.

    Raises:
        ArgumentError: it does not.
    """
    label, function = config.get("name"), config.get("function")
    named = function if isinstance(function, str) else None
    if isinstance(function, dict) and function.get("class_name") == "function":
        named = str(function.get("config"))
    for key in (label, named):
        if key and get_registered_object(key) is not None:
            found = {**_named("builtins", "function", key), "config": key}
            kept = ("name", "trainable", "dtype", "arguments")
            return {**{k: config[k] for k in kept if config.get(k)}, "function": found}
    what = f"the function {named!r}" if named else "Python code"
    raise ArgumentError(
        f"the layer {label!r} is a Lambda of {what}, and fovea runs no code from files.",
        fix=f"pass custom_objects={{{label!r}: function}} to say what it computes",
    )


# -- models -----------------------------------------------------------------------------------


def _sequential(config: Any, era: int) -> Config:
    given = {"layers": config} if isinstance(config, list) else config
    if not isinstance(given, dict) or not isinstance(given.get("layers"), list):
        raise FileFormatError("the file describes a Sequential without layers.")
    found = {"layers": [description_now(entry, era) for entry in given["layers"]]}
    kept = ("name", "trainable", "build_input_shape")
    return {**{k: given[k] for k in kept if given.get(k) is not None}, **found}


def _functional(config: Config, era: int) -> Config:
    entries = config["layers"]
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise FileFormatError("the file describes a model without layers.")
    graph = nodes.Graph(config)
    found = []
    for entry in entries:
        name, calls = graph.name_of(entry), graph.calls_of(entry)
        described = modern_operation(entry)
        if described is None:
            operation = tensorflow_operation(entry, calls)
            described, calls = operation or (description_now(entry, era), calls)
        found.append({**described, "name": name, "inbound_nodes": calls})
    kept = {k: config[k] for k in ("name", "trainable") if config.get(k) is not None}
    ends: Config = {
        k: graph.ends(config[k]) for k in ("input_layers", "output_layers") if k in config
    }
    if len(ends) < 2:
        raise FileFormatError("the file describes a model without inputs or outputs.")
    return {**kept, "layers": found, **ends}
