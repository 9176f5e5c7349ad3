"""Scores that follow from counts of right and wrong decisions.

Each is there for binary, multiclass and multilabel tasks, and under its plain name for all three.
Arguments, shapes and averages are those of :class:`~fovea.metrics.classification.counts.
BinaryCounted` and its like.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.classification.counts import (
    BinaryCounted,
    Counted,
    Counts,
    MulticlassCounted,
    MultilabelCounted,
)
from fovea.metrics.inputs import divided
from fovea.metrics.tasks import for_task

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryF1Score",
    "BinaryFBetaScore",
    "BinaryHammingDistance",
    "BinaryNegativePredictiveValue",
    "BinaryPrecision",
    "BinaryRecall",
    "BinarySpecificity",
    "BinaryStatScores",
    "F1Score",
    "FBetaScore",
    "HammingDistance",
    "MulticlassAccuracy",
    "MulticlassF1Score",
    "MulticlassFBetaScore",
    "MulticlassHammingDistance",
    "MulticlassNegativePredictiveValue",
    "MulticlassPrecision",
    "MulticlassRecall",
    "MulticlassSpecificity",
    "MulticlassStatScores",
    "MultilabelAccuracy",
    "MultilabelF1Score",
    "MultilabelFBetaScore",
    "MultilabelHammingDistance",
    "MultilabelNegativePredictiveValue",
    "MultilabelPrecision",
    "MultilabelRecall",
    "MultilabelSpecificity",
    "MultilabelStatScores",
    "NegativePredictiveValue",
    "Precision",
    "Recall",
    "Specificity",
    "StatScores",
]

Array = np.ndarray[Any, Any]
_ORDER = """threshold num_classes num_labels average multidim_average top_k ignore_index
    validate_args"""


class _StatScores(Counted):
    higher_is_better = None

    def compute(self) -> Any:
        c = self.counts()
        table = np.stack([c.tp, c.fp, c.tn, c.fn, c.tp + c.fn], -1)
        if self.average in ("binary", "none", None):
            return table
        if self.average == "micro":
            return table.sum(-2)
        if self.average == "macro":
            return table.mean(-2)
        support = c.tp + c.fn
        weights = support / support.sum(-1, keepdims=True)
        return (table * weights[..., None]).sum(-2)


class _Accuracy(Counted):
    def ratio(self, c: Counts) -> tuple[Array, Array]:
        if self.one_of_many:
            return c.tp, c.tp + c.fn
        return c.tp + c.tn, c.tp + c.tn + c.fp + c.fn


class _HammingDistance(_Accuracy):
    higher_is_better = False
    absent_by_support = False

    def score(self, c: Counts) -> Array:
        return 1 - divided(*self.ratio(c))


class _Precision(Counted):
    def ratio(self, c: Counts) -> tuple[Array, Array]:
        return c.tp, c.tp + c.fp


class _Recall(Counted):
    def ratio(self, c: Counts) -> tuple[Array, Array]:
        return c.tp, c.tp + c.fn


class _Specificity(Counted):
    absent_by_support = False

    def ratio(self, c: Counts) -> tuple[Array, Array]:
        return c.tn, c.tn + c.fp


class _NegativePredictiveValue(Counted):
    def ratio(self, c: Counts) -> tuple[Array, Array]:
        return c.tn, c.tn + c.fn


class _FBetaScore(Counted):
    beta = 1.0
    absent_by_support = False

    def ratio(self, c: Counts) -> tuple[Array, Array]:
        square = self.beta**2
        return (1 + square) * c.tp, (1 + square) * c.tp + square * c.fn + c.fp

    def _set_beta(self, beta: float) -> None:
        if not beta > 0:
            raise ArgumentError(f"{type(self).__name__}: beta is above 0, got {beta}.")
        self.beta = beta


class BinaryStatScores(_StatScores, BinaryCounted):
    """Counts of true and false positives, true and false negatives, and positives of a binary task.

    >>> BinaryStatScores()([0.9, 0.2, 0.8], [1, 1, 0])
    tensor([1, 1, 0, 1, 2])
    """


class MulticlassStatScores(_StatScores, MulticlassCounted):
    """Counts of true and false positives, true and false negatives, and positives of classes."""


class MultilabelStatScores(_StatScores, MultilabelCounted):
    """Counts of true and false positives, true and false negatives, and positives of labels."""


class BinaryAccuracy(_Accuracy, BinaryCounted):
    """The share of right decisions of a binary task."""


class MulticlassAccuracy(_Accuracy, MulticlassCounted):
    """The share of right decisions of classes.

    >>> accuracy = MulticlassAccuracy(num_classes=3, average="micro", top_k=2)
    >>> accuracy([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], [1, 0])
    tensor(0.5000)
    """


class MultilabelAccuracy(_Accuracy, MultilabelCounted):
    """The share of right decisions of labels."""


class BinaryHammingDistance(_HammingDistance, BinaryCounted):
    """The share of wrong decisions of a binary task.

    >>> BinaryHammingDistance()([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.2500)
    """


class MulticlassHammingDistance(_HammingDistance, MulticlassCounted):
    """The share of wrong decisions of classes."""


class MultilabelHammingDistance(_HammingDistance, MultilabelCounted):
    """The share of wrong decisions of labels."""


class BinaryPrecision(_Precision, BinaryCounted):
    """Of what was found, the share that is right: TP / (TP + FP), of a binary task."""


class MulticlassPrecision(_Precision, MulticlassCounted):
    """Of what was found, the share that is right: TP / (TP + FP), of classes.

    >>> MulticlassPrecision(num_classes=3, average="none")([0, 0, 1, 2], [0, 1, 1, 2])
    tensor([0.5000, 1.0000, 1.0000])
    """


class MultilabelPrecision(_Precision, MultilabelCounted):
    """Of what was found, the share that is right: TP / (TP + FP), of labels."""


class BinaryRecall(_Recall, BinaryCounted):
    """Of what is there, the share that was found: TP / (TP + FN), of a binary task."""


class MulticlassRecall(_Recall, MulticlassCounted):
    """Of what is there, the share that was found: TP / (TP + FN), of classes."""


class MultilabelRecall(_Recall, MultilabelCounted):
    """Of what is there, the share that was found: TP / (TP + FN), of labels.

    >>> MultilabelRecall(num_labels=2, average=None)([[1, 0], [0, 0]], [[1, 1], [1, 0]])
    tensor([0.5000, 0.0000])
    """


class BinarySpecificity(_Specificity, BinaryCounted):
    """Of what is not there, the share that was left out: TN / (TN + FP), of a binary task.

    >>> BinarySpecificity()([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.6667)
    """


class MulticlassSpecificity(_Specificity, MulticlassCounted):
    """Of what is not there, the share that was left out: TN / (TN + FP), of classes."""


class MultilabelSpecificity(_Specificity, MultilabelCounted):
    """Of what is not there, the share that was left out: TN / (TN + FP), of labels."""


class BinaryNegativePredictiveValue(_NegativePredictiveValue, BinaryCounted):
    """Of what was left out, the share that is not there: TN / (TN + FN), of a binary task."""


class MulticlassNegativePredictiveValue(_NegativePredictiveValue, MulticlassCounted):
    """Of what was left out, the share that is not there: TN / (TN + FN), of classes."""


class MultilabelNegativePredictiveValue(_NegativePredictiveValue, MultilabelCounted):
    """Of what was left out, the share that is not there: TN / (TN + FN), of labels."""


class BinaryF1Score(_FBetaScore, BinaryCounted):
    """The harmonic mean of precision and recall of a binary task.

    >>> BinaryF1Score()([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.6667)
    """


class MulticlassF1Score(_FBetaScore, MulticlassCounted):
    """The harmonic mean of precision and recall of classes."""


class MultilabelF1Score(_FBetaScore, MultilabelCounted):
    """The harmonic mean of precision and recall of labels."""


class BinaryFBetaScore(_FBetaScore, BinaryCounted):
    """The mean of precision and recall in which recall counts beta times as much of a binary task.

    >>> BinaryFBetaScore(beta=2.0)([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.8333)
    """

    def __init__(
        self,
        beta: float,
        threshold: float = 0.5,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            threshold,
            multidim_average,
            ignore_index,
            validate_args,
            zero_division=zero_division,
            **kwargs,
        )
        self._set_beta(beta)


class MulticlassFBetaScore(_FBetaScore, MulticlassCounted):
    """The mean of precision and recall in which recall counts beta times as much of classes."""

    def __init__(
        self,
        beta: float,
        num_classes: int,
        top_k: int = 1,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_classes,
            top_k,
            average,
            multidim_average,
            ignore_index,
            validate_args,
            zero_division=zero_division,
            **kwargs,
        )
        self._set_beta(beta)


class MultilabelFBetaScore(_FBetaScore, MultilabelCounted):
    """The mean of precision and recall in which recall counts beta times as much of labels."""

    def __init__(
        self,
        beta: float,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_labels,
            threshold,
            average,
            multidim_average,
            ignore_index,
            validate_args,
            zero_division=zero_division,
            **kwargs,
        )
        self._set_beta(beta)


def _three(name: str, line: str, order: str = _ORDER, **defaults: Any) -> Any:
    """The score of all three tasks."""
    tasks = ("binary", "multiclass", "multilabel")
    classes = {task: globals()[task.capitalize() + name] for task in tasks}
    return for_task(name, line, classes, order, average="micro", **defaults)


StatScores = _three(
    "StatScores", "Counts of true and false positives, true and false negatives, and positives."
)
Accuracy = _three("Accuracy", "The share of right decisions.")
HammingDistance = _three("HammingDistance", "The share of wrong decisions.")
Precision = _three("Precision", "Of what was found, the share that is right.")
Recall = _three("Recall", "Of what is there, the share that was found.")
Specificity = _three("Specificity", "Of what is not there, the share that was left out.")
NegativePredictiveValue = _three(
    "NegativePredictiveValue", "Of what was left out, the share that is not there."
)
F1Score = _three("F1Score", "The harmonic mean of precision and recall.", f"{_ORDER} zero_division")
FBetaScore = _three(
    "FBetaScore",
    "The mean of precision and recall in which recall counts beta times as much.",
    f"beta {_ORDER} zero_division",
    beta=1.0,
)
