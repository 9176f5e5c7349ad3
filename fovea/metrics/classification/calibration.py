"""Whether probabilities mean what they say, and samples that are right in all their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions import ranges
from fovea.metrics.classification.counts import needs_more_axes
from fovea.metrics.inputs import (
    binary_labels,
    binary_scores,
    choice,
    class_labels,
    class_scores,
    divided,
)
from fovea.metrics.metric import Metric
from fovea.metrics.tasks import for_task

__all__ = [
    "BinaryCalibrationError",
    "CalibrationError",
    "ExactMatch",
    "MulticlassCalibrationError",
    "MulticlassExactMatch",
    "MultilabelExactMatch",
]

Array = np.ndarray[Any, Any]


class _Calibration(Metric):
    """Sums of confidences and of right decisions in bins of confidence."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Array
    confidence: Array
    right: Array

    def _start(self, n_bins: int, norm: str, ignore_index: int | None, validate: bool) -> None:
        owner = type(self).__name__
        if n_bins < 1:
            raise ArgumentError(f"{owner}: n_bins is 1 or more, got {n_bins}.")
        choice(owner, "norm", norm, ("l1", "l2", "max"))
        self.n_bins, self.norm = n_bins, norm
        self.ignore_index, self.validate_args = ignore_index, validate
        for name in ("total", "confidence", "right"):  # a bin more: of a confidence of 1
            self.add_state(name, np.zeros(n_bins + 1), "sum")

    def _add(self, confidence: Array, right: Array) -> None:
        edges = ranges.linspace(0, 1, self.n_bins + 1)._array()
        place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, self.n_bins)
        size = self.n_bins + 1
        self.total = self.total + np.bincount(place, minlength=size)
        self.confidence = self.confidence + np.bincount(place, confidence, minlength=size)
        self.right = self.right + np.bincount(place, right, minlength=size)

    def compute(self) -> Any:
        """A number in [0, 1]."""
        apart = np.abs(divided(self.right, self.total) - divided(self.confidence, self.total))
        if self.norm == "max":
            return apart.max()
        share = self.total / self.total.sum()
        return (apart * share).sum() if self.norm == "l1" else np.sqrt((apart**2 * share).sum())


class BinaryCalibrationError(_Calibration):
    """How far a probability is from how often it comes true.

    Source: C. Guo et al., "On calibration of modern neural networks", 2017.

    Args:
        n_bins: probabilities are looked at in so many bins.
        norm: ``"l1"``: the mean difference (ECE), ``"l2"``: the root of the mean square, ``"max"``:
            the largest (MCE).
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.

    >>> BinaryCalibrationError(n_bins=2)([0.25, 0.25, 0.75, 0.75], [0, 1, 1, 1])
    tensor(0.2500)
    """

    def __init__(
        self,
        n_bins: int = 15,
        norm: str = "l1",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._start(n_bins, norm, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, ...) scores, target (N, ...) of 0 and 1."""
        owner = type(self).__name__
        self._add(
            *binary_scores(owner, preds, target, self.ignore_index, validate=self.validate_args)
        )


class MulticlassCalibrationError(_Calibration):
    """How far the highest probability is from how often that class is right.

    Args: as of :class:`BinaryCalibrationError`, and ``num_classes``.
    """

    def __init__(
        self,
        num_classes: int,
        n_bins: int = 15,
        norm: str = "l1",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self._start(n_bins, norm, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, C, ...) scores, target (N, ...) of classes."""
        owner = type(self).__name__
        scores, labels = class_scores(owner, preds, target, self.num_classes, self.ignore_index)
        self._add(scores.max(1), scores.argmax(1) == labels)


class _ExactMatch(Metric):
    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: Any
    total: Any

    def _start(self, multidim_average: str, ignore_index: int | None, validate: bool) -> None:
        owner = type(self).__name__
        choice(owner, "multidim_average", multidim_average, ("global", "samplewise"))
        self.samplewise = multidim_average == "samplewise"
        self.ignore_index, self.validate_args = ignore_index, validate
        if self.samplewise:
            self.add_state("correct", [], "cat")
        else:
            self.add_state("correct", np.zeros((), np.int64), "sum")
        self.add_state("total", np.zeros((), np.int64), "max" if self.samplewise else "sum")

    def _add(self, correct: Array, total: int) -> None:
        if self.samplewise:
            self.correct = [*self.correct, correct]
            self.total = np.asarray(total)
        else:
            self.correct = self.correct + correct.sum()
            self.total = self.total + total

    def compute(self) -> Any:
        """A number, or (N,)."""
        if self.samplewise:
            parts = self.correct or [np.zeros(0, np.int64)]
            return divided(np.concatenate(parts), self.total)
        return divided(self.correct, self.total)


class MulticlassExactMatch(_ExactMatch):
    """The share of samples whose classes are all right.

    Args:
        num_classes: how many classes.
        multidim_average: ``"global"``, or ``"samplewise"``: a value a sample.
        ignore_index: a target that counts as right.
        validate_args: kept for torchmetrics' sake.

    >>> MulticlassExactMatch(3)([[0, 1], [2, 2]], [[0, 1], [2, 1]])
    tensor(0.5000)
    """

    def __init__(
        self,
        num_classes: int,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self._start(multidim_average, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, C, ...) or (N, ...), target (N, ...)."""
        chosen, truth, kept = class_labels(
            type(self).__name__, preds, target, self.num_classes, self.ignore_index
        )
        right = ((chosen == truth) | ~kept).all(tuple(range(1, truth.ndim)))
        self._add(right.astype(np.int64), 1 if self.samplewise else len(right))


class MultilabelExactMatch(_ExactMatch):
    """The share of samples whose labels are all right.

    Args:
        num_labels: how many labels.
        threshold: scores above mean that a label applies.
        multidim_average: ``"global"``, or ``"samplewise"``: a value a sample, over its places.
        ignore_index: a target that counts as right.
        validate_args: look whether labels are 0 and 1.

    >>> MultilabelExactMatch(2)([[0.9, 0.1], [0.8, 0.7]], [[1, 0], [1, 0]])
    tensor(0.5000)
    """

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels, self.threshold = num_labels, threshold
        self._start(multidim_average, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: (N, L, ...) each."""
        owner = type(self).__name__
        chosen, truth, kept = binary_labels(
            owner,
            preds,
            target,
            self.threshold,
            self.ignore_index,
            self.validate_args,
            self.num_labels,
        )
        needs_more_axes(owner, self.samplewise, chosen.ndim, 3)
        right = ((chosen == truth) | ~kept).all(1)
        places = int(np.prod(right.shape[1:]))
        self._add(right.sum(tuple(range(1, right.ndim))), places if self.samplewise else right.size)


CalibrationError = for_task(
    "CalibrationError",
    "How far probabilities are from how often they come true.",
    {"binary": BinaryCalibrationError, "multiclass": MulticlassCalibrationError},
    "n_bins norm num_classes ignore_index validate_args",
)
ExactMatch = for_task(
    "ExactMatch",
    "The share of samples that are right in all their parts.",
    {"multiclass": MulticlassExactMatch, "multilabel": MultilabelExactMatch},
    "threshold num_classes num_labels multidim_average ignore_index validate_args",
)
