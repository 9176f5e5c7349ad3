"""ConvNeXt.

Source: Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell and S. Xie, "A ConvNet for the
2020s", 2022. Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import full
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, Permute
from fovea.vision.ops.stochastic_depth import StochasticDepth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "CNBlock",
    "CNBlockConfig",
    "ConvNeXt",
    "LayerNorm2d",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
]


class LayerNorm2d(nn.LayerNorm):
    """``nn.LayerNorm`` over the channels of (N, C, H, W), place by place.

    Args:
        normalized_shape: channels.
        eps: added to the variance.
        elementwise_affine: whether weight and bias are learned.
        bias: whether the bias is, if ``elementwise_affine``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    >>> import fovea
    >>> LayerNorm2d(2, eps=0.0)(fovea.tensor([[[[1.0]], [[3.0]]]])).flatten().tolist()
    [-1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A 7×7 depthwise convolution, a normalization and two linear layers beside a shortcut.

    Args:
        dim: channels.
        layer_scale: first factor of what is added to the input.
        stochastic_depth_prob: how often training leaves out all but the input.
        norm_layer: makes the normalization; None: ``nn.LayerNorm`` with eps 1e-6.

    >>> import fovea
    >>> CNBlock(8, 1e-6, 0.0)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=1e-6) if norm_layer is None else norm_layer
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            norm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.layer_scale * self.block(input)
        return self.stochastic_depth(result) + input


@dataclass(frozen=True)
class CNBlockConfig:
    """A stage.

    Attributes:
        input_channels: of its blocks.
        out_channels: of the 2×2 convolution behind it; None: there is none.
        num_layers: blocks.
    """

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """A stem of 4×4 patches, stages of ``CNBlock`` with halvings in between, the mean over all
    places, a normalization and a linear layer.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 32.
        out: float (N, num_classes): logits.

    Args:
        block_setting: the stages.
        stochastic_depth_prob: how often training leaves out the last block; earlier ones less.
        layer_scale: first factor of what blocks add to their input.
        num_classes: how many there are.
        block: makes the blocks; None: ``CNBlock``.
        norm_layer: makes the normalizations between stages; None: ``LayerNorm2d`` with eps 1e-6.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: no stages.

    >>> import fovea
    >>> net = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise ArgumentError("ConvNeXt: block_setting holds no stage.")
        norm = partial(LayerNorm2d, eps=1e-6) if norm_layer is None else norm_layer
        make = CNBlock if block is None else block
        stem = Conv2dNormActivation(
            in_channels,
            block_setting[0].input_channels,
            kernel_size=4,
            stride=4,
            padding=0,
            norm_layer=norm,
            activation_layer=None,
            bias=True,
        )
        rates = _rates(stochastic_depth_prob, sum(stage.num_layers for stage in block_setting))
        layers: list[nn.Module] = [stem]
        for stage in block_setting:
            channels = stage.input_channels
            blocks = [make(channels, layer_scale, next(rates)) for _ in range(stage.num_layers)]
            layers.append(nn.Sequential(*blocks))
            if stage.out_channels is not None:
                half = nn.Conv2d(channels, stage.out_channels, kernel_size=2, stride=2)
                layers.append(nn.Sequential(norm(channels), half))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm(last), nn.Flatten(1), nn.Linear(last, num_classes))
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _rates(last: float, count: int) -> Any:
    """Rates of stochastic depth, from 0 for the first block up to ``last``."""
    return (last * i / max(1, count - 1) for i in range(count))


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _convnext(channels: Sequence[int], layers: Sequence[int], **config: Any) -> ConvNeXt:
    """The network of these stages; other arguments as ``ConvNeXt``."""
    following = (*channels[1:], None)
    stages = [CNBlockConfig(*stage) for stage in zip(channels, following, layers, strict=True)]
    return ConvNeXt(stages, **config)


convnext_tiny = variant(
    "convnext_tiny",
    _convnext,
    "ConvNeXt-T (28.6 million parameters), for images of 224.",
    channels=(96, 192, 384, 768),
    layers=(3, 3, 9, 3),
    stochastic_depth_prob=0.1,
)
convnext_small = variant(
    "convnext_small",
    _convnext,
    "ConvNeXt-S (50 million parameters), for images of 224.",
    channels=(96, 192, 384, 768),
    layers=(3, 3, 27, 3),
    stochastic_depth_prob=0.4,
)
convnext_base = variant(
    "convnext_base",
    _convnext,
    "ConvNeXt-B (89 million parameters), for images of 224.",
    channels=(128, 256, 512, 1024),
    layers=(3, 3, 27, 3),
    stochastic_depth_prob=0.5,
)
convnext_large = variant(
    "convnext_large",
    _convnext,
    "ConvNeXt-L (198 million parameters), for images of 224.",
    channels=(192, 384, 768, 1536),
    layers=(3, 3, 27, 3),
    stochastic_depth_prob=0.5,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
