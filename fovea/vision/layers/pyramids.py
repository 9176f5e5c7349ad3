"""Pooling over several neighborhoods of each pixel at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.joining import cat
from fovea.vision.layers.convolutions import ConvNormAct

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SPPF"]


class SPPF(nn.Module):
    """y = conv(z, pool(z), pool(pool(z)), ...), z = conv(x): spatial pyramid pooling, fast

    Pooling with windows of 5 once, twice and three times is pooling with windows of 5, 9 and 13.

    Args:
        c1: channels of the input; half of them are pooled.
        c2: channels of the output.
        k: the windows' size, odd.
        n: how often to pool.

    Shapes:
        (N, c1, H, W) to (N, c2, H, W).

    Parameters:
        cv1 (a 1x1 convolution to ``c1 // 2`` channels, batch normalization, SiLU), cv2 (of
        ``(n + 1) * (c1 // 2)`` channels).

    Raises:
        ArgumentError: an even k, or no channels to pool.

    Source: He et al., "Spatial pyramid pooling in deep convolutional networks", 2014; Ultralytics'
        names of arguments.

    >>> import fovea
    >>> SPPF(8, 16)(fovea.ones(1, 8, 6, 6)).shape
    fovea.Size([1, 16, 6, 6])
    """

    def __init__(self, c1: int, c2: int, k: int = 5, n: int = 3) -> None:
        super().__init__()
        if k < 1 or k % 2 == 0:
            raise ArgumentError(f"SPPF: k must be odd, so that sizes stay, got {k}.")
        if c1 < 2 or n < 1:
            raise ArgumentError(f"SPPF: c1 is at least 2 and n at least 1, got {c1} and {n}.")
        hidden = c1 // 2
        self.cv1 = ConvNormAct(c1, hidden, 1, act_layer=nn.SiLU)
        self.cv2 = ConvNormAct(hidden * (n + 1), c2, 1, act_layer=nn.SiLU)
        self.m = nn.MaxPool2d(k, 1, k // 2)
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.cv1(x)]
        for _ in range(self.n):
            pooled.append(self.m(pooled[-1]))
        out: Tensor = self.cv2(cat(pooled, 1))
        return out
