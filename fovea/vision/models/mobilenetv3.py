"""MobileNetV3, small and large.

Source: A. Howard et al., "Searching for MobileNetV3", 2019. Names, first values and the order of
layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.initial import small_normal
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, SqueezeExcitation
from fovea.vision.sizes import make_divisible

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "InvertedResidual",
    "InvertedResidualConfig",
    "MobileNetV3",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]

# Channels in, kernel, channels inside and out, squeeze and excitation, activation, stride (the
# paper's tables 1 and 2).
_LARGE = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2),
    (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1),
    (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2),
    (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)
_SMALL = (
    (16, 3, 16, 16, True, "RE", 2),
    (16, 3, 72, 24, False, "RE", 2),
    (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1),
    (48, 5, 144, 48, True, "HS", 1),
    (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1),
    (96, 5, 576, 96, True, "HS", 1),
)
_HARD_EXCITATION = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)
_TAIL = 3  # the last blocks, which segmentation narrows and dilates


class InvertedResidualConfig:
    """The sizes of a block; channels are rounded to multiples of 8.

    Args:
        input_channels, expanded_channels, out_channels: that come in, inside, that go out.
        kernel: of the depthwise convolution.
        use_se: whether the block weighs its channels.
        activation: ``"HS"`` for hard swish, anything else for ReLU.
        stride, dilation: of the depthwise convolution; a dilated one has stride 1.
        width_mult: factor of the channels.

    >>> InvertedResidualConfig(16, 3, 64, 24, False, "RE", 2, 1, 0.5).expanded_channels
    32
    """

    def __init__(
        self,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> None:
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se, self.use_hs = use_se, activation == "HS"
        self.stride, self.dilation = stride, dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """``channels`` times ``width_mult`` as a multiple of 8."""
        return make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Channels widened, filtered one by one, weighed, narrowed; the input is added where shapes
    agree.

    Args:
        cnf: its sizes.
        norm_layer: makes the normalizations.
        se_layer: makes what weighs the channels.

    Raises:
        ArgumentError: a stride other than 1 or 2.

    >>> import fovea
    >>> cnf = InvertedResidualConfig(8, 3, 16, 8, True, "HS", 1, 1, 1.0)
    >>> InvertedResidual(cnf, nn.BatchNorm2d)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        cnf: InvertedResidualConfig,
        norm_layer: Layer,
        se_layer: Layer = _HARD_EXCITATION,
    ) -> None:
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ArgumentError(f"InvertedResidual: the stride must be 1 or 2, got {cnf.stride}.")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        unit = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation)
        inside = cnf.expanded_channels
        layers: list[nn.Module] = []
        if inside != cnf.input_channels:
            layers.append(unit(cnf.input_channels, inside, kernel_size=1))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(
            unit(inside, inside, cnf.kernel, stride, groups=inside, dilation=cnf.dilation)
        )
        if cnf.use_se:
            layers.append(se_layer(inside, make_divisible(inside // 4, 8)))
        layers.append(unit(inside, cnf.out_channels, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1  # the block halves the image, or would if not for dilation

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        return result + input if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """A stem, inverted residual blocks, a 1×1 convolution, the mean over all places, two linear
    layers.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        inverted_residual_setting: the blocks' sizes.
        last_channel: features between the linear layers.
        num_classes: how many there are.
        block: makes the blocks; None: ``InvertedResidual``.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d`` with eps 0.001 and momentum
            0.01.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: no blocks.

    >>> import fovea
    >>> cnf = InvertedResidualConfig(8, 3, 16, 8, True, "HS", 2, 1, 1.0)
    >>> MobileNetV3([cnf], 32, num_classes=5)(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        blocks = list(inverted_residual_setting)
        if not blocks:
            raise ArgumentError("MobileNetV3: inverted_residual_setting holds no block.")
        make = InvertedResidual if block is None else block
        norm = (
            partial(nn.BatchNorm2d, eps=0.001, momentum=0.01) if norm_layer is None else norm_layer
        )
        unit = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.Hardswish)
        channels = blocks[-1].out_channels
        self.features = nn.Sequential(
            unit(in_channels, blocks[0].input_channels, stride=2),
            *(make(cnf, norm) for cnf in blocks),
            unit(channels, 6 * channels, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        self.apply(small_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _mobilenet_v3(
    rows: Sequence[tuple[int, int, int, int, bool, str, int]],
    last_channel: int,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **config: Any,
) -> MobileNetV3:
    """The network of a table.

    Args:
        rows, last_channel: the paper's table.
        width_mult: factor of all channels.
        reduced_tail: half the channels in the last three blocks.
        dilated: dilated convolutions in the last three blocks instead of halving the image.
        **config: arguments of ``MobileNetV3``.
    """
    shrink = 2 if reduced_tail else 1
    blocks = []
    for i, (inputs, kernel, inside, outputs, use_se, activation, stride) in enumerate(rows):
        tail = i - (len(rows) - _TAIL)
        if tail >= 0:
            outputs //= shrink
        if tail > 0:
            inputs, inside = inputs // shrink, inside // shrink
        dilation = 2 if dilated and tail >= 0 else 1
        channels = (inputs, kernel, inside, outputs)
        blocks.append(
            InvertedResidualConfig(*channels, use_se, activation, stride, dilation, width_mult)
        )
    last = InvertedResidualConfig.adjust_channels(last_channel // shrink, width_mult)
    return MobileNetV3(blocks, last, **config)


mobilenet_v3_large = variant(
    "mobilenet_v3_large",
    _mobilenet_v3,
    "MobileNetV3, large (5.5 million parameters), for images of 224.",
    rows=_LARGE,
    last_channel=1280,
)
mobilenet_v3_small = variant(
    "mobilenet_v3_small",
    _mobilenet_v3,
    "MobileNetV3, small (2.5 million parameters), for images of 224.",
    rows=_SMALL,
    last_channel=1024,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
