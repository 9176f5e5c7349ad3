"""Non-maximum suppression: boxes go that overlap better ones of their group."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import require_dtype, require_floating

__all__ = ["SuppressAttrs", "suppress"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class SuppressAttrs(Attrs):
    """``threshold``: boxes whose intersection over union with a better one is larger go."""

    threshold: float


suppress = Op(
    "suppress", ("boxes", "starts"), SuppressAttrs, nondifferentiable="the result is boolean"
)


@suppress.shape
def _(boxes: Shaped, starts: Shaped, a: SuppressAttrs) -> Spec:
    """Boxes (4, N), groups one after the other, each from its best; the places, from 0 on, where
    groups start, and N.
    """
    require_floating("suppress", boxes=boxes)
    require_dtype("suppress", "starts", starts, dtypes.int64)
    if len(boxes.shape) != 2 or boxes.shape[0] != 4 or len(starts.shape) != 1:
        raise ShapeError(
            "suppress: boxes must be (4, N), starts (groups + 1,).",
            {"boxes": describe(boxes), "starts": describe(starts)},
        )
    return Spec((boxes.shape[1],), dtypes.bool_)


@suppress.reference
def _(boxes: Array, starts: Array, a: SuppressAttrs) -> Array:
    kept = np.ones(boxes.shape[1], bool)
    places = np.clip(starts, 0, boxes.shape[1])
    for first, end in pairwise(places):
        for i in range(first, end):
            if kept[i]:
                overlap = _overlaps(boxes[:, i], boxes[:, i + 1 : end])
                kept[i + 1 : end] &= ~(overlap > a.threshold)
    return kept


def _overlaps(box: Array, others: Array) -> Array:
    """Intersections over unions, to be compared in float64; NaN where there is no area."""
    width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0])
    height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area, areas = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, others))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = (common / (area + areas - common)).astype(np.float64)
    return found
