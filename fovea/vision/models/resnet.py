"""ResNet-18 to ResNet-152, ResNeXt and wide ResNets.

Source: K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015;
S. Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017; S. Zagoruyko
and N. Komodakis, "Wide Residual Networks", 2016. Names, first values and the order of layers are
torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models import hints
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: y = relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).

    Args:
        inplanes, planes: channels that come in and that go out.
        stride: of the first convolution.
        downsample: the shortcut where shapes differ; None is the identity.
        groups, base_width, dilation: 1, 64 and 1; ``Bottleneck`` knows others.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.

    Raises:
        ArgumentError: other groups, base_width or dilation.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        if (groups, base_width, dilation) != (1, 64, 1):
            raise ArgumentError(
                "BasicBlock: groups, base_width and dilation must be 1, 64 and 1, got "
                f"{groups}, {base_width} and {dilation}.",
                fix="use Bottleneck",
            )
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)

    @property
    def last_norm(self) -> nn.Module:
        """The normalization before the shortcut is added."""
        return self.bn2


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, which narrow and widen, beside a shortcut.

    Args:
        inplanes: channels that come in.
        planes: a quarter of those that go out.
        stride: of the 3×3 convolution.
        downsample: the shortcut where shapes differ; None is the identity.
        groups: of the 3×3 convolution.
        base_width: its channels are planes * base_width / 64 * groups.
        dilation: of the 3×3 convolution.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.

    Source: as ``ResNet``; the stride is where torchvision has it, at the 3×3 convolution.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, dilation, dilation=dilation, groups=groups, bias=False
        )
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)

    @property
    def last_norm(self) -> nn.Module:
        """The normalization before the shortcut is added."""
        return self.bn3


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
        groups, width_per_group: of the 3×3 convolutions of ``Bottleneck``.
        replace_stride_with_dilation: for each of the last three stages, whether it keeps the size
            and dilates its convolutions instead; None: none does.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.
        in_channels: 1 for gray images, 3 for color.
        small_input: a 3×3 convolution of stride 1 as the stem, without pooling, for images of
            32×32 or so (the paper's for CIFAR), instead of 7×7 of stride 2 and a pooling.

    Raises:
        ArgumentError: ``replace_stride_with_dilation`` of another length than 3.

    >>> import fovea
    >>> net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5, small_input=True)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Layer | None = None,
        *,
        in_channels: int = 3,
        small_input: bool = False,
    ) -> None:
        super().__init__()
        dilate = tuple(replace_stride_with_dilation or (False, False, False))
        if len(dilate) != 3:
            raise ArgumentError(
                "ResNet: replace_stride_with_dilation must hold 3 booleans, got "
                f"{replace_stride_with_dilation}."
            )
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        if small_input:
            self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_input else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0], 1, False, norm)
        self.layer2 = self._stage(block, 128, layers[1], 2, dilate[0], norm)
        self.layer3 = self._stage(block, 256, layers[2], 2, dilate[1], norm)
        self.layer4 = self._stage(block, 512, layers[3], 2, dilate[2], norm)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialize(zero_init_residual)

    def _stage(
        self,
        block: type[BasicBlock | Bottleneck],
        planes: int,
        count: int,
        stride: int,
        dilate: bool,
        norm: Layer,
    ) -> nn.Sequential:
        first_dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != outputs:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, outputs, 1, stride=stride, bias=False), norm(outputs)
            )
        widths = (self.groups, self.base_width)
        first = block(self.inplanes, planes, stride, downsample, *widths, first_dilation, norm)
        self.inplanes = outputs
        others = (
            block(outputs, planes, 1, None, *widths, self.dilation, norm) for _ in range(count - 1)
        )
        return nn.Sequential(first, *others)

    def _initialize(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            fan_out_normal(module)
            if zero_init_residual and isinstance(module, BasicBlock | Bottleneck):
                nn.init.constant_(module.last_norm.get_parameter("weight"), 0.0)

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_resnet(self.state_dict(), state)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


resnet18 = variant(
    "resnet18",
    ResNet,
    "ResNet with 18 layers (11.7 million parameters), for images of 224.",
    block=BasicBlock,
    layers=(2, 2, 2, 2),
)
resnet34 = variant(
    "resnet34",
    ResNet,
    "ResNet with 34 layers (21.8 million parameters), for images of 224.",
    block=BasicBlock,
    layers=(3, 4, 6, 3),
)
resnet50 = variant(
    "resnet50",
    ResNet,
    "ResNet with 50 layers (25.6 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 6, 3),
)
resnet101 = variant(
    "resnet101",
    ResNet,
    "ResNet with 101 layers (44.5 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 23, 3),
)
resnet152 = variant(
    "resnet152",
    ResNet,
    "ResNet with 152 layers (60.2 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 8, 36, 3),
)
resnext50_32x4d = variant(
    "resnext50_32x4d",
    ResNet,
    "ResNeXt with 50 layers, 32 groups of 4 channels (25 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 6, 3),
    groups=32,
    width_per_group=4,
)
resnext101_32x8d = variant(
    "resnext101_32x8d",
    ResNet,
    "ResNeXt with 101 layers, 32 groups of 8 channels (89 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 23, 3),
    groups=32,
    width_per_group=8,
)
resnext101_64x4d = variant(
    "resnext101_64x4d",
    ResNet,
    "ResNeXt with 101 layers, 64 groups of 4 channels (83 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 23, 3),
    groups=64,
    width_per_group=4,
)
wide_resnet50_2 = variant(
    "wide_resnet50_2",
    ResNet,
    "ResNet-50 with twice the width inside (69 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 6, 3),
    width_per_group=128,
)
wide_resnet101_2 = variant(
    "wide_resnet101_2",
    ResNet,
    "ResNet-101 with twice the width inside (127 million parameters), for images of 224.",
    block=Bottleneck,
    layers=(3, 4, 23, 3),
    width_per_group=128,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
