"""How kernels move over sequences, images and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras.layers.images import padded, same_padding
from fovea.nn.functional import conv3d, conv_transpose3d
from fovea.ops.conv import ConvAttrs, ConvInputGradAttrs, conv2d, conv2d_input_grad
from fovea.ops.shape import PermuteAttrs

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["KERNELS_FIRST", "ConvWindows", "TransposedWindows"]

# (..., in, out), by how many dimensions the images have, as (out, in, ...)
KERNELS_FIRST = {n: PermuteAttrs.of((n + 1, n, *range(n))) for n in (1, 2, 3)}
_NO_PADDING = (0, 0, 0, 0)


def _as_image(values: tuple[int, ...]) -> tuple[int, int]:
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
        kernel, stride = _as_image(self.kernel_size), _as_image(self.strides)
        dilation = _as_image(self.dilation)
        padding: Any = _NO_PADDING
        if self.padding == "causal":
            padding = (0, 0, dilation[1] * (kernel[1] - 1), 0)
        elif self.padding == "same":
            padding = same_padding((x.shape[2], x.shape[3]), kernel, stride, dilation)
        made = ConvAttrs.of(stride, padding, dilation, groups)
        if self.padding == "valid":
            self._valid = made
        return made


class TransposedWindows:
    """Where the windows of a transposed convolution lie.

    Args:
        kernel_size, strides, dilation: a number for each dimension of the images.
        padding: ``"valid"`` or ``"same"``.
        output_padding: sets sizes where several are possible; None for the usual ones.
    """

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        strides: tuple[int, ...],
        padding: str,
        dilation: tuple[int, ...],
        output_padding: tuple[int, ...] | None = None,
    ) -> None:
        self.strides, self.dilation = strides, dilation
        self.padding, self.output_padding = padding, output_padding
        self.rank = len(kernel_size)
        self.reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))

    def convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        """(N, C, ...) with kernels (C, out, ...)."""
        sides = [n for i, size in enumerate(x.shape[2:]) for n in self._crop(size, i)]
        return padded(self._spread(x, kernel), [-n for n in sides])

    def _spread(self, x: Tensor, kernel: Tensor) -> Tensor:
        """All that the kernels touch, (N, out, ...)."""
        if self.rank == 3:
            return conv_transpose3d(x, kernel, None, self.strides, dilation=self.dilation)
        if self.rank == 1:
            x, kernel = x.unsqueeze(2), kernel.unsqueeze(2)
        whole = _as_image(tuple(self._whole(n, i) for i, n in enumerate(x.shape[-self.rank :])))
        stride, dilation = _as_image(self.strides), _as_image(self.dilation)
        attrs = ConvInputGradAttrs.of(stride, (0, 0, 0, 0), dilation, 1, whole)
        y = conv2d_input_grad.bind((x, kernel), attrs)
        return y.squeeze(2) if self.rank == 1 else y

    def _whole(self, size: int, i: int) -> int:
        """Rows (or columns) that the kernels touch."""
        return (size - 1) * self.strides[i] + self.reach[i]

    def _crop(self, size: int, i: int) -> tuple[int, int]:
        """What to take off at both ends; negative amounts add zeros."""
        reach = self.reach[i]
        extra = self._whole(size, i) - self.output_size(size, i)
        if self.padding == "valid":
            return 0, extra
        if self.output_padding is None:
            room = self.strides[i] + reach - 2
        else:
            room = reach + reach % 2 - 2 + self.output_padding[i]
        before = reach - 1 - min((room + 1) // 2, reach - 1)
        return before, extra - before

    def output_size(self, size: int, i: int) -> int:
        """The size of the result along a dimension."""
        reach, stride = self.reach[i], self.strides[i]
        given = None if self.output_padding is None else self.output_padding[i]
        if self.padding == "valid":
            return (
                (size - 1) * stride + reach + (max(stride - reach, 0) if given is None else given)
            )
        return size * stride if given is None else (size - 1) * stride + reach % 2 + given
