"""``Sequential``: layers in a chain."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.keras_tensor import is_shape
from fovea.keras.layers.core import Input, InputLayer
from fovea.keras.layers.layer import Layer, as_shape
from fovea.keras.layers.wrapper import as_layer
from fovea.keras.masking import attach_mask, mask_of
from fovea.keras.models.graph import Graph, fit_rank
from fovea.keras.models.model import Model, keyed
from fovea.keras.naming import auto_name
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.tensorbase import is_tensor

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers in a chain: each gets the output of the one before.

    Args:
        layers: layers, models, or modules of ``fovea.nn``. An ``Input``, or ``input_shape=`` on the
            first layer, makes the weights at once; otherwise the first data does.
        trainable: whether the weights are learned.
        name: made up unless given.

    >>> import fovea
    >>> from fovea.keras import layers
    >>> model = Sequential([layers.Flatten(), layers.Dense(2)])
    >>> model(fovea.ones(4, 3, 3)).shape
    fovea.Size([4, 2])
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self.__dict__["_chain"] = []
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._maybe_rebuild()

    # -- the chain ----------------------------------------------------------------------------

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer at the end.

        Raises:
            ArgumentError: no layer, an input that is not first, or a name that is taken.
        """
        item = as_layer(layer)
        if isinstance(item, InputLayer) and self._chain:
            raise ArgumentError(f"{self.name}: an Input comes first, before any layer.")
        if any(other.name == item.name for other in self._chain):
            raise ArgumentError(
                f"{self.name}: there is a layer called {item.name!r} already.",
                fix="give it another name, or make another layer",
            )
        if not self._chain and not isinstance(item, InputLayer):
            shape = self._shape_of_first(item)
            if shape is not None:
                first = InputLayer(batch_shape=shape, dtype=_input_dtype(item))
                self._chain.append(first)
        self._chain.append(item)
        self._register()
        if rebuild:
            self._maybe_rebuild()
        else:
            self.__dict__["_graph"] = None

    def _register(self) -> None:
        """Hold the chain's layers, by names counted within it, as modules."""
        held = {id(layer) for layer in self.__dict__.get("_registered", ())}
        others = {k: m for k, m in self._modules.items() if id(m) not in held}
        self._modules.clear()
        self._modules.update({**keyed(self._chain), **others})
        self.__dict__["_registered"] = list(self._chain)

    @staticmethod
    def _shape_of_first(item: Any) -> Any:
        """The input shape that the first layer knows."""
        shape = item.__dict__.get("_first_shape")
        if shape is not None:
            return shape
        if isinstance(item, Model) and item.__dict__.get("_graph") is not None:
            return item.inputs[0].shape if len(item.inputs) == 1 else None
        return None

    def pop(self, rebuild: bool = True) -> Any:
        """Take the last layer off and return it."""
        if not self._chain:
            raise ArgumentError(f"{self.name}: there is no layer to take off.")
        layer = self._chain.pop()
        self._register()
        self.__dict__["_graph"] = None
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _maybe_rebuild(self) -> None:
        chain = self._chain
        self.__dict__["_graph"], self.__dict__["built"] = None, False
        if len(chain) > 1 and isinstance(chain[0], InputLayer):
            self._make_graph(chain[0])

    def _make_graph(self, first: Any) -> None:
        """Call the layers on a symbolic input: it makes their weights and shapes."""
        own = self.__dict__
        auto_name("Functional")  # Keras makes a functional model here, which counts
        x = first.output
        for layer in self._layers():
            x = layer(x)
        graph = Graph(first.output, x)
        own["_graph"], own["built"] = graph, True
        own["_input_symbol"] = first.output
        own["_input_dtype"] = config.as_dtype(first.output.dtype)
        own["_input_dtypes"] = [own["_input_dtype"]]
        own["inputs"], own["outputs"] = graph.flat_inputs, graph.flat_outputs
        own["input_names"] = [first.name]
        own["output_names"] = [t.keras_history.operation.name for t in graph.flat_outputs]
        own["_build_shapes"] = {"input_shape": first.batch_shape}

    def _layers(self) -> list[Any]:
        """The layers that compute something."""
        return [layer for layer in self._chain if not isinstance(layer, InputLayer)]

    @property
    def layers(self) -> list[Any]:
        """The layers, without the input."""
        return self._layers()

    # -- running ------------------------------------------------------------------------------

    def _take_inputs_as(self, dtype: Any) -> None:
        super()._take_inputs_as(dtype)
        self.__dict__["_input_dtype"] = self._input_dtypes[0]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape (batch first)."""
        if self.__dict__.get("_graph") is not None:
            return
        if not self._chain:
            raise ArgumentError(f"{self.name}: add layers before building it.")
        if isinstance(self._chain[0], InputLayer):
            self._make_graph(self._chain[0])
            return
        shape = as_shape(input_shape)
        if not is_shape(shape):
            raise ArgumentError(f"{self.name}: {input_shape!r} is no shape.")
        first = InputLayer(batch_shape=shape, dtype=_input_dtype(self._chain[0]))
        self._chain.insert(0, first)
        self._make_graph(first)

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.built:
            return
        x = _single(args[0])
        if not hasattr(x, "shape"):
            raise ArgumentError(f"{self.name}: one tensor is needed, got {type(x).__name__}.")
        self.build((None, *tuple(x.shape)[1:]))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the chain."""
        x = _single(inputs)
        mask = mask_of(x) if mask is None else mask
        if is_tensor(x):
            wanted = self._input_dtype
            if x.dtype is not wanted:
                x = x.to(wanted)
            symbol = self._input_symbol
            if len(x.shape) != len(symbol.shape) or tuple(x.shape)[1:] != symbol.shape[1:]:
                x = fit_rank(self.name, x, symbol)
        if mask is not None:
            attach_mask(x, mask)
        for layer in self._run_list():
            x = layer(x)
        return x

    def _run_list(self) -> list[Any]:
        chain: list[Any] = self._chain
        return chain[1:] if isinstance(chain[0], InputLayer) else chain

    # -- writing down -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        found = Layer.get_config(self)
        base = {k: found[k] for k in ("name", "trainable", "dtype")}
        entries = [serialize_keras_object(layer) for layer in self._chain]
        config: dict[str, Any] = {**base, "layers": entries}
        shapes = self._build_shapes
        if self.built and shapes:
            config["build_input_shape"] = shapes["input_shape"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "layers" not in config:
            return cls(**config)
        made = cls(trainable=config.get("trainable", True), name=config.get("name"))
        for entry in config["layers"]:
            made.add(deserialize_keras_object(entry, custom_objects), rebuild=False)
        shape = config.get("build_input_shape")
        made._maybe_rebuild()
        if not made.built and shape is not None:
            made.build(shape)
        return made


def _input_dtype(layer: Any) -> str:
    """What data for a chain that begins with this layer is cast to."""
    return config.floatx() if layer.takes_integers else layer.compute_dtype


def sequential_input(shape: Any) -> Any:
    """A symbolic input for a shape with the batch's size in front."""
    return Input(batch_shape=shape)


def _single(inputs: Any) -> Any:
    """What a list or a tuple of one input holds."""
    return inputs[0] if isinstance(inputs, list | tuple) and len(inputs) == 1 else inputs
