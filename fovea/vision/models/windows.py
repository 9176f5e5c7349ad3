"""Attention within windows of an image, plain and shifted, for Swin Transformers.

Source: Z. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
2021, and "Swin Transformer V2: Scaling Up Capacity and Resolution", 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import empty, full, zeros
from fovea.functions.exchange import from_numpy
from fovea.functions.parts import cat
from fovea.functions.ranges import arange
from fovea.functions.shaping import roll
from fovea.nn import functional as F
from fovea.nn.parameter import Buffer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ShiftedWindowAttention", "ShiftedWindowAttentionV2", "relative_index"]

_APART = -100.0  # added to the scores of places that a shift brings together
_HIDDEN = 512  # features inside the network that makes V2's biases
_REACH = 8.0  # what V2 scales distances to before their logarithm


class ShiftedWindowAttention(nn.Module):
    """Self-attention within windows: y = softmax(q k^T / sqrt(d) + bias) v, where the bias is
    learned for each head and each distance of two places.

    Args:
        dim: features.
        window_size: height and width of a window.
        shift_size: by how much windows are shifted; 0 where a window covers the image.
        num_heads: heads of attention.
        qkv_bias, proj_bias: whether the linear layers have one.
        attention_dropout, dropout: parts of weights and of results that training leaves out.

    Shapes:
        (N, H, W, dim) to the same.

    Raises:
        ArgumentError: sizes that are not two, or heads that do not divide ``dim``.

    >>> import fovea
    >>> ShiftedWindowAttention(8, [4, 4], [2, 2], 2)(fovea.zeros(1, 6, 10, 8)).shape
    fovea.Size([1, 6, 10, 8])
    """

    relative_position_index: Buffer

    def __init__(
        self,
        dim: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2 or dim % num_heads:
            raise ArgumentError(
                f"{type(self).__name__}: window_size and shift_size must be two numbers each, and "
                f"num_heads divide dim; got {window_size}, {shift_size}, {num_heads} and {dim}."
            )
        self.window_size, self.shift_size = list(window_size), list(shift_size)
        self.num_heads = num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self._define_bias()
        index = from_numpy(relative_index(*self.window_size))
        self.register_buffer("relative_position_index", index)

    def _define_bias(self) -> None:
        distances = (2 * self.window_size[0] - 1) * (2 * self.window_size[1] - 1)
        table = nn.init.trunc_normal_(empty((distances, self.num_heads)), std=0.02)
        self.relative_position_bias_table = nn.Parameter(table)

    def get_relative_position_bias(self) -> Tensor:
        """What is added to the scores: (1, num_heads, L, L) for windows of L places."""
        return self._by_place(self.relative_position_bias_table)

    def _by_place(self, table: Tensor) -> Tensor:
        places = self.window_size[0] * self.window_size[1]
        bias = table[self.relative_position_index].view(places, places, self.num_heads)
        return bias.permute(2, 0, 1).unsqueeze(0)

    def _queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _heads(self.qkv(x), self.num_heads)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        p = self.attention_dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=p)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        window = self.window_size
        size = [-(-s // w) * w for s, w in zip((height, width), window, strict=True)]
        shift = [
            0 if w >= s else by for s, w, by in zip(size, window, self.shift_size, strict=True)
        ]
        x = F.pad(x, (0, 0, 0, size[1] - width, 0, size[0] - height))
        if any(shift):
            x = roll(x, (-shift[0], -shift[1]), (1, 2))
        bias = self.get_relative_position_bias()
        if any(shift):
            apart = _apart(size, window, shift).unsqueeze(1)
            bias = bias + _APART * apart.to(bias.dtype)
        q, k, v = self._queries_keys_values(_to_windows(x, window))
        y = self._attend(q, k, v, bias).transpose(2, 3).flatten(3)
        y = F.dropout(self.proj(y), self.dropout, self.training)
        y = _from_windows(y, size, window)
        if any(shift):
            y = roll(y, (shift[0], shift[1]), (1, 2))
        return y[:, :height, :width]


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Self-attention within windows by cosines: y = softmax(s cos(q, k) + 16 sigmoid(b)) v, where a
    small network makes b from the logarithms of distances and s is learned for each head.

    Args:
        dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout:
            as ``ShiftedWindowAttention``; there is no bias for keys.

    Shapes:
        (N, H, W, dim) to the same.

    >>> import fovea
    >>> ShiftedWindowAttentionV2(8, [4, 4], [2, 2], 2)(fovea.zeros(1, 6, 10, 8)).shape
    fovea.Size([1, 6, 10, 8])
    """

    relative_coords_table: Buffer

    def __init__(
        self,
        dim: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            dim,
            window_size,
            shift_size,
            num_heads,
            qkv_bias,
            proj_bias,
            attention_dropout,
            dropout,
        )
        self.logit_scale = nn.Parameter(full((num_heads, 1, 1), math.log(10.0)))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, _HIDDEN), nn.ReLU(inplace=True), nn.Linear(_HIDDEN, num_heads, bias=False)
        )
        if self.qkv.bias is not None:
            nn.init.zeros_(self.qkv.bias.detach()[dim : 2 * dim])

    def _define_bias(self) -> None:
        table = from_numpy(_log_distances(*self.window_size))
        self.register_buffer("relative_coords_table", table)

    def get_relative_position_bias(self) -> Tensor:
        """What is added to the scores: (1, num_heads, L, L) for windows of L places."""
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)
        return 16 * self._by_place(table).sigmoid()

    def _queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bias: Tensor | None = None
        if self.qkv.bias is not None:
            first, _, last = self.qkv.bias.chunk(3)
            bias = cat([first, zeros(first.shape, dtype=first.dtype), last])
        return _heads(F.linear(x, self.qkv.weight, bias), self.num_heads)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        q, k = F.normalize(q, dim=-1) * scale, F.normalize(k, dim=-1)
        p = self.attention_dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=p, scale=1.0)


def _heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, windows, L, 3 heads d) as three of (N, windows, heads, L, d)."""
    n, windows, places, features = qkv.shape
    parts = qkv.reshape(n, windows, places, 3, heads, features // 3 // heads)
    q, k, v = parts.permute(3, 0, 1, 4, 2, 5)
    return q, k, v


def _to_windows(x: Tensor, window: Sequence[int]) -> Tensor:
    """(N, H, W, C) as (N, windows, places, C)."""
    n, height, width, channels = x.shape
    h, w = window
    x = x.view(n, height // h, h, width // w, w, channels).transpose(2, 3)
    return x.reshape(n, height // h * (width // w), h * w, channels)


def _from_windows(x: Tensor, size: Sequence[int], window: Sequence[int]) -> Tensor:
    """(N, windows, places, C) as (N, H, W, C)."""
    n, channels = x.shape[0], x.shape[3]
    rows, columns = size[0] // window[0], size[1] // window[1]
    x = x.view(n, rows, columns, window[0], window[1], channels).transpose(2, 3)
    return x.reshape(n, *size, channels)


def relative_index(height: int, width: int) -> np.ndarray[Any, Any]:
    """For each two places of a window the number of their distance."""
    y, x = (a.ravel() for a in np.mgrid[:height, :width])
    dy = y[:, None] - y[None, :] + height - 1
    dx = x[:, None] - x[None, :] + width - 1
    return (dy * (2 * width - 1) + dx).ravel().astype(np.int64)


def _log_distances(height: int, width: int) -> np.ndarray[Any, Any]:
    """The distances of places in a window on a logarithmic scale: sign(d) log(1 + |d|) with d up
    to 8, as multiples of log 8 (V2's equation 4).
    """
    grid = np.mgrid[1 - height : height, 1 - width : width].transpose(1, 2, 0).astype(np.float32)
    reach = grid / np.array([max(1, height - 1), max(1, width - 1)], np.float32) * _REACH
    table = np.sign(reach) * np.log2(np.abs(reach) + 1) / math.log2(_REACH)
    return table[None].astype(np.float32)


def _apart(size: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """(windows, places, places): whether two places of a window come from different stretches of
    the image.
    """
    rows, columns = (_regions(*axis) for axis in zip(size, window, shift, strict=True))
    region = _to_windows((3 * rows[:, None] + columns).view(1, *size, 1), window)
    return region.transpose(2, 3).ne(region)[0]


def _regions(size: int, window: int, shift: int) -> Tensor:
    """Which stretch of a shifted axis each place belongs to: whole windows, the rest, or what came
    around.
    """
    place = arange(size)
    if shift == 0:
        return place * 0
    return (place >= size - window).long() + (place >= size - shift)
