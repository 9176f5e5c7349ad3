"""EfficientNet-B0 to B7.

Source: M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", 2019. Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.registry import load_weights, register_model
from fovea.vision.models.sizes import make_divisible
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, SqueezeExcitation
from fovea.vision.ops.stochastic_depth import StochasticDepth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "EfficientNet",
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
]


@dataclass
class MBConvConfig:
    """A stage of blocks. Channels are rounded to multiples of 8.

    Args:
        expand_ratio: how many times more channels there are inside a block.
        kernel: of the depthwise convolution.
        stride: of the first block's.
        input_channels, out_channels: of the stage.
        num_layers: blocks.
        width_mult: factor of the channels.
        depth_mult: factor of the blocks.

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

    def __post_init__(self, width_mult: float, depth_mult: float) -> None:
        self.input_channels = make_divisible(self.input_channels * width_mult)
        self.out_channels = make_divisible(self.out_channels * width_mult)
        self.num_layers = math.ceil(self.num_layers * depth_mult)


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


class EfficientNet(nn.Module):
    """A stem, stages of ``MBConv``, a 1×1 convolution, the mean over all places, a linear layer.

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
        inverted_residual_setting: Sequence[MBConvConfig],
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
    stages: Sequence[MBConvConfig], stochastic_depth_prob: float, norm: Layer
) -> list[nn.Module]:
    total, done = sum(stage.num_layers for stage in stages), 0
    made: list[nn.Module] = []
    for stage in stages:
        later = replace(stage, input_channels=stage.out_channels, stride=1)
        blocks = []
        for i in range(stage.num_layers):
            rate = stochastic_depth_prob * done / total
            blocks.append(MBConv(later if i else stage, rate, norm))
            done += 1
        made.append(nn.Sequential(*blocks))
    return made


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _efficientnet(
    width: float, depth: float, weights: str | os.PathLike[str] | None, **config: Any
) -> EfficientNet:
    model = EfficientNet([MBConvConfig(*row, width, depth) for row in _STAGES], **config)
    load_weights(model, weights)
    return model


_LARGE_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)  # of B5 to B7


@register_model()
def efficientnet_b0(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B0 (5.3 million parameters).

    Args:
        weights: a file of weights, torchvision's for example.
        progress: accepted for compatibility.
        **config: arguments of ``EfficientNet`` other than the stages.
    """
    return _efficientnet(1.0, 1.0, weights, **{"dropout": 0.2, **config})


@register_model()
def efficientnet_b1(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B1 (7.8 million parameters), for images of 240; arguments as B0."""
    return _efficientnet(1.0, 1.1, weights, **{"dropout": 0.2, **config})


@register_model()
def efficientnet_b2(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B2 (9.1 million parameters), for images of 288; arguments as B0."""
    return _efficientnet(1.1, 1.2, weights, **{"dropout": 0.3, **config})


@register_model()
def efficientnet_b3(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B3 (12 million parameters), for images of 300; arguments as B0."""
    return _efficientnet(1.2, 1.4, weights, **{"dropout": 0.3, **config})


@register_model()
def efficientnet_b4(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B4 (19 million parameters), for images of 380; arguments as B0."""
    return _efficientnet(1.4, 1.8, weights, **{"dropout": 0.4, **config})


@register_model()
def efficientnet_b5(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B5 (30 million parameters), for images of 456; arguments as B0."""
    return _efficientnet(1.6, 2.2, weights, **{"dropout": 0.4, "norm_layer": _LARGE_NORM, **config})


@register_model()
def efficientnet_b6(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B6 (43 million parameters), for images of 528; arguments as B0."""
    return _efficientnet(1.8, 2.6, weights, **{"dropout": 0.5, "norm_layer": _LARGE_NORM, **config})


@register_model()
def efficientnet_b7(
    *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
) -> EfficientNet:
    """EfficientNet-B7 (66 million parameters), for images of 600; arguments as B0."""
    return _efficientnet(2.0, 3.1, weights, **{"dropout": 0.5, "norm_layer": _LARGE_NORM, **config})
