"""Convolutions of each channel on its own, alone or followed by a mix of the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import constraints, initializers, regularizers
from fovea.keras.layers.arguments import single, with_defaults
from fovea.keras.layers.convolutional import BaseConv
from fovea.keras.layers.images import channels_of, to_channels_first
from fovea.keras.layers.windows import KERNELS_FIRST
from fovea.keras.variables import store_as
from fovea.nn.functional import conv1d
from fovea.nn.functional import conv2d as convolve2d
from fovea.ops.shape import permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]


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
        self.depth_multiplier = single(type(self).__name__, "depth_multiplier", depth_multiplier)
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
        store_as(self.kernel, (self.rank, self.rank + 1, *range(self.rank)))
        self._add_bias(channels * self.depth_multiplier)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = depthwise_kernel(self.kernel)
        bias = self.used_weights.get("bias")
        return self._finish(self._windows.convolve(x, kernel, bias, x.shape[1]))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        channels = channels_of(input_shape, self.data_format)
        return self._output_shape(input_shape, (channels or 0) * self.depth_multiplier)


class DepthwiseConv1D(DepthwiseConv2D):
    """``DepthwiseConv2D`` for sequences (N, L, C). Weights: kernel (size, C, depth_multiplier),
    bias (C * depth_multiplier,).

    >>> import fovea
    >>> DepthwiseConv1D(3, depth_multiplier=2)(fovea.ones(2, 8, 3)).shape
    fovea.Size([2, 6, 6])
    """

    rank = 1
    __init__ = with_defaults(DepthwiseConv2D.__init__, strides=1, dilation_rate=1)


def depthwise_kernel(kernel: Tensor) -> Tensor:
    """(..., C, M) as the op wants it: (C * M, 1, ...)."""
    *sizes, channels, multiplier = kernel.shape
    n = len(sizes)
    return kernel.permute(n, n + 1, *range(n)).reshape((channels * multiplier, 1, *sizes))


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
        self.filters = single(type(self).__name__, "filters", filters)
        self.depth_multiplier = single(type(self).__name__, "depth_multiplier", depth_multiplier)
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
        store_as(self.depthwise_kernel, (self.rank, self.rank + 1, *range(self.rank)))
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        store_as(self.pointwise_kernel, (self.rank + 1, self.rank, *range(self.rank)))
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = depthwise_kernel(self.depthwise_kernel)
        x = self._windows.convolve(x, kernel, None, x.shape[1])
        mixing = permute.bind((self.pointwise_kernel,), KERNELS_FIRST[self.rank])
        bias = self.used_weights.get("bias")
        return self._finish((conv1d if self.rank == 1 else convolve2d)(x, mixing, bias))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._output_shape(input_shape, self.filters)


class SeparableConv1D(SeparableConv2D):
    """``SeparableConv2D`` for sequences (N, L, C). Weights: depthwise_kernel (size, C, M),
    pointwise_kernel (1, C * M, filters), bias (filters,).

    >>> import fovea
    >>> SeparableConv1D(4, 3)(fovea.ones(2, 8, 3)).shape
    fovea.Size([2, 6, 4])
    """

    rank = 1
    paddings = ("valid", "same", "causal")
    __init__ = with_defaults(SeparableConv2D.__init__, strides=1, dilation_rate=1)
