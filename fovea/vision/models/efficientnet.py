"""EfficientNet-B0 to B7 and EfficientNetV2.

Source: M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", 2019, and "EfficientNetV2: Smaller Models and Faster Training", 2021. Names, first
values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import InitVar, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, SqueezeExcitation
from fovea.vision.ops.stochastic_depth import StochasticDepth
from fovea.vision.sizes import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "EfficientNet",
    "FusedMBConv",
    "FusedMBConvConfig",
    "MBConv",
    "MBConvConfig",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
]


@dataclass
class FusedMBConvConfig:
    """A stage of ``FusedMBConv``.

    Args:
        expand_ratio: how many times more channels there are inside a block.
        kernel: of the first convolution of a block.
        stride: of the first block's.
        input_channels, out_channels: of the stage.
        num_layers: blocks.
        block: makes the blocks; None: ``FusedMBConv``.
    """

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Layer | None = None


@dataclass
class MBConvConfig:
    """A stage of ``MBConv``. Channels are rounded to multiples of 8.

    Args:
        expand_ratio: how many times more channels there are inside a block.
        kernel: of the depthwise convolution.
        stride: of the first block's.
        input_channels, out_channels: of the stage.
        num_layers: blocks.
        width_mult: factor of the channels.
        depth_mult: factor of the blocks.
        block: makes the blocks; None: ``MBConv``.

    >>> stage = MBConvConfig(6, 3, 2, 16, 24, 2, width_mult=1.4, depth_mult=1.8)
    >>> stage.input_channels, stage.out_channels, stage.num_layers
    (24, 32, 4)
    """

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    width_mult: InitVar[float] = 1.0
    depth_mult: InitVar[float] = 1.0
    block: Layer | None = None

    def __post_init__(self, width_mult: float, depth_mult: float) -> None:
        self.input_channels = make_divisible(self.input_channels * width_mult)
        self.out_channels = make_divisible(self.out_channels * width_mult)
        self.num_layers = math.ceil(self.num_layers * depth_mult)


Row = tuple[int, int, int, int, int, int]

# Expansion, kernel, stride, channels in and out, blocks (the paper's table 1).
_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
# EfficientNetV2's stages: fused ones, then others.
_FUSED_S = ((1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4))
_OTHERS_S = ((4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15))
_FUSED_M = ((1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5))
_OTHERS_M = (
    (4, 3, 2, 80, 160, 7),
    (6, 3, 1, 160, 176, 14),
    (6, 3, 2, 176, 304, 18),
    (6, 3, 1, 304, 512, 5),
)
_FUSED_L = ((1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7))
_OTHERS_L = (
    (4, 3, 2, 96, 192, 10),
    (6, 3, 1, 192, 224, 19),
    (6, 3, 2, 224, 384, 25),
    (6, 3, 1, 384, 640, 7),
)


class MBConv(nn.Module):
    """An inverted residual block with squeeze and excitation: channels widened, filtered one by
    one, weighed, narrowed; the input is added where shapes agree.

    Args:
        cnf: its sizes.
        stochastic_depth_prob: how often training leaves out all but the input.
        norm_layer: makes the normalizations.
        se_layer: makes what weighs the channels.

    >>> import fovea
    >>> block = MBConv(MBConvConfig(4, 3, 1, 8, 8, 1), 0.0, nn.BatchNorm2d)
    >>> block(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        cnf: MBConvConfig,
        stochastic_depth_prob: float,
        norm_layer: Layer,
        se_layer: Layer = SqueezeExcitation,
    ) -> None:
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ArgumentError(f"MBConv: the stride must be 1 or 2, got {cnf.stride}.")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        unit = partial(Conv2dNormActivation, norm_layer=norm_layer)
        expanded = make_divisible(cnf.input_channels * cnf.expand_ratio)
        layers: list[nn.Module] = []
        if expanded != cnf.input_channels:
            layers.append(unit(cnf.input_channels, expanded, 1, activation_layer=nn.SiLU))
        layers += [
            unit(
                expanded,
                expanded,
                cnf.kernel,
                cnf.stride,
                groups=expanded,
                activation_layer=nn.SiLU,
            ),
            se_layer(
                expanded, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)
            ),
            unit(expanded, cnf.out_channels, 1, activation_layer=None),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


class FusedMBConv(nn.Module):
    """A 3×3 convolution that widens, a 1×1 convolution that narrows (without expansion the first
    alone); the input is added where shapes agree.

    Args:
        cnf: its sizes.
        stochastic_depth_prob: how often training leaves out all but the input.
        norm_layer: makes the normalizations.

    Raises:
        ArgumentError: a stride other than 1 or 2.

    >>> import fovea
    >>> block = FusedMBConv(FusedMBConvConfig(4, 3, 1, 8, 8, 1), 0.0, nn.BatchNorm2d)
    >>> block(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self, cnf: FusedMBConvConfig, stochastic_depth_prob: float, norm_layer: Layer
    ) -> None:
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ArgumentError(f"FusedMBConv: the stride must be 1 or 2, got {cnf.stride}.")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        unit = partial(Conv2dNormActivation, norm_layer=norm_layer)
        active = partial(unit, activation_layer=nn.SiLU)
        expanded = make_divisible(cnf.input_channels * cnf.expand_ratio)
        if expanded == cnf.input_channels:
            layers = [active(cnf.input_channels, cnf.out_channels, cnf.kernel, cnf.stride)]
        else:
            layers = [
                active(cnf.input_channels, expanded, cnf.kernel, cnf.stride),
                unit(expanded, cnf.out_channels, 1, activation_layer=None),
            ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


class EfficientNet(nn.Module):
    """A stem, stages of blocks, a 1×1 convolution, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        inverted_residual_setting: the stages.
        dropout: part of the features that training leaves out.
        stochastic_depth_prob: how often training leaves out the last block; earlier ones less.
        num_classes: how many there are.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d``.
        last_channel: channels of the last convolution; None: four times those of the last stage.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: no stages.

    >>> import fovea
    >>> net = EfficientNet([MBConvConfig(1, 3, 1, 8, 8, 1)], dropout=0.2, num_classes=5)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[MBConvConfig | FusedMBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        stages = list(inverted_residual_setting)
        if not stages:
            raise ArgumentError("EfficientNet: inverted_residual_setting holds no stage.")
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        unit = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.SiLU)
        outputs = stages[-1].out_channels
        last = 4 * outputs if last_channel is None else last_channel
        self.features = nn.Sequential(
            unit(in_channels, stages[0].input_channels, stride=2),
            *_stages(stages, stochastic_depth_prob, norm),
            unit(outputs, last, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, inplace=True), nn.Linear(last, num_classes)
        )
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _stages(
    stages: Sequence[MBConvConfig | FusedMBConvConfig], stochastic_depth_prob: float, norm: Layer
) -> list[nn.Module]:
    total, done = sum(stage.num_layers for stage in stages), 0
    made: list[nn.Module] = []
    for stage in stages:
        usual: Layer = MBConv if isinstance(stage, MBConvConfig) else FusedMBConv
        make = stage.block or usual
        later = copy(stage)
        later.input_channels, later.stride = stage.out_channels, 1
        blocks = []
        for i in range(stage.num_layers):
            rate = stochastic_depth_prob * done / total
            blocks.append(make(later if i else stage, rate, norm))
            done += 1
        made.append(nn.Sequential(*blocks))
    return made


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    fan_out_normal(module)
    if isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _efficientnet(width: float, depth: float, dropout: float, **config: Any) -> EfficientNet:
    """B0 scaled; other arguments as ``EfficientNet``."""
    stages = [MBConvConfig(*row, width, depth) for row in _STAGES]
    return EfficientNet(stages, dropout, **config)


def _efficientnet_v2(
    fused: Sequence[Row], others: Sequence[Row], dropout: float, **config: Any
) -> EfficientNet:
    """Fused stages, then others; other arguments as ``EfficientNet``."""
    stages = [FusedMBConvConfig(*row) for row in fused] + [MBConvConfig(*row) for row in others]
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    return EfficientNet(stages, dropout, **{"norm_layer": norm, "last_channel": 1280, **config})


_LARGE_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)  # of B5 to B7

efficientnet_b0 = variant(
    "efficientnet_b0",
    _efficientnet,
    "EfficientNet-B0 (5.3 million parameters), for images of 224.",
    width=1.0,
    depth=1.0,
    dropout=0.2,
)
efficientnet_b1 = variant(
    "efficientnet_b1",
    _efficientnet,
    "EfficientNet-B1 (7.8 million parameters), for images of 240.",
    width=1.0,
    depth=1.1,
    dropout=0.2,
)
efficientnet_b2 = variant(
    "efficientnet_b2",
    _efficientnet,
    "EfficientNet-B2 (9.1 million parameters), for images of 288.",
    width=1.1,
    depth=1.2,
    dropout=0.3,
)
efficientnet_b3 = variant(
    "efficientnet_b3",
    _efficientnet,
    "EfficientNet-B3 (12 million parameters), for images of 300.",
    width=1.2,
    depth=1.4,
    dropout=0.3,
)
efficientnet_b4 = variant(
    "efficientnet_b4",
    _efficientnet,
    "EfficientNet-B4 (19 million parameters), for images of 380.",
    width=1.4,
    depth=1.8,
    dropout=0.4,
)
efficientnet_b5 = variant(
    "efficientnet_b5",
    _efficientnet,
    "EfficientNet-B5 (30 million parameters), for images of 456.",
    width=1.6,
    depth=2.2,
    dropout=0.4,
    norm_layer=_LARGE_NORM,
)
efficientnet_b6 = variant(
    "efficientnet_b6",
    _efficientnet,
    "EfficientNet-B6 (43 million parameters), for images of 528.",
    width=1.8,
    depth=2.6,
    dropout=0.5,
    norm_layer=_LARGE_NORM,
)
efficientnet_b7 = variant(
    "efficientnet_b7",
    _efficientnet,
    "EfficientNet-B7 (66 million parameters), for images of 600.",
    width=2.0,
    depth=3.1,
    dropout=0.5,
    norm_layer=_LARGE_NORM,
)
efficientnet_v2_s = variant(
    "efficientnet_v2_s",
    _efficientnet_v2,
    "EfficientNetV2-S (21 million parameters), for images of 384.",
    fused=_FUSED_S,
    others=_OTHERS_S,
    dropout=0.2,
)
efficientnet_v2_m = variant(
    "efficientnet_v2_m",
    _efficientnet_v2,
    "EfficientNetV2-M (54 million parameters), for images of 480.",
    fused=_FUSED_M,
    others=_OTHERS_M,
    dropout=0.3,
)
efficientnet_v2_l = variant(
    "efficientnet_v2_l",
    _efficientnet_v2,
    "EfficientNetV2-L (119 million parameters), for images of 480.",
    fused=_FUSED_L,
    others=_OTHERS_L,
    dropout=0.4,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
