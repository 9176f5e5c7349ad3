"""``Model``: functional graphs, and subclasses with a ``call`` of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor, any_symbolic
from fovea.keras.layers.core import InputLayer
from fovea.keras.layers.layer import Layer, as_shape, as_tensor
from fovea.keras.masking import attach_mask, mask_of
from fovea.keras.models.graph import Graph, fit_rank
from fovea.keras.models.trainer import Trainer
from fovea.keras.naming import snake_case
from fovea.keras.tree import flatten, map_structure
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Functional", "Model"]


class Model(Trainer):
    """Layers as one whole that can be trained.

    Either functional, ``Model(inputs, outputs)`` with symbolic tensors, or a subclass that makes
    layers in ``__init__`` and calls them in ``call``.

    Args:
        inputs, outputs: symbolic tensors, or lists or dictionaries of them.
        name: made up unless given.
        trainable: whether the weights are learned.

    >>> import fovea
    >>> from fovea.keras import Input, layers
    >>> x = Input(shape=(3,))
    >>> model = Model(x, layers.Dense(2)(x))
    >>> model(fovea.ones(4, 3)).shape
    fovea.Size([4, 2])
    >>> class Twice(Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = layers.Dense(3)
    ...     def call(self, x, training=None):
    ...         return self.dense(self.dense(x))
    >>> Twice()(fovea.ones(4, 3)).shape
    fovea.Size([4, 3])
    """

    keras_module = "keras"
    takes_integers = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and _is_functional(args, kwargs):
            return super().__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional(args, kwargs):
            names = ("inputs", "outputs", "name")
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            inputs, outputs = given.pop("inputs"), given.pop("outputs")
            super().__init__(**given)
            self._set_graph(inputs, outputs)
            return
        if args:
            raise ArgumentError(
                f"{type(self).__name__}: Model takes inputs and outputs, or nothing but a name."
            )
        super().__init__(**kwargs)
        self.__dict__["_graph"] = None

    def _name_prefix(self) -> str:
        return "Functional" if type(self) is Model else type(self).__name__

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        graph = Graph(inputs, outputs)
        own = self.__dict__
        own["_graph"], own["built"] = graph, True
        own["_input_dtypes"] = [config.as_dtype(t.dtype) for t in graph.flat_inputs]
        own["inputs"], own["outputs"] = graph.flat_inputs, graph.flat_outputs
        own["output_names"] = [t.keras_history.operation.name for t in graph.flat_outputs]
        own["input_names"] = [t.keras_history.operation.name for t in graph.flat_inputs]
        names: set[str] = set()
        for layer in graph.layers:
            if layer.name in names:
                raise ArgumentError(f"Model: two layers are called {layer.name!r}.")
            names.add(layer.name)
        self._modules.update(keyed(graph.layers))

    # -- layers -------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Any]:
        """The layers, in order; calls of ``keras.ops`` are not among them."""
        if self.__dict__.get("_graph") is not None:
            return [layer for layer in self._graph.layers if not layer.is_operation]
        return [m for m in _flat_children(self) if isinstance(m, Layer)]

    @property
    def operations(self) -> list[Any]:
        """The layers and the calls of ``keras.ops``, in order."""
        return list(self._graph.layers) if self.__dict__.get("_graph") is not None else self.layers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """A layer by its name, or by its number.

        Raises:
            ArgumentError: there is none.
        """
        layers = self.layers
        if index is not None and name is None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(f"get_layer: there are {len(layers)} layers, not {index + 1}.")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in layers)
        raise ArgumentError(f"get_layer: there is no layer {name!r}.", fix=f"one of: {known}")

    @property
    def input_shape(self) -> Any:
        """The shape of the input (of each, if there are several)."""
        shapes = [t.shape for t in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        """The shape of the output (of each, if there are several)."""
        shapes = [t.shape for t in self.outputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def input(self) -> Any:
        """The symbolic inputs."""
        return self._graph.inputs if self.__dict__.get("_graph") is not None else super().input

    @property
    def output(self) -> Any:
        """The symbolic outputs."""
        return self._graph.outputs if self.__dict__.get("_graph") is not None else super().output

    # -- running ------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the graph; a subclass without one defines its own ``call``."""
        if self.__dict__.get("_graph") is None:
            raise ArgumentError(f"{type(self).__name__} defines no call(self, x).")
        graph: Graph = self._graph
        values = self._in_order(inputs)
        if mask is not None:
            for x, m in zip(values, flatten(mask), strict=True):
                attach_mask(x, m)
        return graph.run(self._fitted(values))

    def _in_order(self, inputs: Any) -> Any:
        """Values of the inputs as a list, in the order of the graph."""
        symbols = self._graph.flat_inputs
        if isinstance(inputs, dict):
            wanted = self._graph.inputs
            names = sorted(wanted) if isinstance(wanted, dict) else self.input_names
            missing = [n for n in names if n not in inputs]
            if missing:
                raise ArgumentError(
                    f"{self.name}: the input {missing[0]!r} is missing.",
                    fix=f"the inputs are {names}",
                )
            found = []
            for n in names:
                nested = isinstance(wanted, dict) and not isinstance(wanted[n], KerasTensor)
                found += flatten(inputs[n]) if nested else [inputs[n]]
            return found
        if isinstance(inputs, list | tuple) and isinstance(self._graph.inputs, dict):
            order = [t.name for t in symbols]
            return list(inputs) if len(inputs) == len(order) else flatten(inputs)
        values = flatten(inputs)
        if len(values) != len(symbols):
            raise ArgumentError(
                f"{self.name}: {len(symbols)} inputs are needed, {len(values)} were given."
            )
        return values

    def _fitted(self, values: list[Any]) -> list[Any]:
        """Inputs in the dtypes and ranks that the graph expects."""
        found = []
        for x, symbol, dtype in zip(
            values, self._graph.flat_inputs, self._input_dtypes, strict=True
        ):
            found.append(self._fit(x, symbol, dtype) if is_tensor(x) else x)
        return found

    def _fit(self, x: Tensor, symbol: KerasTensor, dtype: Any) -> Tensor:
        mask = mask_of(x)
        if x.dtype is not dtype and x.dtype is not dtypes.bool_:
            x = x.to(dtype)
        x = fit_rank(self.name, x, symbol)
        if mask is not None:
            attach_mask(x, mask)
        return x

    def _as_input(self, value: Any) -> Any:
        if self.__dict__.get("_graph") is None:
            return super()._as_input(value)
        return as_tensor(value) if hasattr(value, "__array__") and not is_tensor(value) else value

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = self._variable_dtype
        super()._apply(fn, recurse)
        if self._variable_dtype is not before and self.__dict__.get("_graph") is not None:
            self._take_inputs_as(self._variable_dtype)
        return self

    def _take_inputs_as(self, dtype: Any) -> None:
        """Let the graph take floating-point inputs in another dtype."""
        own = self.__dict__
        found = [dtype if d.is_floating_point else d for d in self._input_dtypes]
        own["_input_dtypes"] = found

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        if self.__dict__.get("_graph") is None and not self.built:
            self._build_by_running(args[0])
        return super().symbolic_call(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if self.__dict__.get("_graph") is None:
            return super().compute_output_spec(*args, **kwargs)
        self._in_order(args[0])
        return map_structure(lambda t: KerasTensor(t.shape, t.dtype), self._graph.outputs)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        if self.__dict__.get("_graph") is None:
            return super().compute_output_shape(input_shape)
        return map_structure(lambda t: t.shape, self._graph.outputs)

    compute_output_shape.finds_by_running = True  # type: ignore[attr-defined]

    # -- building -----------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of this shape (batch first), by running on zeros."""
        if self.built or input_shape is None:
            self.__dict__["built"] = True
            return
        self.__dict__["built"] = True
        self.compute_output_shape(as_shape(input_shape))
        self.__dict__["_build_shapes"] = {"input_shape": as_shape(input_shape)}

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.built:
            return
        if type(self).build is not Model.build:
            super()._build_for(args, kwargs)
            return
        # A subclass's layers make their weights when it calls them.
        shapes = self._shapes_for("build", args, kwargs) if not any_symbolic(args, kwargs) else {}
        self.__dict__["_build_shapes"] = shapes
        self.__dict__["built"] = True

    def _build_by_running(self, inputs: Any) -> None:
        self.build(map_structure(lambda t: t.shape, inputs))

    # -- looking, saving ----------------------------------------------------------------------

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print the layers with their shapes and numbers of weights, laid out as Keras 3 does.

        Args:
            line_length: characters a line.
            positions: where the columns end, as shares of the line.
            print_fn: called with the text, instead of printing.
            expand_nested: show the layers of models within.
            show_trainable: whether each layer is learned.
            layer_range: names (or patterns) of the first and last layer to show.
        """
        from fovea.keras.models.summary import print_summary

        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
    ) -> None:
        """Write the model to a ``.keras`` file: configuration, weights, and how it is compiled."""
        from fovea.keras.saving import save_model

        save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None, **kwargs: Any
    ) -> None:
        """Write the weights to a ``.weights.h5`` file, or an ``.h5`` file in Keras's older form."""
        from fovea.keras.saving import save_weights

        save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size, **kwargs)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Read the weights from a ``.weights.h5``, ``.keras`` or ``.h5`` file; in the last, layers
        take those in order, or with ``by_name=True`` those of the same names.
        """
        from fovea.keras.saving import load_weights

        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def check_save_path(self, filepath: str, weights_only: bool) -> None:
        """Raise now what ``save`` or ``save_weights`` would raise for this name."""
        from fovea.keras.saving import check_model_path, check_weights_path

        (check_weights_path if weights_only else check_model_path)(filepath)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON; ``models.model_from_json`` makes a model from it."""
        import json

        from fovea.keras.objects import serialize_keras_object

        return json.dumps(serialize_keras_object(self), **kwargs)

    def get_config(self) -> dict[str, Any]:
        if self.__dict__.get("_graph") is None:
            return super().get_config()
        from fovea.keras.models.configuration import functional_config

        return functional_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "layers" in config and "input_layers" in config:
            from fovea.keras.models.configuration import functional_from_config

            return functional_from_config(cls, config, custom_objects)
        return cls(**config)

    def get_compile_config(self) -> dict[str, Any] | None:
        """What ``compile`` was given, as plain data."""
        if not self.compiled:
            return None
        from fovea.keras.models.configuration import compile_config

        return compile_config(self)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as ``get_compile_config`` says."""
        from fovea.keras.models.configuration import compile_arguments

        self.compile(**compile_arguments(config))
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_weights)

    def get_build_config(self) -> dict[str, Any] | None:
        return None if self.__dict__.get("_graph") is not None else super().get_build_config()


class Functional(Model):
    """A model made of symbolic inputs and outputs; ``Model(inputs, outputs)`` makes one."""

    keras_module = "keras.src.models.functional"


def _is_functional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if "inputs" in kwargs and "outputs" in kwargs:
        return True
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs)


def keyed(layers: list[Any]) -> dict[str, Any]:
    """Layers by their names as modules: those of their own, and made up ones counted anew.

    So two models made alike have the same names in their states, whatever was made before them.
    """
    found: dict[str, Any] = {}
    computing = [layer for layer in layers if not isinstance(layer, InputLayer)]
    taken = {_key(layer.name) for layer in computing if not layer._auto_named}
    used: dict[str, int] = {}
    for layer in computing:
        key = _key(layer.name)
        if layer._auto_named:
            key = base = snake_case(layer._name_prefix())
            while key in taken or key in found:
                used[base] = used.get(base, 0) + 1
                key = f"{base}_{used[base]}"
        found[key] = layer
    return found


def _key(name: str) -> str:
    """A layer's name as a module's name, which holds no dot."""
    return name.replace(".", "_")


def _flat_children(module: Module) -> list[Module]:
    """The modules directly within; lists and the like count as what they hold."""
    from fovea.keras.layers.tracking import _Holder

    found: list[Module] = []
    for child in module.children():
        found.extend(_flat_children(child) if isinstance(child, _Holder) else [child])
    return found
