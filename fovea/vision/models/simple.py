"""A small network for small images, quick to train on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.registry import register_model

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SimpleCNN", "simple_cnn"]


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    """Convolution, batch normalization, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class SimpleCNN(nn.Module):
    """Four 3×3 convolutions with batch normalization, two poolings, the mean over all places, a
    linear layer.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 4.
        out: float (N, num_classes): logits.

    Args:
        num_classes: how many there are.
        in_channels: 1 for gray images, 3 for color.
        width: channels of the first convolution; the others have twice and four times as many.
        dropout: part of the features that training leaves out.

    >>> import fovea
    >>> SimpleCNN()(fovea.zeros(2, 1, 28, 28)).shape
    fovea.Size([2, 10])
    """

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, width: int = 32, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(in_channels, width),
            nn.MaxPool2d(2),
            *_block(width, 2 * width),
            *_block(2 * width, 2 * width),
            nn.MaxPool2d(2),
            *_block(2 * width, 4 * width),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)
        return self.classifier(self.dropout(x))


@register_model()
def simple_cnn(
    num_classes: int = 10, in_channels: int = 1, width: int = 32, dropout: float = 0.2
) -> SimpleCNN:
    """``SimpleCNN`` with these arguments."""
    return SimpleCNN(num_classes, in_channels, width, dropout)
