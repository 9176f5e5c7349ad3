"""Fully convolutional networks.

Source: J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for Semantic
Segmentation", 2015, on a dilated ResNet. Names, first values and the order of layers are
torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Callable

from fovea import nn
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.resnet import ResNet, resnet50, resnet101
from fovea.vision.models.segmentation._utils import CLASSES, _SimpleSegmentationModel, of_resnet

__all__ = ["FCN", "FCNHead", "fcn_resnet50", "fcn_resnet101"]


class FCN(_SimpleSegmentationModel):
    """Features, a classifier of each place, its result at the size of the image.

    Shapes:
        in: float (N, C, H, W).
        out: a dictionary of ``out`` and, with an auxiliary classifier, ``aux``:
            (N, num_classes, H, W), logits.

    Args:
        backbone: returns a dictionary of features: ``out`` and, if there is an auxiliary
            classifier, ``aux``.
        classifier: of the features ``out``.
        aux_classifier: of the features ``aux``; None: there is none.

    >>> import fovea
    >>> from fovea.vision.models._utils import IntermediateLayerGetter
    >>> features = IntermediateLayerGetter(nn.Sequential(nn.Conv2d(3, 8, 3, 2)), {"0": "out"})
    >>> FCN(features, FCNHead(8, 5))(fovea.zeros(1, 3, 20, 24))["out"].shape
    fovea.Size([1, 5, 20, 24])
    """


class FCNHead(nn.Sequential):
    """A 3×3 convolution to a quarter of the channels, a 1×1 convolution to the classes.

    Args:
        in_channels: channels that come in.
        channels: classes.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        inside = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inside, 3, padding=1, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inside, channels, 1),
        )


def _fcn(
    resnet: Callable[..., ResNet],
    weights: WeightsLike,
    num_classes: int | None,
    aux_loss: bool | None,
    weights_backbone: WeightsLike,
    in_channels: int,
) -> FCN:
    classes = CLASSES if num_classes is None else num_classes
    aux = weights is not None if aux_loss is None else aux_loss
    backbone = of_resnet(resnet, weights_backbone, in_channels, "aux" if aux else None, "out")
    head = FCNHead(backbone.early, classes) if aux else None
    model = FCN(backbone.module, FCNHead(backbone.late, classes), head)
    load_weights(model, weights, () if aux else ("aux_classifier.",))
    return model


@register_model()
def fcn_resnet50(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> FCN:
    """A fully convolutional network on ResNet-50 (35 million parameters), for images of 520.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 21.
        aux_loss: a second classifier, of features in the middle; None: if there are ``weights``.
        weights_backbone: the same for the ResNet alone.
        in_channels: 1 for gray images, 3 for color.
    """
    return _fcn(resnet50, weights, num_classes, aux_loss, weights_backbone, in_channels)


@register_model()
def fcn_resnet101(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> FCN:
    """A fully convolutional network on ResNet-101 (54 million parameters), for images of 520;
    arguments as ``fcn_resnet50``.
    """
    return _fcn(resnet101, weights, num_classes, aux_loss, weights_backbone, in_channels)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
