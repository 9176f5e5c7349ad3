"""Region proposal networks: where there may be an object, whatever it is.

Source: S. Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
Networks", 2015, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array, zeros
from fovea.functions.joining import cat
from fovea.vision.models.detection._utils import (
    BalancedPositiveNegativeSampler,
    BoxCoder,
    Matcher,
    joined,
)
from fovea.vision.models.detection.anchor_utils import AnchorGenerator  # noqa: F401 - imported from here
from fovea.vision.models.detection.detector import Found, best_of
from fovea.vision.models.detection.image_list import ImageList
from fovea.vision.models.detection.retinanet import small_weights
from fovea.vision.ops.boxes import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes
from fovea.vision.ops.misc import Conv2dNormActivation

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["RPNHead", "RegionProposalNetwork"]

_BETA = 1 / 9  # where the loss of boxes turns from a parabola to a line
_LEAST = 1e-3  # width and height of a proposal


class RPNHead(nn.Module):
    """For each anchor the logit of an object and the differences of its box.

    Args:
        in_channels: of the maps.
        num_anchors: at each place.
        conv_depth: 3×3 convolutions in front.

    Takes a list of maps (N, in_channels, H, W); returns two lists, (N, num_anchors, H, W) and
    (N, 4 · num_anchors, H, W).

    >>> import fovea
    >>> objects, boxes = RPNHead(4, 3)([fovea.zeros(1, 4, 5, 6)])
    >>> objects[0].shape, boxes[0].shape
    (fovea.Size([1, 3, 5, 6]), fovea.Size([1, 12, 5, 6]))
    """

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        convs = (Conv2dNormActivation(in_channels, in_channels, norm_layer=None)
                 for _ in range(conv_depth))  # fmt: skip
        self.conv = nn.Sequential(*convs)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        self.apply(small_weights)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Takes weights of the time when there was a single convolution, too."""
        for kind in ("weight", "bias"):
            old = f"{prefix}conv.{kind}"
            if old in state_dict:
                state_dict[f"{prefix}conv.0.0.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        hidden = [self.conv(each) for each in x]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]


class RegionProposalNetwork(nn.Module):
    """Proposes boxes from anchors on maps.

    Args:
        anchor_generator: lays boxes over the maps.
        head: an ``RPNHead``, or what takes and returns the same.
        fg_iou_thresh, bg_iou_thresh: anchors that overlap an object more are its, those that
            overlap all less are background's.
        batch_size_per_image: anchors of an image that a step of training looks at ...
        positive_fraction: ... and the most of them that are objects'.
        pre_nms_top_n, post_nms_top_n: the most on each map before and of each image after
            suppression, in ``training`` and in ``testing``.
        nms_thresh: of the suppression on each map.
        score_thresh: what is less likely is not proposed.

    ``rpn(images, features, targets)`` returns for each image boxes (K, 4) from the best, and in
    training the losses ``loss_objectness`` and ``loss_rpn_box_reg``.
    """

    def __init__(
        self,
        anchor_generator: nn.Module,
        head: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        pre_nms_top_n: dict[str, int],
        post_nms_top_n: dict[str, int],
        nms_thresh: float,
        score_thresh: float = 0.0,
    ) -> None:
        super().__init__()
        self.anchor_generator, self.head = anchor_generator, head
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.box_similarity = box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, True)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(
            batch_size_per_image, positive_fraction
        )
        self._pre_nms_top_n, self._post_nms_top_n = pre_nms_top_n, post_nms_top_n
        self.nms_thresh, self.score_thresh, self.min_size = nms_thresh, score_thresh, _LEAST

    def pre_nms_top_n(self) -> int:
        """The most on each map before suppression."""
        return self._pre_nms_top_n["training" if self.training else "testing"]

    def post_nms_top_n(self) -> int:
        """The most of each image after suppression."""
        return self._post_nms_top_n["training" if self.training else "testing"]

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Found | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        maps = list(features.values())
        logits, codes = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        counts = [x.shape[1] * x.shape[2] * x.shape[3] for x in logits]
        objectness, differences = joined(logits, 1)[..., 0], joined(codes, 4)
        with no_grad():
            boxes = [
                self._proposals(*each, counts)
                for each in zip(
                    objectness.unbind(0),
                    differences.unbind(0),
                    anchors,
                    images.image_sizes,
                    strict=True,
                )
            ]
        if not self.training:
            return boxes, {}
        if targets is None:
            raise ArgumentError("RegionProposalNetwork: training needs targets.")
        labels, wanted = self.assign_targets_to_anchors(anchors, targets)
        return boxes, self.compute_loss(objectness, differences, labels, wanted, anchors)

    def _proposals(
        self,
        objectness: Tensor,
        codes: Tensor,
        anchors: Tensor,
        size: tuple[int, int],
        counts: list[int],
    ) -> Tensor:
        """The proposals in one image; only the best of each map are even made boxes of."""
        scores, starts = objectness.detach().numpy(), np.cumsum([0, *counts])
        chosen = [
            start + best_of(scores[start : start + count], -np.inf, self.pre_nms_top_n())
            for start, count in zip(starts, counts, strict=False)
        ]
        level = np.repeat(np.arange(len(counts)), [len(c) for c in chosen])
        best = from_array(np.concatenate(chosen))
        boxes = self.box_coder.decode_single(codes[best], anchors[best])
        boxes, likely = clip_boxes_to_image(boxes, size), objectness[best].sigmoid()
        keep = remove_small_boxes(boxes, self.min_size)
        keep = keep[likely[keep] >= self.score_thresh]
        boxes, likely, level = boxes[keep], likely[keep], level[keep.numpy()]
        kept = batched_nms(boxes, likely, from_array(level), self.nms_thresh)
        return boxes[kept[: self.post_nms_top_n()]]

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Found
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For each image labels of its anchors (1 an object's, 0 background's, -1 neither) and the
        boxes of the objects.
        """
        labels, wanted = [], []
        for each, target in zip(anchors, targets, strict=True):
            objects = target["boxes"]
            if objects.shape[0] == 0:
                labels.append(zeros(each.shape[0]))
                wanted.append(each.new_zeros(each.shape))
                continue
            matches = self.proposal_matcher(self.box_similarity(objects, each)).numpy()
            label = np.where(matches >= 0, 1, matches - Matcher.BELOW_LOW_THRESHOLD)
            labels.append(from_array(label.astype(np.float32)))
            wanted.append(objects[from_array(np.maximum(matches, 0))])
        return labels, wanted

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        wanted: list[Tensor],
        anchors: list[Tensor],
    ) -> dict[str, Tensor]:
        """The losses of some anchors, drawn.

        Args:
            objectness: (N, K) logits.
            pred_bbox_deltas: (N, K, 4).
            labels, wanted: of ``assign_targets_to_anchors``.
            anchors: (K, 4) of each image.
        """
        positive, negative = (
            cat(each, 0).nonzero().squeeze(1) for each in self.fg_bg_sampler(labels)
        )
        drawn = cat([positive, negative], 0)
        codes, likely = pred_bbox_deltas.reshape(-1, 4)[positive], objectness.flatten()[drawn]
        boxes, start = cat(wanted, 0)[positive].to(codes.dtype), cat(anchors, 0)[positive]
        goal = self.box_coder.encode_single(boxes, start)
        off = F.smooth_l1_loss(codes, goal, reduction="sum", beta=_BETA)
        truth = cat(labels, 0)[drawn].to(likely.dtype)
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(likely, truth),
            "loss_rpn_box_reg": off / max(drawn.shape[0], 1),
        }
