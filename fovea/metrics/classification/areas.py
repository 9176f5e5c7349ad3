"""Curves over all thresholds, and the areas under them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.classification.curves import (
    BinaryCurve,
    MulticlassCurve,
    MultilabelCurve,
    Thresholds,
    binned_precision_recall,
    binned_receiver,
    precision_recall,
    receiver,
)
from fovea.metrics.inputs import choice, divided
from fovea.metrics.tasks import for_task

__all__ = [
    "AUROC",
    "ROC",
    "AveragePrecision",
    "BinaryAUROC",
    "BinaryAveragePrecision",
    "BinaryPrecisionRecallCurve",
    "BinaryROC",
    "MulticlassAUROC",
    "MulticlassAveragePrecision",
    "MulticlassPrecisionRecallCurve",
    "MulticlassROC",
    "MultilabelAUROC",
    "MultilabelAveragePrecision",
    "MultilabelPrecisionRecallCurve",
    "MultilabelROC",
    "PrecisionRecallCurve",
]

Array = np.ndarray[Any, Any]


class BinaryPrecisionRecallCurve(BinaryCurve):
    """Precision, recall and the thresholds at which they hold, of a binary task.

    >>> precision, recall, thresholds = BinaryPrecisionRecallCurve()([0.1, 0.4, 0.8], [0, 1, 1])
    >>> precision, recall, thresholds
    (tensor([0.6667, 1.0000, 1.0000, 1.0000]), tensor([1.0000, 1.0000, 0.5000, 0.0000]), \
tensor([0.1000, 0.4000, 0.8000]))
    """

    def compute(self) -> Any:
        """(T + 1,), (T + 1,), (T,)."""
        return self.one_curve("precision_recall")


class MulticlassPrecisionRecallCurve(MulticlassCurve):
    """Precision, recall and thresholds of each class against the rest."""

    def compute(self) -> Any:
        """Lists of C arrays if exact, (C, T + 1), (C, T + 1), (T,) if binned; one averaged."""
        return self.shown(self.precision_recall_curves(), falling=False)


class MultilabelPrecisionRecallCurve(MultilabelCurve):
    """Precision, recall and thresholds of each label."""

    def compute(self) -> Any:
        """Lists of L arrays if exact, (L, T + 1), (L, T + 1), (T,) if binned."""
        return self.precision_recall_curves()


class BinaryROC(BinaryCurve):
    """False positive rate, true positive rate and thresholds, of a binary task.

    >>> BinaryROC()([0.1, 0.4, 0.8], [0, 1, 1])
    (tensor([0., 0., 0., 1.]), tensor([0.0000, 0.5000, 1.0000, 1.0000]), \
tensor([1.0000, 0.8000, 0.4000, 0.1000]))
    """

    def compute(self) -> Any:
        """(T,) each; an exact curve begins with (0, 0) at 1."""
        return self.one_curve("receiver")


class MulticlassROC(MulticlassCurve):
    """False and true positive rates and thresholds of each class against the rest."""

    def compute(self) -> Any:
        """Lists of C arrays if exact, (C, T), (C, T), (T,) if binned; one averaged."""
        return self.shown(self.receiver_curves(), falling=True)


class MultilabelROC(MultilabelCurve):
    """False and true positive rates and thresholds of each label."""

    def compute(self) -> Any:
        """Lists of L arrays if exact, (L, T), (L, T), (T,) if binned."""
        return self.receiver_curves()


# -- areas ----------------------------------------------------------------------------------------


def below_roc(fpr: Array, tpr: Array) -> float:
    """The area under a curve of rates."""
    return float(np.trapezoid(tpr, fpr))


def below_steps(precision: Array, recall: Array) -> float:
    """The sum of precisions, each times the recall gained; where undefined 0 counts.

    NaN where no recall is defined of an exact curve is kept by the caller.
    """
    return float(-(np.diff(recall) * precision[:-1]).sum())


def average_of(areas: list[float], average: str | None, weights: Array) -> Any:
    """Areas of classes as ``average`` wants them; those that are NaN do not count."""
    values = np.asarray(areas, np.float64)
    if average in (None, "none"):
        return values
    known = ~np.isnan(values)
    if not known.any():
        return np.asarray(np.nan)
    if average == "macro":
        return values[known].mean()
    return np.asarray((divided(weights[known], weights[known].sum()) * values[known]).sum())


def part_of(fpr: Array, tpr: Array, most: float) -> float:
    """The area up to a false positive rate, scaled so that chance has 0.5.

    Source: D. McClish, "Analyzing a portion of the ROC curve", 1989.
    """
    stop = int(np.searchsorted(fpr, most, side="right"))
    share = (most - fpr[stop - 1]) / (fpr[stop] - fpr[stop - 1])
    last = tpr[stop - 1] + share * (tpr[stop] - tpr[stop - 1])
    area = below_roc(np.append(fpr[:stop], most), np.append(tpr[:stop], last))
    least = 0.5 * most**2
    return 0.5 * (1 + (area - least) / (most - least))


class BinaryAUROC(BinaryCurve):
    """The area under the ROC curve: how often a positive scores above a negative.

    Args:
        max_fpr: look at false positive rates up to this only.
        thresholds: None: exact; a number: so many from 0 to 1, or a list.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.

    >>> BinaryAUROC()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    tensor(0.7500)
    """

    higher_is_better = True

    def __init__(
        self,
        max_fpr: float | None = None,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(thresholds, ignore_index, validate_args, **kwargs)
        if max_fpr is not None and not 0 < max_fpr <= 1:
            raise ArgumentError(f"BinaryAUROC: max_fpr is in (0, 1], got {max_fpr}.")
        self.max_fpr = max_fpr

    def compute(self) -> Any:
        """A number; 0 if a class is absent."""
        fpr, tpr, _ = self.one_curve("receiver")
        if self.max_fpr in (None, 1) or not fpr.sum() or not tpr.sum():
            return np.asarray(below_roc(fpr, tpr))
        return np.asarray(part_of(fpr, tpr, float(self.max_fpr or 1)))


class _ByClass(MulticlassCurve):
    higher_is_better = True

    def __init__(
        self,
        num_classes: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        choice(type(self).__name__, "average", average, ("macro", "weighted", "none", None))
        super().__init__(num_classes, thresholds, None, ignore_index, validate_args, **kwargs)
        self.average = average


class _ByLabel(MultilabelCurve):
    higher_is_better = True

    def __init__(
        self,
        num_labels: int,
        average: str | None = "macro",
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        allowed = ("micro", "macro", "weighted", "none", None)
        choice(type(self).__name__, "average", average, allowed)
        super().__init__(num_labels, thresholds, ignore_index, validate_args, **kwargs)
        self.average = average


class MulticlassAUROC(_ByClass):
    """The area under the ROC curve of each class against the rest, averaged.

    Args:
        num_classes: how many classes.
        average: ``"macro"``, ``"weighted"`` by how often a class is true, or ``"none"``.
        thresholds: None: exact; a number: so many from 0 to 1, or a list.
        ignore_index: a target that does not count.
        validate_args: kept for torchmetrics' sake.

    >>> MulticlassAUROC(2)([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]], [0, 1, 1])
    tensor(1.)
    """

    def compute(self) -> Any:
        """A number, or (C,)."""
        fpr, tpr, _ = self.receiver_curves()
        areas = [below_roc(x, y) for x, y in zip(fpr, tpr, strict=True)]
        return average_of(areas, self.average, self.positives())


class MultilabelAUROC(_ByLabel):
    """The area under the ROC curve of each label, averaged.

    Args: as of :class:`MulticlassAUROC`, and ``average="micro"``: all labels as one task.
    """

    def compute(self) -> Any:
        """A number, or (L,)."""
        if self.average == "micro":
            state = self.together()
            curve = receiver(*state) if isinstance(state, tuple) else binned_receiver(state)
            return np.asarray(below_roc(curve[0], curve[1]))
        fpr, tpr, _ = self.receiver_curves()
        areas = [below_roc(x, y) for x, y in zip(fpr, tpr, strict=True)]
        return average_of(areas, self.average, self.positives())


class BinaryAveragePrecision(BinaryCurve):
    """The mean of precisions at each recall that is reached, of a binary task.

    >>> BinaryAveragePrecision()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    tensor(0.8333)
    """

    higher_is_better = True

    def compute(self) -> Any:
        """A number."""
        precision, recall, _ = self.one_curve("precision_recall")
        return np.asarray(below_steps(np.nan_to_num(precision), np.nan_to_num(recall)))


def _precision_areas(curves: tuple[Any, Any, Any], binned: bool) -> list[float]:
    pairs = list(zip(curves[0], curves[1], strict=True))
    if binned:
        pairs = [(np.nan_to_num(p), np.nan_to_num(r)) for p, r in pairs]
    return [below_steps(p, r) for p, r in pairs]


class MulticlassAveragePrecision(_ByClass):
    """The mean of precisions at each recall of each class, averaged.

    Args: as of :class:`MulticlassAUROC`. A class that never is true has NaN, and does not count.

    >>> MulticlassAveragePrecision(2, average=None)([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    tensor([1., 1.])
    """

    def compute(self) -> Any:
        """A number, or (C,)."""
        curves = self.precision_recall_curves()
        areas = _precision_areas(curves, self.thresholds is not None)
        return average_of(areas, self.average, self.positives())


class MultilabelAveragePrecision(_ByLabel):
    """The mean of precisions at each recall of each label, averaged.

    Args: as of :class:`MulticlassAUROC`, and ``average="micro"``: all labels as one task.
    """

    def compute(self) -> Any:
        """A number, or (L,)."""
        if self.average == "micro":
            state = self.together()
            curve = (
                precision_recall(*state, 1.0)
                if isinstance(state, tuple)
                else binned_precision_recall(state)
            )
            return np.asarray(below_steps(np.nan_to_num(curve[0]), np.nan_to_num(curve[1])))
        curves = self.precision_recall_curves()
        areas = _precision_areas(curves, self.thresholds is not None)
        return average_of(areas, self.average, self.positives())


PrecisionRecallCurve = for_task(
    "PrecisionRecallCurve",
    "Precision and recall at all thresholds.",
    {
        "binary": BinaryPrecisionRecallCurve,
        "multiclass": MulticlassPrecisionRecallCurve,
        "multilabel": MultilabelPrecisionRecallCurve,
    },
    "thresholds num_classes num_labels ignore_index validate_args",
)
ROC = for_task(
    "ROC",
    "True over false positive rates at all thresholds.",
    {"binary": BinaryROC, "multiclass": MulticlassROC, "multilabel": MultilabelROC},
    "thresholds num_classes num_labels ignore_index validate_args",
)
AUROC = for_task(
    "AUROC",
    "The area under the ROC curve.",
    {"binary": BinaryAUROC, "multiclass": MulticlassAUROC, "multilabel": MultilabelAUROC},
    "thresholds num_classes num_labels average max_fpr ignore_index validate_args",
)
AveragePrecision = for_task(
    "AveragePrecision",
    "The mean of precisions at each recall that is reached.",
    {
        "binary": BinaryAveragePrecision,
        "multiclass": MulticlassAveragePrecision,
        "multilabel": MultilabelAveragePrecision,
    },
    "thresholds num_classes num_labels average ignore_index validate_args",
)
