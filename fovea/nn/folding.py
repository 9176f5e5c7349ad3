"""Layers that take images apart into windows and put them together."""

from __future__ import annotations

from typing import Any

from fovea.nn import functional as F
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = ["Fold", "Unfold"]


class Fold(Module):
    """Sums columns back into an image ("col2im"): the transpose of ``Unfold``.

    Args:
        output_size: (H, W) of the image.
        kernel_size: of the windows.
        dilation: distance of a window's pixels.
        padding: zeros around the image.
        stride: distance of the windows.

    Shapes:
        (N, C kh kw, windows) or without N, to (N, C, H, W).

    Raises:
        ShapeError: another number of windows than such an image has.

    >>> import fovea
    >>> Fold((2, 3), (2, 2))(fovea.ones(1, 4, 2))
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {_windows(self)}"


class Unfold(Module):
    """All windows of an image as columns ("im2col").

    Args:
        kernel_size: of the windows.
        dilation: distance of a window's pixels.
        padding: zeros around the image.
        stride: distance of the windows.

    Shapes:
        (N, C, H, W) or (C, H, W) to (N, C kh kw, windows) or without N.

    >>> import fovea
    >>> Unfold((2, 3))(fovea.ones(2, 5, 3, 4)).shape
    fovea.Size([2, 30, 4])
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return _windows(self)


def _windows(layer: Fold | Unfold) -> str:
    return (
        f"kernel_size={layer.kernel_size}, dilation={layer.dilation}, padding={layer.padding}, "
        f"stride={layer.stride}"
    )
