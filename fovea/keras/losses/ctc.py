"""The loss of sequences of labels, as Keras states it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.functions.creation import full
from fovea.keras.losses.classes import LossFunctionWrapper
from fovea.keras.losses.functions import to_tensor
from fovea.nn import functional as F

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["CTC", "ctc"]


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """The CTC loss (N,) of logits (N, T, classes) for labels (N, L), filled up with 0, which means
    nothing.

    Source: A. Graves et al., "Connectionist Temporal Classification", 2006.
    """
    labels, logits = to_tensor(y_true), to_tensor(y_pred)
    if labels.ndim != 2 or logits.ndim != 3:
        raise ShapeError(
            f"ctc: labels (N, L) and logits (N, T, classes) are needed, got {describe(labels)} and "
            f"{describe(logits)}."
        )
    labels = labels.to(dtypes.int64)
    steps = full((logits.shape[0],), logits.shape[1], dtype=dtypes.int64)
    counts = (labels != 0).to(dtypes.int64).sum(1)
    log_probs = F.log_softmax(logits, -1).transpose(0, 1)
    return F.ctc_loss(log_probs, labels, steps, counts, blank=0, reduction="none")


class CTC(LossFunctionWrapper):
    """`ctc` of a batch."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(ctc, reduction, name, dtype)
