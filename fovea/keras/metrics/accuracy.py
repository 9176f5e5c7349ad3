"""Accuracies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dispatch, dtypes
from fovea.errors import ShapeError, describe
from fovea.keras.losses.functions import paired, to_tensor
from fovea.keras.masking import mask_of
from fovea.keras.metrics.base import MeanMetricWrapper

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _floats(hits: Tensor) -> Tensor:
    return hits.to(dtypes.float32)


def accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the two are equal."""
    y_true, y_pred = paired("accuracy", y_true, y_pred)
    return _floats(y_true == y_pred)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where the prediction is on the label's side of ``threshold``."""
    y_true, y_pred = paired("binary_accuracy", y_true, y_pred)
    return _floats((y_pred > threshold).to(y_true.dtype) == y_true)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the most probable class is the target's."""
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    return _floats(y_true.argmax(-1) == y_pred.argmax(-1))


def _hits(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Booleans: where the most probable class is the label."""
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    picked = y_pred.argmax(-1)
    if picked.shape != y_true.shape:
        raise ShapeError(
            "sparse_categorical_accuracy: the labels' shape does not fit the predictions'.",
            {"y_true": describe(y_true), "y_pred": describe(y_pred)},
            "metrics=['accuracy'] finds out what the targets are",
        )
    return picked == (y_true if y_true.dtype is picked.dtype else y_true.to(picked.dtype))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where the most probable class is the label."""
    return _floats(_hits(to_tensor(y_true), to_tensor(y_pred)))


def _in_top_k(labels: Tensor, y_pred: Tensor, k: int) -> Tensor:
    """Booleans: whether fewer than k classes are more probable than the label's (ties count)."""
    scores = y_pred.reshape((-1, y_pred.shape[-1]))
    rows = labels.reshape((-1, 1)).to(dtypes.int64)
    own = scores.gather(1, rows)
    above = (scores > own).to(dtypes.int64).sum(1)
    return (above < k).reshape(labels.shape)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the target's class is among the ``k`` most probable."""
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    return _floats(_in_top_k(y_true.argmax(-1), y_pred, k))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """1 where the label is among the ``k`` most probable classes.

    Args:
        from_sorted_ids: ``y_pred`` holds class numbers, the most probable first.
    """
    y_true, y_pred = to_tensor(y_true), to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if from_sorted_ids:
        first = y_pred.narrow(-1, 0, min(k, y_pred.shape[-1]))
        return _floats((first == y_true.unsqueeze(-1).to(first.dtype)).any(-1))
    return _floats(_in_top_k(y_true, y_pred, k))


class Accuracy(MeanMetricWrapper):
    """How often predictions equal labels."""

    _direction = "up"

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions are on the label's side of ``threshold``."""

    _direction = "up"

    def __init__(
        self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the most probable class is the (one-hot) target's."""

    _direction = "up"

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the most probable class is the label.

    >>> m = SparseCategoricalAccuracy()
    >>> m.update_state([1, 0], [[0.1, 0.9], [0.4, 0.6]])
    >>> m.value()
    0.5
    """

    _direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        if sample_weight is not None or mask_of(y_pred) is not None:
            super().update_state(y_true, y_pred, sample_weight)
            return
        before = dispatch.set_grad_enabled(False)
        try:
            hits = _hits(to_tensor(y_true), to_tensor(y_pred))
            self.add_sum(hits.sum(), hits.numel())
        finally:
            dispatch.set_grad_enabled(before)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the target's class is among the ``k`` most probable."""

    _direction = "up"

    def __init__(
        self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the label is among the ``k`` most probable classes."""

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy,
            name,
            dtype,
            k=k,
            from_sorted_ids=from_sorted_ids,
        )
        self.k, self.from_sorted_ids = k, from_sorted_ids
