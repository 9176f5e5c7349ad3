"""The focal loss of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.pointwise import where
from fovea.vision.losses.masks import as_planes, check_mode, mean_of_classes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["FocalLoss"]


class FocalLoss(nn.Module):
    """loss = -alpha_t (1 - p_t)^gamma log(p_t), of each class by itself; their mean

    Args:
        mode: ``"binary"``, ``"multiclass"`` (one class a pixel) or ``"multilabel"``.
        alpha: what pixels of the class weigh; those of others 1 - alpha. None: both 1.
        gamma: how much less pixels count that are right already.
        ignore_index: pixels of this label do not count.
        from_logits: the scores are logits; otherwise probabilities.
        eps: how far probabilities are kept from 0 and 1.
        reduction: ``"mean"`` or ``"sum"`` over pixels, ``"none"`` for a loss a pixel (N, ...), zero
            where ignored.
        normalized: divide by the sum of (1 - p_t)^gamma.
        reduced_threshold: (1 - p_t) is divided by it, and pixels with p_t below it count whole.
        class_weights: of the classes' losses; not for binary masks.

    Shapes:
        scores (N, C, H, W); class numbers (N, H, W), or zeros and ones of the scores' shape.

    Raises:
        ArgumentError: another mode or reduction.
        ShapeError: scores and labels that do not fit each other.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017; Sergievskiy and
    Ponamarev, "Reduced focal loss", 2019.

    >>> import fovea
    >>> FocalLoss("binary")(fovea.tensor([[0.0]]), fovea.tensor([[1]]))  # 0.25 log 2
    tensor(0.1733)
    """

    def __init__(
        self,
        mode: str,
        alpha: float | None = None,
        gamma: float = 2.0,
        ignore_index: int | None = None,
        from_logits: bool = True,
        eps: float = 1e-7,
        reduction: str = "mean",
        normalized: bool = False,
        reduced_threshold: float | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_mode("FocalLoss", mode, class_weights)
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(
                f"FocalLoss: reduction is 'mean', 'sum' or 'none', got {reduction!r}."
            )
        self.mode, self.alpha, self.gamma, self.ignore_index = mode, alpha, gamma, ignore_index
        self.from_logits, self.eps, self.reduction = from_logits, eps, reduction
        self.normalized, self.reduced_threshold = normalized, reduced_threshold
        self.class_weights = class_weights

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        if not self.from_logits:
            p = y_pred.clamp(self.eps, 1 - self.eps)
            y_pred = p.log() if self.mode == "multiclass" else (p / (1 - p)).log()
        x, t, kept = as_planes("FocalLoss", self.mode, y_pred, y_true, self.ignore_index)
        cross_entropy = F.binary_cross_entropy_with_logits(x, t, reduction="none")
        p = (-cross_entropy).exp()
        if self.reduced_threshold is None:
            focus = (1.0 - p) ** self.gamma
        else:
            focus = ((1.0 - p) / self.reduced_threshold) ** self.gamma
            focus = where(p < self.reduced_threshold, 1.0, focus)
        loss = focus * cross_entropy
        if self.alpha is not None:
            loss = loss * (self.alpha * t + (1 - self.alpha) * (1 - t))
        if kept is not None:
            focus, loss = where(kept, focus, 0.0), where(kept, loss, 0.0)
        if self.normalized:
            loss = loss / focus.sum((0, 2), keepdim=True).clamp(min=1e-6)
        if self.reduction == "none":
            rooms = y_pred.shape if self.mode == "binary" else (len(y_pred), *y_pred.shape[2:])
            return self._weighted(loss.permute(1, 0, 2)).reshape(rooms)
        total = loss.sum((0, 2))
        if self.reduction == "mean":
            total = total / _counted(kept, loss)
        return mean_of_classes(total, self.class_weights)

    def _weighted(self, loss: Tensor) -> Tensor:
        """The mean over classes of losses (C, N, P)."""
        if self.class_weights is None:
            return loss.mean(0)
        weights = loss.new_tensor(self.class_weights)
        return (loss * weights.reshape(-1, 1, 1)).sum(0) / weights.sum()


def _counted(kept: Tensor | None, loss: Tensor) -> Tensor | int:
    """How many pixels count, a class; at least one."""
    if kept is None:
        return max(loss.shape[0] * loss.shape[2], 1)
    return kept.to(loss.dtype).sum((0, 2)).clamp(min=1)
