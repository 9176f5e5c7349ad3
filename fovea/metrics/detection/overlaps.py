"""How far a detection and an object agree: boxes, masks and keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fovea.vision import rle

__all__ = ["COCO_SIGMAS", "of_boxes", "of_keypoints", "of_masks"]

Array = np.ndarray[Any, Any]

# How far people's marks of the 17 points of COCO's bodies scatter, in parts of the body's size.
COCO_SIGMAS = np.array(
    [
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ]
)


def of_boxes(found: Array, truth: Array, crowd: Array) -> Array:
    """Intersection over union of boxes (P, 4) of left, top, width, height, pair by pair.

    Of a crowd any part may be met: there the union is the detection.
    """
    right_bottom = np.minimum(found[:, 2:] + found[:, :2], truth[:, 2:] + truth[:, :2])
    size = right_bottom - np.maximum(found[:, :2], truth[:, :2])
    common = np.where((size > 0).all(1), size[:, 0] * size[:, 1], 0.0)
    own, other = found[:, 2] * found[:, 3], truth[:, 2] * truth[:, 3]
    union = np.where(crowd, own, own + other - common)
    return np.divide(common, union, out=np.zeros(len(common)), where=common > 0)


def of_masks(
    found: Sequence[Any],
    truth: Sequence[Any],
    crowd: Array,
    which: Array,
    thing: Array,
    group: Array,
) -> Array:
    """Intersection over union of run-length masks, pair by pair.

    Args:
        which: the mask of ``found`` of each pair; ``thing``: that of ``truth``.
        group: pairs of one image and category have one number, and come together.
    """
    value = np.zeros(len(which))
    bounds = np.flatnonzero(np.diff(group, prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        rows, row = np.unique(which[start:stop], return_inverse=True)
        columns, column = np.unique(thing[start:stop], return_inverse=True)
        table = rle.iou([found[r] for r in rows], [truth[c] for c in columns], crowd[columns])
        value[start:stop] = table[row, column]
    return value


def of_keypoints(found: Array, truth: Array, boxes: Array, area: Array, sigmas: Array) -> Array:
    """Object keypoint similarity, pair by pair.

    Args:
        found: points x, y and a score, (P, K, 3).
        truth: points x, y and whether they are marked, (P, K, 3).
        boxes: of the objects, (P, 4): where none is marked, how far points are from the box
            twice as large.
        area: of the objects, (P,).
        sigmas: how far marks of each point scatter, (K,).
    """
    marked = truth[..., 2] > 0
    any_marked: Array = np.asarray(marked.any(1))
    apart = found[..., :2] - truth[..., :2]
    low, high = boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + 2 * boxes[:, 2:]
    beyond = np.maximum(0, low[:, None] - found[..., :2]) + np.maximum(
        0, found[..., :2] - high[:, None]
    )
    apart = np.where(any_marked[:, None, None], apart, beyond)
    spread = (2 * sigmas) ** 2
    error = (apart**2).sum(-1) / spread / (area[:, None] + np.spacing(1)) / 2
    counted = np.where(any_marked[:, None], marked, True)
    return np.where(counted, np.exp(-error), 0).sum(1) / counted.sum(1)
