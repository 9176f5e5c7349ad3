"""Convolutional and pooling layers for volumes (N, C, D, H, W)."""

from __future__ import annotations

from typing import Any

from fovea.nn import functional as F
from fovea.nn.conv import Ints, _Conv, _ConvTranspose
from fovea.nn.module import Module
from fovea.nn.pooling import _AdaptivePool, _MaxPool
from fovea.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool3d",
    "AvgPool3d",
    "Conv3d",
    "ConvTranspose3d",
    "MaxPool3d",
]


class Conv3d(_Conv):
    """Slides a bank of kernels over volumes; see ``Conv2d``.

    y[n, o] = b[o] + sum over c of W[o, c] * x[n, c], where * is cross-correlation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: slices, rows and columns of a kernel; one number for all.
        stride: steps between positions.
        padding: what is added on each side; or ``"valid"`` or ``"same"``.
        dilation: steps between the elements of a kernel.
        groups: blocks of channels that do not mix.
        bias: whether b is learned.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_channels, D, H, W) to (N, out_channels, D', H', W'), also without N.

    Parameters:
        weight (out_channels, in_channels / groups, kernel slices, rows, columns) and bias
        (out_channels).

    >>> import fovea
    >>> Conv3d(2, 4, 3, padding=1)(fovea.ones(1, 2, 5, 8, 8)).shape
    fovea.Size([1, 4, 5, 8, 8])
    """

    spatial = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": 0,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """With another weight, as subclasses in PyTorch's programs call it."""
        if self.padding_mode == "zeros":
            padding = self.padding
        else:
            input, padding = self._padded(input), 0
        return F.conv3d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose3d(_ConvTranspose):
    """``ConvTranspose2d`` for volumes.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: slices, rows and columns of a kernel.
        stride: steps between the places where kernels are added up.
        padding: what is cut off on each side.
        output_padding: what is added at the end of each dimension.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: steps between the elements of a kernel.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_channels, D, H, W) to (N, out_channels, D', H', W'), also without N.

    Parameters:
        weight (in_channels, out_channels / groups, kernel slices, rows, columns) and bias
        (out_channels).

    >>> import fovea
    >>> ConvTranspose3d(4, 2, 2, stride=2)(fovea.ones(1, 4, 3, 5, 5)).shape
    fovea.Size([1, 2, 6, 10, 10])
    """

    spatial = 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": output_padding,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose3d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class MaxPool3d(_MaxPool):
    """The maximum of each window of a volume.

    Args:
        kernel_size: slices, rows and columns of a window; one number for all.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: implicit minus infinity on each side, at most half of the window.
        dilation: steps between the elements of a window.
        return_indices: also return where in the flat volume each maximum is.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, D, H, W) to (N, C, D', H', W'), also without N.

    >>> import fovea
    >>> MaxPool3d(2)(fovea.ones(1, 3, 4, 7, 8)).shape
    fovea.Size([1, 3, 2, 3, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool3d(Module):
    """The average of each window of a volume.

    Args:
        kernel_size: slices, rows and columns of a window; one number for all.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: zeros on each side, at most half of the window.
        ceil_mode: let a last window hang over the end.
        count_include_pad: whether the zeros count as elements.
        divisor_override: divide sums by this instead.

    Shapes:
        (N, C, D, H, W) to (N, C, D', H', W'), also without N.

    >>> import fovea
    >>> AvgPool3d(2)(fovea.ones(1, 3, 4, 7, 8)).shape
    fovea.Size([1, 3, 2, 3, 4])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool3d(_AdaptivePool):
    """Averages over bins, as many as ``output_size`` says, whatever the volume's size.

    Args:
        output_size: slices, rows and columns of the result; None keeps the volume's.

    Shapes:
        (N, C, D, H, W) to (N, C, *output_size), also without N.

    >>> import fovea
    >>> AdaptiveAvgPool3d(1)(fovea.ones(1, 3, 4, 7, 8)).shape
    fovea.Size([1, 3, 1, 1, 1])
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool3d(_AdaptivePool):
    """The maximum of each of ``output_size`` bins.

    Args:
        output_size: slices, rows and columns of the result; None keeps the volume's.
        return_indices: also return where in the flat volume each maximum is.

    Shapes:
        (N, C, D, H, W) to (N, C, *output_size), also without N.

    >>> import fovea
    >>> AdaptiveMaxPool3d(2)(fovea.ones(1, 3, 4, 7, 8)).shape
    fovea.Size([1, 3, 2, 2, 2])
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)
