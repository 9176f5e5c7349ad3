"""Cross-entropy that bears wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.keras.losses.classes import LossFunctionWrapper
from fovea.keras.losses.functions import to_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"]


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """``(1 - p ** q) / q`` for the probability p of each sample's class.

    Args:
        y_true: classes (N,) or (N, 1).
        y_pred: probabilities (N, classes).
        q: from 0 (cross-entropy) to 1 (absolute error).

    Source: Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks
    with noisy labels", 2018.
    """
    y_pred = to_tensor(y_pred)
    labels = to_tensor(y_true).to(dtypes.int64).reshape(-1, 1)
    return (1 - y_pred.gather(1, labels).squeeze(1) ** q) / q


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """`categorical_generalized_cross_entropy` of a batch."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ArgumentError(
                f"CategoricalGeneralizedCrossEntropy: q lies between 0 and 1, got {q}."
            )
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
