"""What GoogLeNet and Inception v3 share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.functions.parts import cat

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["BasicConv2d", "from_statistics"]


class BasicConv2d(nn.Module):
    """A convolution without bias, a normalization and ReLU: y = relu(bn(conv(x))).

    Args:
        in_channels, out_channels: channels.
        **kwargs: other arguments of the convolution.

    >>> import fovea
    >>> BasicConv2d(3, 8, kernel_size=3, stride=2)(fovea.zeros(1, 3, 9, 9)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.bn(self.conv(x)), inplace=True)


# Mean and deviation of ImageNet's red, green and blue.
_STATISTICS = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))


def from_statistics(x: Tensor) -> Tensor:
    """Color images that were normalized by ImageNet's statistics, normalized by 0.5 and 0.5."""
    channels = [
        x[:, i : i + 1] * (deviation / 0.5) + (mean - 0.5) / 0.5
        for i, (mean, deviation) in enumerate(_STATISTICS)
    ]
    return cat(channels, 1)
