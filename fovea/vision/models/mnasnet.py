"""MNASNet.

Source: M. Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2019 (B1).
Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.registry import variant
from fovea.vision.sizes import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MNASNet", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"]

_MOMENTUM = 1 - 0.9997
_STEM = 32
_FIRST = 16
# Channels, kernel, stride of the first block, expansion, blocks (the paper's figure 7).
_STACKS = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
_LAST = 1280


def _conv(
    inputs: int, outputs: int, kernel: int, momentum: float, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its normalization."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs, momentum=momentum)]


class _InvertedResidual(nn.Module):
    """Channels widened, filtered one by one, narrowed; the input is added where shapes agree."""

    def __init__(
        self,
        in_ch: int,
        out_ch: int,
        kernel_size: int,
        stride: int,
        expansion_factor: int,
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        inside = in_ch * expansion_factor
        self.apply_residual = in_ch == out_ch and stride == 1
        self.layers = nn.Sequential(
            *_conv(in_ch, inside, 1, bn_momentum),
            nn.ReLU(inplace=True),
            *_conv(inside, inside, kernel_size, bn_momentum, stride, inside),
            nn.ReLU(inplace=True),
            *_conv(inside, out_ch, 1, bn_momentum),
        )

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.layers(input)
        return result + input if self.apply_residual else result


class MNASNet(nn.Module):
    """A stem, stacks of inverted residual blocks, a 1×1 convolution, the mean over all places, a
    linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        alpha: factor of all channels but the last.
        num_classes: how many there are.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: an ``alpha`` that is not above 0.

    >>> import fovea
    >>> MNASNet(0.25, num_classes=5)(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    _version = 2

    def __init__(
        self,
        alpha: float,
        num_classes: int = 1000,
        dropout: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if alpha <= 0:
            raise ArgumentError(f"MNASNet: alpha must be above 0, got {alpha}.")
        self.alpha, self.num_classes = alpha, num_classes
        stem, channels = make_divisible(_STEM * alpha), make_divisible(_FIRST * alpha)
        layers: list[nn.Module] = [
            *_conv(in_channels, stem, 3, _MOMENTUM, stride=2),
            nn.ReLU(inplace=True),
            *_conv(stem, stem, 3, _MOMENTUM, groups=stem),
            nn.ReLU(inplace=True),
            *_conv(stem, channels, 1, _MOMENTUM),
        ]
        for width, kernel, stride, expansion, count in _STACKS:
            outputs = make_divisible(width * alpha)
            shared = (expansion, _MOMENTUM)
            first = _InvertedResidual(channels, outputs, kernel, stride, *shared)
            others = (
                _InvertedResidual(outputs, outputs, kernel, 1, *shared) for _ in range(count - 1)
            )
            layers.append(nn.Sequential(first, *others))
            channels = outputs
        layers += [*_conv(channels, _LAST, 1, _MOMENTUM), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, inplace=True), nn.Linear(_LAST, num_classes)
        )
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).mean((2, 3)))


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    fan_out_normal(module)
    if isinstance(module, nn.Linear):
        nn.init.kaiming_uniform_(module.weight, mode="fan_out", nonlinearity="sigmoid")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


mnasnet0_5 = variant(
    "mnasnet0_5",
    MNASNet,
    "MNASNet at half its width (2.2 million parameters), for images of 224.",
    alpha=0.5,
)
mnasnet0_75 = variant(
    "mnasnet0_75",
    MNASNet,
    "MNASNet at 0.75 times its width (3.2 million parameters), for images of 224.",
    alpha=0.75,
)
mnasnet1_0 = variant(
    "mnasnet1_0",
    MNASNet,
    "MNASNet (4.4 million parameters), for images of 224.",
    alpha=1.0,
)
mnasnet1_3 = variant(
    "mnasnet1_3",
    MNASNet,
    "MNASNet at 1.3 times its width (6.3 million parameters), for images of 224.",
    alpha=1.3,
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
