"""MobileNetV2.

Source: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and L.-C. Chen, "MobileNetV2: Inverted Residuals
and Linear Bottlenecks", 2018. Names, first values and the order of layers are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.initial import small_normal
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer
from fovea.vision.sizes import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2"]

# Expansion, channels, blocks, stride of the first block (the paper's table 2).
_SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Channels widened by a 1×1 convolution, filtered one by one, narrowed by another; the input
    is added where shapes agree.

    Args:
        inp, oup: channels that come in and that go out.
        stride: of the 3×3 convolution, 1 or 2.
        expand_ratio: how many times more channels there are in between.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.

    Raises:
        ArgumentError: another stride.

    >>> import fovea
    >>> InvertedResidual(8, 8, 1, 6)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: int,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ArgumentError(f"InvertedResidual: the stride must be 1 or 2, got {stride}.")
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        hidden = round(inp * expand_ratio)
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(
                Conv2dNormActivation(
                    inp, hidden, kernel_size=1, norm_layer=norm, activation_layer=nn.ReLU6
                )
            )
        layers += [
            Conv2dNormActivation(
                hidden,
                hidden,
                stride=stride,
                groups=hidden,
                norm_layer=norm,
                activation_layer=nn.ReLU6,
            ),
            nn.Conv2d(hidden, oup, 1, bias=False),
            norm(oup),
        ]
        self.conv = nn.Sequential(*layers)
        self.stride, self.out_channels = stride, oup
        self.use_res_connect = stride == 1 and inp == oup

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """A stem, inverted residual blocks, a 1×1 convolution, the mean over all places, a linear
    layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        num_classes: how many there are.
        width_mult: factor of all channels.
        inverted_residual_setting: rows of expansion, channels, blocks and stride; None: those of
            the paper.
        round_nearest: what channels are rounded to a multiple of.
        block: makes the blocks; None: ``InvertedResidual``.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: rows of another length, or none.

    >>> import fovea
    >>> setting = [[1, 8, 1, 1], [6, 16, 1, 2]]
    >>> net = MobileNetV2(5, inverted_residual_setting=setting)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        setting = _SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or any(len(row) != 4 for row in setting):
            raise ArgumentError(
                "MobileNetV2: inverted_residual_setting must hold rows of expansion, channels, "
                f"blocks and stride, got {setting!r}."
            )
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        features: list[nn.Module] = [
            Conv2dNormActivation(
                in_channels, channels, stride=2, norm_layer=norm, activation_layer=nn.ReLU6
            )
        ]
        make = InvertedResidual if block is None else block
        for expansion, width, count, stride in setting:
            outputs = make_divisible(width * width_mult, round_nearest)
            for i in range(count):
                step = stride if i == 0 else 1
                features.append(make(channels, outputs, step, expansion, norm_layer=norm))
                channels = outputs
        features.append(
            Conv2dNormActivation(
                channels,
                self.last_channel,
                kernel_size=1,
                norm_layer=norm,
                activation_layer=nn.ReLU6,
            )
        )
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes)
        )
        self.apply(small_normal)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(x.flatten(1))


mobilenet_v2 = variant(
    "mobilenet_v2",
    MobileNetV2,
    "MobileNetV2 (3.5 million parameters), for images of 224.",
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
