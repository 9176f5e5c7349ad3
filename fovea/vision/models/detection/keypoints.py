"""Points on objects: places on maps within boxes, and maps read as points.

Source: K. He et al., "Mask R-CNN", 2017, section 5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea.errors import ShapeError, describe
from fovea.functions.creation import ones_like
from fovea.functions.joining import cat, stack
from fovea.functions.pointwise import where
from fovea.functions.ranges import arange

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "heatmaps_to_keypoints",
    "keypointrcnn_inference",
    "keypointrcnn_loss",
    "keypoints_to_heatmap",
]


def keypoints_to_heatmap(
    keypoints: Tensor, rois: Tensor, heatmap_size: int
) -> tuple[Tensor, Tensor]:
    """Where points lie on square maps that are laid over boxes.

    Args:
        keypoints: (N, K, 3), x, y, visibility.
        rois: (N, 4), the boxes.
        heatmap_size: pixels of a map's side.

    Returns:
        int64 (N, K): the number of the pixel, row by row, or 0; and 1 where the point is visible
        and within the box, else 0.

    >>> import fovea
    >>> points = fovea.tensor([[[2.0, 1, 1], [4, 4, 1], [9, 9, 1]]])
    >>> keypoints_to_heatmap(points, fovea.tensor([[0.0, 0, 4, 4]]), 4)
    (tensor([[ 6, 15,  0]]), tensor([[1, 1, 0]]))
    """
    low, high = rois[:, None, :2], rois[:, None, 2:]
    points = keypoints[..., :2]
    place = ((points - low) * (heatmap_size / (high - low))).floor().long()
    place = where(points == high, heatmap_size - 1, place)  # the far edge belongs to the box
    within = ((place >= 0) & (place < heatmap_size)).all(-1)
    valid = (within & (keypoints[..., 2] > 0)).long()
    return (place[..., 1] * heatmap_size + place[..., 0]) * valid, valid


def heatmaps_to_keypoints(maps: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels where maps, resized to their boxes, are highest.

    Args:
        maps: (N, K, M, M), one a point.
        rois: (N, 4), the boxes.

    Returns:
        float32 (N, K, 3): x, y of the pixels' centers and 1; (N, K): how high the maps are there.

    >>> import fovea
    >>> maps = fovea.zeros(1, 1, 4, 4)
    >>> maps[0, 0, 1, 2] = 5
    >>> heatmaps_to_keypoints(maps, fovea.tensor([[10.0, 20, 14, 24]]))
    (tensor([[[12.5000, 21.5000,  1.0000]]]), tensor([[5.]]))
    """
    every = arange(maps.shape[1])
    points, scores = [maps.new_zeros(0, maps.shape[1], 3)], [maps.new_zeros(0, maps.shape[1])]
    for one, (x1, y1, x2, y2) in zip(maps.unbind(0), rois.detach().unbind(0), strict=True):
        width, height = max(float(x2 - x1), 1.0), max(float(y2 - y1), 1.0)
        size = math.ceil(height), math.ceil(width)
        heights = F.interpolate(one[None], size, mode="bicubic", align_corners=False)[0].flatten(1)
        best = heights.detach().argmax(1)
        x = (best % size[1] + 0.5) * (width / size[1]) + x1
        y = (best // size[1] + 0.5) * (height / size[0]) + y1
        points.append(stack((x, y, ones_like(x)), 1)[None])
        scores.append(heights[every, best][None])
    return cat(points, 0).float(), cat(scores, 0).float()


def keypointrcnn_loss(
    keypoint_logits: Tensor,
    proposals: list[Tensor],
    gt_keypoints: list[Tensor],
    keypoint_matched_idxs: list[Tensor],
) -> Tensor:
    """The mean cross entropy of the visible points' pixels; 0 without a visible point.

    Args:
        keypoint_logits: (N, K, M, M) of all boxes.
        proposals: for each image the boxes (n, 4), N in all.
        gt_keypoints: for each image (objects, K, 3).
        keypoint_matched_idxs: for each image (n,) the numbers of the boxes' objects.

    Raises:
        ShapeError: maps that are not square.
    """
    side = keypoint_logits.shape[-1]
    if keypoint_logits.ndim != 4 or keypoint_logits.shape[2] != side:
        raise ShapeError(
            f"keypointrcnn_loss: logits must be (N, K, M, M), got {describe(keypoint_logits)}."
        )
    pairs = [
        keypoints_to_heatmap(points[matches], boxes, side)
        for points, boxes, matches in zip(
            gt_keypoints, proposals, keypoint_matched_idxs, strict=True
        )
    ]
    pixels, valid = (cat([x.flatten() for x in each], 0) for each in zip(*pairs, strict=True))
    chosen = valid.nonzero().squeeze(1)
    if chosen.shape[0] == 0:
        return keypoint_logits.sum() * 0
    logits = keypoint_logits.reshape(-1, side * side)
    return F.cross_entropy(logits[chosen], pixels[chosen])


def keypointrcnn_inference(x: Tensor, boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """``heatmaps_to_keypoints`` of each image: maps (N, K, M, M) of all, boxes (n, 4) of each."""
    parts = x.split([each.shape[0] for each in boxes], 0)
    found = [heatmaps_to_keypoints(*each) for each in zip(parts, boxes, strict=True)]
    return [points for points, _ in found], [scores for _, scores in found]
