"""Layers in a row, as one layer."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.probing import probed_symbols
from fovea.keras.layers.tracking import hold
from fovea.keras.masking import masks_of
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object

__all__ = ["Pipeline"]


class Pipeline(Layer):
    """Layers in a row, for data on its way to a model: unlike ``Sequential`` it asks for no shapes.

    It is in training unless a call says otherwise, as random augmentation needs.

    Args:
        layers: the layers; each gets what the one before gave.
        name: made up unless given.

    Raises:
        ArgumentError: something that is no layer.

    >>> import fovea
    >>> from fovea.keras.layers import Rescaling
    >>> Pipeline([Rescaling(2.0), Rescaling(1.0, 1.0)])(fovea.ones(2))
    tensor([3., 3.])
    """

    takes_integers = True
    warns_of_masks = False

    def __init__(self, layers: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ArgumentError(f"Pipeline: a list of layers is needed, it has {layer!r}.")
        self.__dict__["_in_a_row"] = list(layers)
        hold(self, "_pipeline_layers", self.layers)
        self.built = True

    @property
    def layers(self) -> list[Any]:
        """The layers, in order."""
        found: list[Any] = self.__dict__["_in_a_row"]
        return found

    def _as_input(self, value: Any) -> Any:
        return value  # the layers say what they take

    def call(self, inputs: Any, training: bool = True, mask: Any = None) -> Any:
        for layer in self.layers:
            given = {"mask": mask} if "mask" in layer._call_arguments else {}
            inputs = layer(inputs, training=training, **given)
            mask = masks_of(inputs)
        return inputs

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return probed_symbols(self.call, args, kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"layers": serialize_keras_object(self.layers), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(deserialize_keras_object(config["layers"]), config.get("name"))
