"""How `Glance` learns: which places stand for which objects, and how far they are off.

All is computed for a fixed number of objects an image, those that are missing with label 0, so that
a whole training step is one program.

Sources: C. Feng et al., "TOOD: Task-aligned one-stage object detection", 2021, sections 3.2 and 3.3
(which places); X. Li et al., "Generalized focal loss", 2020, equation 6 (distances); H. Rezatofighi
et al., "Generalized intersection over union", 2019 (boxes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fovea.nn.functional as F
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.functions.pointwise import clamp
from fovea.vision.models.detection.glance_network import BINS, STRIDES, places
from fovea.vision.ops.box_losses import generalized_box_iou_loss, overlap

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["WEIGHTS", "Assigned", "assign", "distance_loss", "glance_losses", "pad_targets"]

_NEAREST = 10  # places that stand for an object
_CLASS_POWER, _BOX_POWER = 1.0, 6.0  # of scores and overlaps in how well a place fits
WEIGHTS = {"classes": 1.0, "boxes": 5.0, "distances": 1.0}  # of the three losses


class Assigned(NamedTuple):
    """What the places of a batch are to find.

    Attributes:
        scores: (N, P, classes): for the class of a place's object how well the place fits it, as
            far as the object can be found at all; 0 for all others.
        boxes: (N, P, 4): the box of a place's object; (0, 0, 1, 1) where it has none.
        weights: (N, P): the sum of ``scores``.
    """

    scores: Tensor
    boxes: Tensor
    weights: Tensor


def assign(
    scores: Tensor, boxes: Tensor, points: Tensor, labels: Tensor, truth: Tensor
) -> Assigned:
    """Give each object the places that find it best.

    A place fits an object by t = score · IoU⁶. Of the places within an object's box (widened to one
    stride of the finest map, so that there always is one) the ten with the largest t stand for it;
    a place that several objects want goes to the one that it overlaps most. A place is to have the
    score t / max t · max IoU, the maxima over the places of its object.

    Args:
        scores: (N, P, classes), from 0 to 1.
        boxes: (N, P, 4), what the places predict.
        points: (P, 2), where they are.
        labels: int64 (N, G), from 1; 0 where there is no object.
        truth: (N, G, 4), the objects' boxes.
    """
    kinds = _one_hot(labels, scores.shape[2]).to(scores.dtype)  # (N, G, classes)
    fitting = kinds @ scores.transpose(1, 2)  # (N, G, P)
    common, union = overlap(truth[:, :, None], boxes[:, None])
    ious = common / (union + 1e-7)
    inside = _inside(points, truth) * (labels > 0).to(scores.dtype)[:, :, None]
    fit = fitting**_CLASS_POWER * ious**_BOX_POWER * inside
    own = _won_by_overlap(_largest(fit, _NEAREST), ious)
    fit = fit * own
    best = (ious * own).amax(2, keepdim=True)
    quality = fit / clamp(fit.amax(2, keepdim=True), min=1e-30) * best
    by_place = own.transpose(1, 2)
    found = by_place @ truth + (1 - by_place.sum(2, keepdim=True)) * _unit_box(truth)
    aims = quality.transpose(1, 2) @ kinds
    return Assigned(aims, found, aims.sum(2))


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """Whether each object (N, G) is of each class: (N, G, classes)."""
    kinds = from_array(np.arange(1, classes + 1))
    return labels[:, :, None] == kinds


def _inside(points: Tensor, truth: Tensor) -> Tensor:
    """1 where a point lies in a box that is at least one stride wide and high: (N, G, P)."""
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    half = clamp((truth[..., 2:] - truth[..., :2]) / 2, min=STRIDES[0] / 2)
    off = (points - middle[:, :, None]).abs() - half[:, :, None]
    return (off.amax(3) <= 0).to(truth.dtype)


def _largest(fit: Tensor, count: int) -> Tensor:
    """1 for the ``count`` largest values above 0 of each row. (No sort: for so few, as many passes
    over the rows are quicker.)
    """
    level = fit.amax(2, keepdim=True)
    for _ in range(count - 1):
        level = (fit * (fit < level).to(fit.dtype)).amax(2, keepdim=True)
    return ((fit >= level) & (fit > 0)).to(fit.dtype)


def _won_by_overlap(wanted: Tensor, ious: Tensor) -> Tensor:
    """``wanted`` (N, G, P) with at most one object a place: the first of those it overlaps most."""
    value = wanted * (ious + 1)  # above 0 even without overlap
    first = (value == value.amax(1, keepdim=True)).to(wanted.dtype) * wanted
    return first * (first.cumsum(1) == 1).to(wanted.dtype)


def _unit_box(like: Tensor) -> Tensor:
    return like.new_tensor([0.0, 0.0, 1.0, 1.0])


def distance_loss(sides: Tensor, distances: Tensor) -> Tensor:
    """The cross-entropy (N, P) of distributions of distances, the mean over four sides.

    A distance between two whole ones counts for both, the nearer more: that is a cross-entropy with
    max(0, 1 - |distance - k|) for each k.

    Args:
        sides: logits (N, P, 4 · 16) of distances of 0 to 15 strides.
        distances: (N, P, 4), in strides; those beyond are taken as 0 or nearly 15.

    >>> import fovea
    >>> loss = distance_loss(fovea.zeros(1, 1, 64), fovea.full((1, 1, 4), 2.5))
    >>> loss.shape, round(loss.item(), 4)  # log 16
    (fovea.Size([1, 1]), 2.7726)
    """
    n, p = sides.shape[:2]
    steps = from_array(np.arange(BINS, dtype=np.float32))
    near = clamp(distances, min=0, max=BINS - 1.01)[..., None]
    aims = clamp(1 - (near - steps).abs(), min=0)
    chances = sides.reshape(n, p, 4, BINS).log_softmax(-1)
    return -(aims * chances).sum(-1).mean(-1)


def glance_losses(
    logits: Tensor, sides: Tensor, boxes: Tensor, size: tuple[int, int], targets: Tensor
) -> dict[str, Tensor]:
    """What training lessens: losses of classes, boxes and distances, weighted.

    Args:
        logits, sides, boxes: what the network makes in training.
        size: (height, width) of the images.
        targets: of ``pad_targets``.
    """
    points, strides = places(*size)
    labels, truth = targets[..., 0].long(), targets[..., 1:]
    with no_grad():
        aims = assign(logits.detach().sigmoid(), boxes.detach(), points, labels, truth)
        count = clamp(aims.weights.sum(), min=1)
        distances = cat((points - aims.boxes[..., :2], aims.boxes[..., 2:] - points), -1)
    wrong = F.binary_cross_entropy_with_logits(logits, aims.scores, reduction="sum")
    off = generalized_box_iou_loss(boxes, aims.boxes) * aims.weights
    apart = distance_loss(sides, distances / strides) * aims.weights
    return {
        "classes": WEIGHTS["classes"] * wrong / count,
        "boxes": WEIGHTS["boxes"] * off.sum() / count,
        "distances": WEIGHTS["distances"] * apart.sum() / count,
    }


def pad_targets(targets: Sequence[dict[str, Any]], most: int) -> Tensor:
    """Objects of a batch as one float32 tensor (N, most, 5): label, x1, y1, x2, y2; label 0 where
    there is no more.

    Raises:
        ArgumentError: an image has more objects than that.
    """
    rows = np.zeros((len(targets), most, 5), np.float32)
    for i, target in enumerate(targets):
        labels = np.asarray(target["labels"])
        if len(labels) > most:
            raise ArgumentError(
                f"Glance: image {i} has {len(labels)} objects, and there is room for {most}.",
                fix=f"max_objects={len(labels)}",
            )
        rows[i, : len(labels), 0] = labels
        rows[i, : len(labels), 1:] = np.asarray(target["boxes"])
    return from_array(rows)
