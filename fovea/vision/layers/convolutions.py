"""Convolutions in the combinations that vision models repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.layers.helpers import same_size, to_2tuple

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Conv2dSame", "ConvNormAct", "SeparableConv2d", "SeparableConvNormAct"]

Layer = Callable[..., nn.Module]
_Ints = int | tuple[int, int]


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow does: y has ceil(H / stride) rows, zeros where they lack

    Where an odd number of rows or columns is added, the last one is below or on the right.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias: as of ``nn.Conv2d``.
        padding: must be 0.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Raises:
        ArgumentError: another padding.

    >>> import fovea
    >>> Conv2dSame(3, 4, 3, stride=2)(fovea.ones(1, 3, 7, 8)).shape
    fovea.Size([1, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints,
        stride: _Ints = 1,
        padding: _Ints = 0,
        dilation: _Ints = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        if padding != 0:
            raise ArgumentError(f"Conv2dSame: it pads by itself, padding must be 0: {padding!r}.")
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)

    def forward(self, x: Tensor) -> Tensor:
        added = []
        for size, k, s, d in zip(
            x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
        ):
            added.append(max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0))
        down, right = added
        x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _convolution(
    in_channels: int, out_channels: int, kernel: _Ints, padding: Any, **options: Any
) -> nn.Conv2d:
    """A convolution with a padding that may be said: ``""`` symmetric, ``"same"``, ``"valid"``."""
    if padding == "same":
        steps = zip(to_2tuple(kernel), to_2tuple(options.get("dilation", 1)), strict=True)
        if to_2tuple(options.get("stride", 1)) != (1, 1) or any((k - 1) * d % 2 for k, d in steps):
            return Conv2dSame(in_channels, out_channels, kernel, **options)
        padding = ""
    if padding == "":
        padding = same_size(kernel, options.get("stride", 1), options.get("dilation", 1))
    elif padding == "valid":
        padding = 0
    return nn.Conv2d(in_channels, out_channels, kernel, padding=padding, **options)


class ConvNormAct(nn.Module):
    """y = act(norm(conv(x)))

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias: as of ``nn.Conv2d``.
        padding: a number, or ``""`` for one that keeps or divides sizes, ``"same"`` for
            TensorFlow's, ``"valid"`` for none.
        apply_norm: whether there is a normalization, and an activation after it.
        apply_act: whether there is the activation.
        norm_layer: makes the normalization from ``out_channels``.
        act_layer: makes the activation; None for none.

    Shapes:
        as of ``nn.Conv2d``.

    Parameters:
        conv, bn: those of the layers.

    >>> import fovea
    >>> ConvNormAct(3, 8, 3, stride=2)(fovea.ones(1, 3, 8, 8)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints = 1,
        stride: _Ints = 1,
        padding: str | _Ints = "",
        dilation: _Ints = 1,
        groups: int = 1,
        bias: bool = False,
        apply_norm: bool = True,
        apply_act: bool = True,
        norm_layer: Layer = nn.BatchNorm2d,
        act_layer: Layer | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = _convolution(
            in_channels, out_channels, kernel_size, padding,
            stride=stride, dilation=dilation, groups=groups, bias=bias,
        )  # fmt: skip
        self.bn = norm_layer(out_channels) if apply_norm else nn.Identity()
        active = apply_norm and apply_act
        self.act = act_layer() if active and act_layer is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y


class SeparableConv2d(nn.Module):
    """y = conv_pw(conv_dw(x)): each channel by itself, then the channels of each pixel

    Args:
        in_channels, out_channels: of x and y.
        kernel_size, stride, dilation: of the first convolution.
        padding: a number, or ``""`` for one that keeps or divides sizes, ``"same"`` for
            TensorFlow's, ``"valid"`` for none.
        bias: of the second one; the first has none.
        channel_multiplier: channels between the two, a channel of x.
        pw_kernel_size: of the second one.

    Shapes:
        as of ``nn.Conv2d``.

    Parameters:
        conv_dw, conv_pw: those of the layers.

    Source: Chollet, "Xception", CVPR 2017.

    >>> import fovea
    >>> SeparableConv2d(3, 8)(fovea.ones(1, 3, 5, 5)).shape
    fovea.Size([1, 8, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints = 3,
        stride: _Ints = 1,
        dilation: _Ints = 1,
        padding: str | _Ints = "",
        bias: bool = False,
        channel_multiplier: float = 1.0,
        pw_kernel_size: _Ints = 1,
    ) -> None:
        super().__init__()
        between = int(in_channels * channel_multiplier)
        self.conv_dw = _convolution(
            in_channels, between, kernel_size, padding,
            stride=stride, dilation=dilation, groups=in_channels, bias=False,
        )  # fmt: skip
        self.conv_pw = _convolution(between, out_channels, pw_kernel_size, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_pw(self.conv_dw(x))
        return y


class SeparableConvNormAct(SeparableConv2d):
    """y = act(norm(conv_pw(conv_dw(x))))

    Args:
        in_channels, out_channels: of x and y.
        kernel_size, stride, dilation: of the first convolution.
        padding: a number, or ``""`` for one that keeps or divides sizes, ``"same"`` for
            TensorFlow's, ``"valid"`` for none.
        bias: of the second one; the first has none.
        channel_multiplier: channels between the two, a channel of x.
        pw_kernel_size: of the second one.
        norm_layer: makes the normalization from ``out_channels``.
        act_layer: makes the activation.
        apply_act: whether there is one.

    Shapes:
        as of ``nn.Conv2d``.

    Parameters:
        conv_dw, conv_pw, bn: those of the layers.

    Source: Howard et al., "MobileNets", 2017.

    >>> import fovea
    >>> SeparableConvNormAct(3, 8, stride=2)(fovea.ones(1, 3, 6, 6)).shape
    fovea.Size([1, 8, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints = 3,
        stride: _Ints = 1,
        dilation: _Ints = 1,
        padding: str | _Ints = "",
        bias: bool = False,
        channel_multiplier: float = 1.0,
        pw_kernel_size: _Ints = 1,
        norm_layer: Layer = nn.BatchNorm2d,
        act_layer: Layer = nn.ReLU,
        apply_act: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, padding, bias,
            channel_multiplier, pw_kernel_size,
        )  # fmt: skip
        self.bn = norm_layer(out_channels)
        self.act = act_layer() if apply_act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(super().forward(x)))
        return y
