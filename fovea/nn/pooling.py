"""Pooling layers."""

from __future__ import annotations

from typing import Any

from fovea.nn import functional as F
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
]

Ints = int | tuple[int, ...]


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool2d(_MaxPool):
    """The maximum of each window of an image.

    Args:
        kernel_size: rows and columns of a window; one number for both.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: implicit minus infinity on each side, at most half of the window.
        dilation: steps between the elements of a window.
        return_indices: also return where in the flat H x W plane each maximum is.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, H, W) to (N, C, H', W'), also without N, with
        H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1 (ceil with
        ``ceil_mode``). The gradient of equal maxima goes to the first.

    >>> import fovea
    >>> MaxPool2d(2)(fovea.ones(1, 3, 7, 8)).shape
    fovea.Size([1, 3, 3, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of a sequence.

    Args:
        kernel_size: elements of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: implicit minus infinity on each side.
        dilation: steps between the elements of a window.
        return_indices: also return where each maximum is.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, L) to (N, C, L'), also without N.

    >>> import fovea
    >>> MaxPool1d(2)(fovea.arange(4.0).reshape(1, 1, 4))
    tensor([[[1., 3.]]])
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool2d(Module):
    """The average of each window of an image.

    Args:
        kernel_size: rows and columns of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: zeros on each side, at most half of the window.
        ceil_mode: let a last window hang over the end.
        count_include_pad: whether the zeros count as elements.
        divisor_override: divide sums by this instead of the window's size.

    Shapes:
        (N, C, H, W) to (N, C, H', W'), also without N.

    >>> import fovea
    >>> AvgPool2d(2)(fovea.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[[[1.5000]]]])
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
        return F.avg_pool2d(
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


def _single(value: Ints) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


class AvgPool1d(Module):
    """The average of each window of a sequence.

    Args:
        kernel_size: elements of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        padding: zeros on each side.
        ceil_mode: let a last window hang over the end.
        count_include_pad: whether the zeros count as elements.

    Shapes:
        (N, C, L) to (N, C, L'), also without N.

    >>> import fovea
    >>> AvgPool1d(2)(fovea.arange(4.0).reshape(1, 1, 4))
    tensor([[[0.5000, 2.5000]]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.padding = _single(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptivePool(Module):
    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptivePool):
    """The average over bins, as many as wanted whatever the image's size.

    Args:
        output_size: rows and columns of the result; one number for both, None for the image's own.

    Shapes:
        (N, C, H, W) to (N, C, rows, columns), also without N.

    >>> import fovea
    >>> AdaptiveAvgPool2d(1)(fovea.ones(2, 3, 7, 5)).shape
    fovea.Size([2, 3, 1, 1])
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptivePool):
    """The average over bins of a sequence.

    Args:
        output_size: how many bins.

    Shapes:
        (N, C, L) to (N, C, output_size), also without N.

    >>> import fovea
    >>> AdaptiveAvgPool1d(2)(fovea.arange(4.0).reshape(1, 1, 4))
    tensor([[[0.5000, 2.5000]]])
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveMaxPool2d(_AdaptivePool):
    """The maximum of bins, as many as wanted whatever the image's size.

    Args:
        output_size: rows and columns of the result; one number for both, None for the image's own.
        return_indices: also return where in the flat H x W plane each maximum is.

    Shapes:
        (N, C, H, W) to (N, C, rows, columns), also without N.

    >>> import fovea
    >>> AdaptiveMaxPool2d(1)(fovea.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[[[3.]]]])
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptivePool):
    """The maximum of bins of a sequence.

    Args:
        output_size: how many bins.
        return_indices: also return where each maximum is.

    Shapes:
        (N, C, L) to (N, C, output_size), also without N.

    >>> import fovea
    >>> AdaptiveMaxPool1d(2)(fovea.arange(4.0).reshape(1, 1, 4))
    tensor([[[1., 3.]]])
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)
