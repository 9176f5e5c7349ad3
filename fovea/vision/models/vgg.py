"""VGG with batch normalization.

Source: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", 2014, configuration A. Names and first values are torchvision's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.registry import load_weights, register_model

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["VGG", "vgg11_bn"]

# Channels of the convolutions; 0 is a pooling.
_VGG11 = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)


class VGG(nn.Module):
    """3×3 convolutions with batch normalization and ReLU, five poolings, then linear layers.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 32.
        out: float (N, num_classes): logits.

    Args:
        config: channels of each convolution, 0 for a pooling.
        num_classes: how many there are.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.
        small_input: one linear layer on the mean over all places, for images of 32×32 or so,
            instead of three of 4,096 on a grid of 7×7.

    >>> import fovea
    >>> VGG((8, 0, 16, 0), num_classes=3, small_input=True)(fovea.zeros(1, 3, 32, 32)).shape
    fovea.Size([1, 3])
    """

    def __init__(
        self,
        config: tuple[int, ...],
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
        small_input: bool = False,
    ) -> None:
        super().__init__()
        self.features = _features(config, in_channels)
        last = [channels for channels in config if channels][-1]
        if small_input:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        else:
            self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = nn.Sequential(
                nn.Linear(last * 7 * 7, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(4096, num_classes),
            )
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(config: tuple[int, ...], channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for outputs in config:
        if outputs == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        conv = nn.Conv2d(channels, outputs, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        channels = outputs
    return nn.Sequential(*layers)


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@register_model()
def vgg11_bn(
    *,
    weights: str | os.PathLike[str] | None = None,
    progress: bool = True,
    num_classes: int = 1000,
    dropout: float = 0.5,
    in_channels: int = 3,
    small_input: bool = False,
) -> VGG:
    """VGG with 11 layers (133 million parameters; 9 million with ``small_input``).

    Args:
        weights: a file of weights, torchvision's for example.
        progress: accepted for compatibility.
        num_classes, dropout, in_channels, small_input: as ``VGG``.
    """
    model = VGG(_VGG11, num_classes, dropout, in_channels, small_input)
    load_weights(model, weights)
    return model
