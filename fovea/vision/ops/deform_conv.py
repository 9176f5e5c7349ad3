"""Convolution whose kernel reads where the network tells it to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea import dtypes, nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.functions.pointwise import clamp, floor, logical_and
from fovea.functions.ranges import arange

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DeformConv2d", "deform_conv2d"]

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution; with a mask, its second version.

    Args:
        input: (N, C, H, W).
        offset: (N, 2 * G * KH * KW, OH, OW): how far (y, x) each kernel element reads from its own
            place, in pixels, for each of G groups of channels.
        weight: (O, C / groups, KH, KW).
        bias: (O,).
        mask: (N, G * KH * KW, OH, OW): a factor for each kernel element.

    Returns:
        (N, O, OH, OW).

    Raises:
        ShapeError: shapes that do not go together.

    Sources: Dai et al., "Deformable convolutional networks", ICCV 2017; Zhu et al., "Deformable
    ConvNets v2", CVPR 2019.
    """
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    n, c, h, w = input.shape
    out_channels, each, kh, kw = weight.shape
    taps = kh * kw
    groups = offset.shape[1] // (2 * taps)
    oh = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if not groups or c % groups or c % each or out_channels % (c // each):
        raise ShapeError(
            f"deform_conv2d: offset {describe(offset)} and weight {describe(weight)} do not fit "
            f"input {describe(input)}: the offset needs 2 * groups * {taps} channels.",
        )
    if tuple(offset.shape) != (n, 2 * groups * taps, oh, ow):
        raise ShapeError(
            f"deform_conv2d: the offset must be {(n, 2 * groups * taps, oh, ow)}, got "
            f"{describe(offset)}."
        )
    if mask is not None and tuple(mask.shape) != (n, groups * taps, oh, ow):
        raise ShapeError(
            f"deform_conv2d: the mask must be {(n, groups * taps, oh, ow)}, got {describe(mask)}."
        )
    moved = offset.reshape(n, groups, taps, 2, oh, ow)
    rows = _places(oh, sh, ph, dh, kh, offset).reshape(1, 1, kh, 1, oh, 1)
    columns = _places(ow, sw, pw, dw, kw, offset).reshape(1, 1, 1, kw, 1, ow)
    y = moved[:, :, :, 0].reshape(n, groups, kh, kw, oh, ow) + rows
    x = moved[:, :, :, 1].reshape(n, groups, kh, kw, oh, ow) + columns
    count = taps * oh * ow
    samples = _bilinear(
        input.reshape(n, groups, c // groups, h * w),
        y.reshape(n, groups, 1, count),
        x.reshape(n, groups, 1, count),
        (h, w),
    )
    if mask is not None:
        samples = samples * mask.reshape(n, groups, 1, count)
    parts = c // each
    columns = samples.reshape(n, parts, each * taps, oh * ow)
    filters = weight.reshape(parts, out_channels // parts, each * taps)
    out = (filters @ columns).reshape(n, out_channels, oh, ow)
    return out if bias is None else out + bias.reshape(1, -1, 1, 1)


def _places(count: int, stride: int, padding: int, dilation: int, kernel: int, like: Any) -> Tensor:
    """Where a plain convolution reads along one axis: (kernel, count)."""
    first = arange(count, dtype=like.dtype) * stride - padding
    return (arange(kernel, dtype=like.dtype) * dilation).unsqueeze(1) + first


def _bilinear(image: Tensor, y: Tensor, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (N, G, C, H * W) between pixels (N, G, 1, P); zero outside: (N, G, C, P)."""
    h, w = size
    y0, x0 = floor(y.detach()), floor(x.detach())
    ly, lx = y - y0, x - x0
    total: Any = 0
    for row, by_row in ((y0, 1 - ly), (y0 + 1, ly)):
        for column, by_column in ((x0, 1 - lx), (x0 + 1, lx)):
            inside = logical_and(
                logical_and(row >= 0, row <= h - 1), logical_and(column >= 0, column <= w - 1)
            )
            at = clamp(row, 0, h - 1) * w + clamp(column, 0, w - 1)
            index = at.to(dtypes.int64).expand(*image.shape[:3], at.shape[-1])
            factor = by_row * by_column * inside.to(y.dtype)
            total = total + image.gather(3, index) * factor
    return total


class DeformConv2d(nn.Module):
    """`deform_conv2d` with a weight and a bias of its own: ``forward(input, offset, mask=None)``.

    Args: those of ``Conv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"DeformConv2d: groups ({groups}) must divide in_channels ({in_channels}) and "
                f"out_channels ({out_channels})."
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = nn.Parameter(empty(shape))
        self.bias: nn.Parameter | None
        if bias:
            self.bias = nn.Parameter(empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias evenly from +-1 / sqrt(fan-in)."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(
            input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"
