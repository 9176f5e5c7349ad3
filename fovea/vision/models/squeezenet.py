"""SqueezeNet.

Source: F. N. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size", 2016, and its authors' version 1.1. Names, first values and the order of layers
are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Fire", "SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

# Channels that a Fire squeezes to; 0 is a pooling. It expands to four times as many, twice.
_FIRES = {
    "1_0": (16, 16, 32, 0, 32, 48, 48, 64, 0, 64),
    "1_1": (16, 16, 0, 32, 32, 0, 48, 48, 64, 64),
}
_STEM = {"1_0": (96, 7), "1_1": (64, 3)}  # channels and kernel


class Fire(nn.Module):
    """Channels narrowed by a 1×1 convolution, then widened by one of 1×1 beside one of 3×3.

    Args:
        inplanes, squeeze_planes: channels that come in and in between.
        expand1x1_planes, expand3x3_planes: channels of the two that go out, side by side.

    >>> import fovea
    >>> Fire(8, 2, 3, 5)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int
    ) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        points = self.expand1x1_activation(self.expand1x1(x))
        return cat([points, self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """A stem, ``Fire`` modules with poolings in between, a 1×1 convolution to the classes, the mean
    over all places.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 21.
        out: float (N, num_classes): logits, none below 0.

    Args:
        version: ``"1_0"``, the paper's, or ``"1_1"``, with less than half its operations.
        num_classes: how many there are.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: another version.

    >>> import fovea
    >>> SqueezeNet("1_1", num_classes=5)(fovea.zeros(1, 3, 32, 32)).shape
    fovea.Size([1, 5])
    """

    def __init__(
        self,
        version: str = "1_0",
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if version not in _FIRES:
            raise ArgumentError(f"SqueezeNet: version must be '1_0' or '1_1', got {version!r}.")
        self.num_classes = num_classes
        channels, kernel = _STEM[version]
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            *_fires(_FIRES[version], channels),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(512, num_classes, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d((1, 1)),
        )
        self.apply(_initialize)
        nn.init.normal_(self.classifier[1].get_parameter("weight"), std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def _fires(squeezes: Sequence[int], channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for squeeze in squeezes:
        if squeeze == 0:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            continue
        layers.append(Fire(channels, squeeze, 4 * squeeze, 4 * squeeze))
        channels = 8 * squeeze
    return layers


def _initialize(module: nn.Module) -> None:
    """torchvision's first values, but for the last layer."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


squeezenet1_0 = variant(
    "squeezenet1_0",
    SqueezeNet,
    "SqueezeNet 1.0 (1.2 million parameters), for images of 224.",
    version="1_0",
)
squeezenet1_1 = variant(
    "squeezenet1_1",
    SqueezeNet,
    "SqueezeNet 1.1 (1.2 million parameters), for images of 224.",
    version="1_1",
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
