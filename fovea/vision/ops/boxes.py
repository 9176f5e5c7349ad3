"""Boxes: conversions, areas, overlaps, and the suppression of those that overlap better ones.

A box is (x1, y1, x2, y2) with 0 <= x1 < x2 and 0 <= y1 < y2, in pixels, unless a format says
otherwise. Names, arguments and results are torchvision's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty, from_array, zeros
from fovea.functions.joining import cat, stack
from fovea.functions.pointwise import atan2, clamp, maximum, minimum
from fovea.ops.suppression import SuppressAttrs, suppress

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "masks_to_boxes",
    "nms",
    "remove_small_boxes",
]

Array = np.ndarray[Any, Any]


def _check(name: str, boxes: Tensor, key: str = "boxes") -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"{name}: {key} must be (N, 4), got {describe(boxes)}.")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: a box stays unless it overlaps one with a higher score that stays.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: boxes whose intersection over union is larger go.

    Returns:
        int64: the numbers of the boxes that stay, by falling score.

    Raises:
        ShapeError: shapes that do not go together.

    >>> import fovea
    >>> boxes = fovea.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    >>> nms(boxes, fovea.tensor([0.8, 0.9, 0.5]), 0.5)
    tensor([1, 2])
    """
    _check("nms", boxes)
    if tuple(scores.shape) != (boxes.shape[0],):
        raise ShapeError(
            f"nms: one score a box is needed, got {describe(boxes)} and {describe(scores)}."
        )
    order = _from_the_best(scores)
    kept = _kept(boxes, order, np.array([0, len(order)]), iou_threshold)
    return from_array(order[kept])


def _from_the_best(scores: Tensor) -> Array:
    """Places by falling score, equal ones in their order; NaN counts as more than all others."""
    values = widened(scores.detach()).numpy()
    lost = np.isnan(values)
    if lost.any():
        return np.lexsort((-values, ~lost))
    return np.argsort(-values, kind="stable")


def _kept(boxes: Tensor, order: Array, starts: Array, threshold: float) -> Array:
    """Which boxes, in this order, suppression leaves within groups that start at these places."""
    wide = widened(boxes.detach())
    corners = (wide if wide.dtype.is_floating_point else wide.double()).numpy()[order]
    attrs = SuppressAttrs.of(float(threshold))
    planes = np.ascontiguousarray(corners.T)
    kept: Array = suppress.bind((from_array(planes), from_array(starts)), attrs).numpy()
    return kept


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """``nms`` within each category: boxes of different ones do not suppress each other.

    Args:
        boxes, scores, iou_threshold: those of ``nms``.
        idxs: (N,) the category of each box.
    """
    _check("batched_nms", boxes)
    if tuple(idxs.shape) != (boxes.shape[0],) or tuple(scores.shape) != (boxes.shape[0],):
        raise ShapeError(
            f"batched_nms: one score and one category a box are needed, got {describe(boxes)}, "
            f"{describe(scores)} and {describe(idxs)}."
        )
    order = _from_the_best(scores)
    groups = idxs.detach().numpy()[order]
    if groups.dtype.kind in "iu" and groups.size and 0 <= groups.min() <= groups.max() < 1 << 16:
        groups = groups.astype(np.uint16)  # these are sorted in no time
    gathered = np.argsort(groups, kind="stable")
    changes = np.flatnonzero(np.diff(groups[gathered])) + 1
    starts = np.concatenate([[0], changes, [len(order)]])
    kept = gathered[_kept(boxes, order[gathered], starts, iou_threshold)]
    return from_array(order[np.sort(kept)])


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """int64: the numbers of the boxes whose width and height are at least ``min_size``."""
    _check("remove_small_boxes", boxes)
    sizes = boxes.detach()[:, 2:] - boxes.detach()[:, :2]
    return (sizes >= min_size).all(1).nonzero().squeeze(1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to an image of ``size`` (height, width)."""
    height, width = size
    x = clamp(boxes[..., 0::2], min=0, max=width)
    y = clamp(boxes[..., 1::2], min=0, max=height)
    return stack((x, y), boxes.ndim).reshape(boxes.shape)


_FORMATS = ("xyxy", "xywh", "cxcywh")


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (..., 4) in another format.

    Args:
        in_fmt, out_fmt: ``"xyxy"`` (corners), ``"xywh"`` (corner and size) or ``"cxcywh"`` (center
            and size).

    >>> import fovea
    >>> box_convert(fovea.tensor([[1.0, 2.0, 5.0, 8.0]]), "xyxy", "cxcywh")
    tensor([[3., 5., 4., 6.]])
    """
    for fmt in (in_fmt, out_fmt):
        if fmt not in _FORMATS:
            raise ArgumentError(f"box_convert: a format is one of {_FORMATS}, got {fmt!r}.")
    if in_fmt == out_fmt:
        return boxes.clone()
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        c, d = c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return stack((a, b, c, d), -1)


def widened(boxes: Tensor) -> Tensor:
    """Coordinates in a type that has digits enough for them, and whose products do not overflow."""
    if boxes.dtype.is_floating_point:
        return boxes if boxes.dtype in (dtypes.float32, dtypes.float64) else boxes.float()
    return boxes if boxes.dtype in (dtypes.int32, dtypes.int64) else boxes.int()


def box_area(boxes: Tensor) -> Tensor:
    """The areas (N,) of boxes (N, 4)."""
    wide = widened(boxes)
    return (wide[:, 2] - wide[:, 0]) * (wide[:, 3] - wide[:, 1])


def _overlap(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Intersections and unions (N, M) of all pairs."""
    low = maximum(boxes1[:, None, :2], boxes2[:, :2])
    high = minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    sizes = clamp(widened(high - low), min=0)
    common = sizes[:, :, 0] * sizes[:, :, 1]
    return common, box_area(boxes1)[:, None] + box_area(boxes2) - common


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of all pairs: (N, 4) and (M, 4) give (N, M).

    >>> import fovea
    >>> box_iou(fovea.tensor([[0.0, 0, 2, 2]]), fovea.tensor([[1.0, 0, 3, 2]]))
    tensor([[0.3333]])
    """
    _check("box_iou", boxes1, "boxes1")
    _check("box_iou", boxes2, "boxes2")
    common, union = _overlap(boxes1, boxes2)
    return common / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU, less the share of the hull that neither box covers: (N, M), from -1 to 1.

    Source: Rezatofighi et al., "Generalized intersection over union", CVPR 2019.
    """
    _check("generalized_box_iou", boxes1, "boxes1")
    _check("generalized_box_iou", boxes2, "boxes2")
    common, union = _overlap(boxes1, boxes2)
    low = minimum(boxes1[:, None, :2], boxes2[:, :2])
    high = maximum(boxes1[:, None, 2:], boxes2[:, 2:])
    sizes = clamp(widened(high - low), min=0)
    hull = sizes[:, :, 0] * sizes[:, :, 1]
    return common / union - (hull - union) / hull


def _distances(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """IoU less the centers' distance (squared, over the hull's diagonal), and IoU: both (N, M)."""
    common, union = _overlap(boxes1, boxes2)
    iou = common / union
    low = minimum(boxes1[:, None, :2], boxes2[:, :2])
    high = maximum(boxes1[:, None, 2:], boxes2[:, 2:])
    sizes = clamp(widened(high - low), min=0)
    diagonal = (sizes * sizes).sum(-1) + eps
    center1 = (boxes1[:, :2] + boxes1[:, 2:]) / 2
    center2 = (boxes2[:, :2] + boxes2[:, 2:]) / 2
    gap = widened(center1[:, None, :] - center2[None, :, :])
    return iou - (gap * gap).sum(-1) / diagonal, iou


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """IoU, less the squared distance of the centers over that of the hull's corners: (N, M).

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020.
    """
    _check("distance_box_iou", boxes1, "boxes1")
    _check("distance_box_iou", boxes2, "boxes2")
    return _distances(widened(boxes1), widened(boxes2), eps)[0]


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """``distance_box_iou``, less what the boxes' shapes differ by: (N, M).

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020.
    """
    _check("complete_box_iou", boxes1, "boxes1")
    _check("complete_box_iou", boxes2, "boxes2")
    boxes1, boxes2 = widened(boxes1), widened(boxes2)
    near, iou = _distances(boxes1, boxes2, eps)
    gap = _slope(boxes1)[:, None] - _slope(boxes2)[None, :]
    shape = 4 / math.pi**2 * gap * gap
    weight = (shape / (1 - iou + shape + eps)).detach()
    return near - weight * shape


def _slope(boxes: Tensor) -> Tensor:
    """The angle of each box's diagonal, from the vertical."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ratio = width / height
    result: Tensor = atan2(ratio, ratio * 0 + 1)
    return result


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The boxes (N, 4), float32, around masks (N, H, W); a mask without a pixel gets zeros.

    >>> import fovea
    >>> masks_to_boxes(fovea.eye(3)[None, 1:])
    tensor([[1., 0., 2., 1.]])
    """
    if masks.numel() == 0:
        return zeros(0, 4)
    if masks.ndim != 3:
        raise ShapeError(f"masks_to_boxes: masks must be (N, H, W), got {describe(masks)}.")
    on = masks.detach().numpy() != 0
    rows, columns = on.any(2), on.any(1)
    found = (
        np.stack(
            [
                columns.argmax(1),
                rows.argmax(1),
                columns.shape[1] - 1 - columns[:, ::-1].argmax(1),
                rows.shape[1] - 1 - rows[:, ::-1].argmax(1),
            ],
            1,
        )
        * on.any((1, 2))[:, None]
    )
    return from_array(found, dtypes.float32)


def concatenated(boxes: list[Tensor]) -> Tensor:
    """Boxes (K, 5) of a batch, with the number of their image in front, from a list of (L, 4)."""
    if not boxes:
        return empty((0, 5))
    parts = []
    for i, each in enumerate(boxes):
        _check("boxes", each, f"boxes[{i}]")
        parts.append(cat((each.new_full((each.shape[0], 1), i), each), 1))
    return cat(parts, 0)
