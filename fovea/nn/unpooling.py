"""Layers that put maxima back in their places, pool by norms, and pool over random windows."""

from __future__ import annotations

from typing import Any, ClassVar

from fovea.errors import ArgumentError
from fovea.nn import functional as F
from fovea.nn.functional.arguments import numbers
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Ints = int | tuple[int, ...]


class _MaxUnpool(Module):
    spatial: ClassVar[int]

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        name, n = type(self).__name__, self.spatial
        self.kernel_size = numbers(name, "kernel_size", kernel_size, n)
        self.stride = self.kernel_size if stride is None else numbers(name, "stride", stride, n)
        self.padding = numbers(name, "padding", padding, n)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros with each maximum where ``MaxPool1d(return_indices=True)`` found it.

    Args:
        kernel_size: of the pooling.
        stride: of the pooling; ``kernel_size`` unless given.
        padding: of the pooling.

    Shapes:
        maxima and their places, both (N, C, L) or (C, L), to (N, C, L').

    >>> import fovea
    >>> MaxUnpool1d(2)(fovea.tensor([[5.0, 6.0]]), fovea.tensor([[0, 3]]))
    tensor([[5., 0., 0., 6.]])
    """

    spatial = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(_MaxUnpool):
    """Zeros with each maximum where ``MaxPool2d(return_indices=True)`` found it.

    Args:
        kernel_size: of the pooling.
        stride: of the pooling; ``kernel_size`` unless given.
        padding: of the pooling.

    Shapes:
        maxima and their places, both (N, C, H, W) or (C, H, W), to (N, C, H', W').

    >>> import fovea
    >>> MaxUnpool2d(2)(fovea.tensor([[[5.0]]]), fovea.tensor([[[3]]]))
    tensor([[[0., 0.],
             [0., 5.]]])
    """

    spatial = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(_MaxUnpool):
    """Zeros with each maximum where ``MaxPool3d(return_indices=True)`` found it.

    Args:
        kernel_size: of the pooling.
        stride: of the pooling; ``kernel_size`` unless given.
        padding: of the pooling.

    Shapes:
        maxima and their places, both (N, C, D, H, W) or (C, D, H, W), to (N, C, D', H', W').

    >>> import fovea
    >>> MaxUnpool3d(2)(fovea.ones(1, 1, 1, 1), fovea.zeros(1, 1, 1, 1).long()).shape
    fovea.Size([1, 2, 2, 2])
    """

    spatial = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class _LPPool(Module):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Any,
        stride: Ints | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """y = (sum over a window of x^p)^(1 / p), for sequences.

    Args:
        norm_type: p.
        kernel_size: elements of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, L) or (C, L) to (N, C, L').

    >>> import fovea
    >>> LPPool1d(2, 2)(fovea.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool2d(_LPPool):
    """y = (sum over a window of x^p)^(1 / p), for images.

    Args:
        norm_type: p.
        kernel_size: rows and columns of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, H, W) or (C, H, W) to (N, C, H', W').

    >>> import fovea
    >>> LPPool2d(2, (1, 2))(fovea.tensor([[[3.0, 4.0]]]))
    tensor([[[5.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool3d(_LPPool):
    """y = (sum over a window of x^p)^(1 / p), for volumes.

    Args:
        norm_type: p.
        kernel_size: slices, rows and columns of a window.
        stride: steps between windows; ``kernel_size`` unless given.
        ceil_mode: let a last window hang over the end.

    Shapes:
        (N, C, D, H, W) or (C, D, H, W) to (N, C, D', H', W').

    >>> import fovea
    >>> LPPool3d(2, (1, 1, 2))(fovea.tensor([[[[3.0, 4.0]]]]))
    tensor([[[[5.]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class _FractionalMaxPool(Module):
    spatial: ClassVar[int]

    def __init__(
        self,
        kernel_size: Ints,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self.spatial
        self.kernel_size = numbers(name, "kernel_size", kernel_size, n)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None
        if output_size is not None:
            self.output_size = numbers(name, "output_size", output_size, n)
        several = isinstance(output_ratio, tuple | list)
        ratios = tuple(output_ratio) if several else (output_ratio,) * n
        self.output_ratio = None if output_ratio is None else ratios
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(f"{name}: one of output_size and output_ratio is needed, not both.")
        if output_ratio is not None and not all(0 < r < 1 for r in ratios):
            raise ArgumentError(f"{name}: output_ratio must lie between 0 and 1, got {ratios}.")


class FractionalMaxPool2d(_FractionalMaxPool):
    """The maximum of windows at random places, about equally far from each other.

    Args:
        kernel_size: rows and columns of a window.
        output_size: rows and columns of the result.
        output_ratio: or the result's size as parts of the input's.
        return_indices: also return where each maximum is.
        _random_samples: (N, C, 2) numbers in [0, 1) to use.

    Shapes:
        (N, C, H, W) or (C, H, W) to (N, C, rows, columns).

    Source: B. Graham, "Fractional Max-Pooling", 2014.

    >>> import fovea
    >>> FractionalMaxPool2d(2, output_ratio=0.7)(fovea.zeros(1, 7, 7)).shape
    fovea.Size([1, 4, 4])
    """

    spatial = 2

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool3d(_FractionalMaxPool):
    """The maximum of boxes at random places, about equally far from each other.

    Args:
        kernel_size: slices, rows and columns of a box.
        output_size: slices, rows and columns of the result.
        output_ratio: or the result's size as parts of the input's.
        return_indices: also return where each maximum is.
        _random_samples: (N, C, 3) numbers in [0, 1) to use.

    Shapes:
        (N, C, D, H, W) or (C, D, H, W) to (N, C, slices, rows, columns).

    >>> import fovea
    >>> FractionalMaxPool3d(2, output_size=3)(fovea.zeros(1, 7, 7, 7)).shape
    fovea.Size([1, 3, 3, 3])
    """

    spatial = 3

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool3d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )
