"""MaxViT.

Source: Z. Tu et al., "MaxViT: Multi-Axis Vision Transformer", 2022. Names, first values and the
order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.vision.models.partitions import (
    PartitionAttentionLayer,
    RelativePositionalMultiHeadAttention,
    SwapAxes,
    WindowDepartition,
    WindowPartition,
)
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Conv2dNormActivation, Layer, SqueezeExcitation
from fovea.vision.ops.stochastic_depth import StochasticDepth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "MBConv",
    "MaxVit",
    "MaxVitBlock",
    "MaxVitLayer",
    "PartitionAttentionLayer",
    "RelativePositionalMultiHeadAttention",
    "SwapAxes",
    "WindowDepartition",
    "WindowPartition",
    "maxvit_t",
]

Size = tuple[int, int]
_NORM = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


def _halved(size: Size) -> Size:
    """The size behind a 3×3 convolution of stride 2 with padding 1."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


class MBConv(nn.Module):
    """An inverted residual block behind a normalization: channels widened, filtered one by one,
    weighed, narrowed; beside a shortcut that halves the size where the block does.

    Args:
        in_channels, out_channels: that come in and go out.
        expansion_ratio, squeeze_ratio: channels inside and inside squeeze and excitation, in
            ``out_channels``.
        stride: 1 or 2.
        activation_layer, norm_layer: make activations and normalizations.
        p_stochastic_dropout: how often training leaves out all but the shortcut.

    >>> import fovea
    >>> MBConv(4, 8, 4, 0.25, 2, nn.GELU, nn.BatchNorm2d)(fovea.zeros(1, 4, 8, 8)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion_ratio: float,
        squeeze_ratio: float,
        stride: int,
        activation_layer: Layer,
        norm_layer: Layer,
        p_stochastic_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            halving = [nn.AvgPool2d(3, stride=stride, padding=1)] if stride == 2 else []
            self.proj = nn.Sequential(*halving, nn.Conv2d(in_channels, out_channels, 1))
        p = p_stochastic_dropout
        self.stochastic_depth = StochasticDepth(p, "row") if p else nn.Identity()
        inside, squeezed = int(out_channels * expansion_ratio), int(out_channels * squeeze_ratio)
        unit = partial(
            Conv2dNormActivation,
            norm_layer=norm_layer,
            activation_layer=activation_layer,
            inplace=None,
        )
        self.layers = nn.Sequential(
            OrderedDict(
                pre_norm=norm_layer(in_channels),
                conv_a=unit(in_channels, inside, 1),
                conv_b=unit(inside, inside, 3, stride, groups=inside),
                squeeze_excitation=SqueezeExcitation(inside, squeezed, activation=nn.SiLU),
                conv_c=nn.Conv2d(inside, out_channels, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x) + self.stochastic_depth(self.layers(x))


class MaxVitLayer(nn.Module):
    """``MBConv``, attention within windows, attention across them.

    Args:
        in_channels, out_channels, squeeze_ratio, expansion_ratio, stride: as ``MBConv``.
        norm_layer, activation_layer: make normalizations of ``MBConv`` and activations.
        head_dim, mlp_ratio, mlp_dropout, attention_dropout, partition_size, grid_size: as
            ``PartitionAttentionLayer``.
        p_stochastic_dropout: as both.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        squeeze_ratio: float,
        expansion_ratio: float,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        head_dim: int,
        mlp_ratio: int,
        mlp_dropout: float,
        attention_dropout: float,
        p_stochastic_dropout: float,
        partition_size: int,
        grid_size: Size,
    ) -> None:
        super().__init__()
        attention = partial(
            PartitionAttentionLayer,
            in_channels=out_channels,
            head_dim=head_dim,
            partition_size=partition_size,
            grid_size=grid_size,
            mlp_ratio=mlp_ratio,
            activation_layer=activation_layer,
            norm_layer=nn.LayerNorm,
            attention_dropout=attention_dropout,
            mlp_dropout=mlp_dropout,
            p_stochastic_dropout=p_stochastic_dropout,
        )
        conv = MBConv(
            in_channels,
            out_channels,
            expansion_ratio,
            squeeze_ratio,
            stride,
            activation_layer,
            norm_layer,
            p_stochastic_dropout,
        )
        self.layers = nn.Sequential(
            OrderedDict(
                MBconv=conv,
                window_attention=attention(partition_type="window"),
                grid_attention=attention(partition_type="grid"),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MaxVitBlock(nn.Module):
    """Layers of one width, the first of which halves the size.

    Args:
        in_channels, out_channels, squeeze_ratio, expansion_ratio, norm_layer, activation_layer,
            head_dim, mlp_ratio, mlp_dropout, attention_dropout, partition_size: as
            ``MaxVitLayer``.
        input_grid_size: height and width of the image that comes in.
        n_layers: how many there are.
        p_stochastic: how often training leaves out each layer's results.

    Raises:
        ArgumentError: another number of ``p_stochastic`` than of layers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        squeeze_ratio: float,
        expansion_ratio: float,
        norm_layer: Layer,
        activation_layer: Layer,
        head_dim: int,
        mlp_ratio: int,
        mlp_dropout: float,
        attention_dropout: float,
        partition_size: int,
        input_grid_size: Size,
        n_layers: int,
        p_stochastic: Sequence[float],
    ) -> None:
        super().__init__()
        if len(p_stochastic) != n_layers:
            raise ArgumentError(
                f"MaxVitBlock: {n_layers} layers have {len(p_stochastic)} rates of p_stochastic."
            )
        self.grid_size = _halved(input_grid_size)
        self.layers = nn.ModuleList(
            MaxVitLayer(
                out_channels if i else in_channels,
                out_channels,
                squeeze_ratio,
                expansion_ratio,
                1 if i else 2,
                norm_layer,
                activation_layer,
                head_dim,
                mlp_ratio,
                mlp_dropout,
                attention_dropout,
                rate,
                partition_size,
                self.grid_size,
            )
            for i, rate in enumerate(p_stochastic)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MaxVit(nn.Module):
    """A stem, blocks of convolutions and of attention within and across windows, the mean over all
    places, two linear layers.

    Shapes:
        in: float (N, in_channels, *input_size).
        out: float (N, num_classes): logits.

    Args:
        input_size: height and width of images, the same; ``partition_size`` must divide them after
            each halving by a block (the stem does one before).
        stem_channels: channels of the stem.
        partition_size: height and width of windows.
        block_channels, block_layers: channels and layers of each block.
        head_dim: features of each head of attention.
        stochastic_depth_prob: how often training leaves out the last layer; earlier ones less.
        norm_layer: makes the normalizations of convolutions; None: ``nn.BatchNorm2d`` with eps
            0.001 and momentum 0.01.
        activation_layer: makes the activations.
        squeeze_ratio, expansion_ratio, mlp_ratio, mlp_dropout, attention_dropout: as
            ``MaxVitLayer``.
        num_classes: how many there are.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: a size that is not square or that windows do not fill.
        ShapeError: images of another size.

    >>> import fovea
    >>> net = MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 4, 0.0, num_classes=5)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        input_size: Size,
        stem_channels: int,
        partition_size: int,
        block_channels: Sequence[int],
        block_layers: Sequence[int],
        head_dim: int,
        stochastic_depth_prob: float,
        norm_layer: Layer | None = None,
        activation_layer: Layer = nn.GELU,
        squeeze_ratio: float = 0.25,
        expansion_ratio: float = 4,
        mlp_ratio: int = 4,
        mlp_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.input_size = tuple(input_size)
        norm = _NORM if norm_layer is None else norm_layer
        unit = partial(Conv2dNormActivation, inplace=None)
        self.stem = nn.Sequential(
            unit(
                in_channels, stem_channels, 3, 2, norm_layer=norm, activation_layer=activation_layer
            ),
            unit(stem_channels, stem_channels, 3, norm_layer=None, activation_layer=None),
        )
        grid = _halved(input_size)
        channels, done = stem_channels, 0
        rates = _rates(stochastic_depth_prob, sum(block_layers))
        self.blocks = nn.ModuleList()
        for width, count in zip(block_channels, block_layers, strict=True):
            _check_windows(_halved(grid), partition_size, input_size)
            block = MaxVitBlock(
                channels,
                width,
                squeeze_ratio,
                expansion_ratio,
                norm,
                activation_layer,
                head_dim,
                mlp_ratio,
                mlp_dropout,
                attention_dropout,
                partition_size,
                grid,
                count,
                rates[done : done + count],
            )
            self.blocks.append(block)
            channels, grid, done = width, block.grid_size, done + count
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LayerNorm(channels),
            nn.Linear(channels, channels),
            nn.Tanh(),
            nn.Linear(channels, num_classes, bias=False),
        )
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or tuple(x.shape[2:]) != self.input_size:
            height, width = self.input_size
            raise ShapeError(
                f"MaxVit: images must be {height} × {width}, got {describe(x)}.",
                fix="resize them, or make the network with another input_size",
            )
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x)


def _rates(last: float, count: int) -> list[float]:
    """Rates of stochastic depth, from 0 for the first layer up to ``last``."""
    step = last / max(1, count - 1)
    return [i * step for i in range(count)]


def _check_windows(grid: Size, partition_size: int, input_size: Size) -> None:
    if input_size[0] != input_size[1]:
        raise ArgumentError(
            f"MaxVit: images must be square, input_size is {input_size[0]} × {input_size[1]}."
        )
    if grid[0] % partition_size:
        raise ArgumentError(
            f"MaxVit: images of {input_size[0]} × {input_size[1]} shrink to {grid[0]} × {grid[1]}, "
            f"which windows of {partition_size} do not fill.",
            fix="another input_size or partition_size",
        )


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _maxvit(input_size: Size = (224, 224), **config: Any) -> MaxVit:
    """A network for images of this size; other arguments as ``MaxVit``."""
    return MaxVit(input_size, **config)


maxvit_t = variant(
    "maxvit_t",
    _maxvit,
    "MaxViT-T (31 million parameters), for images of 224.",
    stem_channels=64,
    partition_size=7,
    block_channels=(64, 128, 256, 512),
    block_layers=(2, 2, 5, 2),
    head_dim=32,
    stochastic_depth_prob=0.2,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
