"""AlexNet.

Source: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
Names and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["AlexNet", "alexnet"]


class AlexNet(nn.Module):
    """Five convolutions with ReLU, three poolings, three linear layers.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 63.
        out: float (N, num_classes): logits.

    Args:
        num_classes: how many there are.
        dropout: part of the features that training leaves out before the first two linear layers.
        in_channels: 1 for gray images, 3 for color.

    >>> import fovea
    >>> AlexNet(num_classes=5)(fovea.zeros(1, 3, 64, 64)).shape
    fovea.Size([1, 5])
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


alexnet = variant("alexnet", AlexNet, "AlexNet (61 million parameters), for images of 224.")


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
