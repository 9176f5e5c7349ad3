"""Channels weighted by what all pixels say: squeeze and excitation, and its kin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.layers.helpers import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "EcaModule",
    "EffectiveSEModule",
    "EffectiveSqueezeExcite",
    "SEModule",
    "SqueezeExcite",
]

Layer = Callable[..., nn.Module]
_GATES: dict[str, Layer] = {"sigmoid": nn.Sigmoid, "hard_sigmoid": nn.Hardsigmoid}


def _gate(layer: str | Layer) -> nn.Module:
    if not isinstance(layer, str):
        return layer()
    if layer not in _GATES:
        raise ArgumentError(f"gate_layer is one of {', '.join(_GATES)} or a class; got {layer!r}.")
    return _GATES[layer]()


def _squeezed(x: Tensor, add_maxpool: bool) -> Tensor:
    """One number a channel, (N, C, 1, 1)."""
    mean = x.mean((2, 3), keepdim=True)
    return 0.5 * mean + 0.5 * x.amax((2, 3), keepdim=True) if add_maxpool else mean


class SEModule(nn.Module):
    """y = x * gate(fc2(act(norm(fc1(mean of each channel)))))

    Args:
        channels: of x.
        rd_ratio: hidden channels, a channel; rounded to a multiple of ``rd_divisor``.
        rd_channels: hidden channels, instead.
        rd_divisor: what hidden channels are a multiple of.
        add_maxpool: half the mean and half the maximum.
        bias: whether the layers have one.
        act_layer: makes the activation.
        norm_layer: makes a normalization from the hidden channels; None for none.
        gate_layer: ``"sigmoid"``, ``"hard_sigmoid"``, or what makes the gate.

    Shapes:
        (N, C, H, W) to the same.

    Parameters:
        fc1, bn, fc2: those of the layers.

    Raises:
        ArgumentError: another name of a gate.

    Source: Hu et al., "Squeeze-and-excitation networks", CVPR 2018.

    >>> import fovea
    >>> SEModule(16)(fovea.ones(1, 16, 2, 2)).shape
    fovea.Size([1, 16, 2, 2])
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        add_maxpool: bool = False,
        bias: bool = True,
        act_layer: Layer = nn.ReLU,
        norm_layer: Layer | None = None,
        gate_layer: str | Layer = "sigmoid",
    ) -> None:
        super().__init__()
        self.add_maxpool = add_maxpool
        hidden = rd_channels or make_divisible(channels * rd_ratio, rd_divisor, round_limit=0.0)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.bn = nn.Identity() if norm_layer is None else norm_layer(hidden)
        self.act = act_layer()
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.gate = _gate(gate_layer)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.bn(self.fc1(_squeezed(x, self.add_maxpool))))
        return x * self.gate(self.fc2(hidden))


class EffectiveSEModule(nn.Module):
    """y = x * gate(fc(mean of each channel))

    Args:
        channels: of x.
        add_maxpool: half the mean and half the maximum.
        gate_layer: ``"sigmoid"``, ``"hard_sigmoid"``, or what makes the gate.

    Shapes:
        (N, C, H, W) to the same.

    Parameters:
        fc: weight (C, C, 1, 1), bias (C,).

    Source: Lee and Park, "CenterMask", CVPR 2020.

    >>> import fovea
    >>> EffectiveSEModule(4)(fovea.ones(1, 4, 2, 2)).shape
    fovea.Size([1, 4, 2, 2])
    """

    def __init__(
        self, channels: int, add_maxpool: bool = False, gate_layer: str | Layer = "hard_sigmoid"
    ) -> None:
        super().__init__()
        self.add_maxpool = add_maxpool
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = _gate(gate_layer)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc(_squeezed(x, self.add_maxpool)))


class EcaModule(nn.Module):
    """y = x * gate(conv along the channels of the mean of each channel)

    Args:
        channels: of x, from which the size of the kernel follows; None to use ``kernel_size``.
        kernel_size: how many channels say what one of them weighs; odd.
        gamma, beta: the size is the odd number next to (log2(channels) + beta) / gamma, at least 3.
        gate_layer: ``"sigmoid"``, ``"hard_sigmoid"``, or what makes the gate.

    Shapes:
        (N, C, H, W) to the same.

    Parameters:
        conv.weight: (1, 1, kernel_size).

    Raises:
        ArgumentError: an even kernel.

    Source: Wang et al., "ECA-Net", CVPR 2020.

    >>> import fovea
    >>> EcaModule(64).conv.kernel_size, EcaModule(512)(fovea.ones(1, 512, 2, 2)).shape
    ((3,), fovea.Size([1, 512, 2, 2]))
    """

    def __init__(
        self,
        channels: int | None = None,
        kernel_size: int = 3,
        gamma: float = 2,
        beta: float = 1,
        gate_layer: str | Layer = "sigmoid",
    ) -> None:
        super().__init__()
        if channels is not None:
            size = int(abs(math.log2(channels) + beta) / gamma)
            kernel_size = max(size + 1 - size % 2, 3)
        if kernel_size % 2 == 0:
            raise ArgumentError(f"EcaModule: kernel_size must be odd, got {kernel_size}.")
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.gate = _gate(gate_layer)

    def forward(self, x: Tensor) -> Tensor:
        means = self.conv(x.mean((2, 3)).unsqueeze(1))
        return x * self.gate(means).reshape(len(x), -1, 1, 1)


SqueezeExcite, EffectiveSqueezeExcite = SEModule, EffectiveSEModule
