"""Transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import constraints, initializers, regularizers
from fovea.keras.layers.arguments import several, single, with_defaults
from fovea.keras.layers.convolutional import BaseConv
from fovea.keras.layers.images import padded, spatial_sizes, to_channels_first, with_channels
from fovea.keras.layers.windows import KERNELS_FIRST, as_image
from fovea.keras.variables import store_as
from fovea.nn.functional import conv_transpose3d
from fovea.ops.conv import ConvInputGradAttrs, conv2d_input_grad
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
        sides = [n for i, size in enumerate(x.shape[2:]) for n in self._crop(size, i)]
        y = padded(self._spread(x, kernel), [-n for n in sides])
        if self.use_bias:
            y = y + self.bias.reshape((1, -1, *(1,) * self.rank))
        return self._finish(y)

    def _spread(self, x: Tensor, kernel: Tensor) -> Tensor:
        """All that the kernels touch, (N, filters, ...); kernels are (C, filters, ...)."""
        if self.rank == 3:
            return conv_transpose3d(x, kernel, None, self.strides, dilation=self.dilation_rate)
        if self.rank == 1:
            x, kernel = x.unsqueeze(2), kernel.unsqueeze(2)
        whole = as_image(tuple(self._whole(n, i) for i, n in enumerate(x.shape[-self.rank :])))
        stride, dilation = as_image(self.strides), as_image(self.dilation_rate)
        attrs = ConvInputGradAttrs.of(stride, (0, 0, 0, 0), dilation, 1, whole)
        y = conv2d_input_grad.bind((x, kernel), attrs)
        return y.squeeze(2) if self.rank == 1 else y

    def _reach(self, i: int) -> int:
        return self.dilation_rate[i] * (self.kernel_size[i] - 1) + 1

    def _whole(self, size: int, i: int) -> int:
        """Rows (or columns) that the kernels touch."""
        return (size - 1) * self.strides[i] + self._reach(i)

    def _crop(self, size: int, i: int) -> tuple[int, int]:
        """What to take off at both ends; negative amounts add zeros."""
        reach, stride = self._reach(i), self.strides[i]
        extra = self._whole(size, i) - self._output_size(size, i)
        if self.padding == "valid":
            return 0, extra
        if self.output_padding is None:
            room = stride + reach - 2
        else:
            room = reach + reach % 2 - 2 + self.output_padding[i]
        before = reach - 1 - min((room + 1) // 2, reach - 1)
        return before, extra - before

    def _output_size(self, size: int, i: int) -> int:
        reach, stride = self._reach(i), self.strides[i]
        given = None if self.output_padding is None else self.output_padding[i]
        if self.padding == "valid":
            return (
                (size - 1) * stride + reach + (max(stride - reach, 0) if given is None else given)
            )
        return size * stride if given is None else (size - 1) * stride + reach % 2 + given

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = spatial_sizes(input_shape, self.data_format)
        out = [None if n is None else self._output_size(n, i) for i, n in enumerate(sizes)]
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
