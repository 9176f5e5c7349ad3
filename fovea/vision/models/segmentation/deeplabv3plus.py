"""DeepLabV3+: DeepLabV3 whose result is sharpened by features of four times its size.

Source: L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff and H. Adam, "Encoder-Decoder with Atrous
Separable Convolution for Semantic Image Segmentation", 2018. torchvision has none; parts are called
as in the widely used VainF/DeepLabV3Plus-Pytorch, so that weights trained with it fit (its decoder
has one 3×3 convolution; the paper tried one to three).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models._utils import IntermediateLayerGetter
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.resnet import ResNet, resnet50, resnet101
from fovea.vision.models.segmentation._utils import CLASSES, _SimpleSegmentationModel, resized
from fovea.vision.models.segmentation.deeplabv3 import ASPP
from fovea.vision.models.segmentation.fcn import FCNHead

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "DeepLabHeadV3Plus",
    "DeepLabV3Plus",
    "deeplabv3plus_resnet50",
    "deeplabv3plus_resnet101",
]

# How much smaller the last features are than the image: which stages are dilated, and the dilations
# that look around there.
_STRIDES = {8: ([False, True, True], (12, 24, 36)), 16: ([False, False, True], (6, 12, 18))}


class DeepLabV3Plus(_SimpleSegmentationModel):
    """Features, a classifier of late and early ones together, its result at the size of the image.

    Shapes:
        in: float (N, C, H, W).
        out: a dictionary of ``out`` and, with an auxiliary classifier, ``aux``:
            (N, num_classes, H, W), logits.

    Args:
        backbone: returns a dictionary of features: ``low_level``, ``out`` and, if there is an
            auxiliary classifier, ``aux``.
        classifier: of that dictionary.
        aux_classifier: of the features ``aux``; None: there is none.

    >>> import fovea
    >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 16, 3, 2))
    >>> features = IntermediateLayerGetter(layers, {"0": "low_level", "1": "out"})
    >>> net = DeepLabV3Plus(features, DeepLabHeadV3Plus(16, 8, 5, (2, 4))).eval()
    >>> net(fovea.zeros(1, 3, 20, 24))["out"].shape
    fovea.Size([1, 5, 20, 24])
    """

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        found: Tensor = self.classifier(features)
        return found


class DeepLabHeadV3Plus(nn.Module):
    """``ASPP`` of late features, enlarged and joined to early ones that are narrowed to 48
    channels; a 3×3 convolution, a 1×1 convolution to the classes.

    Args:
        in_channels: channels of the late features, ``out``.
        low_level_channels: channels of the early ones, ``low_level``.
        num_classes: classes.
        aspp_dilate: dilations of ``ASPP``.

    Shapes:
        a dictionary of ``low_level`` (N, low_level_channels, H, W) and ``out`` to
        (N, num_classes, H, W).

    >>> import fovea
    >>> features = {"low_level": fovea.zeros(1, 4, 8, 8), "out": fovea.zeros(1, 6, 2, 2)}
    >>> DeepLabHeadV3Plus(6, 4, 3).eval()(features).shape
    fovea.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        low_level_channels: int,
        num_classes: int,
        aspp_dilate: Sequence[int] = (12, 24, 36),
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(low_level_channels, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU()
        )
        self.aspp = ASPP(in_channels, aspp_dilate)
        self.classifier = nn.Sequential(
            nn.Conv2d(256 + 48, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, num_classes, 1),
        )

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        early = self.project(features["low_level"])
        found: Tensor = self.classifier(cat([early, resized(self.aspp(features["out"]), early)], 1))
        return found


def _deeplabv3plus(
    make: Callable[..., ResNet],
    weights: WeightsLike,
    num_classes: int | None,
    aux_loss: bool | None,
    weights_backbone: WeightsLike,
    in_channels: int,
    output_stride: int,
) -> DeepLabV3Plus:
    if output_stride not in _STRIDES:
        raise ArgumentError(f"deeplabv3plus: output_stride is 8 or 16, got {output_stride}.")
    classes = CLASSES if num_classes is None else num_classes
    dilate, rates = _STRIDES[output_stride]
    net = make(
        weights=weights_backbone, replace_stride_with_dilation=dilate, in_channels=in_channels
    )
    names = {"layer1": "low_level", "layer4": "out"} | ({"layer3": "aux"} if aux_loss else {})
    head = DeepLabHeadV3Plus(2048, 256, classes, rates)
    aux = FCNHead(1024, classes) if aux_loss else None
    model = DeepLabV3Plus(IntermediateLayerGetter(net, names), head, aux)
    load_weights(model, weights, () if aux_loss else ("aux_classifier.",))
    return model


@register_model()
def deeplabv3plus_resnet50(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
    output_stride: int = 16,
) -> DeepLabV3Plus:
    """DeepLabV3+ on ResNet-50 (40 million parameters), for images of 513 or so.

    Args:
        weights: a path or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 21.
        aux_loss: a second classifier, of features in the middle; None: no.
        weights_backbone: the same for the backbone alone; also published ones.
        in_channels: 1 for gray images, 3 for color.
        output_stride: how much smaller the last features are than the image: 16, or 8, which is
            finer and takes about twice as long.

    Raises:
        ArgumentError: another ``output_stride``.
    """
    return _deeplabv3plus(
        resnet50, weights, num_classes, aux_loss, weights_backbone, in_channels, output_stride
    )


@register_model()
def deeplabv3plus_resnet101(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
    output_stride: int = 16,
) -> DeepLabV3Plus:
    """DeepLabV3+ on ResNet-101 (59 million parameters), for images of 513 or so; arguments as
    ``deeplabv3plus_resnet50``.
    """
    return _deeplabv3plus(
        resnet101, weights, num_classes, aux_loss, weights_backbone, in_channels, output_stride
    )
