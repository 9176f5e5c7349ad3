"""Transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import constraints, initializers, regularizers
from fovea.keras.layers.arguments import several, single, with_defaults
from fovea.keras.layers.convolutional import BaseConv
from fovea.keras.layers.images import spatial_sizes, to_channels_first, with_channels
from fovea.keras.layers.windows import KERNELS_FIRST, TransposedWindows
from fovea.keras.variables import store_as
from fovea.ops.shape import permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]


class Conv2DTranspose(BaseConv):
    """The gradient of ``Conv2D`` with respect to its input, used to enlarge images.

    Args:
        filters: channels that come out.
        kernel_size, strides, dilation_rate: one number or (rows, columns).
        padding: ``"valid"``, or ``"same"``: sizes are multiplied by ``strides``.
        output_padding: sets the output's size where several are possible.
        data_format, activation, use_bias, kernel_..., bias_...: as of ``Conv2D``.

    Shapes: (N, H, W, C) to (N, H', W', filters). Weights: kernel (rows, columns, filters, C), bias
    (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
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
        self.filters = single(type(self).__name__, "filters", filters)
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = several(
                type(self).__name__, "output_padding", output_padding, self.rank, 0
            )
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
        self._lies = TransposedWindows(
            self.kernel_size, self.strides, self.padding, self.dilation_rate, self.output_padding
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, channels),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        store_as(self.kernel, (self.rank + 1, self.rank, *range(self.rank)))
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = permute.bind((self.kernel,), KERNELS_FIRST[self.rank])
        y = self._lies.convolve(x, kernel)
        if self.use_bias:
            y = y + self.bias.reshape((1, -1, *(1,) * self.rank))
        return self._finish(y)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = spatial_sizes(input_shape, self.data_format)
        out = [None if n is None else self._lies.output_size(n, i) for i, n in enumerate(sizes)]
        return with_channels(input_shape, out, self.filters, self.data_format)


class Conv1DTranspose(Conv2DTranspose):
    """``Conv2DTranspose`` for sequences (N, L, C). Weights: kernel (size, filters, C), bias
    (filters,).

    >>> import fovea
    >>> Conv1DTranspose(4, 3, strides=2)(fovea.ones(2, 8, 3)).shape
    fovea.Size([2, 17, 4])
    """

    rank = 1
    __init__ = with_defaults(Conv2DTranspose.__init__, strides=1, dilation_rate=1)


class Conv3DTranspose(Conv2DTranspose):
    """``Conv2DTranspose`` for volumes (N, D, H, W, C). Weights: kernel (depth, rows, columns,
    filters, C), bias (filters,).

    >>> import fovea
    >>> Conv3DTranspose(4, 2, strides=2)(fovea.ones(2, 3, 3, 3, 3)).shape
    fovea.Size([2, 6, 6, 6, 4])
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        dilation_rate: Any = (1, 1, 1),
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
            output_padding,
            data_format,
            dilation_rate,
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
