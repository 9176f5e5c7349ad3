"""The transposed convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import constraints, initializers, regularizers
from fovea.keras.layers.arguments import several, single
from fovea.keras.layers.convolutional import BaseConv
from fovea.keras.layers.images import spatial_sizes, to_channels_first, with_channels
from fovea.keras.variables import store_as
from fovea.nn.functional import pad
from fovea.ops.conv import ConvInputGradAttrs, conv2d_input_grad
from fovea.ops.shape import PermuteAttrs, permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Conv2DTranspose"]

_TO_OIHW = PermuteAttrs.of((3, 2, 0, 1))


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
        self.filters = single("Conv2DTranspose", "filters", filters)
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = several("Conv2DTranspose", "output_padding", output_padding, 2, 0)
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
        store_as(self.kernel, (3, 2, 0, 1))
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        kernel = permute.bind((self.kernel,), _TO_OIHW)
        size = (x.shape[2], x.shape[3])
        whole = tuple(self._whole(n, i) for i, n in enumerate(size))
        stride, dilation = self._two(self.strides), self._two(self.dilation_rate)
        attrs = ConvInputGradAttrs.of(stride, (0, 0, 0, 0), dilation, 1, whole)
        y = conv2d_input_grad.bind((x, kernel), attrs)
        (top, bottom), (left, right) = (self._crop(n, i) for i, n in enumerate(size))
        if top or bottom or left or right:
            y = pad(y, (-left, -right, -top, -bottom))
        if self.use_bias:
            y = y + self.bias.reshape((1, -1, 1, 1))
        return self._finish(y)

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
