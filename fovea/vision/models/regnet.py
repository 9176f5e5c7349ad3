"""RegNetX and RegNetY.

Source: I. Radosavovic, R. P. Kosaraju, R. Girshick, K. He and P. Dollár, "Designing Network Design
Spaces", 2020. Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, SqueezeExcitation
from fovea.vision.sizes import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AnyStage",
    "BlockParams",
    "BottleneckTransform",
    "RegNet",
    "ResBottleneckBlock",
    "SimpleStemIN",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
]

_QUANTUM = 8  # widths are multiples of it
_STRIDE = 2  # of each stage


class SimpleStemIN(Conv2dNormActivation):
    """A 3×3 convolution of stride 2, a normalization and an activation.

    Args:
        width_in, width_out: channels.
        norm_layer, activation_layer: make the normalization and the activation.
    """

    def __init__(
        self, width_in: int, width_out: int, norm_layer: Layer, activation_layer: Layer
    ) -> None:
        super().__init__(
            width_in, width_out, 3, 2, norm_layer=norm_layer, activation_layer=activation_layer
        )


class BottleneckTransform(nn.Sequential):
    """A 3×3 convolution in groups between two of 1×1, and what weighs the channels.

    Args:
        width_in, width_out: channels that come in and go out.
        stride: of the 3×3 convolution.
        norm_layer, activation_layer: make the normalizations and the activations.
        group_width: channels of each group.
        bottleneck_multiplier: channels inside, in ``width_out``.
        se_ratio: channels inside squeeze and excitation, in ``width_in``; None: there is none.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None,
    ) -> None:
        inside = round(width_out * bottleneck_multiplier)
        groups = inside // group_width
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["a"] = Conv2dNormActivation(
            width_in, inside, 1, norm_layer=norm_layer, activation_layer=activation_layer
        )
        layers["b"] = Conv2dNormActivation(
            inside,
            inside,
            3,
            stride,
            groups=groups,
            norm_layer=norm_layer,
            activation_layer=activation_layer,
        )
        if se_ratio:
            squeezed = round(se_ratio * width_in)
            layers["se"] = SqueezeExcitation(inside, squeezed, activation=activation_layer)
        layers["c"] = Conv2dNormActivation(
            inside, width_out, 1, norm_layer=norm_layer, activation_layer=None
        )
        super().__init__(layers)


class ResBottleneckBlock(nn.Module):
    """``BottleneckTransform`` beside a shortcut: y = activation(proj(x) + f(x)).

    Args:
        width_in, width_out, stride, norm_layer, activation_layer, group_width,
            bottleneck_multiplier, se_ratio: as ``BottleneckTransform``.

    >>> import fovea
    >>> ResBottleneckBlock(8, 16, 2, nn.BatchNorm2d, nn.ReLU, 4)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 16, 2, 2])
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int = 1,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        self.proj: nn.Module | None = None
        if width_in != width_out or stride != 1:
            self.proj = Conv2dNormActivation(
                width_in, width_out, 1, stride, norm_layer=norm_layer, activation_layer=None
            )
        self.f = BottleneckTransform(
            width_in,
            width_out,
            stride,
            norm_layer,
            activation_layer,
            group_width,
            bottleneck_multiplier,
            se_ratio,
        )
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


class AnyStage(nn.Sequential):
    """Blocks of one width, the first of which may halve the image.

    Args:
        width_in, width_out, stride: of the first block; the others keep the size.
        depth: blocks.
        block_constructor: makes them.
        norm_layer, activation_layer, group_width, bottleneck_multiplier, se_ratio: as
            ``BottleneckTransform``.
        stage_index: first number in the names of the blocks.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        depth: int,
        block_constructor: Layer,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None = None,
        stage_index: int = 0,
    ) -> None:
        super().__init__()
        shared = (norm_layer, activation_layer, group_width, bottleneck_multiplier, se_ratio)
        for i in range(depth):
            sizes = (width_out, width_out, 1) if i else (width_in, width_out, stride)
            self.add_module(f"block{stage_index}-{i}", block_constructor(*sizes, *shared))


@dataclass
class BlockParams:
    """The stages of a RegNet.

    Attributes:
        depths, widths, group_widths, bottleneck_multipliers, strides: of each stage: blocks,
            channels, channels of each group, channels inside in those outside, of the first block.
        se_ratio: channels inside squeeze and excitation, in those that come in; None: there is
            none.

    >>> params = BlockParams.from_init_params(depth=13, w_0=24, w_a=36.0, w_m=2.5, group_width=8)
    >>> params.widths, params.depths
    ([24, 64, 152, 376], [1, 1, 4, 7])
    """

    depths: list[int]
    widths: list[int]
    group_widths: list[int]
    bottleneck_multipliers: list[float]
    strides: list[int]
    se_ratio: float | None = None

    @classmethod
    def from_init_params(
        cls,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
        **kwargs: Any,
    ) -> BlockParams:
        """Stages by the paper's equations 2 to 4: block j has the width w_0 w_m^s, where s is the
        whole number for which that is nearest to w_0 + w_a j on a logarithmic scale.

        Args:
            depth: blocks of the network.
            w_0, w_a, w_m: width at first, slope, ratio of widths.
            group_width: channels of each group.
            bottleneck_multiplier, se_ratio: as ``BlockParams``.
            **kwargs: ignored.

        Raises:
            ArgumentError: numbers that give no widths.
        """
        if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % _QUANTUM:
            raise ArgumentError(
                f"RegNet: w_a must be at least 0, w_0 a positive multiple of {_QUANTUM}, w_m above "
                f"1, got {w_a}, {w_0} and {w_m}."
            )
        wide = [w_0 + w_a * j for j in range(depth)]
        steps = [round(math.log(w / w_0) / math.log(w_m)) for w in wide]
        blocks = [round(w_0 * w_m**step / _QUANTUM) * _QUANTUM for step in steps]
        widths = sorted(set(blocks))
        depths = [blocks.count(width) for width in widths]
        fitted = [_fit(width, bottleneck_multiplier, group_width) for width in widths]
        count = len(widths)
        return cls(
            depths,
            [width for width, _ in fitted],
            [group for _, group in fitted],
            [bottleneck_multiplier] * count,
            [_STRIDE] * count,
            se_ratio,
        )

    def stages(self) -> Iterator[tuple[int, int, int, int, float]]:
        """Width, stride, depth, group width and bottleneck multiplier of each stage."""
        yield from zip(
            self.widths,
            self.strides,
            self.depths,
            self.group_widths,
            self.bottleneck_multipliers,
            strict=True,
        )


def _fit(width: int, bottleneck_multiplier: float, group_width: int) -> tuple[int, int]:
    """The width and group width nearest to these where groups fill the width inside."""
    inside = int(width * bottleneck_multiplier)
    group = min(group_width, inside)
    return int(make_divisible(inside, group) / bottleneck_multiplier), group


class RegNet(nn.Module):
    """A stem, stages of residual blocks, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        block_params: the stages.
        num_classes: how many there are.
        stem_width: channels of the stem.
        stem_type, block_type: make the stem and the blocks; None: ``SimpleStemIN`` and
            ``ResBottleneckBlock``.
        norm_layer, activation: make normalizations and activations; None: ``nn.BatchNorm2d`` and
            ``nn.ReLU``.
        in_channels: 1 for gray images, 3 for color.

    >>> import fovea
    >>> params = BlockParams([1, 1], [8, 16], [4, 4], [1.0, 1.0], [2, 2], se_ratio=0.25)
    >>> RegNet(params, num_classes=5)(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        block_params: BlockParams,
        num_classes: int = 1000,
        stem_width: int = 32,
        stem_type: Layer | None = None,
        block_type: Layer | None = None,
        norm_layer: Layer | None = None,
        activation: Layer | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        act = nn.ReLU if activation is None else activation
        make = ResBottleneckBlock if block_type is None else block_type
        self.stem = (stem_type or SimpleStemIN)(in_channels, stem_width, norm, act)
        channels = stem_width
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (width, stride, depth, group, multiplier) in enumerate(block_params.stages(), 1):
            shared = (make, norm, act, group, multiplier, block_params.se_ratio, i)
            stages[f"block{i}"] = AnyStage(channels, width, stride, depth, *shared)
            channels = width
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))).flatten(1))


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _regnet(
    depth: int,
    w_0: int,
    w_a: float,
    w_m: float,
    group_width: int,
    se_ratio: float | None,
    **config: Any,
) -> RegNet:
    """The network of these numbers; other arguments as ``RegNet``."""
    params = BlockParams.from_init_params(depth, w_0, w_a, w_m, group_width, se_ratio=se_ratio)
    return RegNet(params, **config)


def _published(
    name: str, millions: str, sizes: Sequence[float], se_ratio: float | None = None
) -> Any:
    """A network of the paper's tables, by depth, w_0, w_a, w_m and group width."""
    keys = ("depth", "w_0", "w_a", "w_m", "group_width")
    text = f"RegNet{name[7].upper()} ({millions} million parameters), for images of 224."
    fixed = dict(zip(keys, sizes, strict=True))
    return variant(name, _regnet, text, **fixed, se_ratio=se_ratio)


regnet_x_400mf = _published("regnet_x_400mf", "5.5", (22, 24, 24.48, 2.54, 16))
regnet_x_800mf = _published("regnet_x_800mf", "7.3", (16, 56, 35.73, 2.28, 16))
regnet_x_1_6gf = _published("regnet_x_1_6gf", "9.2", (18, 80, 34.01, 2.25, 24))
regnet_x_3_2gf = _published("regnet_x_3_2gf", "15", (25, 88, 26.31, 2.25, 48))
regnet_x_8gf = _published("regnet_x_8gf", "40", (23, 80, 49.56, 2.88, 120))
regnet_x_16gf = _published("regnet_x_16gf", "54", (22, 216, 55.59, 2.1, 128))
regnet_x_32gf = _published("regnet_x_32gf", "108", (23, 320, 69.86, 2.0, 168))
regnet_y_400mf = _published("regnet_y_400mf", "4.3", (16, 48, 27.89, 2.09, 8), 0.25)
regnet_y_800mf = _published("regnet_y_800mf", "6.4", (14, 56, 38.84, 2.4, 16), 0.25)
regnet_y_1_6gf = _published("regnet_y_1_6gf", "11", (27, 48, 20.71, 2.65, 24), 0.25)
regnet_y_3_2gf = _published("regnet_y_3_2gf", "19", (21, 80, 42.63, 2.66, 24), 0.25)
regnet_y_8gf = _published("regnet_y_8gf", "39", (17, 192, 76.82, 2.19, 56), 0.25)
regnet_y_16gf = _published("regnet_y_16gf", "84", (18, 200, 106.23, 2.48, 112), 0.25)
regnet_y_32gf = _published("regnet_y_32gf", "145", (20, 232, 115.89, 2.53, 232), 0.25)
regnet_y_128gf = _published("regnet_y_128gf", "645", (27, 456, 160.83, 2.52, 264), 0.25)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
