"""Functional models and compilations as plain data, in the form of Keras's files."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.ops.operations import Operation, operation_entry
from fovea.keras.ops.symbolic import FunctionCall
from fovea.keras.tree import map_structure

__all__ = [
    "compile_arguments",
    "compile_config",
    "functional_config",
    "functional_from_config",
]

# -- graphs -----------------------------------------------------------------------------------


def functional_config(model: Any) -> dict[str, Any]:
    """The layers of a functional model, and how they are joined."""
    graph = model._graph
    numbers = _node_numbers(graph)
    entries = []
    for layer in graph.layers:
        nodes = [n for n in layer._inbound_nodes if id(n) in numbers and not n.is_input]
        calls = [(node.args, node.kwargs) for node in nodes]
        known = operation_entry(layer) if isinstance(layer, FunctionCall) else None
        if known is None:
            entry = serialize_keras_object(layer)
        else:
            entry, calls = known[0], [known[1:]]
        entry["name"] = layer.name
        entry["inbound_nodes"] = [_node_config(*call, numbers) for call in calls]
        entries.append(entry)

    def place(t: KerasTensor) -> list[Any]:
        layer, index, number = t.keras_history
        call = numbers[id(layer._inbound_nodes[index])] + _first_number(layer)
        return [layer.name, call, number]

    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": entries,
        "input_layers": map_structure(place, graph.inputs),
        "output_layers": map_structure(place, graph.outputs),
    }


def _node_numbers(graph: Any) -> dict[int, int]:
    """The number of each call among its layer's calls in this graph."""
    inside = {id(node) for node in graph.nodes}
    numbers: dict[int, int] = {}
    for layer in graph.layers:
        count = 0
        for node in layer._inbound_nodes:
            if id(node) in inside:
                numbers[id(node)] = count
                count += 1
    return numbers


def _node_config(args: Any, kwargs: Any, numbers: dict[int, int]) -> dict[str, Any]:
    def written(value: Any) -> Any:
        if not isinstance(value, KerasTensor):
            return serialize_keras_object(value)
        layer, index, number = value.keras_history
        history = [layer.name, numbers[id(layer._inbound_nodes[index])], number]
        config = {"shape": value.shape, "dtype": value.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    return {
        "args": [map_structure(written, a) for a in args],
        "kwargs": {k: map_structure(written, v) for k, v in kwargs.items()},
    }


def functional_from_config(cls: Any, config: dict[str, Any], custom_objects: Any = None) -> Any:
    """A functional model from its layers and how they are joined.

    Raises:
        ArgumentError: calls that need each other, or a layer that is not there.
    """
    layers: dict[str, Any] = {}
    waiting: list[tuple[str, int, dict[str, Any]]] = []
    for entry in config["layers"]:
        layer = Operation.read(entry) or deserialize_keras_object(entry, custom_objects)
        name = str(entry.get("name", getattr(layer, "name", "")))
        layers[name] = layer
        waiting.extend((name, i, node) for i, node in enumerate(entry.get("inbound_nodes", ())))
    made: dict[tuple[str, int], Any] = {}
    for name, layer in layers.items():
        if type(layer).__name__ == "InputLayer":
            made[name, 0] = [layer.output]
    while waiting:
        left = [item for item in waiting if not _call_if_ready(item, layers, made)]
        if len(left) == len(waiting):
            raise ArgumentError(
                f"the model cannot be put together: {left[0][0]!r} needs a layer that is missing."
            )
        waiting = left
    inputs = _tensors(config["input_layers"], layers, made)
    outputs = _tensors(config["output_layers"], layers, made)
    rest = {k: config[k] for k in ("name", "trainable") if k in config}
    return cls(inputs=inputs, outputs=outputs, **rest)


def _call_if_ready(
    item: tuple[str, int, dict[str, Any]],
    layers: dict[str, Any],
    made: dict[tuple[str, int], Any],
) -> bool:
    """Make a call if all its inputs are there; whether it was made."""
    name, number, node = item
    args, kwargs = node.get("args", []), node.get("kwargs", {})
    if any(key not in made for key in (*_needed(args), *_needed(kwargs))):
        return False
    layer = layers[name]
    given = [_with_tensors(a, made) for a in args]
    # What Keras notes of a call's context is decided anew at each call.
    named = {k: _with_tensors(v, made) for k, v in kwargs.items() if k not in ("training", "mask")}
    layer(*given, **named)
    made[name, number] = layer._inbound_nodes[-1].output_tensors
    return True


def _is_tensor_config(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _needed(value: Any) -> list[tuple[str, int]]:
    """The calls whose outputs an argument holds."""
    if _is_tensor_config(value):
        name, index, _ = value["config"]["keras_history"]
        return [(str(name), int(index))]
    if isinstance(value, dict):
        return [key for v in value.values() for key in _needed(v)]
    if isinstance(value, list | tuple):
        return [key for v in value for key in _needed(v)]
    return []


def _with_tensors(value: Any, made: dict[tuple[str, int], Any]) -> Any:
    if _is_tensor_config(value):
        name, index, number = value["config"]["keras_history"]
        return made[name, index][number]
    if isinstance(value, list | tuple):
        return [_with_tensors(v, made) for v in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {k: _with_tensors(v, made) for k, v in value.items()}
    return deserialize_keras_object(value)


def _first_number(layer: Any) -> int:
    """What Keras's lists of inputs and outputs count a layer's calls from."""
    return 1 if type(layer).__name__ == "Functional" else 0


def _tensors(places: Any, layers: dict[str, Any], made: dict[tuple[str, int], Any]) -> Any:
    """Symbolic tensors for [layer, call, output] triples."""
    if isinstance(places, list | tuple) and len(places) == 3 and isinstance(places[0], str):
        name = places[0]
        key = (name, int(places[1]) - _first_number(layers.get(name)))
        if key not in made:
            raise ArgumentError(f"the model names an output of {name!r} that is not there.")
        return made[key][int(places[2])]
    if isinstance(places, dict):
        return {k: _tensors(v, layers, made) for k, v in places.items()}
    return [_tensors(p, layers, made) for p in places]


# -- compilation ------------------------------------------------------------------------------


def compile_config(model: Any) -> dict[str, Any] | None:
    """What ``compile`` was given; None if it cannot be written (functions of one's own)."""
    given = dict(model._compile_arguments)
    given["optimizer"] = model.optimizer
    if not hasattr(model.optimizer, "get_config"):
        return None
    try:
        return {k: serialize_keras_object(v) for k, v in given.items()}
    except ArgumentError:
        return None


def compile_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``compile`` from plain data."""
    found = {k: deserialize_keras_object(v) for k, v in config.items()}
    known = (
        "optimizer",
        "loss",
        "loss_weights",
        "metrics",
        "weighted_metrics",
        "run_eagerly",
        "steps_per_execution",
        "jit_compile",
    )
    return {k: v for k, v in found.items() if k in known}
