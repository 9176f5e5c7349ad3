"""ShuffleNetV2.

Source: N. Ma, X. Zhang, H.-T. Zheng and J. Sun, "ShuffleNet V2: Practical Guidelines for Efficient
CNN Architecture Design", 2018. Names and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "InvertedResidual",
    "ShuffleNetV2",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
]

_REPEATS = (4, 8, 4)


def _point(inputs: int, outputs: int) -> list[nn.Module]:
    """A 1×1 convolution with normalization and ReLU."""
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    """A 3×3 convolution of each channel with normalization."""
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class InvertedResidual(nn.Module):
    """Two branches whose channels are interleaved: half the input as it is beside half of it
    filtered; with stride 2 both are filtered from all of it.

    Args:
        inp, oup: channels that come in and that go out.
        stride: 1 or 2.

    Raises:
        ArgumentError: another stride, an odd ``oup``, or channels that stride 1 would change.

    >>> import fovea
    >>> InvertedResidual(8, 12, 2)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 12, 2, 2])
    """

    def __init__(self, inp: int, oup: int, stride: int) -> None:
        super().__init__()
        if stride not in (1, 2) or oup % 2 or (stride == 1 and inp != oup):
            raise ArgumentError(
                "InvertedResidual: the stride must be 1 or 2, oup even and, with stride 1, equal "
                f"to inp; got inp={inp}, oup={oup}, stride={stride}."
            )
        self.stride = stride
        half = oup // 2
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(*_depthwise(inp, stride), *_point(inp, half))
        self.branch2 = nn.Sequential(
            *_point(inp if stride > 1 else half, half),
            *_depthwise(half, stride),
            *_point(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            first, second = x.chunk(2, 1)
        else:
            first, second = self.branch1(x), x
        return _interleave(cat([first, self.branch2(second)], 1))


def _interleave(x: Tensor) -> Tensor:
    """Channels of the first half and of the second in turn."""
    n, channels, height, width = x.shape
    pairs = x.reshape(n, 2, channels // 2, height, width).transpose(1, 2)
    return pairs.reshape(n, channels, height, width)


class ShuffleNetV2(nn.Module):
    """A stem, three stages of ``InvertedResidual``, a 1×1 convolution, the mean over all places, a
    linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        stages_repeats: blocks of each of the three stages.
        stages_out_channels: channels of the stem, of the stages and of the last convolution.
        num_classes: how many there are.
        inverted_residual: makes the blocks.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: another number of stages or of channels.

    >>> import fovea
    >>> ShuffleNetV2([1, 2, 1], [8, 8, 16, 32, 64], num_classes=5)(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
        inverted_residual: Layer = InvertedResidual,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(stages_repeats) != 3 or len(stages_out_channels) != 5:
            raise ArgumentError(
                "ShuffleNetV2: stages_repeats must hold 3 numbers and stages_out_channels 5, got "
                f"{stages_repeats!r} and {stages_out_channels!r}."
            )
        stem, *stages, last = stages_out_channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = (stem, *stages)
        made = []
        for inputs, outputs, count in zip(channels, stages, stages_repeats, strict=False):
            others = (inverted_residual(outputs, outputs, 1) for _ in range(count - 1))
            made.append(nn.Sequential(inverted_residual(inputs, outputs, 2), *others))
        self.stage2, self.stage3, self.stage4 = made
        self.conv5 = nn.Sequential(*_point(stages[-1], last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean((2, 3)))


shufflenet_v2_x0_5 = variant(
    "shufflenet_v2_x0_5",
    ShuffleNetV2,
    "ShuffleNetV2 at half its width (1.4 million parameters), for images of 224.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 48, 96, 192, 1024),
)
shufflenet_v2_x1_0 = variant(
    "shufflenet_v2_x1_0",
    ShuffleNetV2,
    "ShuffleNetV2 (2.3 million parameters), for images of 224.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 116, 232, 464, 1024),
)
shufflenet_v2_x1_5 = variant(
    "shufflenet_v2_x1_5",
    ShuffleNetV2,
    "ShuffleNetV2 at 1.5 times its width (3.5 million parameters), for images of 224.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 176, 352, 704, 1024),
)
shufflenet_v2_x2_0 = variant(
    "shufflenet_v2_x2_0",
    ShuffleNetV2,
    "ShuffleNetV2 at twice its width (7.4 million parameters), for images of 224.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 244, 488, 976, 2048),
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
