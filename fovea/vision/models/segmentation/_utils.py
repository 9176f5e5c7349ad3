"""What networks for segmentation share: backbones, and classifiers of their features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fovea import nn
from fovea.vision.models._utils import IntermediateLayerGetter
from fovea.vision.models.loading import WeightsLike
from fovea.vision.models.mobilenetv3 import mobilenet_v3_large
from fovea.vision.models.resnet import ResNet

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["CLASSES", "Backbone", "of_mobilenet", "of_resnet", "resized"]

CLASSES = 21  # of Pascal VOC, the background among them


class _SimpleSegmentationModel(nn.Module):
    """Features, a classifier of them, its result at the size of the image; the same once more for
    features in the middle, if there is an auxiliary classifier.

    Shapes:
        in: float (N, C, H, W).
        out: a dictionary of ``out`` and, with an auxiliary classifier, ``aux``:
            (N, num_classes, H, W), logits.

    Args:
        backbone: returns a dictionary of features: ``out`` and, if there is an auxiliary
            classifier, ``aux``.
        classifier: of the features ``out``.
        aux_classifier: of the features ``aux``; None: there is none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        aux_classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        """Logits at the size of the features that they are told from."""
        found: Tensor = self.classifier(features["out"])
        return found

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        features = self.backbone(x)
        result: OrderedDict[str, Tensor] = OrderedDict()
        result["out"] = resized(self.classify(features), x)
        if self.aux_classifier is not None:
            result["aux"] = resized(self.aux_classifier(features["aux"]), x)
        return result


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` at the height and width of ``like``, interpolated."""
    height, width = like.shape[-2:]
    size = (height, width)
    return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Backbone(NamedTuple):
    """A network that returns features of two layers.

    Attributes:
        module: the network.
        early, late: channels of the layers.
    """

    module: nn.Module
    early: int
    late: int


def of_resnet(
    make: Callable[..., ResNet],
    weights: WeightsLike,
    in_channels: int,
    early: str | None,
    late: str,
) -> Backbone:
    """A ResNet of bottlenecks, the last two stages of which are dilated instead of halving the
    image: results of the third stage as ``early`` (None: not at all) and of the fourth as ``late``.
    """
    dilate = [False, True, True]
    model = make(weights=weights, replace_stride_with_dilation=dilate, in_channels=in_channels)
    names = {"layer4": late} if early is None else {"layer3": early, "layer4": late}
    return Backbone(IntermediateLayerGetter(model, names), 1024, 2048)


def of_mobilenet(weights: WeightsLike, in_channels: int, early: str | None, late: str) -> Backbone:
    """MobileNetV3, large, the last stage of which is dilated instead of halving the image: results
    of the first block at an eighth of the size as ``early`` (None: not at all) and of the last
    layer as ``late``.
    """
    model = mobilenet_v3_large(weights=weights, dilated=True, in_channels=in_channels)
    layers = list(model.features)
    halving = [i for i, layer in enumerate(layers) if getattr(layer, "_is_cn", False)]
    position, last = halving[1], len(layers) - 1
    names = {str(last): late} if early is None else {str(position): early, str(last): late}
    channels = (layers[i].out_channels for i in (position, last))
    return Backbone(IntermediateLayerGetter(model.features, names), *channels)
