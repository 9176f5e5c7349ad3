"""Losses of boxes that a network predicts, pair by pair, and the focal loss of their classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.pointwise import atan2, clamp, maximum, minimum
from fovea.vision.ops.boxes import widened

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "complete_box_iou_loss",
    "distance_box_iou_loss",
    "generalized_box_iou_loss",
    "overlap",
    "sigmoid_focal_loss",
]


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean() if loss.numel() else 0.0 * loss.sum()
    if reduction == "sum":
        return loss.sum()
    raise ArgumentError(f"{name}: reduction is 'none', 'mean' or 'sum', got {reduction!r}.")


def _pairs(name: str, boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    if boxes1.shape != boxes2.shape or boxes1.shape[-1:] != (4,):
        raise ShapeError(
            f"{name}: two equal sets of boxes (..., 4) are needed, got {describe(boxes1)} and "
            f"{describe(boxes2)}."
        )
    return widened(boxes1), widened(boxes2)


def _area(low: Tensor, high: Tensor) -> Tensor:
    """The areas between corners (..., 2)."""
    size = high - low
    return size[..., 0] * size[..., 1]


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersections and unions of boxes (..., 4), pair by pair; both sides may be broadcast."""
    size = clamp(minimum(a[..., 2:], b[..., 2:]) - maximum(a[..., :2], b[..., :2]), min=0)
    common = size[..., 0] * size[..., 1]
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - common
    return common, union


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 less the generalized IoU of each pair: how far apart they are, even without overlap.

    Args:
        boxes1, boxes2: (..., 4), x1, y1, x2, y2.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        eps: keeps divisions finite.

    Source: Rezatofighi et al., "Generalized intersection over union", CVPR 2019.
    """
    a, b = _pairs("generalized_box_iou_loss", boxes1, boxes2)
    common, union = overlap(a, b)
    hull = _area(minimum(a[..., :2], b[..., :2]), maximum(a[..., 2:], b[..., 2:]))
    giou = common / (union + eps) - (hull - union) / (hull + eps)
    return _reduced("generalized_box_iou_loss", 1 - giou, reduction)


def _distance(a: Tensor, b: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """1 less the distance IoU, and the IoU."""
    common, union = overlap(a, b)
    iou = common / (union + eps)
    hull = maximum(a[..., 2:], b[..., 2:]) - minimum(a[..., :2], b[..., :2])
    gap = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return 1 - iou + (gap * gap).sum(-1) / ((hull * hull).sum(-1) + eps), iou


def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 less the IoU, plus the squared distance of the centers over that of the hull's corners.

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020.
    """
    a, b = _pairs("distance_box_iou_loss", boxes1, boxes2)
    return _reduced("distance_box_iou_loss", _distance(a, b, eps)[0], reduction)


def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """``distance_box_iou_loss``, plus what the boxes' shapes differ by.

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020.
    """
    a, b = _pairs("complete_box_iou_loss", boxes1, boxes2)
    loss, iou = _distance(a, b, eps)
    gap = _slope(b) - _slope(a)
    shape = 4 / math.pi**2 * gap * gap
    weight = (shape / (1 - iou + shape + eps)).detach()
    return _reduced("complete_box_iou_loss", loss + weight * shape, reduction)


def _slope(boxes: Tensor) -> Tensor:
    ratio = (boxes[..., 2] - boxes[..., 0]) / (boxes[..., 3] - boxes[..., 1])
    result: Tensor = atan2(ratio, ratio * 0 + 1)
    return result


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> Tensor:
    """Binary cross-entropy in which what is right already counts little.

    Args:
        inputs: logits, any shape.
        targets: 0 or 1, of that shape.
        alpha: the weight of ones (zeros get 1 - alpha); negative: no weights.
        gamma: how fast the loss of the right fades; 0: plain cross-entropy.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.

    >>> import fovea
    >>> sigmoid_focal_loss(fovea.tensor([4.0, -4.0]), fovea.tensor([1.0, 1.0]))
    tensor([1.4679e-06, 9.6873e-01])
    """
    from fovea.nn.functional import binary_cross_entropy_with_logits

    if not (0 <= alpha <= 1) and alpha != -1:
        raise ArgumentError(
            f"sigmoid_focal_loss: alpha lies between 0 and 1 (or is -1: no weights), got {alpha}."
        )
    chance = inputs.sigmoid()
    loss = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    right = chance * targets + (1 - chance) * (1 - targets)
    loss = loss * (1 - right) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return _reduced("sigmoid_focal_loss", loss, reduction)
