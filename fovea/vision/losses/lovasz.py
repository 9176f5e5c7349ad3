"""The Lovász extension of the Jaccard index, for masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.functions.joining import cat
from fovea.functions.pointwise import where
from fovea.vision.losses.masks import as_planes, check_mode

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LovaszLoss"]


class LovaszLoss(nn.Module):
    """loss = sum_i m_(i) (J(i) - J(i - 1)), the errors m sorted from the largest

    J(i) is the Jaccard loss of a mask that is wrong in the i pixels of the largest errors: the sum
    is the smallest convex function that equals it wherever each pixel is right or wrong.

    Args:
        mode: ``"binary"`` and ``"multilabel"`` (hinge errors of logits, all labels together) or
            ``"multiclass"`` (errors of softmax's probabilities, the mean of classes that are
            there).
        per_image: of each image by itself, and their mean, instead of the batch as one image.
        ignore_index: pixels of this label do not count.
        from_logits: multiclass scores are logits; otherwise probabilities.

    Shapes:
        scores (N, C, H, W); class numbers (N, H, W), or zeros and ones of the scores' shape.

    Raises:
        ArgumentError: another mode.
        ShapeError: scores and labels that do not fit each other.

    Source: Berman et al., "The Lovász-Softmax loss", CVPR 2018, algorithm 1.

    >>> import fovea
    >>> LovaszLoss("binary")(fovea.tensor([[2.0, -0.5]]), fovea.tensor([[1, 0]]))  # half an error
    tensor(0.2500)
    """

    def __init__(
        self,
        mode: str,
        per_image: bool = False,
        ignore_index: int | None = None,
        from_logits: bool = True,
    ) -> None:
        super().__init__()
        check_mode("LovaszLoss", mode)
        self.mode, self.per_image, self.from_logits = mode, per_image, from_logits
        self.ignore_index = ignore_index

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        several = self.mode == "multiclass"
        if several and self.from_logits:
            y_pred = y_pred.softmax(1)
        x, t, kept = as_planes("LovaszLoss", self.mode, y_pred, y_true, self.ignore_index)
        errors = (t - x).abs() if several else F.relu(1.0 - x * (2.0 * t - 1.0))
        if kept is not None:
            errors = where(kept, errors, -1.0)  # the last ones
        losses, present = _extension(self._images(errors), self._images(t))
        if not several:
            return losses.mean()
        counted = (losses * present).sum(1) / present.sum(1).clamp(min=1)
        return counted.mean()

    def _images(self, planes: Tensor) -> Tensor:
        """(N, C, P) as what makes one loss in the last dimension: (images, classes, pixels)."""
        n, c, p = planes.shape
        if self.mode != "multiclass":
            return planes.reshape(n if self.per_image else 1, 1, -1)
        return planes if self.per_image else planes.transpose(0, 1).reshape(1, c, n * p)


def _extension(errors: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of (..., pixels), and whether any pixel belongs to the mask."""
    if not errors.shape[-1]:
        return errors.sum(-1), t.sum(-1)
    ordered, places = errors.sort(-1, descending=True)
    t = t.gather(-1, places)
    size = t.sum(-1, keepdim=True)
    jaccard = 1.0 - (size - t.cumsum(-1)) / (size + (1.0 - t).cumsum(-1))
    steps = cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)
    return (F.relu(ordered) * steps).sum(-1), (size[..., 0] > 0).to(errors.dtype)
