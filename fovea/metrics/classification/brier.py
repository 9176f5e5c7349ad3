"""The Brier score: how far probabilities are from what came true."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.metrics.inputs import binary_scores, choice, class_scores, divided
from fovea.metrics.metric import Metric
from fovea.metrics.tasks import for_task

__all__ = ["BinaryBrierScore", "BrierScore", "MulticlassBrierScore"]

Array = np.ndarray[Any, Any]


class _Brier(Metric):
    """The sum of squared distances, and how many samples there were."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    score: Array
    total: Array

    def _start(
        self, scale_by_half: bool | str, usual: bool, ignore_index: int | None, validate: bool
    ) -> None:
        owner = type(self).__name__
        choice(owner, "scale_by_half", scale_by_half, (True, False, "auto"))
        self.scale_by_half = usual if scale_by_half == "auto" else bool(scale_by_half)
        self.ignore_index, self.validate_args = ignore_index, validate
        self.add_state("score", np.zeros(()), "sum")
        self.add_state("total", np.zeros((), np.int64), "sum")

    def _add(self, scores: Array, truth: Array) -> None:
        """Probabilities and zeros and ones, (M, C) each."""
        apart = (scores.astype(np.float64) - truth) ** 2
        self.score = self.score + apart.sum()
        self.total = self.total + len(apart)

    def compute(self) -> Any:
        """A number in [0, 1], or in [0, 2] if it is not scaled by half."""
        mean = divided(self.score, self.total, np.nan)
        return mean / 2 if self.scale_by_half else mean


class BinaryBrierScore(_Brier):
    """The mean squared difference between a probability and what came true: 0 is best.

    It is scikit-learn's ``brier_score_loss``.

    Source: G. Brier, "Verification of forecasts expressed in terms of probability", 1950.

    Args:
        scale_by_half: ``"auto"`` and True: in [0, 1]; False: both classes' differences count, which
            gives twice as much (as Brier had it).
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.

    >>> BinaryBrierScore()([0.5, 1.0], [1, 1])
    tensor(0.1250)
    """

    def __init__(
        self,
        scale_by_half: bool | str = "auto",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._start(scale_by_half, True, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, ...) scores, target (N, ...) of 0 and 1."""
        owner = type(self).__name__
        scores, truth = binary_scores(
            owner, preds, target, self.ignore_index, validate=self.validate_args
        )
        scores = scores.astype(np.float64)
        self._add(np.stack([1 - scores, scores], 1), np.stack([1 - truth, truth], 1))


class MulticlassBrierScore(_Brier):
    """The mean over samples of the squared distance between probabilities of all classes and what
    came true, in [0, 2]: 0 is best.

    Args:
        num_classes: how many classes.
        scale_by_half: True: half of it, in [0, 1], of two classes `BinaryBrierScore`; ``"auto"``
            and False: all of it.
        ignore_index: a target that does not count.
        validate_args: kept for torchmetrics' sake.

    >>> MulticlassBrierScore(3)([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [0, 2])
    tensor(0.2500)
    """

    def __init__(
        self,
        num_classes: int,
        scale_by_half: bool | str = "auto",
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self._start(scale_by_half, False, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, C, ...) scores, target (N, ...) of classes."""
        owner = type(self).__name__
        scores, labels = class_scores(owner, preds, target, self.num_classes, self.ignore_index)
        self._add(scores, labels[:, None] == np.arange(self.num_classes))


BrierScore = for_task(
    "BrierScore",
    "How far probabilities are from what came true, squared.",
    {"binary": BinaryBrierScore, "multiclass": MulticlassBrierScore},
    "num_classes scale_by_half ignore_index validate_args",
)
