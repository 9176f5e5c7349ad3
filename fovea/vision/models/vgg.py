"""VGG with 11 to 19 layers, with and without batch normalization.

Source: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", 2014. Names, first values and the order of layers are torchvision's, so its weights
fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.initial import small_normal
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

_CHANNELS = (64, 128, 256, 512, 512)  # of the five stages; a pooling ends each
# Convolutions of each stage (the paper's table 1).
_VGG11 = (1, 1, 2, 2, 2)
_VGG13 = (2, 2, 2, 2, 2)
_VGG16 = (2, 2, 3, 3, 3)
_VGG19 = (2, 2, 4, 4, 4)


class VGG(nn.Module):
    """Convolutions and poolings, then linear layers.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 32.
        out: float (N, num_classes): logits.

    Args:
        features: the convolutions and poolings; 512 channels come out, with ``small_input`` as
            many as the last convolution has.
        num_classes: how many there are.
        init_weights: draw torchvision's first values instead of the layers' own.
        dropout: part of the features that training leaves out.
        small_input: one linear layer on the mean over all places, for images of 32×32 or so,
            instead of three of 4,096 on a grid of 7×7.

    >>> import fovea
    >>> features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> VGG(features, num_classes=3, small_input=True)(fovea.zeros(1, 3, 32, 32)).shape
    fovea.Size([1, 3])
    """

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
        small_input: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        if small_input:
            last = [m for m in features.modules() if isinstance(m, nn.Conv2d)][-1].out_channels
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        else:
            self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, num_classes),
            )
        if init_weights:
            self.apply(small_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(counts: tuple[int, ...], batch_norm: bool, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for outputs, count in zip(_CHANNELS, counts, strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
            channels = outputs
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


def _vgg(
    counts: tuple[int, ...],
    batch_norm: bool,
    num_classes: int = 1000,
    init_weights: bool = True,
    dropout: float = 0.5,
    in_channels: int = 3,
    small_input: bool = False,
) -> VGG:
    """The network with so many convolutions in each stage; other arguments as ``VGG``.

    Args:
        in_channels: 1 for gray images, 3 for color.
    """
    features = _features(counts, batch_norm, in_channels)
    return VGG(features, num_classes, init_weights, dropout, small_input)


vgg11 = variant(
    "vgg11",
    _vgg,
    "VGG with 11 layers (133 million parameters; 9 with ``small_input``), for images of 224.",
    counts=_VGG11,
    batch_norm=False,
)
vgg11_bn = variant(
    "vgg11_bn",
    _vgg,
    "VGG with 11 layers and batch normalization (133 million parameters), for images of 224.",
    counts=_VGG11,
    batch_norm=True,
)
vgg13 = variant(
    "vgg13",
    _vgg,
    "VGG with 13 layers (133 million parameters), for images of 224.",
    counts=_VGG13,
    batch_norm=False,
)
vgg13_bn = variant(
    "vgg13_bn",
    _vgg,
    "VGG with 13 layers and batch normalization (133 million parameters), for images of 224.",
    counts=_VGG13,
    batch_norm=True,
)
vgg16 = variant(
    "vgg16",
    _vgg,
    "VGG with 16 layers (138 million parameters), for images of 224.",
    counts=_VGG16,
    batch_norm=False,
)
vgg16_bn = variant(
    "vgg16_bn",
    _vgg,
    "VGG with 16 layers and batch normalization (138 million parameters), for images of 224.",
    counts=_VGG16,
    batch_norm=True,
)
vgg19 = variant(
    "vgg19",
    _vgg,
    "VGG with 19 layers (144 million parameters), for images of 224.",
    counts=_VGG19,
    batch_norm=False,
)
vgg19_bn = variant(
    "vgg19_bn",
    _vgg,
    "VGG with 19 layers and batch normalization (144 million parameters), for images of 224.",
    counts=_VGG19,
    batch_norm=True,
)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
