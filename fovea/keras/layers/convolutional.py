"""Convolutions. Kernels have Keras's shapes and lie in memory as the op wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.keras import activations, config, constraints, initializers, regularizers
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.arguments import choice, several, single, with_defaults
from fovea.keras.layers.images import (
    from_channels_first,
    spatial_sizes,
    to_channels_first,
    window_sizes,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.windows import KERNELS_FIRST, ConvWindows
from fovea.keras.variables import store_as
from fovea.ops.shape import permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["BaseConv", "Conv1D", "Conv2D", "Conv3D"]


class BaseConv(Layer):
    """What all convolutions share: arguments, bias and activation, the op's attributes."""

    rank = 2
    paddings: tuple[str, ...] = ("valid", "same")

    def _configure(
        self,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
    ) -> None:
        name, rank = type(self).__name__, self.rank
        self.kernel_size = several(name, "kernel_size", kernel_size, rank)
        self.strides = several(name, "strides", strides, rank)
        self.dilation_rate = several(name, "dilation_rate", dilation_rate, rank)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(f"{name}: strides and dilation_rate cannot both be larger than 1.")
        self.padding = choice(name, "padding", padding, self.paddings)
        self.data_format = config.standardize_data_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=rank + 2, max_ndim=rank + 2)
        self._early = getattr(self.activation, "elementwise", False)
        self._windows = ConvWindows(
            self.kernel_size, self.strides, self.padding, self.dilation_rate
        )

    def _channels(self, input_shape: Any) -> int:
        axis = 1 if self.data_format == "channels_first" else -1
        channels = need_size(input_shape, axis, self)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _add_bias(self, size: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(size,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _finish(self, y: Tensor) -> Tensor:
        """The activation, and the layer's own layout."""
        f = self.activation
        if f is activations.linear:
            return from_channels_first(y, self.data_format)
        if self._early:
            return from_channels_first(f(y), self.data_format)
        return f(from_channels_first(y, self.data_format))

    def _output_shape(self, input_shape: Any, channels: int) -> Any:
        sizes = window_sizes(
            self,
            spatial_sizes(input_shape, self.data_format),
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
        )
        return with_channels(input_shape, sizes, channels, self.data_format)


class Conv2D(BaseConv):
    """Cross-correlate images with a bank of kernels.

    Args:
        filters: channels that come out.
        kernel_size, strides, dilation_rate: one number or (rows, columns).
        padding: ``"valid"`` (none) or ``"same"`` (ceil(size / strides) outputs; an odd pixel goes
            to the bottom and right).
        data_format: ``"channels_last"`` (N, H, W, C) or ``"channels_first"``.
        groups: blocks of channels that do not mix.
        activation: applied to the result.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: what the weights start as.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied after each update.

    Shapes: (N, H, W, C) to (N, H', W', filters). Weights: kernel (rows, columns, C / groups,
    filters), bias (filters,).

    Raises:
        ArgumentError: an unknown or wrong argument. ShapeError: images that do not fit.

    >>> import fovea
    >>> Conv2D(4, 3, padding="same")(fovea.ones(2, 8, 8, 3)).shape
    fovea.Size([2, 8, 8, 4])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        name = type(self).__name__
        self.filters, self.groups = single(name, "filters", filters), single(name, "groups", groups)
        if self.filters % self.groups:
            raise ArgumentError(f"{name}: groups={groups} does not divide filters={filters}.")
        self._configure(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ArgumentError(
                f"{self.name}: groups={self.groups} does not divide the {channels} input channels."
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        store_as(self.kernel, (self.rank + 1, self.rank, *range(self.rank)))
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        weights = self.used_weights
        x = to_channels_first(inputs, self.data_format)
        kernel = permute.bind((weights["kernel"],), KERNELS_FIRST[self.rank])
        return self._finish(self._windows.convolve(x, kernel, weights.get("bias"), self.groups))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._output_shape(input_shape, self.filters)


class Conv1D(Conv2D):
    """Cross-correlate sequences (N, L, C) with a bank of kernels (size, C / groups, filters).

    Args:
        filters: channels that come out.
        kernel_size, strides, dilation_rate: one number.
        padding: ``"valid"``, ``"same"``, or ``"causal"`` (an output sees no later input).
        data_format: ``"channels_last"`` (N, L, C) or ``"channels_first"``.
        groups, activation, use_bias: as of ``Conv2D``, like all arguments that follow.

    >>> import fovea
    >>> Conv1D(4, 3)(fovea.ones(2, 8, 3)).shape
    fovea.Size([2, 6, 4])
    """

    rank = 1
    paddings = ("valid", "same", "causal")
    __init__ = with_defaults(Conv2D.__init__, strides=1, dilation_rate=1)


class Conv3D(Conv2D):
    """Cross-correlate volumes (N, D, H, W, C) with kernels (depth, rows, columns, C / groups,
    filters).

    Args:
        filters: channels that come out.
        kernel_size, strides, dilation_rate: one number or (depth, rows, columns).
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"`` (N, C, D, H, W).
        groups, activation, use_bias: as of ``Conv2D``, like all arguments that follow.

    >>> import fovea
    >>> Conv3D(4, 3, padding="same")(fovea.ones(2, 8, 8, 8, 3)).shape
    fovea.Size([2, 8, 8, 8, 4])
    """

    rank = 3
    __init__ = with_defaults(Conv2D.__init__, strides=(1, 1, 1), dilation_rate=(1, 1, 1))
