"""Swin Transformer and its second version.

Source: Z. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
2021, and "Swin Transformer V2: Scaling Up Capacity and Resolution", 2022. Names, first values and
the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models.registry import variant
from fovea.vision.models.windows import ShiftedWindowAttention, ShiftedWindowAttentionV2
from fovea.vision.ops.misc import MLP, Layer, Permute
from fovea.vision.ops.stochastic_depth import StochasticDepth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "PatchMerging",
    "PatchMergingV2",
    "ShiftedWindowAttention",
    "ShiftedWindowAttentionV2",
    "SwinTransformer",
    "SwinTransformerBlock",
    "SwinTransformerBlockV2",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
]


class PatchMerging(nn.Module):
    """Half the size, twice the features: a normalization and a linear layer of each four neighbors.

    Args:
        dim: features that come in.
        norm_layer: makes the normalization.

    Shapes:
        (..., H, W, dim) to (..., ceil(H / 2), ceil(W / 2), 2 dim).

    >>> import fovea
    >>> PatchMerging(8)(fovea.zeros(1, 5, 4, 8)).shape
    fovea.Size([1, 3, 2, 16])
    """

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(_neighbors(x)))


class PatchMergingV2(nn.Module):
    """Half the size, twice the features: a linear layer of each four neighbors and a normalization.

    Args:
        dim: features that come in.
        norm_layer: makes the normalization.

    Shapes:
        (..., H, W, dim) to (..., ceil(H / 2), ceil(W / 2), 2 dim).

    >>> import fovea
    >>> PatchMergingV2(8)(fovea.zeros(1, 5, 4, 8)).shape
    fovea.Size([1, 3, 2, 16])
    """

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reduction(_neighbors(x)))


def _neighbors(x: Tensor) -> Tensor:
    """The features of each four neighbors, column by column; odd sizes get a margin of zeros."""
    height, width = x.shape[-3:-1]
    x = nn.functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    left, right = x[..., 0::2, :], x[..., 1::2, :]
    corners = [side[..., i::2, :, :] for side in (left, right) for i in (0, 1)]
    return cat(corners, -1)


class SwinTransformerBlock(nn.Module):
    """Attention within windows and two linear layers, each behind a normalization and beside a
    shortcut: y = x + attn(norm1(x)); z = y + mlp(norm2(y)).

    Args:
        dim: features.
        num_heads: heads of attention.
        window_size, shift_size: of the attention.
        mlp_ratio: features between the linear layers, in ``dim``.
        dropout, attention_dropout: parts of features and of attention's weights that training
            leaves out.
        stochastic_depth_prob: how often training leaves out all but the input.
        norm_layer: makes the normalizations.
        attn_layer: makes the attention.

    Shapes:
        (N, H, W, dim) to the same.

    >>> import fovea
    >>> SwinTransformerBlock(8, 2, [4, 4], [2, 2])(fovea.zeros(1, 8, 8, 8)).shape
    fovea.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Layer = nn.LayerNorm,
        attn_layer: Layer = ShiftedWindowAttention,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(
            dim,
            window_size,
            shift_size,
            num_heads,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        hidden = [int(dim * mlp_ratio), dim]
        self.mlp = MLP(dim, hidden, activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """``SwinTransformerBlock`` with the normalizations behind attention and linear layers:
    y = x + norm1(attn(x)); z = y + norm2(mlp(y)).

    Args:
        dim, num_heads, window_size, shift_size, mlp_ratio, dropout, attention_dropout,
            stochastic_depth_prob, norm_layer, attn_layer: as ``SwinTransformerBlock``.

    Shapes:
        (N, H, W, dim) to the same.

    >>> import fovea
    >>> SwinTransformerBlockV2(8, 2, [4, 4], [2, 2])(fovea.zeros(1, 8, 8, 8)).shape
    fovea.Size([1, 8, 8, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Layer = nn.LayerNorm,
        attn_layer: Layer = ShiftedWindowAttentionV2,
    ) -> None:
        super().__init__(
            dim,
            num_heads,
            window_size,
            shift_size,
            mlp_ratio,
            dropout,
            attention_dropout,
            stochastic_depth_prob,
            norm_layer,
            attn_layer,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class SwinTransformer(nn.Module):
    """Patches, stages of blocks whose windows are shifted in every other one, half the size between
    stages, a normalization, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        patch_size: height and width of patches.
        embed_dim: features of the first stage; each further one has twice as many.
        depths, num_heads: blocks and heads of each stage.
        window_size: height and width of windows.
        mlp_ratio, dropout, attention_dropout: as ``SwinTransformerBlock``.
        stochastic_depth_prob: how often training leaves out the last block; earlier ones less.
        num_classes: how many there are.
        norm_layer: makes the normalizations; None: ``nn.LayerNorm`` with eps 1e-5.
        block: makes the blocks; None: ``SwinTransformerBlock``.
        downsample_layer: makes what halves the size.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: depths and num_heads of different lengths.

    >>> import fovea
    >>> net = SwinTransformer([4, 4], 8, [1, 2], [2, 4], [2, 2], num_classes=5)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.1,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        block: Layer | None = None,
        downsample_layer: Layer = PatchMerging,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads):
            raise ArgumentError(
                f"SwinTransformer: there are {len(depths)} depths and {len(num_heads)} num_heads."
            )
        self.num_classes = num_classes
        norm = partial(nn.LayerNorm, eps=1e-5) if norm_layer is None else norm_layer
        make = partial(
            SwinTransformerBlock if block is None else block,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            attention_dropout=attention_dropout,
            norm_layer=norm,
        )
        kernel = (patch_size[0], patch_size[1])
        patches = nn.Conv2d(in_channels, embed_dim, kernel, stride=kernel)
        layers: list[nn.Module] = [nn.Sequential(patches, Permute([0, 2, 3, 1]), norm(embed_dim))]
        total, done, dim = sum(depths), 0, embed_dim
        for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            if stage > 0:
                layers.append(downsample_layer(dim, norm))
                dim *= 2
            blocks = []
            for i in range(depth):
                shift = [0 if i % 2 == 0 else w // 2 for w in window_size]
                rate = stochastic_depth_prob * done / max(1, total - 1)
                blocks.append(make(dim, heads, shift_size=shift, stochastic_depth_prob=rate))
                done += 1
            layers.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*layers)
        self.norm = norm(dim)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(dim, num_classes)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        x = self.permute(self.norm(self.features(x)))
        return self.head(self.flatten(self.avgpool(x)))


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


swin_t = variant(
    "swin_t",
    SwinTransformer,
    "Swin-T (28 million parameters), for images of 224.",
    patch_size=(4, 4),
    embed_dim=96,
    depths=(2, 2, 6, 2),
    num_heads=(3, 6, 12, 24),
    window_size=(7, 7),
    stochastic_depth_prob=0.2,
)
swin_s = variant(
    "swin_s",
    SwinTransformer,
    "Swin-S (50 million parameters), for images of 224.",
    patch_size=(4, 4),
    embed_dim=96,
    depths=(2, 2, 18, 2),
    num_heads=(3, 6, 12, 24),
    window_size=(7, 7),
    stochastic_depth_prob=0.3,
)
swin_b = variant(
    "swin_b",
    SwinTransformer,
    "Swin-B (88 million parameters), for images of 224.",
    patch_size=(4, 4),
    embed_dim=128,
    depths=(2, 2, 18, 2),
    num_heads=(4, 8, 16, 32),
    window_size=(7, 7),
    stochastic_depth_prob=0.5,
)
swin_v2_t = variant(
    "swin_v2_t",
    SwinTransformer,
    "SwinV2-T (28 million parameters), for images of 256.",
    patch_size=(4, 4),
    embed_dim=96,
    depths=(2, 2, 6, 2),
    num_heads=(3, 6, 12, 24),
    window_size=(8, 8),
    stochastic_depth_prob=0.2,
    block=SwinTransformerBlockV2,
    downsample_layer=PatchMergingV2,
)
swin_v2_s = variant(
    "swin_v2_s",
    SwinTransformer,
    "SwinV2-S (50 million parameters), for images of 256.",
    patch_size=(4, 4),
    embed_dim=96,
    depths=(2, 2, 18, 2),
    num_heads=(3, 6, 12, 24),
    window_size=(8, 8),
    stochastic_depth_prob=0.3,
    block=SwinTransformerBlockV2,
    downsample_layer=PatchMergingV2,
)
swin_v2_b = variant(
    "swin_v2_b",
    SwinTransformer,
    "SwinV2-B (88 million parameters), for images of 256.",
    patch_size=(4, 4),
    embed_dim=128,
    depths=(2, 2, 18, 2),
    num_heads=(4, 8, 16, 32),
    window_size=(8, 8),
    stochastic_depth_prob=0.5,
    block=SwinTransformerBlockV2,
    downsample_layer=PatchMergingV2,
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
