"""Losses of numbers that a network gives as distributions over bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DistributionFocalLoss"]


class DistributionFocalLoss(nn.Module):
    """loss = -((i + 1 - y) log p_i + (y - i) log p_(i + 1)), with i the whole part of y

    The cross-entropy of softmax's p with the two bins around y, each as near as it is: the mean of
    the distribution that is best is y.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes:
        logits (..., bins); numbers (...) from 0 to ``bins - 1``, what lies outside is moved there.

    Raises:
        ArgumentError: another reduction.
        ShapeError: logits and numbers that do not fit each other, or fewer than two bins.

    Source: Li et al., "Generalized focal loss", NeurIPS 2020, equation 6.

    >>> import fovea
    >>> DistributionFocalLoss()(fovea.zeros(1, 4), fovea.tensor([1.5]))  # log 4
    tensor(1.3863)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(
                f"DistributionFocalLoss: reduction is 'mean', 'sum' or 'none', got {reduction!r}."
            )
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if not input.ndim or input.shape[:-1] != target.shape or input.shape[-1] < 2:
            raise ShapeError(
                f"DistributionFocalLoss: {describe(input)} are no logits of bins for each of "
                f"{describe(target)}.",
                fix="logits (..., bins), target (...), at least two bins",
            )
        last = input.shape[-1] - 1
        y = target.to(input.dtype).clamp(0, last)
        below = y.floor().clamp(max=last - 1)
        part = y - below
        logs = F.log_softmax(input, -1)
        index = below.long().unsqueeze(-1)
        left = logs.gather(-1, index).squeeze(-1)
        right = logs.gather(-1, index + 1).squeeze(-1)
        loss = -((1 - part) * left + part * right)
        if self.reduction == "none":
            return loss
        return loss.mean() if self.reduction == "mean" else loss.sum()
