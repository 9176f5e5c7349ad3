"""FCOS: a class, a box and how central it is, at each place of a pyramid.

Source: Z. Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019, with the
sampling of centers of its version of 2020. Names, first values and the order of layers are
torchvision's, so its weights fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.functions.pointwise import sqrt
from fovea.vision.models.detection._utils import BoxLinearCoder, joined
from fovea.vision.models.detection.anchor_utils import AnchorGenerator
from fovea.vision.models.detection.backbone_utils import COCO, resnet50_fpn
from fovea.vision.models.detection.detector import Found, needs_channels, transform_of
from fovea.vision.models.detection.retinanet import Dense, small_weights
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.ops.box_losses import generalized_box_iou_loss, sigmoid_focal_loss
from fovea.vision.ops.fpn import LastLevelP6P7
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FCOS",
    "FCOSClassificationHead",
    "FCOSHead",
    "FCOSRegressionHead",
    "fcos_resnet50_fpn",
]

Array = np.ndarray[Any, Any]
_NEAREST, _FARTHEST = 4, 8  # sides of boxes that a map is for, in sides of its anchors


def _tower(channels: int, count: int, norm_layer: Layer | None) -> nn.Sequential:
    norm = partial(nn.GroupNorm, 32) if norm_layer is None else norm_layer
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), norm(channels), nn.ReLU()]
    return nn.Sequential(*layers)


class FCOSClassificationHead(nn.Module):
    """Logits of classes at each place.

    Args:
        in_channels: of the maps.
        num_anchors: at each place; FCOS has 1.
        num_classes: how many there are.
        num_convs: 3×3 convolutions in front.
        prior_probability: of every class before training.
        norm_layer: makes the normalizations; None: ``nn.GroupNorm`` of 32.
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        num_convs: int = 4,
        prior_probability: float = 0.01,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_anchors = num_classes, num_anchors
        self.conv = _tower(in_channels, num_convs, norm_layer)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        self.apply(small_weights)
        if self.cls_logits.bias is not None:
            odds = -math.log((1 - prior_probability) / prior_probability)
            nn.init.constant_(self.cls_logits.bias, odds)

    def forward(self, x: list[Tensor]) -> Tensor:
        return joined([self.cls_logits(self.conv(each)) for each in x], self.num_classes)


class FCOSRegressionHead(nn.Module):
    """At each place distances to the sides of a box, and the logit of how central it is.

    Args:
        in_channels: of the maps.
        num_anchors: at each place; FCOS has 1.
        num_convs: 3×3 convolutions in front.
        norm_layer: makes the normalizations; None: ``nn.GroupNorm`` of 32.
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_convs: int = 4,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        self.conv = _tower(in_channels, num_convs, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(in_channels, num_anchors, 3, padding=1)
        self.apply(small_weights)

    def forward(self, x: list[Tensor]) -> tuple[Tensor, Tensor]:
        hidden = [self.conv(each) for each in x]
        boxes = joined([self.bbox_reg(h).relu() for h in hidden], 4)
        return boxes, joined([self.bbox_ctrness(h) for h in hidden], 1)


class FCOSHead(nn.Module):
    """A class, distances to the sides of a box and how central it is, at each place.

    Args:
        in_channels: of the maps.
        num_anchors: at each place; FCOS has 1.
        num_classes: how many there are.
        num_convs: 3×3 convolutions of each head; None: 4.

    >>> import fovea
    >>> found = FCOSHead(32, 1, 3)([fovea.zeros(1, 32, 4, 4)])
    >>> [(name, tuple(x.shape)) for name, x in found.items()]
    [('cls_logits', (1, 16, 3)), ('bbox_regression', (1, 16, 4)), ('bbox_ctrness', (1, 16, 1))]
    """

    def __init__(
        self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int | None = 4
    ) -> None:
        super().__init__()
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        convs = 4 if num_convs is None else num_convs
        self.classification_head = FCOSClassificationHead(
            in_channels, num_anchors, num_classes, convs
        )
        self.regression_head = FCOSRegressionHead(in_channels, num_anchors, convs)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        boxes, central = self.regression_head(x)
        return {
            "cls_logits": self.classification_head(x),
            "bbox_regression": boxes,
            "bbox_ctrness": central,
        }

    def compute_loss(
        self,
        targets: Found,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """The losses of classes, of boxes and of how central places are, by objects' places."""
        logits = head_outputs["cls_logits"]
        wanted = np.zeros(tuple(logits.shape), np.float32)
        objects, boxes = [], []
        for i, (target, matches) in enumerate(zip(targets, matched_idxs, strict=True)):
            matched = matches.numpy()
            own = np.flatnonzero(matched >= 0)
            if len(own):
                wanted[i, own, target["labels"].numpy()[matched[own]]] = 1
            objects.append(own + i * len(matched))
            boxes.append(target["boxes"][from_array(matched[own])])
        place = from_array(np.concatenate(objects))
        codes = head_outputs["bbox_regression"].reshape(-1, 4)[place]
        goal, start = cat(boxes, 0).to(codes.dtype), cat(anchors, 0)[place]
        found = self.box_coder.decode(codes, start)
        central = head_outputs["bbox_ctrness"].flatten()[place]
        count = max(1, place.shape[0])
        truth = _centrality(self.box_coder.encode(start, goal))
        focal = sigmoid_focal_loss(logits, from_array(wanted, logits.dtype), reduction="sum")
        off = F.binary_cross_entropy_with_logits(central, truth, reduction="sum")
        return {
            "classification": focal / count,
            "bbox_regression": generalized_box_iou_loss(found, goal, reduction="sum") / count,
            "bbox_ctrness": off / count,
        }


def _centrality(distances: Tensor) -> Tensor:
    """1 in the middle of a box, 0 at its sides (the paper's equation 3)."""
    parts = [distances[:, 0::2], distances[:, 1::2]]
    ratios = [part.min(-1)[0] / part.max(-1)[0] for part in parts]
    return sqrt(ratios[0] * ratios[1])


class FCOS(Dense):
    """A class, a box and how central it is, at each place of a pyramid.

    In training ``model(images, targets)`` returns the losses ``classification``,
    ``bbox_regression`` and ``bbox_ctrness``; in evaluation ``model(images)`` returns for each image
    ``boxes`` (K, 4), ``scores`` and ``labels`` (K,), from the best.

    Args:
        backbone: makes a map or a dictionary of maps of ``backbone.out_channels`` channels.
        num_classes: how many there are, a background (that is never found) among them.
        min_size, max_size, image_mean, image_std: of ``GeneralizedRCNNTransform``.
        anchor_generator: lays one square at each place; None: for five maps.
        head: makes the predictions; None: ``FCOSHead``.
        center_sampling_radius: places so many of the map's pixels from an object's center are its.
        score_thresh: what is less likely is not found.
        nms_thresh: of the suppression within each class.
        detections_per_img: the most that is found in an image.
        topk_candidates: the most before suppression, on each map.
        **kwargs: further arguments of ``GeneralizedRCNNTransform``.

    >>> import fovea
    >>> net = nn.Sequential(nn.Conv2d(3, 32, 3, 16, 1))
    >>> net.out_channels = 32
    >>> model = FCOS(net, 3, 64, 64, anchor_generator=AnchorGenerator(((16,),), ((1.0,),)))
    >>> target = {"boxes": fovea.tensor([[4.0, 4, 30, 30]]), "labels": fovea.tensor([1])}
    >>> sorted(model([fovea.rand(3, 48, 64)], [target]))
    ['bbox_ctrness', 'bbox_regression', 'classification']
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        min_size: int = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        anchor_generator: AnchorGenerator | None = None,
        head: nn.Module | None = None,
        center_sampling_radius: float = 1.5,
        score_thresh: float = 0.2,
        nms_thresh: float = 0.6,
        detections_per_img: int = 100,
        topk_candidates: int = 1000,
        **kwargs: Any,
    ) -> None:
        channels = needs_channels("FCOS", backbone)
        anchors = anchor_generator
        if anchors is None:
            sizes = ((8,), (16,), (32,), (64,), (128,))
            anchors = AnchorGenerator(sizes, ((1.0,),) * len(sizes))
        if head is None:
            head = FCOSHead(channels, anchors.num_anchors_per_location()[0], num_classes)
        transform = transform_of(min_size, max_size, image_mean, image_std, **kwargs)
        super().__init__(backbone, anchors, head, transform)
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        self.center_sampling_radius = center_sampling_radius
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    def losses(
        self, targets: Found, outputs: dict[str, Tensor], anchors: list[Tensor], places: list[int]
    ) -> dict[str, Tensor]:
        per_place = anchors[0].shape[0] // sum(places)
        return self.compute_loss(targets, outputs, anchors, [n * per_place for n in places])

    def compute_loss(
        self,
        targets: Found,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        num_anchors_per_level: list[int],
    ) -> dict[str, Tensor]:
        """The head's losses, places matched with objects."""
        matches = [
            from_array(self._matches(target["boxes"].numpy(), boxes.numpy(), num_anchors_per_level))
            for target, boxes in zip(targets, anchors, strict=True)
        ]
        found: dict[str, Tensor] = self.head.compute_loss(targets, head_outputs, anchors, matches)
        return found

    def _matches(self, objects: Array, anchors: Array, counts: list[int]) -> Array:
        """For each place the number of the smallest object that it is for, or -1.

        It lies near the object's center, within its box, and on the map for boxes of that size.
        """
        if not len(objects):
            return np.full(len(anchors), -1, np.int64)
        center, side = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0]
        middle = (objects[:, :2] + objects[:, 2:]) / 2
        away = np.abs(center[:, None] - middle[None]).max(2)
        near = away < self.center_sampling_radius * side[:, None]
        to_sides = [center[:, None] - objects[None, :, :2], objects[None, :, 2:] - center[:, None]]
        distances = np.concatenate(to_sides, 2)
        least, most = side * _NEAREST, side * _FARTHEST
        least[: counts[0]], most[len(most) - counts[-1] :] = 0, np.inf
        reach = distances.max(2)
        fits = (reach > least[:, None]) & (reach < most[:, None])
        own = near & (distances.min(2) > 0) & fits
        area = (objects[:, 2:] - objects[:, :2]).prod(1)
        smallest = np.where(own, area, np.inf).argmin(1)
        return np.where(own.any(1), smallest, -1)

    def likely(self, outputs: dict[str, Tensor]) -> Tensor:
        return sqrt(outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid())

    def read(self, codes: Tensor, anchors: Tensor) -> Tensor:
        return self.box_coder.decode(codes, anchors)


@register_model()
def fcos_resnet50_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> FCOS:
    """FCOS on ResNet-50 (32 million parameters), for images of 800 to 1333.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 91, COCO's.
        weights_backbone: the same for the ResNet alone.
        trainable_backbone_layers: parts of the ResNet that learn, counted from its end, if there
            are weights; None: 3.
        **kwargs: arguments of ``FCOS``.
    """
    backbone = resnet50_fpn(
        weights,
        weights_backbone,
        trainable_backbone_layers,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )
    model = FCOS(backbone, COCO if num_classes is None else num_classes, **kwargs)
    load_weights(model, weights)
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
