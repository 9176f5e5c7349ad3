"""The circle loss of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.functions.pointwise import clamp, where
from fovea.functions.ranges import arange
from fovea.keras.losses.classes import LossFunctionWrapper, masked_weight, reduced
from fovea.keras.losses.functions import to_tensor
from fovea.nn.functional import softplus

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Circle", "circle"]


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """How far embeddings (N, d) of unit length are from those of their class, and near to others.

    Args:
        y_true: the class of each (N,).
        ref_labels, ref_embeddings: what to compare with; the batch itself unless given.
        remove_diagonal: leave out each embedding's likeness to itself.
        gamma: how much the worst pairs count.
        margin: how much slack there is.

    Source: Sun et al., "Circle loss", CVPR 2020.
    """
    y_pred, labels = to_tensor(y_pred), to_tensor(y_true).to(dtypes.int64).reshape(-1)
    others = y_pred if ref_embeddings is None else to_tensor(ref_embeddings)
    theirs = labels if ref_labels is None else to_tensor(ref_labels).to(dtypes.int64).reshape(-1)
    distance = clamp(1 - y_pred @ others.transpose(0, 1), min=0.0)
    alike = labels.unsqueeze(1) == theirs.unsqueeze(0)
    unlike = alike.logical_not()
    if remove_diagonal:
        n, m = alike.shape
        itself = arange(n).unsqueeze(1) == arange(m).unsqueeze(0)
        alike = alike & itself.logical_not()
    near = -gamma * clamp(margin + distance, min=0.0) * (margin - distance)
    far = gamma * clamp(1 + margin - distance, min=0.0) * (1 - margin - distance)
    lowest = float("-inf")
    total = where(alike, near, lowest).logsumexp(1) + where(unlike, far, lowest).logsumexp(1)
    return softplus(total)


class Circle(LossFunctionWrapper):
    """`circle` of the embeddings of a batch; a mean is over those whose loss is not 0, as those
    that have no others of their class have it.
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle, reduction, name, dtype,
            gamma=gamma, margin=margin, remove_diagonal=remove_diagonal,
        )  # fmt: skip

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        losses = self.call(to_tensor(y_true), self._as_prediction(to_tensor(y_pred)))
        weight = masked_weight(sample_weight, losses > 0, losses.dtype, self.reduction)
        return reduced(losses, weight, self.reduction)
