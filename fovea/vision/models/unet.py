"""U-Net: a class for each place of an image.

Source: O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015, with padding, so that the output is as large as the input, and batch
normalization.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["UNet", "unet"]


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Twice a 3×3 convolution, batch normalization, ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Halvings with twice the channels each, then doublings, which see what the halvings at their
    size saw; a 1×1 convolution gives each place its logits.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 2 ** depth.
        out: float (N, num_classes, H, W): logits.

    Args:
        num_classes: how many there are.
        in_channels: 1 for gray images, 3 for color.
        base_channels: channels at full size (the paper has 64).
        depth: halvings (the paper has 4).

    Raises:
        ArgumentError: a depth below 1.

    >>> import fovea
    >>> UNet(num_classes=5, base_channels=4, depth=2)(fovea.zeros(1, 3, 20, 24)).shape
    fovea.Size([1, 5, 20, 24])
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 3, base_channels: int = 64, depth: int = 4
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ArgumentError(f"UNet: depth must be at least 1, got {depth}.")
        widths = [base_channels << i for i in range(depth + 1)]
        narrow_to_wide = list(pairwise(widths))
        self.stem = double_conv(in_channels, base_channels)
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(double_conv(a, b) for a, b in narrow_to_wide)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(narrow_to_wide)
        )
        self.merge = nn.ModuleList(double_conv(2 * a, a) for a, _ in reversed(narrow_to_wide))
        self.head = nn.Conv2d(base_channels, num_classes, 1)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        seen = []
        for block in self.down:
            seen.append(x)
            x = block(self.pool(x))
        for up, block in zip(self.up, self.merge, strict=True):
            skip = seen.pop()
            x = block(cat([skip, _grown(up(x), skip)], 1))
        return self.head(x)


def _grown(x: Tensor, like: Tensor) -> Tensor:
    """``x`` with the last row and column that halving an odd size lost, as zeros."""
    rows, columns = (like.shape[d] - x.shape[d] for d in (2, 3))
    return nn.functional.pad(x, (0, columns, 0, rows)) if rows or columns else x


def _initialize(module: nn.Module) -> None:
    """The variance of activations stays the same through ReLU (the paper's section 3)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


unet = variant(
    "unet",
    UNet,
    "U-Net (31 million parameters with 64 channels at full size), for images of any size.",
)
