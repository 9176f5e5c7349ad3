"""Layers around another layer: at each step of a sequence, or in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.parts import cat, stack
from fovea.functions.shaping import flip
from fovea.keras.keras_tensor import is_shape
from fovea.keras.layers.arguments import choice
from fovea.keras.layers.layer import Layer
from fovea.keras.objects import CustomObjectScope, deserialize_keras_object
from fovea.keras.tree import flatten

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """Base of layers that hold one other layer.

    Args:
        layer: the layer.

    Raises:
        ArgumentError: no layer.
    """

    takes_integers = True  # the layer within says what it takes

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ArgumentError(f"{type(self).__name__}: a layer is needed, got {layer!r}.")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        self.layer.build_with({"input_shape": input_shape})
        self.built = True

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        given = dict(config)
        return cls(deserialize_keras_object(given.pop("layer")), **given)


class TimeDistributed(Wrapper):
    """A layer applied to each step of a sequence.

    Layers that treat samples apart see all steps as one batch; others see them one by one.

    Args:
        layer: the layer.

    Shapes: (N, L, ...) to (N, L, ...): what the layer makes of (N, ...). A mask is (N, L, ...).

    Raises:
        ShapeError: fewer than three dimensions, or a mask of another shape.

    >>> import fovea
    >>> from fovea.keras.layers import Conv2D
    >>> TimeDistributed(Conv2D(4, 3))(fovea.ones(2, 10, 8, 8, 3)).shape
    fovea.Size([2, 10, 6, 6, 4])
    """

    keeps_masks = True

    def _step_shape(self, shape: Any) -> Any:
        if not is_shape(shape) or len(shape) < 3:
            raise ShapeError(
                f"{self.name}: an input (batch, steps, ...) of at least 3 dimensions is needed, "
                f"got {shape}."
            )
        return (shape[0], *shape[2:])

    def build(self, input_shape: Any = None) -> None:
        super().build(self._step_shape(input_shape))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        batch, *rest = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (batch, input_shape[1], *rest)

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if mask is not None and tuple(mask.shape[:2]) != tuple(inputs.shape[:2]):
            raise ShapeError(
                f"{self.name}: a mask of shape {tuple(mask.shape)} does not fit an input of shape "
                f"{tuple(inputs.shape)}: batch and steps must agree."
            )
        takes_mask = mask is not None and "mask" in self.layer._call_arguments
        if _treats_samples_apart(self.layer) and not takes_mask and inputs.shape[1]:
            n, steps = inputs.shape[:2]
            y = self.layer(inputs.reshape((n * steps, *inputs.shape[2:])), training=training)
            return y.reshape((n, steps, *y.shape[1:]))
        outputs = []
        for t in range(inputs.shape[1]):
            given = {"mask": mask[:, t]} if takes_mask else {}
            outputs.append(self.layer(inputs[:, t], training=training, **given))
        return stack(outputs, 1)


_APART_NAMES = """
Activation AveragePooling1D AveragePooling2D AveragePooling3D Conv1D Conv1DTranspose Conv2D
Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
DepthwiseConv2D ELU Embedding Flatten GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
Identity InputLayer LayerNormalization LeakyReLU MaxPooling1D MaxPooling2D MaxPooling3D
PReLU Permute RMSNormalization ReLU Rescaling Reshape SeparableConv1D SeparableConv2D Softmax
UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_APART = frozenset(_APART_NAMES.split())


def _treats_samples_apart(layer: Any) -> bool:
    """Whether what a layer makes of a sample depends on no other sample."""
    if layer.__dict__.get("_graph") is not None:
        return all(map(_treats_samples_apart, layer.operations))
    cls = type(layer)
    return cls.__module__.startswith("fovea.keras.layers.") and cls.__name__ in _APART


_MERGE = ("sum", "mul", "ave", "concat")


class Bidirectional(Layer):
    """A recurrent layer that reads a sequence from both ends.

    Args:
        layer: the layer; copies of it, without its weights, read forward and backward.
        merge_mode: how both outputs are joined: ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"``, or
            None: not at all.
        weights: of both, the forward layer's first.
        backward_layer: another layer to read backward, with ``go_backwards=True``.

    Raises:
        ArgumentError: no layer, an unknown mode, or two layers that do not go together.

    >>> import fovea
    >>> from fovea.keras.layers import LSTM
    >>> Bidirectional(LSTM(3))(fovea.ones(2, 5, 4)).shape
    fovea.Size([2, 6])
    """

    keeps_masks = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        for given in (layer, backward_layer):
            if given is not None and not isinstance(given, Layer):
                raise ArgumentError(f"Bidirectional: a layer is needed, got {given!r}.")
        super().__init__(**kwargs)
        self.merge_mode = merge_mode
        if merge_mode is not None:
            self.merge_mode = choice("Bidirectional", "merge_mode", merge_mode, _MERGE)
        forward = f"forward_{layer.name.removeprefix('forward_')}"
        self.forward_layer = _copy(layer, name=forward)
        if backward_layer is None:
            backward = f"backward_{layer.name.removeprefix('backward_')}"
            backward_layer = _copy(layer, name=backward, go_backwards=True)
        self.backward_layer = backward_layer
        self._check_directions()
        for direction in (self.forward_layer, self.backward_layer):
            if hasattr(direction, "zero_output_for_mask"):
                direction.zero_output_for_mask = direction.return_sequences
        self.stateful, self.return_sequences = layer.stateful, layer.return_sequences
        self.return_state, self.input_spec = layer.return_state, layer.input_spec
        self.__dict__["_first_weights"] = weights

    def _check_directions(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ArgumentError("Bidirectional: exactly one of the layers must go backwards.")
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ArgumentError(
                    f"Bidirectional: {name} is {getattr(forward, name)} for the forward layer and "
                    f"{getattr(backward, name)} for the backward layer."
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        for direction in (self.forward_layer, self.backward_layer):
            direction.build_with({"sequences_shape": sequences_shape})
        self.built = True
        if self.__dict__["_first_weights"]:
            self.set_weights(self.__dict__["_first_weights"])

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        first = last = None
        if initial_state is not None:
            half = len(initial_state) // 2
            first, last = list(initial_state[:half]), list(initial_state[half:])
        given = {"mask": mask, "training": training}
        y = self.forward_layer(sequences, initial_state=first, **given)
        back = self.backward_layer(sequences, initial_state=last, **given)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*y[1:], *back[1:])
            y, back = y[0], back[0]
        if self.return_sequences:
            back = flip(back, (1,))
        output = self._merged(y, back)
        if not self.return_state:
            return output
        return (*output, *states) if self.merge_mode is None else (output, *states)

    def _merged(self, y: Tensor, back: Tensor) -> Any:
        if self.merge_mode is None:
            return y, back
        if self.merge_mode == "concat":
            return cat([y, back], -1)
        if self.merge_mode == "mul":
            return y * back
        return y + back if self.merge_mode == "sum" else (y + back) / 2

    def compute_output_shape(  # type: ignore[override]
        self, sequences_shape: Any, initial_state_shape: Any = None, **kwargs: Any
    ) -> Any:
        shape = self.forward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            shape, states = shape[0], tuple(shape[1:]) * 2
        if self.merge_mode == "concat":
            shape = (*shape[:-1], shape[-1] * 2)
        if self.merge_mode is None:
            return (shape, shape, *states)
        return (shape, *states) if self.return_state else shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        mask = flatten(previous_mask)[0] if self.return_sequences else None
        outputs = [mask] * (2 if self.merge_mode is None else 1)
        return outputs if self.return_state or len(outputs) == 2 else mask

    @property
    def states(self) -> Any:
        """The states of both directions, of a ``stateful`` layer."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward and backward else None

    def reset_state(self) -> None:
        """Begin the next batch with zeros; of a ``stateful`` layer.

        Raises:
            ArgumentError: it is not.
        """
        if not self.stateful:
            raise ArgumentError(f"{self.name}: only a stateful layer has a state to reset.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def get_config(self) -> dict[str, Any]:
        from fovea.keras.objects import serialize_keras_object

        found = {k: v for k, v in super().get_config().items() if k != "weights"}
        return {
            **found,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        inner = {k: deserialize_keras_object(config.get(k)) for k in ("layer", "backward_layer")}
        return cls(**{**config, **inner})


def _copy(layer: Any, **changes: Any) -> Any:
    """A layer with the same arguments, but for those that change, and weights of its own."""
    parts = {type(part).__name__: type(part) for part in layer.modules()}
    with CustomObjectScope(parts):
        return type(layer).from_config({**layer.get_config(), **changes})
