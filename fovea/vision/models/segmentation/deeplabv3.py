"""DeepLabV3.

Source: L.-C. Chen, G. Papandreou, F. Schroff and H. Adam, "Rethinking Atrous Convolution for
Semantic Image Segmentation", 2017. Names, first values and the order of layers are torchvision's,
so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.functions.parts import cat
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.resnet import resnet50, resnet101
from fovea.vision.models.segmentation._utils import (
    CLASSES,
    Backbone,
    _SimpleSegmentationModel,
    of_mobilenet,
    of_resnet,
    resized,
)
from fovea.vision.models.segmentation.fcn import FCNHead

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ASPP",
    "ASPPConv",
    "ASPPPooling",
    "DeepLabHead",
    "DeepLabV3",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
]


class DeepLabV3(_SimpleSegmentationModel):
    """Features, a classifier that sees each place at several scales, its result at the size of the
    image.

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
    >>> net = DeepLabV3(features, DeepLabHead(8, 5, (2, 4))).eval()
    >>> net(fovea.zeros(1, 3, 20, 24))["out"].shape
    fovea.Size([1, 5, 20, 24])
    """


class ASPPConv(nn.Sequential):
    """A dilated 3×3 convolution, a normalization and ReLU.

    Args:
        in_channels, out_channels: channels.
        dilation: of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class ASPPPooling(nn.Sequential):
    """The mean over the whole image, a 1×1 convolution, a normalization and ReLU; everywhere the
    same.

    Args:
        in_channels, out_channels: channels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return resized(super().forward(x), x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1×1 convolution, dilated ones and the mean over the image
    side by side, narrowed by another 1×1 convolution.

    Args:
        in_channels: channels that come in.
        atrous_rates: dilations.
        out_channels: channels of each branch and of the result.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H, W).

    >>> import fovea
    >>> ASPP(8, [2, 4], 6).eval()(fovea.zeros(1, 8, 9, 9)).shape
    fovea.Size([1, 6, 9, 9])
    """

    def __init__(
        self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256
    ) -> None:
        super().__init__()
        point = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.convs = nn.ModuleList(
            [
                nn.Sequential(point, nn.BatchNorm2d(out_channels), nn.ReLU()),
                *(ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates),
                ASPPPooling(in_channels, out_channels),
            ]
        )
        self.project = nn.Sequential(
            nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Dropout(0.5),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.project(cat([conv(x) for conv in self.convs], 1))


class DeepLabHead(nn.Sequential):
    """``ASPP``, a 3×3 convolution, a 1×1 convolution to the classes.

    Args:
        in_channels: channels that come in.
        num_classes: classes.
        atrous_rates: dilations of ``ASPP``.
    """

    def __init__(
        self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)
    ) -> None:
        super().__init__(
            ASPP(in_channels, atrous_rates),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, num_classes, 1),
        )


def _deeplabv3(
    backbone: Backbone, num_classes: int | None, aux: bool, weights: WeightsLike
) -> DeepLabV3:
    classes = CLASSES if num_classes is None else num_classes
    head = FCNHead(backbone.early, classes) if aux else None
    model = DeepLabV3(backbone.module, DeepLabHead(backbone.late, classes), head)
    load_weights(model, weights, () if aux else ("aux_classifier.",))
    return model


@register_model()
def deeplabv3_resnet50(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> DeepLabV3:
    """DeepLabV3 on ResNet-50 (42 million parameters), for images of 520.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 21.
        aux_loss: a second classifier, of features in the middle; None: if there are ``weights``.
        weights_backbone: the same for the backbone alone.
        in_channels: 1 for gray images, 3 for color.
    """
    aux = weights is not None if aux_loss is None else aux_loss
    backbone = of_resnet(resnet50, weights_backbone, in_channels, "aux" if aux else None, "out")
    return _deeplabv3(backbone, num_classes, aux, weights)


@register_model()
def deeplabv3_resnet101(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> DeepLabV3:
    """DeepLabV3 on ResNet-101 (61 million parameters), for images of 520; arguments as
    ``deeplabv3_resnet50``.
    """
    aux = weights is not None if aux_loss is None else aux_loss
    backbone = of_resnet(resnet101, weights_backbone, in_channels, "aux" if aux else None, "out")
    return _deeplabv3(backbone, num_classes, aux, weights)


@register_model()
def deeplabv3_mobilenet_v3_large(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> DeepLabV3:
    """DeepLabV3 on MobileNetV3, large (11 million parameters), for images of 520; arguments as
    ``deeplabv3_resnet50``.
    """
    aux = weights is not None if aux_loss is None else aux_loss
    backbone = of_mobilenet(weights_backbone, in_channels, "aux" if aux else None, "out")
    return _deeplabv3(backbone, num_classes, aux, weights)


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
