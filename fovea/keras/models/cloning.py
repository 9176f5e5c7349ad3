"""Models like other models, with weights of their own."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.core import InputLayer
from fovea.keras.layers.wrapper import TorchModuleWrapper
from fovea.keras.models.model import Model
from fovea.keras.models.sequential import Sequential
from fovea.keras.tree import flatten, pack_as

__all__ = ["clone_model"]


def _fresh(layer: Any) -> Any:
    """A layer made from another one's arguments."""
    if isinstance(layer, TorchModuleWrapper):
        return layer.cloned()
    return type(layer).from_config(layer.get_config())


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Any = None,
    call_function: Any = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """A model of new layers, with the architecture of ``model`` and new weights.

    Args:
        model: a ``Sequential``, a functional model, or a subclass with ``get_config``.
        input_tensors: symbolic tensors to start from.
        clone_function: ``f(layer) -> layer``.
        call_function: ``f(layer, *args, **kwargs) -> outputs``, instead of calling the layer.
        recursive: clone the layers of models within by ``clone_function``, too.

    Raises:
        ArgumentError: no model, or options that do not go with its kind.

    >>> from fovea.keras import layers
    >>> model = Sequential([layers.Input(shape=(3,)), layers.Dense(2)])
    >>> clone_model(model).layers[0].units
    2
    """
    if kwargs:
        raise ArgumentError(f"clone_model: unknown arguments {sorted(kwargs)}.")
    if not isinstance(model, Model):
        raise ArgumentError(f"clone_model: a model is needed, got {type(model).__name__}.")
    make = clone_function or _fresh

    def cloned(layer: Any) -> Any:
        if recursive and isinstance(layer, Model) and layer.__dict__.get("_graph") is not None:
            return clone_model(layer, None, clone_function, call_function, True)
        return make(layer)

    if isinstance(model, Sequential):
        return _clone_sequential(model, input_tensors, cloned, call_function)
    if model.__dict__.get("_graph") is not None:
        return _clone_functional(model, input_tensors, cloned, call_function)
    if clone_function is not None or input_tensors is not None:
        raise ArgumentError(
            "clone_model: a subclassed model is cloned whole, from its get_config.",
            fix="leave clone_function and input_tensors out",
        )
    return _fresh(model)


def _clone_sequential(model: Any, input_tensors: Any, make: Any, call_function: Any) -> Any:
    if call_function is not None:
        raise ArgumentError("clone_model: call_function is for functional models.")
    layers = [make(layer) for layer in model.layers]
    first = model._chain[0] if model._chain else None
    if input_tensors is not None:
        given = flatten(input_tensors)[0]
        layers.insert(0, InputLayer(batch_shape=given.shape, dtype=given.dtype))
    elif isinstance(first, InputLayer):
        layers.insert(0, InputLayer(batch_shape=first.batch_shape, dtype=first.dtype))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _clone_functional(model: Any, input_tensors: Any, make: Any, call_function: Any) -> Any:
    graph = model._graph
    if input_tensors is not None:
        inputs = flatten(input_tensors)
        for t in inputs:
            if not isinstance(t, KerasTensor):
                raise ArgumentError(
                    f"clone_model: input_tensors must be symbolic, got {type(t).__name__}."
                )
    else:
        inputs = [
            InputLayer(
                batch_shape=t.shape, dtype=t.dtype, name=t.keras_history.operation.name
            ).output
            for t in graph.flat_inputs
        ]
    copies: dict[int, Any] = {}

    def swap(layer: Any) -> Any:
        copy = copies.setdefault(id(layer), None) or make(layer)
        copies[id(layer)] = copy
        if call_function is None:
            return copy
        return lambda *args, **kwargs: call_function(copy, *args, **kwargs)

    outputs = graph.replay(inputs, swap)
    return type(model)(inputs=pack_as(graph.inputs, inputs), outputs=outputs, name=model.name)
