"""Normalizations of images beyond PyTorch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.functions.creation import zeros

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["GlobalResponseNorm", "LayerNorm2d"]


class LayerNorm2d(nn.LayerNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over the channels of each pixel

    Args:
        num_channels: how many channels.
        eps: added to the variance.
        affine: whether there are weight and bias.

    Shapes:
        (N, C, H, W) to the same.

    Parameters:
        weight, bias: (num_channels,).

    Source: Ba et al., "Layer normalization", 2016; Liu et al., "A ConvNet for the 2020s", CVPR
    2022.

    >>> import fovea
    >>> LayerNorm2d(2, eps=0.0)(fovea.tensor([[[[1.0]], [[3.0]]]])).flatten().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, affine: bool = True) -> None:
        super().__init__(num_channels, eps=eps, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """y = x + weight * x * n + bias, n = g / (mean(g) + eps), g the norm of each channel's pixels

    Args:
        dim: how many channels.
        eps: added to the mean of the channels' norms.
        channels_last: images are (N, H, W, C), otherwise (N, C, H, W).

    Shapes:
        images to the same.

    Parameters:
        weight, bias: (dim,), zeros at first.

    Source: Woo et al., "ConvNeXt V2", CVPR 2023.

    >>> import fovea
    >>> GlobalResponseNorm(3)(fovea.ones(1, 2, 2, 3)).shape
    fovea.Size([1, 2, 2, 3])
    """

    def __init__(self, dim: int, eps: float = 1e-6, channels_last: bool = True) -> None:
        super().__init__()
        self.eps, self.channels_last = eps, channels_last
        self.weight, self.bias = nn.Parameter(zeros(dim)), nn.Parameter(zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        channel, pixels = (-1, (1, 2)) if self.channels_last else (1, (2, 3))
        shape = (1, 1, 1, -1) if self.channels_last else (1, -1, 1, 1)
        norms = x.norm(p=2, dim=pixels, keepdim=True)
        response = norms / (norms.mean(dim=channel, keepdim=True) + self.eps)
        return x + self.weight.view(shape) * (x * response) + self.bias.view(shape)
