"""Metrics from a confusion matrix, and F scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ShapeError
from fovea.functions import creation
from fovea.keras.config import epsilon
from fovea.keras.metrics.base import Metric, arrays, need
from fovea.keras.metrics.confusion import over

__all__ = ["BinaryIoU", "F1Score", "FBetaScore", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class IoU(Metric):
    """Intersection over union of classes, averaged over ``target_class_ids``.

    Args:
        num_classes: how many classes there are.
        target_class_ids: those to average over.
        ignore_class: a label whose pixels do not count.
        sparse_y_true, sparse_y_pred: whether these are labels (else scores along ``axis``).

    >>> m = IoU(num_classes=2, target_class_ids=[0])
    >>> m.update_state([0, 0, 1, 1], [0, 1, 0, 1])
    >>> round(m.value(), 4)
    0.3333
    """

    _direction = "up"
    _pieces = ("total_cm",)

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        self.target_class_ids = list(target_class_ids)
        need(
            max(self.target_class_ids) < num_classes,
            f"{type(self).__name__}: class {max(self.target_class_ids)} is not one of "
            f"{num_classes} classes.",
        )
        self.num_classes, self.ignore_class, self.axis = num_classes, ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        self.total_cm = np.zeros((num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found = arrays(y_true, y_pred)
        truth = truth if self.sparse_y_true else truth.argmax(self.axis)
        found = found if self.sparse_y_pred else found.argmax(self.axis)
        truth, found = truth.ravel().astype(np.int64), found.ravel().astype(np.int64)
        if truth.shape != found.shape:
            raise ShapeError(
                f"{self.name}: {truth.size} labels do not fit {found.size} predictions."
            )
        weight: Any = np.ones(truth.shape)
        if sample_weight is not None:
            (given,) = arrays(sample_weight)
            weight = np.broadcast_to(given.ravel(), truth.shape).astype(np.float64)
        n = self.num_classes
        inside = (truth >= 0) & (truth < n) & (found >= 0) & (found < n)
        if self.ignore_class is not None:
            inside &= truth != self.ignore_class
        pairs = truth[inside] * n + found[inside]
        self.total_cm += np.bincount(pairs, weight[inside], minlength=n * n).reshape(n, n)

    def reset_state(self) -> None:
        self.total_cm[...] = 0

    def value(self) -> float:
        hits = np.diag(self.total_cm)
        union = self.total_cm.sum(0) + self.total_cm.sum(1) - hits
        hits, union = hits[self.target_class_ids], union[self.target_class_ids]
        there = union > 1e-9
        shares = np.where(there, hits / (union + epsilon()), 0.0)
        return float(shares.sum() / (there.sum() + epsilon()))

    def result(self) -> Any:
        return creation.tensor(self.value())

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "name": self.name,
            "dtype": self._dtype,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


class MeanIoU(IoU):
    """``IoU`` averaged over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "target_class_ids"}


class OneHotIoU(IoU):
    """``IoU`` with one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "sparse_y_true"}


class OneHotMeanIoU(MeanIoU):
    """``MeanIoU`` with one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "sparse_y_true"}


class BinaryIoU(IoU):
    """``IoU`` of two classes, told apart by ``threshold``."""

    def __init__(
        self,
        target_class_ids: Any = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        (scores,) = arrays(y_pred)
        super().update_state(y_true, (scores >= self.threshold).astype(np.int64), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            "target_class_ids": self.target_class_ids,
            "threshold": self.threshold,
            "name": self.name,
            "dtype": self._dtype,
        }


class FBetaScore(Metric):
    """``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)``, for each class.

    Args:
        average: ``None`` (one a class), ``"micro"``, ``"macro"`` or ``"weighted"``.
        beta: how much recall counts.
        threshold: scores above are positive; None takes each sample's highest.
    """

    _direction = "up"
    _pieces = ("_held",)

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        need(average in (None, "micro", "macro", "weighted"), f"unknown average {average!r}.")
        need(beta > 0, f"beta must be positive, got {beta}.")
        self.average, self.beta, self.threshold = average, beta, threshold
        self._counts: np.ndarray[Any, Any] | None = None

    @property
    def _held(self) -> np.ndarray[Any, Any]:
        """Right, wrong and missed positives of each class."""
        return np.zeros((3, 1)) if self._counts is None else self._counts

    @_held.setter
    def _held(self, value: np.ndarray[Any, Any]) -> None:
        self._counts = value

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = arrays(y_true, y_pred)
        if scores.ndim != 2 or truth.shape != scores.shape:
            raise ShapeError(
                f"{self.name}: targets {truth.shape} and predictions {scores.shape} must both be "
                "(samples, classes)."
            )
        if self.threshold is None:
            picked = scores == scores.max(1, keepdims=True)
        else:
            picked = scores > self.threshold
        weight: Any = 1.0
        if sample_weight is not None:
            (given,) = arrays(sample_weight)
            weight = given.reshape(-1, 1)
        t, p = truth.astype(np.float64), picked.astype(np.float64)
        found = np.stack(
            [(t * p * weight).sum(0), ((1 - t) * p * weight).sum(0), (t * (1 - p) * weight).sum(0)]
        )
        self._counts = found if self._counts is None else self._counts + found

    def reset_state(self) -> None:
        self._counts = None

    def value(self) -> Any:
        if self._counts is None:
            return 0.0
        tp, fp, fn = self._counts.sum(1) if self.average == "micro" else self._counts
        precision, recall = tp / (tp + fp + epsilon()), tp / (tp + fn + epsilon())
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + epsilon())
        if self.average == "weighted":
            return float((score * over(tp + fn, (tp + fn).sum())).sum())
        if self.average is not None:
            return float(np.mean(score))
        return score.astype(np.float32)

    def result(self) -> Any:
        return creation.tensor(self.value())

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self._dtype,
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """``FBetaScore`` with beta 1."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "beta"}
