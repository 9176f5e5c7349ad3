"""Modules of ``fovea.nn`` as Keras layers."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from fovea import watching
from fovea.amp import autocast
from fovea.errors import ArgumentError
from fovea.keras import dtype_policies
from fovea.keras.keras_tensor import KerasTensor, any_symbolic, is_shape
from fovea.keras.layers.layer import Layer, as_shape
from fovea.keras.layers.probing import probed_symbols
from fovea.nn.module import Module

__all__ = ["ModuleWrapper", "TorchModuleWrapper", "as_layer"]


class TorchModuleWrapper(Layer):
    """A ``fovea.nn`` module as a Keras layer. It gets tensors as they are: images in NHWC need a
    ``Permute`` before a module that takes NCHW.

    A module that is called with a symbolic tensor, or is part of a ``Sequential``, is wrapped so.
    ``.keras`` files hold the module by its class and its plain attributes; a class of one's own is
    registered, or passed to ``load_model`` in ``custom_objects``.

    Args:
        module: the module.
        name: made up from the module's class unless given.
        output_shape: the shape of the output with the batch's size in front; found by running the
            module on ones unless given.

    Raises:
        ArgumentError: no module.

    >>> import fovea
    >>> from fovea.keras import Input, Model
    >>> TorchModuleWrapper(fovea.nn.ReLU())(fovea.tensor([-1.0, 1.0]))
    tensor([0., 1.])
    >>> x = Input(shape=(3,))
    >>> Model(x, fovea.nn.Linear(3, 2)(x)).output_shape
    (None, 2)
    """

    takes_integers = True

    def __init__(
        self, module: Module, name: str | None = None, output_shape: Any = None, **kwargs: Any
    ) -> None:
        if not isinstance(module, Module):
            raise ArgumentError(f"TorchModuleWrapper: {module!r} is no module.")
        self.__dict__["_wrapped_name"] = type(module).__name__
        super().__init__(name=name, **kwargs)
        self.module = module
        self.output_shape = output_shape
        self.built = True
        _wrapped[module] = weakref.ref(self)

    def _name_prefix(self) -> str:
        return str(self.__dict__["_wrapped_name"])

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if self._mixed:  # what the policy asks of layers, autocast does for modules
            with autocast("cpu", self._dtype):
                return self.module(*args, **kwargs)
        return self.module(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        shape = self.output_shape
        if shape is not None and is_shape(shape):
            return KerasTensor(shape, self.compute_dtype)
        modes = [(m, m.training) for m in self.modules()]
        try:
            return probed_symbols(lambda *a, **k: self(*a, training=False, **k), args, kwargs)
        finally:
            for module, mode in modes:
                module.__dict__["training"] = mode

    def _base_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        config["dtype"] = dtype_policies.serialize(self.dtype_policy)
        return {**config, "output_shape": self.output_shape}

    def get_config(self) -> dict[str, Any]:
        from fovea.keras.saving.modules import describe_module

        return {**self._base_config(), "module": describe_module(self.module)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        from fovea.keras.saving.modules import module_from

        given = dict(config)
        if isinstance(given["module"], str):
            raise ArgumentError(
                f"{given.get('name')}: the file holds a pickled PyTorch module, which is code; "
                "fovea runs none from files.",
                fix="save the weights (.weights.h5) and load them into the same model made here",
            )
        if isinstance(given["module"], dict):
            given["module"] = module_from(given["module"])
        given["output_shape"] = as_shape(given.get("output_shape"))
        return cls(**given)

    def cloned(self) -> Any:
        """A wrapper of a copy of the module with fresh weights."""
        module = copy.deepcopy(self.module)
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
        return type(self)(module, **self._base_config())


ModuleWrapper = TorchModuleWrapper

# The wrapper that a module has in a graph, so that a module called twice is one layer.
_wrapped: weakref.WeakKeyDictionary[Module, weakref.ref[TorchModuleWrapper]] = (
    weakref.WeakKeyDictionary()
)


def as_layer(item: Any) -> Layer:
    """A layer as it is, any other module wrapped.

    Raises:
        ArgumentError: neither of them.
    """
    if isinstance(item, Layer):
        return item
    if isinstance(item, KerasTensor):
        return item.keras_history.operation
    if isinstance(item, Module):
        return TorchModuleWrapper(item)
    if isinstance(item, type) and issubclass(item, Module):
        raise ArgumentError(f"{item.__name__} is a class: make a layer with {item.__name__}(...).")
    raise ArgumentError(f"a layer or a module is needed, got {type(item).__name__}: {item!r}.")


def _join(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's call on symbolic tensors, as a layer of the graph; None if there are none."""
    if not any_symbolic(args, kwargs):
        return None
    known = _wrapped.get(module)
    layer = known() if known is not None else None
    return (TorchModuleWrapper(module) if layer is None else layer)(*args, **kwargs)


watching.join = _join
