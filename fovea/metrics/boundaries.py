"""How well the edges of segmentations lie on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import tensor
from fovea.metrics.inputs import as_array, is_scores, same_shape
from fovea.metrics.metric import Metric
from fovea.metrics.segmentation import one_hot

__all__ = ["BoundaryIoU"]

Array = np.ndarray[Any, Any]


class BoundaryIoU(Metric):
    """Intersection over union of what lies close to edges, of all images together; the mean over
    classes that occur.

    Of each mask only pixels count that are at most ``d`` pixels (diagonally, too) from a pixel
    outside of it; the edge of the image is outside. ``d`` is ``dilation_ratio`` of the image's
    diagonal, at least 1. Large objects whose outlines are coarse score low here and high in plain
    IoU.

    Args:
        num_classes: how many classes.
        dilation_ratio: of the diagonal.
        include_background: whether class 0 counts.
        per_class: a value a class; -1 where a class never occurs.
        ignore_index: a class of pixels in ``target`` that are left out.

    Shapes:
        preds: classes (N, H, W), or scores (N, C, H, W). target: classes (N, H, W).

    Raises:
        ArgumentError: a ratio of 0 or below.
        LabelError: a class outside of ``num_classes``.
        ShapeError: other shapes.

    Source: Cheng et al., "Boundary IoU: improving object-centric image segmentation evaluation",
    2021.

    >>> import fovea
    >>> truth = fovea.zeros(1, 9, 9).long()
    >>> truth[:, 2:7, 2:7] = 1
    >>> found = truth.roll(1, 2)
    >>> metric = BoundaryIoU(2, include_background=False)
    >>> metric(found, truth)
    tensor(0.3333)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    common: Array
    union: Array

    def __init__(
        self,
        num_classes: int,
        dilation_ratio: float = 0.02,
        include_background: bool = True,
        per_class: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "boundary_iou", **kwargs})
        if num_classes < 1 or not dilation_ratio > 0:
            raise ArgumentError(
                f"BoundaryIoU: num_classes is 1 or more and dilation_ratio above 0, got "
                f"{num_classes} and {dilation_ratio}."
            )
        self.num_classes, self.dilation_ratio = num_classes, dilation_ratio
        self.include_background, self.per_class = include_background, per_class
        self.ignore_index = ignore_index
        counted = num_classes - (not include_background and num_classes > 1)
        self.add_state("common", np.zeros(counted, np.int64), "sum")
        self.add_state("union", np.zeros(counted, np.int64), "sum")

    def update(self, preds: Any, target: Any) -> None:
        found, truth = as_array(preds), as_array(target)
        if is_scores(found):
            found = found.argmax(1)
        same_shape("BoundaryIoU", found, truth)
        if truth.ndim != 3:
            raise ShapeError(f"BoundaryIoU: classes of pixels (N, H, W), got {truth.shape}.")
        counted = np.ones(truth.shape, bool)
        if self.ignore_index is not None:
            counted = truth != self.ignore_index
            truth, found = np.where(counted, truth, 0), np.where(counted, found, 0)
        height, width = truth.shape[1:]
        reach = max(1, round(self.dilation_ratio * float(np.hypot(height, width))))
        first = 0 if self.include_background or self.num_classes == 1 else 1
        a, b = (
            edges(one_hot("BoundaryIoU", x, self.num_classes)[:, first:], reach) & counted[:, None]
            for x in (found, truth)
        )
        self.common = self.common + (a & b).sum((0, 2, 3))
        self.union = self.union + (a | b).sum((0, 2, 3))

    def compute(self) -> Any:
        known = self.union > 0
        values = np.where(known, self.common / np.maximum(self.union, 1), -1.0)
        if self.per_class:
            return tensor(values.astype(np.float32))
        return tensor(np.float32(values[known].mean() if known.any() else 0.0))


def edges(masks: Array, reach: int) -> Array:
    """The pixels of masks (..., H, W) that are at most ``reach`` from what is outside.

    >>> [int(edges(np.ones((5, 5), bool), reach).sum()) for reach in (1, 3)]
    [16, 25]
    """
    # A pixel is far inside if its whole window is: sums over windows, by running sums.
    side = 2 * reach + 1
    padded = np.pad(masks, [(0, 0)] * (masks.ndim - 2) + [(reach + 1, reach)] * 2)
    sums = padded.cumsum(-1, dtype=np.int64).cumsum(-2)
    window = sums[..., side:, side:] - sums[..., :-side, side:] - sums[..., side:, :-side]
    window += sums[..., :-side, :-side]
    found: Array = masks & (window < side * side)
    return found
