"""Convolutions. Kernels have Keras's shapes and lie in memory as the op wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.keras import activations, config, constraints, initializers, regularizers
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.arguments import choice, several, single
from fovea.keras.layers.images import (
    channels_of,
    from_channels_first,
    same_padding,
    spatial_sizes,
    to_channels_first,
    window_sizes,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.keras.variables import store_as
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.shape import PermuteAttrs, permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D"]

_TO_OIHW = PermuteAttrs.of((3, 2, 0, 1))
_NO_PADDING = (0, 0, 0, 0)


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
        self._valid: ConvAttrs | None = None

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

    def _attributes(self, x: Tensor, groups: int) -> ConvAttrs:
        """The op's attributes for images (N, C, H, W)."""
        if self.padding == "valid":
            if self._valid is None:
                self._valid = ConvAttrs.of(
                    self._two(self.strides), _NO_PADDING, self._two(self.dilation_rate), groups
                )
            return self._valid
        size, kernel = (x.shape[2], x.shape[3]), self._two(self.kernel_size)
        stride, dilation = self._two(self.strides), self._two(self.dilation_rate)
        if self.padding == "causal":
            padding = (0, 0, dilation[1] * (kernel[1] - 1), 0)
        else:
            padding = same_padding(size, kernel, stride, dilation)
        return ConvAttrs.of(stride, padding, dilation, groups)

    @staticmethod
    def _two(values: tuple[int, ...]) -> tuple[int, int]:
        """Sequences are images of one row."""
        return (1, values[0]) if len(values) == 1 else (values[0], values[1])

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
        kernel = permute.bind((weights["kernel"],), _TO_OIHW)
        attrs = self._attributes(x, self.groups)
        return self._finish(conv2d.bind((x, kernel, weights.get("bias")), attrs))

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
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )

    def call(self, inputs: Tensor) -> Tensor:
        weights = self.used_weights
        x = to_channels_first(inputs, self.data_format).unsqueeze(2)
        kernel = self.kernel.permute(2, 1, 0).unsqueeze(2)
        attrs = self._attributes(x, self.groups)
        return self._finish(conv2d.bind((x, kernel, weights.get("bias")), attrs).squeeze(2))


class DepthwiseConv2D(BaseConv):
    """Convolve each channel on its own, with ``depth_multiplier`` kernels.

    Args:
        kernel_size, strides, dilation_rate: one number or (rows, columns).
        padding: ``"valid"`` or ``"same"``.
        depth_multiplier: channels that come out for each that goes in.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: of the kernel.
        data_format, activation, use_bias, bias_...: as of ``Conv2D``.

    Weights: kernel (rows, columns, C, depth_multiplier), bias (C * depth_multiplier,).
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = single("DepthwiseConv2D", "depth_multiplier", depth_multiplier)
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
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        store_as(self.kernel, (2, 3, 0, 1))
        self._add_bias(channels * self.depth_multiplier)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = depthwise_kernel(self.kernel)
        attrs = self._attributes(x, x.shape[1])
        return self._finish(conv2d.bind((x, kernel, self.used_weights.get("bias")), attrs))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        channels = channels_of(input_shape, self.data_format)
        return self._output_shape(input_shape, (channels or 0) * self.depth_multiplier)


def depthwise_kernel(kernel: Tensor) -> Tensor:
    """(rows, columns, C, M) as the op wants it: (C * M, 1, rows, columns)."""
    rows, columns, channels, multiplier = kernel.shape
    return kernel.permute(2, 3, 0, 1).reshape((channels * multiplier, 1, rows, columns))


class SeparableConv2D(BaseConv):
    """A depthwise convolution, then a 1 x 1 convolution that mixes the channels.

    Args:
        filters: channels that come out.
        kernel_size, strides, dilation_rate, padding, depth_multiplier: of the depthwise part.
        depthwise_..., pointwise_..., bias_...: of the three weights.
        data_format, activation, use_bias: as of ``Conv2D``.

    Weights: depthwise_kernel (rows, columns, C, M), pointwise_kernel (1, 1, C * M, filters),
    bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = single("SeparableConv2D", "filters", filters)
        self.depth_multiplier = single("SeparableConv2D", "depth_multiplier", depth_multiplier)
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
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        store_as(self.depthwise_kernel, (2, 3, 0, 1))
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(1, 1, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        store_as(self.pointwise_kernel, (3, 2, 0, 1))
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = depthwise_kernel(self.depthwise_kernel)
        x = conv2d.bind((x, kernel, None), self._attributes(x, x.shape[1]))
        mixing = permute.bind((self.pointwise_kernel,), _TO_OIHW)
        attrs = ConvAttrs.of((1, 1), _NO_PADDING, (1, 1), 1)
        return self._finish(conv2d.bind((x, mixing, self.used_weights.get("bias")), attrs))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._output_shape(input_shape, self.filters)
