"""RetinaNet: classes and boxes of anchors on a pyramid, trained with the focal loss.

Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", 2017; the second version after
S. Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection", 2019. Names,
first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import nn
from fovea.functions.creation import from_array, zeros
from fovea.functions.joining import cat
from fovea.vision.models.detection._utils import BoxCoder, Matcher, box_loss, joined, mean_of
from fovea.vision.models.detection.anchor_utils import AnchorGenerator
from fovea.vision.models.detection.backbone_utils import COCO, load_detector, resnet50_fpn
from fovea.vision.models.detection.detector import (
    Found,
    SingleStage,
    best_of,
    needs_channels,
    transform_of,
)
from fovea.vision.models.loading import WeightsLike
from fovea.vision.models.registry import register_model
from fovea.vision.ops.box_losses import sigmoid_focal_loss
from fovea.vision.ops.boxes import batched_nms, box_iou, clip_boxes_to_image
from fovea.vision.ops.fpn import LastLevelP6P7
from fovea.vision.ops.misc import Conv2dNormActivation, Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "RetinaNet",
    "RetinaNetClassificationHead",
    "RetinaNetHead",
    "RetinaNetRegressionHead",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
]

_CONVOLUTIONS = 4  # of each head before its last


def small_weights(module: nn.Module) -> None:
    """A convolution's weights normal with deviation 0.01, its bias 0; for ``Module.apply``."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _Tower(nn.Module):
    """3×3 convolutions that keep the channels."""

    def __init__(self, in_channels: int, norm_layer: Layer | None) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(
                Conv2dNormActivation(in_channels, in_channels, norm_layer=norm_layer)
                for _ in range(_CONVOLUTIONS)
            )
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Takes weights of the time when convolutions and activations stood side by side, too."""
        for i in range(_CONVOLUTIONS):
            for kind in ("weight", "bias"):
                old = f"{prefix}conv.{2 * i}.{kind}"
                if old in state_dict:
                    state_dict[f"{prefix}conv.{i}.0.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class RetinaNetClassificationHead(_Tower):
    """Logits of classes for each anchor.

    Args:
        in_channels: of the maps.
        num_anchors: at each place.
        num_classes: how many there are.
        prior_probability: of every class before training.
        norm_layer: makes normalizations; None: none.

    Shapes:
        list of (N, in_channels, H, W) to (N, all places · num_anchors, num_classes).
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        prior_probability: float = 0.01,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__(in_channels, norm_layer)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        self.apply(small_weights)
        odds = -math.log((1 - prior_probability) / prior_probability)
        if self.cls_logits.bias is not None:
            nn.init.constant_(self.cls_logits.bias, odds)
        self.num_classes, self.num_anchors = num_classes, num_anchors

    def forward(self, x: list[Tensor]) -> Tensor:
        return joined([self.cls_logits(self.conv(each)) for each in x], self.num_classes)

    def compute_loss(
        self, targets: Found, head_outputs: dict[str, Tensor], matched_idxs: list[Tensor]
    ) -> Tensor:
        """The focal loss over all anchors but those in between, by the number of objects'."""
        logits = head_outputs["cls_logits"]
        wanted = np.zeros(tuple(logits.shape), np.float32)
        weights = np.zeros((*logits.shape[:2], 1), np.float64)
        for i, (target, matches) in enumerate(zip(targets, matched_idxs, strict=True)):
            matched = matches.numpy()
            objects = np.flatnonzero(matched >= 0)
            if len(objects):
                wanted[i, objects, target["labels"].numpy()[matched[objects]]] = 1
            counted = matched != Matcher.BETWEEN_THRESHOLDS
            weights[i, counted] = 1 / (max(1, len(objects)) * max(1, len(targets)))
        loss = sigmoid_focal_loss(logits, from_array(wanted, logits.dtype))
        return (loss * from_array(weights, logits.dtype)).sum()


class RetinaNetRegressionHead(_Tower):
    """Differences of boxes from each anchor.

    Args:
        in_channels: of the maps.
        num_anchors: at each place.
        norm_layer: makes normalizations; None: none.

    Shapes:
        list of (N, in_channels, H, W) to (N, all places · num_anchors, 4).
    """

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Layer | None = None) -> None:
        super().__init__(in_channels, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        self.apply(small_weights)
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self._loss_type = "l1"

    def forward(self, x: list[Tensor]) -> Tensor:
        return joined([self.bbox_reg(self.conv(each)) for each in x], 4)

    def compute_loss(
        self,
        targets: Found,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> Tensor:
        """How far the boxes of objects' anchors are off, by their number."""
        losses = []
        per_image = zip(
            targets, head_outputs["bbox_regression"].unbind(0), anchors, matched_idxs, strict=True
        )
        for target, codes, boxes, matches in per_image:
            objects = (matches >= 0).nonzero().squeeze(1)
            wanted = target["boxes"][matches[objects]].to(codes.dtype)
            chosen = boxes[objects], wanted, codes[objects]
            loss = box_loss(self._loss_type, self.box_coder, *chosen)
            losses.append(loss / max(1, objects.shape[0]))
        return mean_of(losses)


class RetinaNetHead(nn.Module):
    """Classes and differences of boxes for each anchor.

    Args:
        in_channels: of the maps.
        num_anchors: at each place.
        num_classes: how many there are.
        norm_layer: makes normalizations; None: none.

    >>> import fovea
    >>> found = RetinaNetHead(8, 2, 3)([fovea.zeros(1, 8, 4, 4), fovea.zeros(1, 8, 2, 2)])
    >>> found["cls_logits"].shape, found["bbox_regression"].shape
    (fovea.Size([1, 40, 3]), fovea.Size([1, 40, 4]))
    """

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(
            in_channels, num_anchors, num_classes, norm_layer=norm_layer
        )
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {
            "cls_logits": self.classification_head(x),
            "bbox_regression": self.regression_head(x),
        }

    def compute_loss(
        self,
        targets: Found,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """The losses of both heads."""
        classes, boxes = self.classification_head, self.regression_head
        return {
            "classification": classes.compute_loss(targets, head_outputs, matched_idxs),
            "bbox_regression": boxes.compute_loss(targets, head_outputs, anchors, matched_idxs),
        }


class Dense(SingleStage):
    """Finds the most likely classes on each map, then suppresses across maps.

    Attributes:
        score_thresh, nms_thresh, detections_per_img, topk_candidates: as of ``RetinaNet``.
    """

    box_coder: Any
    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int

    def postprocess_detections(
        self,
        head_outputs: dict[str, list[Tensor]],
        anchors: list[list[Tensor]],
        image_shapes: list[tuple[int, int]],
    ) -> Found:
        names, levels = list(head_outputs), zip(*head_outputs.values(), strict=True)
        scores = [self.likely(dict(zip(names, level, strict=True))) for level in levels]
        found = []
        for i, size in enumerate(image_shapes):
            parts = [
                self._of_map(x[i], y[i], boxes, size)
                for x, y, boxes in zip(
                    scores, head_outputs["bbox_regression"], anchors[i], strict=True
                )
            ]
            boxes, score, label = (cat(list(each), 0) for each in zip(*parts, strict=True))
            keep = batched_nms(boxes, score, label, self.nms_thresh)[: self.detections_per_img]
            found.append({"boxes": boxes[keep], "scores": score[keep], "labels": label[keep]})
        return found

    def likely(self, outputs: dict[str, Tensor]) -> Tensor:
        """How likely each class is (N, boxes, classes) in each box of a map."""
        return outputs["cls_logits"].sigmoid()

    def read(self, codes: Tensor, anchors: Tensor) -> Tensor:
        """The boxes (K, 4) that the network means by numbers (K, 4) at anchors (K, 4)."""
        return self.box_coder.decode_single(codes, anchors)

    def _of_map(
        self, scores: Tensor, codes: Tensor, anchors: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and classes of the most likely on one map of one image."""
        flat, classes = scores.flatten(), scores.shape[-1]
        best = best_of(flat.detach().numpy(), self.score_thresh, self.topk_candidates)
        place = from_array(best // classes)
        boxes = clip_boxes_to_image(self.read(codes[place], anchors[place]), size)
        return boxes, flat[from_array(best)], from_array(best % classes)


class RetinaNet(Dense):
    """Classes and boxes of anchors on a pyramid.

    In training ``model(images, targets)`` returns the losses ``classification`` and
    ``bbox_regression``; in evaluation ``model(images)`` returns for each image ``boxes`` (K, 4),
    ``scores`` and ``labels`` (K,), from the best.

    Args:
        backbone: makes a map or a dictionary of maps of ``backbone.out_channels`` channels.
        num_classes: how many there are, a background (that is never found) among them.
        min_size, max_size, image_mean, image_std: of ``GeneralizedRCNNTransform``.
        anchor_generator: lays boxes over the maps; None: nine at each place, for five maps.
        head: makes the predictions; None: ``RetinaNetHead``.
        proposal_matcher: matches anchors with objects; None: a ``Matcher`` of the thresholds.
        score_thresh: what is less likely is not found.
        nms_thresh: of the suppression within each class.
        detections_per_img: the most that is found in an image.
        fg_iou_thresh, bg_iou_thresh: of the ``Matcher``.
        topk_candidates: the most before suppression, on each map.
        **kwargs: further arguments of ``GeneralizedRCNNTransform``.

    >>> import fovea
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1))
    >>> net.out_channels = 8
    >>> anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    >>> model = RetinaNet(net, 3, 64, 64, anchor_generator=anchors)
    >>> target = {"boxes": fovea.tensor([[4.0, 4, 30, 30]]), "labels": fovea.tensor([1])}
    >>> sorted(model([fovea.rand(3, 48, 64)], [target]))
    ['bbox_regression', 'classification']
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        min_size: int = 800,
        max_size: int = 1333,
        image_mean: Any = None,
        image_std: Any = None,
        anchor_generator: AnchorGenerator | None = None,
        head: nn.Module | None = None,
        proposal_matcher: Matcher | None = None,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 300,
        fg_iou_thresh: float = 0.5,
        bg_iou_thresh: float = 0.4,
        topk_candidates: int = 1000,
        **kwargs: Any,
    ) -> None:
        channels = needs_channels("RetinaNet", backbone)
        anchors = _anchors() if anchor_generator is None else anchor_generator
        if head is None:
            head = RetinaNetHead(channels, anchors.num_anchors_per_location()[0], num_classes)
        transform = transform_of(min_size, max_size, image_mean, image_std, **kwargs)
        super().__init__(backbone, anchors, head, transform)
        if proposal_matcher is None:
            proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, True)
        self.proposal_matcher = proposal_matcher
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    def losses(
        self, targets: Found, outputs: dict[str, Tensor], anchors: list[Tensor], places: list[int]
    ) -> dict[str, Tensor]:
        return self.compute_loss(targets, outputs, anchors)

    def compute_loss(
        self, targets: Found, head_outputs: dict[str, Tensor], anchors: list[Tensor]
    ) -> dict[str, Tensor]:
        """The head's losses, anchors matched with objects."""
        matches = []
        for target, boxes in zip(targets, anchors, strict=True):
            if target["boxes"].shape[0]:
                matches.append(self.proposal_matcher(box_iou(target["boxes"], boxes)))
            else:
                matches.append(zeros(boxes.shape[0]).long() - 1)
        found: dict[str, Tensor] = self.head.compute_loss(targets, head_outputs, anchors, matches)
        return found


def _anchors() -> AnchorGenerator:
    """Three sizes within each factor of two, in three shapes."""
    sizes = tuple(
        tuple(int(side * 2 ** (k / 3)) for k in range(3)) for side in (32, 64, 128, 256, 512)
    )
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


@register_model()
def retinanet_resnet50_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> RetinaNet:
    """RetinaNet on ResNet-50 (34 million parameters), for images of 800 to 1333.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are; None: 91, COCO's.
        weights_backbone: the same for the ResNet alone.
        trainable_backbone_layers: parts of the ResNet that learn, counted from its end, if there
            are weights; None: 3.
        **kwargs: arguments of ``RetinaNet``.
    """
    backbone = resnet50_fpn(
        weights,
        weights_backbone,
        trainable_backbone_layers,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )
    model = RetinaNet(backbone, COCO if num_classes is None else num_classes, **kwargs)
    load_detector(model, weights, "retinanet_resnet50_fpn")
    return model


@register_model()
def retinanet_resnet50_fpn_v2(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> RetinaNet:
    """RetinaNet on ResNet-50 with normalized heads and a loss of overlaps (38 million parameters);
    arguments as ``retinanet_resnet50_fpn``.
    """
    backbone = resnet50_fpn(
        weights,
        weights_backbone,
        trainable_backbone_layers,
        frozen=False,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(2048, 256),
    )
    classes, anchors = COCO if num_classes is None else num_classes, _anchors()
    head = RetinaNetHead(
        backbone.out_channels,
        anchors.num_anchors_per_location()[0],
        classes,
        norm_layer=partial(nn.GroupNorm, 32),
    )
    head.regression_head._loss_type = "giou"
    model = RetinaNet(backbone, classes, anchor_generator=anchors, head=head, **kwargs)
    load_detector(model, weights, "retinanet_resnet50_fpn_v2")
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
