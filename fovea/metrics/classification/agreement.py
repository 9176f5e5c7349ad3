"""What follows from the table of which class is taken for which: agreement and overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.classification.matrix import (
    BinaryConfusionMatrix,
    Matrix,
    MulticlassConfusionMatrix,
    MultilabelConfusionMatrix,
)
from fovea.metrics.inputs import choice, divided
from fovea.metrics.tasks import for_task

__all__ = [
    "BinaryCohenKappa",
    "BinaryJaccardIndex",
    "BinaryMatthewsCorrCoef",
    "CohenKappa",
    "JaccardIndex",
    "MatthewsCorrCoef",
    "MulticlassCohenKappa",
    "MulticlassJaccardIndex",
    "MulticlassMatthewsCorrCoef",
    "MultilabelJaccardIndex",
    "MultilabelMatthewsCorrCoef",
]

Array = np.ndarray[Any, Any]


class _Kappa(Matrix):
    higher_is_better = True
    weights: str | None

    def _set_weights(self, weights: str | None) -> None:
        choice(type(self).__name__, "weights", weights, ("linear", "quadratic", "none", None))
        self.weights = weights

    def compute(self) -> Any:
        """A number up to 1; 0 is what chance gives."""
        table = self.confmat.astype(np.float64)
        expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
        apart = np.abs(np.subtract.outer(np.arange(len(table)), np.arange(len(table))))
        power = {"linear": 1, "quadratic": 2}.get(str(self.weights))
        cost = apart**power if power else (apart > 0).astype(np.float64)
        return 1 - np.asarray((cost * table).sum() / (cost * expected).sum())


class BinaryCohenKappa(_Kappa, BinaryConfusionMatrix):
    """How far two raters agree beyond chance, of a binary task.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", 1960.

    Args:
        threshold: scores above are positive.
        ignore_index: a target that does not count.
        weights: what a disagreement costs: ``"linear"`` or ``"quadratic"`` in the distance of the
            classes, the same for all by default.
        validate_args: look whether labels are 0 and 1.

    >>> BinaryCohenKappa()([0, 1, 0, 0], [1, 1, 0, 0])
    tensor(0.5000)
    """

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        weights: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)
        self._set_weights(weights)


class MulticlassCohenKappa(_Kappa, MulticlassConfusionMatrix):
    """How far two raters agree on classes beyond chance.

    Args: as of :class:`BinaryCohenKappa`, and ``num_classes``.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        weights: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)
        self._set_weights(weights)


class _Matthews(Matrix):
    higher_is_better = True

    def compute(self) -> Any:
        """A number from -1 to 1."""
        table = self.confmat.sum(0) if self.confmat.ndim == 3 else self.confmat
        if table.shape == (2, 2) and (special := _degenerate(table)) is not None:
            return np.asarray(special)
        table = table.astype(np.float64)
        true, found, total = table.sum(1), table.sum(0), table.sum()
        numerator = np.trace(table) * total - (true * found).sum()
        square = (total**2 - (found**2).sum()) * (total**2 - (true**2).sum())
        return divided(numerator, np.sqrt(square))


def _degenerate(table: Array) -> float | None:
    """The limit where a row or a column of a 2 x 2 table is empty; None elsewhere."""
    tn, fp, fn, tp = (float(v) for v in table.reshape(-1))
    if tp + tn != 0 and fp + fn == 0:
        return 1.0
    if tp + tn == 0 and fp + fn != 0:
        return -1.0
    if (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn) != 0 or tp + tn + fp + fn == 0:
        return None
    eps = float(np.finfo(np.float32).eps)
    rest = ((tp, fp, fn, tn), (tp, fn, fp, tn), (tn, fp, fn, tp), (tn, fn, fp, tp))
    numerator = next(eps**0.5 * (a - b) for a, b, c, d in rest if c == d == 0)
    square = (tp + fp + eps) * (tp + fn + eps) * (tn + fp + eps) * (tn + fn + eps)
    return float(numerator / square**0.5)


class BinaryMatthewsCorrCoef(_Matthews, BinaryConfusionMatrix):
    """The correlation of truth and decision, of a binary task.

    Args: ``threshold``, ``ignore_index`` and ``validate_args`` of :class:`BinaryConfusionMatrix`.

    >>> BinaryMatthewsCorrCoef()([0, 1, 0, 0], [1, 1, 0, 0])
    tensor(0.5774)
    """

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)


class MulticlassMatthewsCorrCoef(_Matthews, MulticlassConfusionMatrix):
    """The correlation of true and predicted classes.

    Source: J. Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient", 2004.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)


class MultilabelMatthewsCorrCoef(_Matthews, MultilabelConfusionMatrix):
    """The correlation of truth and decision over all labels together."""

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, threshold, ignore_index, None, validate_args, **kwargs)


class _Jaccard(Matrix):
    higher_is_better = True
    average: str | None
    zero_division: float

    def _set_average(self, average: str | None, zero_division: float) -> None:
        allowed = ("binary", "micro", "macro", "weighted", "none", None)
        choice(type(self).__name__, "average", average, allowed)
        if zero_division not in (0, 1):
            raise ArgumentError(f"zero_division is 0 or 1, got {zero_division}.")
        self.average, self.zero_division = average, zero_division

    def compute(self) -> Any:
        """A number, or (C,)."""
        table = self.confmat
        if self.average == "binary":
            return divided(table[1, 1], table.sum() - table[0, 0], self.zero_division)
        if table.ndim == 3:
            common, union = table[:, 1, 1], table.sum((1, 2)) - table[:, 0, 0]
            support, weights = table[:, 1].sum(1), np.ones(len(table))
        else:
            common, support = table.diagonal(), table.sum(1)
            union = table.sum(0) + support - common
            weights = (union > 0).astype(np.float64)
        ignored = self.ignore_index
        within = ignored is not None and 0 <= ignored < len(table)
        if self.average == "micro":
            left_out = union[ignored] if within else 0
            return divided(common.sum(), union.sum() - left_out, self.zero_division)
        score = divided(common, union, self.zero_division)
        if self.average in (None, "none"):
            return score
        if self.average == "weighted":
            weights = support.astype(np.float64)
        elif within:
            weights[ignored] = 0
        return np.asarray((weights / weights.sum() * score).sum())


class BinaryJaccardIndex(_Jaccard, BinaryConfusionMatrix):
    """Intersection over union of what is there and what was found.

    Args:
        threshold: scores above are positive.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.
        zero_division: the value of 0 / 0.

    >>> BinaryJaccardIndex()([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.5000)
    """

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, ignore_index, None, validate_args, **kwargs)
        self._set_average("binary", zero_division)


class MulticlassJaccardIndex(_Jaccard, MulticlassConfusionMatrix):
    """Intersection over union of each class, averaged (``average``: micro, macro, weighted, none).

    >>> MulticlassJaccardIndex(3, average=None)([0, 1, 2, 2], [0, 1, 1, 2])
    tensor([1.0000, 0.5000, 0.5000])
    """

    def __init__(
        self,
        num_classes: int,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, ignore_index, None, validate_args, **kwargs)
        self._set_average(average, zero_division)


class MultilabelJaccardIndex(_Jaccard, MultilabelConfusionMatrix):
    """Intersection over union of each label, averaged over labels by ``average``."""

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, threshold, ignore_index, None, validate_args, **kwargs)
        self._set_average(average, zero_division)


def _three(name: str) -> dict[str, type]:
    found = {
        t: globals().get(t.capitalize() + name) for t in ("binary", "multiclass", "multilabel")
    }
    return {task: made for task, made in found.items() if made is not None}


CohenKappa = for_task(
    "CohenKappa",
    "How far two raters agree beyond chance.",
    _three("CohenKappa"),
    "threshold num_classes weights ignore_index validate_args",
)
MatthewsCorrCoef = for_task(
    "MatthewsCorrCoef",
    "The correlation of truth and decision.",
    _three("MatthewsCorrCoef"),
    "threshold num_classes num_labels ignore_index validate_args",
)
JaccardIndex = for_task(
    "JaccardIndex",
    "Intersection over union of what is there and what was found.",
    _three("JaccardIndex"),
    "threshold num_classes num_labels average ignore_index validate_args",
)
