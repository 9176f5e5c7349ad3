"""How kernels move over sequences, images and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras.layers.images import padded, same_padding
from fovea.nn.functional import conv3d
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.shape import PermuteAttrs

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["KERNELS_FIRST", "ConvWindows", "as_image"]

# (..., in, out), by how many dimensions the images have, as (out, in, ...)
KERNELS_FIRST = {n: PermuteAttrs.of((n + 1, n, *range(n))) for n in (1, 2, 3)}
_NO_PADDING = (0, 0, 0, 0)


def as_image(values: tuple[int, ...]) -> tuple[int, int]:
    """Numbers for an image from those for an image, or for a sequence: an image of one row."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


class ConvWindows:
    """Where the windows of a convolution lie.

    Args:
        kernel_size, strides, dilation: a number for each dimension of the images.
        padding: ``"valid"``, ``"same"``, or ``"causal"`` for sequences.
    """

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        strides: tuple[int, ...],
        padding: str,
        dilation: tuple[int, ...],
    ) -> None:
        self.kernel_size, self.strides = kernel_size, strides
        self.padding, self.dilation = padding, dilation
        self.rank = len(kernel_size)
        self._valid: ConvAttrs | None = None

    def convolve(self, x: Tensor, kernel: Tensor, bias: Any, groups: int = 1) -> Tensor:
        """(N, C, ...) with kernels (out, C / groups, ...)."""
        if self.rank == 2:
            return conv2d.bind((x, kernel, bias), self._attributes(x, groups))
        if self.rank == 1:
            x = x.unsqueeze(2)
            attrs = self._attributes(x, groups)
            return conv2d.bind((x, kernel.unsqueeze(2), bias), attrs).squeeze(2)
        if self.padding == "same":
            window = (self.kernel_size, self.strides, self.dilation)
            x = padded(x, same_padding(tuple(x.shape[2:]), *window))
        return conv3d(x, kernel, bias, self.strides, 0, self.dilation, groups)

    def _attributes(self, x: Tensor, groups: int) -> ConvAttrs:
        """The op's attributes for images (N, C, H, W)."""
        if self.padding == "valid" and self._valid is not None and self._valid.groups == groups:
            return self._valid
        kernel, stride = as_image(self.kernel_size), as_image(self.strides)
        dilation = as_image(self.dilation)
        padding: Any = _NO_PADDING
        if self.padding == "causal":
            padding = (0, 0, dilation[1] * (kernel[1] - 1), 0)
        elif self.padding == "same":
            padding = same_padding((x.shape[2], x.shape[3]), kernel, stride, dilation)
        made = ConvAttrs.of(stride, padding, dilation, groups)
        if self.padding == "valid":
            self._valid = made
        return made
