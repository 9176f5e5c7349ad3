"""LR-ASPP: a light classifier of pixels.

Source: A. Howard et al., "Searching for MobileNetV3", 2019, section 6.4. Names, first values and
the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.segmentation._utils import CLASSES, of_mobilenet, resized

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LRASPP", "LRASPPHead", "lraspp_mobilenet_v3_large"]


class LRASPPHead(nn.Module):
    """Late features, weighed by what the whole image holds, and early ones, each classified; the
    sum.

    Args:
        low_channels, high_channels: of early and late features.
        num_classes: classes.
        inter_channels: what late features are narrowed to.
    """

    def __init__(
        self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int
    ) -> None:
        super().__init__()
        self.cbr = nn.Sequential(
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.BatchNorm2d(inter_channels),
            nn.ReLU(inplace=True),
        )
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(high_channels, inter_channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        low, high = input["low"], input["high"]
        x = resized(self.cbr(high) * self.scale(high), low)
        return self.low_classifier(low) + self.high_classifier(x)


class LRASPP(nn.Module):
    """Features of two layers, ``LRASPPHead``, its result at the size of the image.

    Shapes:
        in: float (N, C, H, W).
        out: a dictionary of ``out``: (N, num_classes, H, W), logits.

    Args:
        backbone: returns a dictionary of features, ``low`` (early) and ``high`` (late).
        low_channels, high_channels: of these features.
        num_classes: how many there are.
        inter_channels: what late features are narrowed to.

    >>> import fovea
    >>> from fovea.vision.models._utils import IntermediateLayerGetter
    >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 16, 3, 2))
    >>> features = IntermediateLayerGetter(layers, {"0": "low", "1": "high"})
    >>> LRASPP(features, 8, 16, 5)(fovea.zeros(1, 3, 20, 24))["out"].shape
    fovea.Size([1, 5, 20, 24])
    """

    def __init__(
        self,
        backbone: nn.Module,
        low_channels: int,
        high_channels: int,
        num_classes: int,
        inter_channels: int = 128,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input: Tensor) -> OrderedDict[str, Tensor]:
        result: OrderedDict[str, Tensor] = OrderedDict()
        result["out"] = resized(self.classifier(self.backbone(input)), input)
        return result


@register_model()
def lraspp_mobilenet_v3_large(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    in_channels: int = 3,
) -> LRASPP:
    """LR-ASPP on MobileNetV3, large (3.2 million parameters), for images of 520.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 21.
        weights_backbone: the same for MobileNetV3 alone.
        in_channels: 1 for gray images, 3 for color.
    """
    backbone = of_mobilenet(weights_backbone, in_channels, "low", "high")
    classes = CLASSES if num_classes is None else num_classes
    model = LRASPP(backbone.module, backbone.early, backbone.late, classes)
    load_weights(model, weights)
    return model


def __getattr__(name: str) -> object:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
