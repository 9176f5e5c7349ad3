"""Attention among the places of a window or of a grid, for MaxViT.

Source: Z. Tu et al., "MaxViT: Multi-Axis Vision Transformer", 2022, section 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import empty
from fovea.functions.exchange import from_numpy
from fovea.nn.parameter import Buffer
from fovea.vision.models.windows import relative_index
from fovea.vision.ops.misc import Layer
from fovea.vision.ops.stochastic_depth import StochasticDepth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "PartitionAttentionLayer",
    "RelativePositionalMultiHeadAttention",
    "SwapAxes",
    "WindowDepartition",
    "WindowPartition",
]


class RelativePositionalMultiHeadAttention(nn.Module):
    """Self-attention with a learned bias for each head and each distance of two places:
    y = softmax(q k^T / sqrt(feat_dim) + bias) v.

    Args:
        feat_dim: features.
        head_dim: features of each head.
        max_seq_len: places, a square number.

    Shapes:
        (N, G, max_seq_len, feat_dim) to the same.

    Raises:
        ArgumentError: heads that do not fill the features.

    >>> import fovea
    >>> RelativePositionalMultiHeadAttention(8, 4, 9)(fovea.zeros(1, 2, 9, 8)).shape
    fovea.Size([1, 2, 9, 8])
    """

    relative_position_index: Buffer

    def __init__(self, feat_dim: int, head_dim: int, max_seq_len: int) -> None:
        super().__init__()
        if feat_dim % head_dim:
            raise ArgumentError(
                f"MaxVit: head_dim must divide the channels, got {head_dim} and {feat_dim}."
            )
        self.n_heads, self.head_dim = feat_dim // head_dim, head_dim
        self.size, self.max_seq_len = math.isqrt(max_seq_len), max_seq_len
        self.scale_factor = feat_dim**-0.5
        self.to_qkv = nn.Linear(feat_dim, 3 * feat_dim)
        self.merge = nn.Linear(feat_dim, feat_dim)
        table = empty(((2 * self.size - 1) ** 2, self.n_heads))
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        index = relative_index(self.size, self.size).reshape(max_seq_len, max_seq_len)
        self.register_buffer("relative_position_index", from_numpy(index))

    def get_relative_positional_bias(self) -> Tensor:
        """What is added to the scores: (1, n_heads, max_seq_len, max_seq_len)."""
        places = self.max_seq_len
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        return bias.view(places, places, self.n_heads).permute(2, 0, 1).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        n, groups, places, features = x.shape
        parts = self.to_qkv(x).view(n, groups, places, 3, self.n_heads, self.head_dim)
        q, k, v = parts.permute(3, 0, 1, 4, 2, 5)
        bias = self.get_relative_positional_bias()
        y = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, scale=self.scale_factor
        )
        return self.merge(y.transpose(2, 3).reshape(n, groups, places, features))


class SwapAxes(nn.Module):
    """Two dimensions in each other's place."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(self.a, self.b)


class WindowPartition(nn.Module):
    """(N, C, H, W) as (N, windows, p p, C)."""

    def forward(self, x: Tensor, p: int) -> Tensor:
        n, channels, height, width = x.shape
        x = x.reshape(n, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(n, (height // p) * (width // p), p * p, channels)


class WindowDepartition(nn.Module):
    """(N, windows, p p, C) as (N, C, H, W), of ``h_partitions`` by ``w_partitions`` windows."""

    def forward(self, x: Tensor, p: int, h_partitions: int, w_partitions: int) -> Tensor:
        n, channels = x.shape[0], x.shape[3]
        x = x.view(n, h_partitions, w_partitions, p, p, channels).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(n, channels, h_partitions * p, w_partitions * p)


class PartitionAttentionLayer(nn.Module):
    """Attention and two linear layers, each behind a normalization and beside a shortcut, among the
    places of a window, or among those at the same place of all windows.

    Args:
        in_channels: features.
        head_dim: features of each head.
        partition_size: height and width of a window, or how many of them there are each way.
        partition_type: ``"window"`` or ``"grid"``.
        grid_size: height and width of the image.
        mlp_ratio: features between the linear layers, in ``in_channels``.
        activation_layer, norm_layer: make the activation and the first normalization.
        attention_dropout, mlp_dropout: parts of results that training leaves out.
        p_stochastic_dropout: how often training leaves out all but the input.

    Raises:
        ArgumentError: another type.
    """

    def __init__(
        self,
        in_channels: int,
        head_dim: int,
        partition_size: int,
        partition_type: str,
        grid_size: tuple[int, int],
        mlp_ratio: int,
        activation_layer: Layer,
        norm_layer: Layer,
        attention_dropout: float,
        mlp_dropout: float,
        p_stochastic_dropout: float,
    ) -> None:
        super().__init__()
        if partition_type not in ("window", "grid"):
            raise ArgumentError(
                f"MaxVit: partition_type must be 'window' or 'grid', got {partition_type!r}."
            )
        grid = partition_type == "grid"
        self.grid_size = grid_size
        self.p = grid_size[0] // partition_size if grid else partition_size
        self.partition_op, self.departition_op = WindowPartition(), WindowDepartition()
        self.partition_swap = SwapAxes(-2, -3) if grid else nn.Identity()
        self.departition_swap = SwapAxes(-2, -3) if grid else nn.Identity()
        self.attn_layer = nn.Sequential(
            norm_layer(in_channels),
            RelativePositionalMultiHeadAttention(in_channels, head_dim, partition_size**2),
            nn.Dropout(attention_dropout),
        )
        self.mlp_layer = nn.Sequential(
            nn.LayerNorm(in_channels),
            nn.Linear(in_channels, in_channels * mlp_ratio),
            activation_layer(),
            nn.Linear(in_channels * mlp_ratio, in_channels),
            nn.Dropout(mlp_dropout),
        )
        self.stochastic_dropout = StochasticDepth(p_stochastic_dropout, "row")

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.grid_size[0] // self.p, self.grid_size[1] // self.p
        x = self.partition_swap(self.partition_op(x, self.p))
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        return self.departition_op(self.departition_swap(x), self.p, rows, columns)
