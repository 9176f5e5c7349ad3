"""ResNet-18 and ResNet-34.

Source: K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015.
Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.registry import load_weights, register_model

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["BasicBlock", "ResNet", "resnet18", "resnet34"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: y = relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).

    Args:
        inplanes, planes: channels that come in and that go out.
        stride: of the first convolution.
        downsample: the shortcut where shapes differ; None is the identity.
    """

    expansion = 1

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        block: the class of the blocks.
        layers: how many blocks each of the four stages has.
        num_classes: how many there are.
        zero_init_residual: start each block as the identity.
        in_channels: 1 for gray images, 3 for color.
        small_input: a 3×3 convolution of stride 1 as the stem, without pooling, for images of
            32×32 or so (the paper's for CIFAR), instead of 7×7 of stride 2 and a pooling.

    >>> import fovea
    >>> net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5, small_input=True)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        block: type[BasicBlock],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        in_channels: int = 3,
        small_input: bool = False,
    ) -> None:
        super().__init__()
        self.inplanes = 64
        if small_input:
            self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_input else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0], 1)
        self.layer2 = self._stage(block, 128, layers[1], 2)
        self.layer3 = self._stage(block, 256, layers[2], 2)
        self.layer4 = self._stage(block, 512, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialize(zero_init_residual)

    def _stage(
        self, block: type[BasicBlock], planes: int, count: int, stride: int
    ) -> nn.Sequential:
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != outputs:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )
        blocks = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = outputs
        blocks += [block(outputs, planes) for _ in range(count - 1)]
        return nn.Sequential(*blocks)

    def _initialize(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, BasicBlock):
                nn.init.constant_(module.bn2.get_parameter("weight"), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


@register_model()
def resnet18(
    *,
    weights: str | os.PathLike[str] | None = None,
    progress: bool = True,
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    in_channels: int = 3,
    small_input: bool = False,
) -> ResNet:
    """ResNet with 18 layers (11.7 million parameters).

    Args:
        weights: a file of weights, torchvision's for example.
        progress: accepted for compatibility.
        num_classes, zero_init_residual, in_channels, small_input: as ``ResNet``.
    """
    layers = [2, 2, 2, 2]
    model = ResNet(BasicBlock, layers, num_classes, zero_init_residual, in_channels, small_input)
    load_weights(model, weights)
    return model


@register_model()
def resnet34(
    *,
    weights: str | os.PathLike[str] | None = None,
    progress: bool = True,
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    in_channels: int = 3,
    small_input: bool = False,
) -> ResNet:
    """ResNet with 34 layers (21.8 million parameters).

    Args:
        weights, progress, num_classes, zero_init_residual, in_channels, small_input: as
            ``resnet18``.
    """
    layers = [3, 4, 6, 3]
    model = ResNet(BasicBlock, layers, num_classes, zero_init_residual, in_channels, small_input)
    load_weights(model, weights)
    return model
