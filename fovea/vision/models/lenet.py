"""LeNet-5.

Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", 1998, section II.B, with means for its learned poolings and a linear layer at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LeNet", "lenet5"]

_PAPER = 32  # the size of the paper's images: digits of 28 with a margin


class LeNet(nn.Module):
    """Two 5×5 convolutions, each with an activation and a pooling, then three linear layers.

    Shapes:
        in: float (N, in_channels, image_size, image_size).
        out: float (N, num_classes): logits.

    Args:
        num_classes: how many there are.
        in_channels: 1 for gray images, 3 for color.
        image_size: height and width of images, at least 12; those below 32 get a margin of up to 2.
        activation_layer: makes the activations.

    Raises:
        ArgumentError: smaller images.

    >>> import fovea
    >>> LeNet()(fovea.zeros(2, 1, 28, 28)).shape
    fovea.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        activation_layer: Layer = nn.Tanh,
    ) -> None:
        super().__init__()
        margin = min(2, max(0, (_PAPER - image_size) // 2))
        grid = ((image_size + 2 * margin - 4) // 2 - 4) // 2
        if grid < 1:
            raise ArgumentError(f"LeNet: image_size must be at least 12, got {image_size}.")
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=margin)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool2 = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(16 * grid * grid, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation_layer()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.activation(self.conv1(x)))
        x = self.pool2(self.activation(self.conv2(x))).flatten(1)
        x = self.activation(self.fc2(self.activation(self.fc1(x))))
        return self.fc3(x)


lenet5 = variant("lenet5", LeNet, "LeNet-5 (62 thousand parameters), for images of 28 or 32.")
