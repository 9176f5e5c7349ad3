"""SSDlite: SSD with separable convolutions, on MobileNetV3.

Source: M. Sandler et al., "MobileNetV2", 2018, section 6.2, and A. Howard et al., "Searching for
MobileNetV3", 2019, section 6.3. Names, first values and the order of layers are torchvision's, so
its weights fit.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.vision.models.detection._utils import retrieve_out_channels
from fovea.vision.models.detection.anchor_utils import DefaultBoxGenerator
from fovea.vision.models.detection.backbone_utils import COCO, halving_layers, trainable_layers_of
from fovea.vision.models.detection.ssd import SSD, SSDScoringHead
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.mobilenetv3 import mobilenet_v3_large
from fovea.vision.models.registry import register_model
from fovea.vision.ops.misc import Conv2dNormActivation, Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SSDLiteFeatureExtractorMobileNet", "SSDLiteHead", "ssdlite320_mobilenet_v3_large"]

_SIZE = (320, 320)
_COARSER = (512, 256, 256, 128)  # channels of the maps behind the MobileNet


def _normal(module: nn.Module) -> None:
    """A convolution's weights normal with deviation 0.03, its bias 0; for ``Module.apply``."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, mean=0.0, std=0.03)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _SeparableHead(SSDScoringHead):
    def __init__(
        self, in_channels: list[int], num_anchors: list[int], columns: int, norm_layer: Layer
    ) -> None:
        unit = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        layers = (
            nn.Sequential(
                unit(channels, channels, 3, groups=channels),
                nn.Conv2d(channels, columns * anchors, 1),
            )
            for channels, anchors in zip(in_channels, num_anchors, strict=True)
        )
        super().__init__(nn.ModuleList(layers), columns)
        self.apply(_normal)


class SSDLiteClassificationHead(_SeparableHead):
    """Logits of classes for each box; arguments as ``SSDLiteHead``."""

    def __init__(
        self, in_channels: list[int], num_anchors: list[int], num_classes: int, norm_layer: Layer
    ) -> None:
        super().__init__(in_channels, num_anchors, num_classes, norm_layer)


class SSDLiteRegressionHead(_SeparableHead):
    """Differences from each box; arguments as ``SSDLiteHead``."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], norm_layer: Layer) -> None:
        super().__init__(in_channels, num_anchors, 4, norm_layer)


class SSDLiteHead(nn.Module):
    """Classes of default boxes and differences from them, by separable convolutions.

    Args:
        in_channels: of each map.
        num_anchors: at each place of each map.
        num_classes: how many there are, the background (0) among them.
        norm_layer: makes the normalizations.

    >>> import fovea
    >>> found = SSDLiteHead([8], [4], 3, nn.BatchNorm2d)([fovea.zeros(1, 8, 5, 5)])
    >>> found["cls_logits"].shape, found["bbox_regression"].shape
    (fovea.Size([1, 100, 3]), fovea.Size([1, 100, 4]))
    """

    def __init__(
        self, in_channels: list[int], num_anchors: list[int], num_classes: int, norm_layer: Layer
    ) -> None:
        super().__init__()
        sizes = in_channels, num_anchors
        self.classification_head = SSDLiteClassificationHead(*sizes, num_classes, norm_layer)
        self.regression_head = SSDLiteRegressionHead(*sizes, norm_layer)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {
            "bbox_regression": self.regression_head(x),
            "cls_logits": self.classification_head(x),
        }


class SSDLiteFeatureExtractorMobileNet(nn.Module):
    """A MobileNet without its classifier, cut within a block, and coarser maps behind it.

    Args:
        backbone: the MobileNet's ``features``.
        c4_pos: the number of the block whose widened channels are the first map.
        norm_layer: makes the normalizations behind it.
        width_mult: factor of the channels there ...
        min_depth: ... and their least number.

    Takes (N, 3, H, W); returns an ordered dictionary of six maps.
    """

    def __init__(
        self,
        backbone: nn.Module,
        c4_pos: int,
        norm_layer: Layer,
        width_mult: float = 1.0,
        min_depth: int = 16,
    ) -> None:
        super().__init__()
        layers: list[Any] = list(backbone.children())
        block = layers[c4_pos].block
        self.features = nn.Sequential(
            nn.Sequential(*layers[:c4_pos], block[0]),
            nn.Sequential(block[1:], *layers[c4_pos + 1 :]),
        )
        channels, coarser = layers[-1].out_channels, []
        for wanted in _COARSER:
            outputs = max(min_depth, int(wanted * width_mult))
            coarser.append(_coarser(channels, outputs, norm_layer))
            channels = outputs
        self.extra = nn.ModuleList(coarser)
        self.extra.apply(_normal)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for block in [*self.features, *self.extra]:
            x = block(x)
            maps[str(len(maps))] = x
        return maps


def _coarser(channels: int, outputs: int, norm_layer: Layer) -> nn.Module:
    unit = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    inside = outputs // 2
    return nn.Sequential(
        unit(channels, inside, kernel_size=1),
        unit(inside, inside, kernel_size=3, stride=2, groups=inside),
        unit(inside, outputs, kernel_size=1),
    )


@register_model()
def ssdlite320_mobilenet_v3_large(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    norm_layer: Layer | None = None,
    **kwargs: Any,
) -> SSD:
    """SSDlite on MobileNetV3 (3.4 million parameters), for images of 320.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 91, COCO's.
        weights_backbone: the same for the MobileNet alone; without, its last blocks are
            half as wide.
        trainable_backbone_layers: stages of the MobileNet that learn, counted from its end, if
            there are weights; None: 6, all.
        norm_layer: makes the normalizations; None: ``nn.BatchNorm2d`` with eps 0.001 and momentum
            0.03.
        **kwargs: arguments of ``SSD``.
    """
    if "size" in kwargs:
        warnings.warn("ssdlite320: the size is 320, whatever is given.", stacklevel=2)
        del kwargs["size"]
    own = weights_backbone if weights is None else None
    trained = weights is not None or own is not None
    trainable = trainable_layers_of(trained, trainable_backbone_layers, 6, 6)
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03) if norm_layer is None else norm_layer
    net = mobilenet_v3_large(weights=own, norm_layer=norm, reduced_tail=own is None)
    if own is None:
        net.features.apply(_normal)
    stages = halving_layers(net.features)
    first = len(net.features) if trainable == 0 else stages[len(stages) - trainable]
    for layer in list(net.features.children())[:first]:
        layer.requires_grad_(False)
    backbone = SSDLiteFeatureExtractorMobileNet(net.features, stages[-2], norm)
    channels = retrieve_out_channels(backbone, _SIZE)
    anchors = DefaultBoxGenerator([[2, 3]] * len(channels), min_ratio=0.2, max_ratio=0.95)
    classes = COCO if num_classes is None else num_classes
    usual = {
        "score_thresh": 0.001,
        "nms_thresh": 0.55,
        "detections_per_img": 300,
        "topk_candidates": 300,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "head": SSDLiteHead(channels, anchors.num_anchors_per_location(), classes, norm),
    }
    model = SSD(backbone, anchors, _SIZE, classes, **{**usual, **kwargs})
    load_weights(model, weights)
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
