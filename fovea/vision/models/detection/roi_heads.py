"""What the second stage of an R-CNN does with proposals: classes, better boxes, masks and points.

Source: R. Girshick, "Fast R-CNN", 2015; K. He et al., "Mask R-CNN", 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.vision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from fovea.vision.models.detection.detector import Found, require
from fovea.vision.models.detection.keypoints import (
    heatmaps_to_keypoints,
    keypointrcnn_inference,
    keypointrcnn_loss,
    keypoints_to_heatmap,
)
from fovea.vision.models.detection.masks import (
    expand_boxes,
    expand_masks,
    maskrcnn_inference,
    maskrcnn_loss,
    paste_mask_in_image,
    paste_masks_in_image,
    project_masks_on_boxes,
)
from fovea.vision.ops.boxes import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "RoIHeads",
    "expand_boxes",
    "expand_masks",
    "fastrcnn_loss",
    "heatmaps_to_keypoints",
    "keypointrcnn_inference",
    "keypointrcnn_loss",
    "keypoints_to_heatmap",
    "maskrcnn_inference",
    "maskrcnn_loss",
    "paste_mask_in_image",
    "paste_masks_in_image",
    "project_masks_on_boxes",
]

_BETA = 1 / 9  # where the loss of boxes turns from a parabola to a line
_LEAST = 1e-2  # width and height of what is found
_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def fastrcnn_loss(
    class_logits: Tensor,
    box_regression: Tensor,
    labels: list[Tensor],
    regression_targets: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """The losses of classes and of boxes.

    Args:
        class_logits: (K, classes) of all proposals.
        box_regression: (K, 4 · classes).
        labels: the classes of each image's proposals; 0 is the background.
        regression_targets: differences (k, 4) that are wanted of them; those of the background do
            not count.
    """
    label, wanted = cat(labels, 0), cat(regression_targets, 0)
    classes = F.cross_entropy(class_logits, label)
    objects = (label > 0).nonzero().squeeze(1)
    codes = box_regression.reshape(label.shape[0], box_regression.shape[-1] // 4, 4)
    codes, wanted = codes[objects, label[objects]], wanted[objects].to(codes.dtype)
    off = F.smooth_l1_loss(codes, wanted, reduction="sum", beta=_BETA)
    return classes, off / max(label.shape[0], 1)


class RoIHeads(nn.Module):
    """Reads maps within proposals and predicts a class and a box of each.

    Args:
        box_roi_pool: reads maps within boxes.
        box_head: makes features of what it reads.
        box_predictor: makes logits (K, classes) and differences (K, 4 · classes) of the features.
        fg_iou_thresh, bg_iou_thresh: proposals that overlap an object more are its, those that
            overlap all less are background's.
        batch_size_per_image: proposals of an image that a step of training looks at ...
        positive_fraction: ... and the most of them that are objects'.
        bbox_reg_weights: of the ``BoxCoder``; None: 10, 10, 5, 5.
        score_thresh: what is less likely is not found.
        nms_thresh: of the suppression within each class.
        detections_per_img: the most that is found in an image.
        mask_roi_pool, mask_head, mask_predictor: read maps within boxes and make logits
            (K, classes, M, M) of masks; None: no masks.
        keypoint_roi_pool, keypoint_head, keypoint_predictor: read maps within boxes and make maps
            (K, points, M, M), highest where points are; None: no points.

    ``heads(features, proposals, image_shapes, targets)`` returns what is found in each image, and
    in training the losses ``loss_classifier`` and ``loss_box_reg``, ``loss_mask``,
    ``loss_keypoint``.
    """

    def __init__(
        self,
        box_roi_pool: nn.Module,
        box_head: nn.Module,
        box_predictor: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        bbox_reg_weights: tuple[float, float, float, float] | None,
        score_thresh: float,
        nms_thresh: float,
        detections_per_img: int,
        mask_roi_pool: nn.Module | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: nn.Module | None = None,
        keypoint_roi_pool: nn.Module | None = None,
        keypoint_head: nn.Module | None = None,
        keypoint_predictor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.box_similarity = box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(
            batch_size_per_image, positive_fraction
        )
        self.box_coder = BoxCoder(_WEIGHTS if bbox_reg_weights is None else bbox_reg_weights)
        self.box_roi_pool, self.box_head = box_roi_pool, box_head
        self.box_predictor = box_predictor
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img = detections_per_img
        self.mask_roi_pool, self.mask_head = mask_roi_pool, mask_head
        self.mask_predictor = mask_predictor
        self.keypoint_roi_pool, self.keypoint_head = keypoint_roi_pool, keypoint_head
        self.keypoint_predictor = keypoint_predictor

    def has_mask(self) -> bool:
        """Whether masks are made."""
        return None not in (self.mask_roi_pool, self.mask_head, self.mask_predictor)

    def has_keypoint(self) -> bool:
        """Whether points are made."""
        return None not in (self.keypoint_roi_pool, self.keypoint_head, self.keypoint_predictor)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Found | None = None,
    ) -> tuple[Found, dict[str, Tensor]]:
        if self.training:
            return [], self._losses(features, proposals, image_shapes, self.check_targets(targets))
        logits, codes = self._read("box", features, proposals, image_shapes)
        found = self.postprocess_detections(logits, codes, proposals, image_shapes)
        boxes = [each["boxes"] for each in found]
        if self.has_mask():
            logits = self._read("mask", features, boxes, image_shapes)
            masks = maskrcnn_inference(logits, [each["labels"] for each in found])
            for each, mask in zip(found, masks, strict=True):
                each["masks"] = mask
        if self.has_keypoint():
            maps = self._read("keypoint", features, boxes, image_shapes)
            points = keypointrcnn_inference(maps, boxes)
            for each, point, score in zip(found, *points, strict=True):
                each["keypoints"], each["keypoints_scores"] = point, score
        return found, {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: Found,
    ) -> dict[str, Tensor]:
        """Those of some boxes, drawn; masks and points are those of objects' boxes only."""
        boxes, matches, labels, wanted = self.select_training_samples(proposals, targets)
        logits, codes = self._read("box", features, boxes, sizes)
        kind, off = fastrcnn_loss(logits, codes, labels, wanted)
        losses = {"loss_classifier": kind, "loss_box_reg": off}
        objects = [(label > 0).nonzero().squeeze(1) for label in labels]
        boxes, matches = (
            [x[own] for x, own in zip(each, objects, strict=True)] for each in (boxes, matches)
        )
        if self.has_mask():
            masks, classes = ([target[key] for target in targets] for key in ("masks", "labels"))
            logits = self._read("mask", features, boxes, sizes)
            losses["loss_mask"] = maskrcnn_loss(logits, boxes, masks, classes, matches)
        if self.has_keypoint():
            points = [target["keypoints"] for target in targets]
            maps = self._read("keypoint", features, boxes, sizes)
            losses["loss_keypoint"] = keypointrcnn_loss(maps, boxes, points, matches)
        return losses

    def _read(
        self,
        kind: str,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        sizes: list[tuple[int, int]],
    ) -> Any:
        """What a kind of predictor makes of the maps within boxes."""
        pool, head, predictor = (
            getattr(self, f"{kind}_{part}") for part in ("roi_pool", "head", "predictor")
        )
        return predictor(head(pool(features, boxes, sizes)))

    def check_targets(self, targets: Found | None) -> Found:
        """Raises an error unless there are targets with ``boxes``, int64 ``labels`` and, where they
        are made, ``masks`` (N, H, W) and ``keypoints`` (N, K, 3).
        """
        if targets is None:
            raise ArgumentError("RoIHeads: training needs targets.")
        made = (("masks", self.has_mask()), ("keypoints", self.has_keypoint()))
        more = [key for key, has in made if has]
        for i, target in enumerate(targets):
            require(f"RoIHeads: targets[{i}]", target, "boxes", "labels", *more)
            if not target["boxes"].dtype.is_floating_point:
                raise DTypeError(
                    f"RoIHeads: targets[{i}]['boxes'] must be of floating point, got "
                    f"{describe(target['boxes'])}."
                )
            if str(target["labels"].dtype).rpartition(".")[2] != "int64":
                raise DTypeError(
                    f"RoIHeads: targets[{i}]['labels'] must be int64, got "
                    f"{describe(target['labels'])}."
                )
            for key in more:
                _check_objects(f"targets[{i}]", key, target)
        return targets

    def select_training_samples(
        self, proposals: list[Tensor], targets: Found | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Proposals, and the objects themselves, of which some are drawn.

        Returns:
            for each image boxes (k, 4), the numbers of their objects, their classes (0 for
            background) and the differences (k, 4) that are wanted of them.
        """
        samples = [
            self._sample(boxes.detach(), target)
            for boxes, target in zip(proposals, self.check_targets(targets), strict=True)
        ]
        boxes, matches, labels, wanted = (list(each) for each in zip(*samples, strict=True))
        return boxes, matches, labels, wanted

    def _sample(
        self, proposals: Tensor, target: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        objects = target["boxes"].to(proposals.dtype)
        boxes = cat([proposals, objects], 0)
        matches = np.full(boxes.shape[0], -1, np.int64)
        if objects.shape[0]:
            matches = self.proposal_matcher(self.box_similarity(objects, boxes)).numpy()
        labels = matches - Matcher.BELOW_LOW_THRESHOLD  # 0 for background, -1 in between
        labels[matches >= 0] = target["labels"].numpy()[matches[matches >= 0]]
        positive, negative = self.fg_bg_sampler([from_array(labels)])
        drawn = np.flatnonzero(positive[0].numpy() | negative[0].numpy())
        boxes = boxes[from_array(drawn)]
        match = from_array(np.maximum(matches[drawn], 0))
        # Background is compared with itself, which is finite and does not count.
        wanted = boxes.clone()
        own = np.flatnonzero(labels[drawn] > 0)
        wanted[from_array(own)] = objects[match[from_array(own)]]
        goal = self.box_coder.encode_single(wanted, boxes)
        return boxes, match, from_array(labels[drawn]), goal

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> Found:
        """What is found in each image: ``boxes`` (K, 4), ``labels`` and ``scores`` (K,)."""
        counts = [boxes.shape[0] for boxes in proposals]
        boxes = self.box_coder.decode(box_regression, proposals).split(counts, 0)
        scores = class_logits.softmax(-1).split(counts, 0)
        return [self._found(*each) for each in zip(boxes, scores, image_shapes, strict=True)]

    def _found(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> dict[str, Any]:
        """In one image, of boxes (K, classes, 4) and scores (K, classes)."""
        likely = scores.detach().numpy()[:, 1:]
        row, label = np.nonzero(likely > self.score_thresh)
        chosen = from_array(row), from_array(label + 1)
        boxes, scores, labels = clip_boxes_to_image(boxes[chosen], size), scores[chosen], chosen[1]
        large = remove_small_boxes(boxes, _LEAST)
        boxes, scores, labels = boxes[large], scores[large], labels[large]
        keep = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}


def _check_objects(name: str, key: str, target: dict[str, Any]) -> None:
    value, count = target[key], target["boxes"].shape[0]
    if value.ndim != 3 or value.shape[0] != count:
        shape = "K, 3" if key == "keypoints" else "H, W"
        raise ShapeError(
            f"RoIHeads: {name}['{key}'] must be ({count}, {shape}), one a box, got "
            f"{describe(value)}."
        )
