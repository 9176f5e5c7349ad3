"""Activations as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.keras import activations, constraints, initializers, regularizers
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"]


class _SameShape(Layer):
    """A layer whose output has its input's shape, and its mask."""

    keeps_masks = True

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape


class Activation(_SameShape):
    """Applies an activation.

    Args:
        activation: its name, or a function.

    >>> import fovea
    >>> Activation("relu")(fovea.tensor([-1.0, 1.0]))
    tensor([0., 1.])
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)


class ReLU(_SameShape):
    """``max(x, 0)``, and its relatives.

    Args:
        max_value: the largest value; None for no limit.
        negative_slope: of the part below ``threshold``.
        threshold: what is above stays.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0:
            raise ArgumentError(f"ReLU: max_value must not be negative, got {max_value}.")
        if negative_slope is None or negative_slope < 0:
            raise ArgumentError(f"ReLU: negative_slope must not be negative, got {negative_slope}.")
        if threshold is None or threshold < 0:
            raise ArgumentError(f"ReLU: threshold must not be negative, got {threshold}.")
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class ThresholdedReLU(_SameShape):
    """``x`` where it is larger than ``theta``, else 0: what Keras 1 and 2 call ``ReLU`` with a
    ``threshold``.

    Args:
        theta: the threshold.

    >>> import fovea
    >>> ThresholdedReLU(2.0)(fovea.tensor([[1.0, 3.0]]))
    tensor([[0., 3.]])
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ArgumentError(f"ThresholdedReLU: theta must not be negative, got {theta}.")
        self.theta = float(theta)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.relu(inputs, threshold=self.theta)


class LeakyReLU(_SameShape):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ArgumentError(
                f"LeakyReLU: negative_slope must not be negative, got {negative_slope}."
            )
        self.negative_slope = negative_slope
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.leaky_relu(inputs, self.negative_slope)


class PReLU(_SameShape):
    """``x`` where it is positive, ``alpha * x`` elsewhere, with learned ``alpha``.

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the slopes.
        shared_axes: dimensions (from 1) along which one slope is shared: ``[1, 2]`` for images.

    Weights: alpha, the shape of one sample with 1 in the shared dimensions.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else list(axes)

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        shared = {a % rank for a in self.shared_axes or ()}
        shape = tuple(
            1 if axis in shared else need_size(input_shape, axis, self) for axis in range(1, rank)
        )
        self.alpha = self.add_weight(
            name="alpha",
            shape=shape,
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        axes = {axis: input_shape[axis] for axis in range(1, rank) if axis not in shared}
        self.input_spec = InputSpec(ndim=rank, axes=axes)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.relu() - (-inputs).relu() * self.alpha


class ELU(_SameShape):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.elu(inputs, self.alpha)


class Softmax(_SameShape):
    """Exponentials that sum to one.

    Args:
        axis: the dimension, or several.

    A ``mask`` has the input's shape, or one that broadcasts to it: what it leaves out gets 0.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.built = True

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return activations.softmax(inputs, self.axis)
        kept = mask if mask.dtype is dtypes.bool_ else mask > 0.5
        least = -3e4 if inputs.dtype is dtypes.float16 else -1e9
        y = activations.softmax(inputs.where(kept, least), self.axis)
        return y.where(kept, 0.0)  # also where nothing is left
