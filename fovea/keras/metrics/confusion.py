"""Metrics from counts of right and wrong decisions at thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ShapeError
from fovea.functions import creation
from fovea.keras.config import epsilon
from fovea.keras.losses.functions import same_rank, to_tensor
from fovea.keras.metrics.base import Metric, need

__all__ = [
    "AUC",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "Recall",
    "TrueNegatives",
    "TruePositives",
]

Array = np.ndarray[Any, Any]
ALL_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
_EXCLUDED = -1e10  # the score of what is not among the top k


def over(a: Array, b: Array) -> Array:
    """``a / b``, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)


class _Counts(Metric):
    """Weighted counts of true and false positives at each threshold, in float64."""

    def __init__(self, thresholds: Any, name: str | None, dtype: Any, default: float = 0.5) -> None:
        super().__init__(dtype=dtype, name=name)
        self.init_thresholds = thresholds
        given = default if thresholds is None else thresholds
        self.thresholds = list(given) if isinstance(given, list | tuple) else [given]
        need(
            thresholds is None or all(t is not None and 0 <= t <= 1 for t in self.thresholds),
            f"{type(self).__name__}: thresholds must lie in [0, 1], got {thresholds}.",
        )
        self._order = np.argsort(self.thresholds, kind="stable")
        self._set_state((len(self.thresholds),))

    def _set_state(self, shape: tuple[int, ...]) -> None:
        self.true_positives, self.false_positives = np.zeros(shape), np.zeros(shape)
        self.positives, self.negatives = np.zeros(shape[1:]), np.zeros(shape[1:])

    def reset_state(self) -> None:
        self._set_state(self.true_positives.shape)

    def count(self, labels: Array, scores: Array, weights: Array | None, *column: int) -> None:
        """Take in flat arrays of labels (true where not 0), scores and weights; into a column of
        the state, if it has columns.
        """
        truth = labels.astype(bool)
        weights = np.ones(len(scores)) if weights is None else weights
        # A score is positive at all thresholds below it: count how many those are, then sum.
        ordered = np.asarray(self.thresholds, np.float32)[self._order]
        below = np.searchsorted(ordered, scores.astype(np.float32), side="left")
        size = len(ordered) + 1
        rows: Any = (self._order, *column)
        whole: Any = (..., *column)
        for chosen, total in ((truth, self.true_positives), (~truth, self.false_positives)):
            buckets = np.bincount(below[chosen], weights[chosen], minlength=size)
            at_least = np.cumsum(buckets[::-1])[::-1]
            total[rows] += at_least[1:]
        self.positives[whole] += weights[truth].sum()
        self.negatives[whole] += weights[~truth].sum()

    @property
    def false_negatives(self) -> Array:
        """Positives that were missed, at each threshold."""
        return self.positives - self.true_positives

    @false_negatives.setter
    def false_negatives(self, value: Array) -> None:
        self.positives = np.asarray(self.true_positives + value)

    @property
    def true_negatives(self) -> Array:
        """Negatives that were seen as such, at each threshold."""
        return self.negatives - self.false_positives

    @true_negatives.setter
    def true_negatives(self, value: Array) -> None:
        self.negatives = np.asarray(self.false_positives + value)

    def _shown(self, values: Array) -> Any:
        return float(values[0]) if len(values) == 1 else values.astype(np.float32)

    def result(self) -> Any:
        return creation.tensor(self.value(), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


def flat_inputs(
    y_true: Any, y_pred: Any, sample_weight: Any, top_k: int | None, class_id: int | None
) -> tuple[Array, Array, Array | None]:
    """Labels, scores and weights as flat arrays.

    Raises:
        ShapeError: shapes that do not fit.
    """
    scores_t, labels_t = same_rank(to_tensor(y_pred), to_tensor(y_true))
    labels, scores = labels_t._array(), scores_t._array().astype(np.float64)
    if labels.shape != scores.shape:
        raise ShapeError(f"labels {labels.shape} and predictions {scores.shape} must fit.")
    if top_k is not None:
        best = np.argsort(-scores, axis=-1, kind="stable")[..., :top_k]
        kept = np.zeros(scores.shape, bool)
        np.put_along_axis(kept, best, True, axis=-1)
        scores = np.where(kept, scores, _EXCLUDED)
    if class_id is not None:
        need(scores.ndim > 1, "class_id needs predictions of shape (samples, classes).")
        labels, scores = labels[..., class_id], scores[..., class_id]
    weights = None
    if sample_weight is not None:
        weights = to_tensor(sample_weight)._array().astype(np.float64)
        if weights.ndim == scores.ndim + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        weights = weights.reshape(weights.shape + (1,) * (scores.ndim - weights.ndim))
        weights = np.broadcast_to(weights, scores.shape).ravel()
    return labels.ravel(), scores.ravel(), weights


class _Condition(_Counts):
    """One of the four counts."""

    attribute: str

    @property
    def _pieces(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.attribute,)

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count(*flat_inputs(y_true, y_pred, sample_weight, None, None))

    def value(self) -> Any:
        return self._shown(getattr(self, self.attribute))


class TruePositives(_Condition):
    """How many positives were found."""

    attribute, _direction = "true_positives", "up"


class FalsePositives(_Condition):
    """How many negatives were taken for positives."""

    attribute, _direction = "false_positives", "down"


class TrueNegatives(_Condition):
    """How many negatives were seen as such."""

    attribute, _direction = "true_negatives", "up"


class FalseNegatives(_Condition):
    """How many positives were missed."""

    attribute, _direction = "false_negatives", "down"


class _Ratio(_Counts):
    """What precision and recall share."""

    _direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, 0.5 if top_k is None else _EXCLUDED)
        self.top_k, self.class_id = top_k, class_id

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count(*flat_inputs(y_true, y_pred, sample_weight, self.top_k, self.class_id))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top_k": self.top_k, "class_id": self.class_id}


class Precision(_Ratio):
    """The share of predicted positives that are right.

    Args:
        thresholds: predictions above are positive; one number or several (default 0.5).
        top_k: only the k highest scores of a sample are positive.
        class_id: look at this class only.

    >>> m = Precision()
    >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
    >>> round(m.value(), 4)
    0.6667
    """

    _pieces = ("true_positives", "false_positives")

    def value(self) -> Any:
        return self._shown(over(self.true_positives, self.true_positives + self.false_positives))


class Recall(_Ratio):
    """The share of positives that were found; arguments as of ``Precision``."""

    _pieces = ("true_positives", "false_negatives")

    def value(self) -> Any:
        return self._shown(over(self.true_positives, self.true_positives + self.false_negatives))


class AUC(_Counts):
    """The area under a curve over all thresholds, approximated by ``num_thresholds`` of them.

    Args:
        num_thresholds: points of the curve.
        curve: ``"ROC"`` or ``"PR"``.
        summation_method: ``"interpolation"``, ``"minoring"`` or ``"majoring"``.
        thresholds: the points themselves.
        multi_label: compute each label's area and average them.
        num_labels: how many, with ``multi_label``: stateless methods need it; others find it.
        label_weights: of the labels in that average (or of their predictions).
        from_logits: whether predictions are logits.

    >>> m = AUC(num_thresholds=3)
    >>> m.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    >>> m.value()
    0.75
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        need(num_thresholds > 1, f"AUC: num_thresholds must be above 1, got {num_thresholds}.")
        need(str(curve).upper() in ("ROC", "PR"), f"AUC: unknown curve {curve!r}.")
        methods = ("interpolation", "minoring", "majoring")
        need(str(summation_method) in methods, f"AUC: unknown summation {summation_method!r}.")
        if thresholds is None:
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        else:
            inner = sorted(thresholds)
        super().__init__(None, name, dtype)
        self._inner = None if thresholds is None else inner
        self.thresholds = [-epsilon(), *inner, 1.0 + epsilon()]
        self.num_thresholds = len(self.thresholds)
        self._order = np.arange(self.num_thresholds)
        self.curve, self.summation_method = str(curve).upper(), str(summation_method)
        self.multi_label, self.num_labels = multi_label, num_labels
        self.label_weights = None if label_weights is None else list(label_weights)
        self.from_logits = from_logits
        self._set_state((self.num_thresholds, *((num_labels or 0,) if multi_label else ())))

    @property
    def _pieces(self) -> tuple[str, ...]:  # type: ignore[override]
        return ALL_COUNTS if self.true_positives.size else ()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        scores = to_tensor(y_pred)
        scores = scores.detach().sigmoid() if self.from_logits else scores
        if not self.multi_label:
            labels, flat, weights = flat_inputs(y_true, scores, sample_weight, None, None)
            if self.label_weights is not None:
                factor = np.broadcast_to(np.asarray(self.label_weights), scores.shape).ravel()
                weights = factor if weights is None else weights * factor
            self.count(labels, flat, weights)
            return
        need(len(scores.shape) == 2, "AUC: multi_label needs predictions (samples, labels).")
        found, truth = scores.shape[1], to_tensor(y_true)
        if not self.true_positives.size:
            self._set_state((self.num_thresholds, found))
        known = self.true_positives.shape[1]
        need(known == found, f"AUC: predictions have {found} labels, they had {known} before.")
        for i in range(found):
            self.count(*flat_inputs(truth[:, i], scores[:, i], sample_weight, None, None), i)

    def _holding(self, given: list[Any]) -> Any:
        need(
            self.true_positives.size > 0,
            "AUC: with multi_label, stateless methods need num_labels, too.",
        )
        return super()._holding(given)

    def value(self) -> float:
        areas = self._areas()
        if not self.multi_label or not areas.size:
            return float(areas.sum())
        return float(np.average(areas, weights=self.label_weights))

    def _areas(self) -> Array:
        """The area; of each label, with ``multi_label``."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated()
        recall = over(self.true_positives, self.true_positives + self.false_negatives)
        if self.curve == "ROC":
            x, y = over(self.false_positives, self.false_positives + self.true_negatives), recall
        else:
            x, y = recall, over(self.true_positives, self.true_positives + self.false_positives)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2,
            "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return np.asarray(((x[:-1] - x[1:]) * heights).sum(0))

    def _interpolated(self) -> Array:
        """Davis and Goadrich 2006: between points true positives grow linearly, precision not."""
        tp, p = self.true_positives, self.true_positives + self.false_positives
        dtp, dp = tp[:-1] - tp[1:], p[:-1] - p[1:]
        slope = over(dtp, np.maximum(dp, 0))
        intercept = tp[1:] - slope * p[1:]
        both = (p[:-1] > 0) & (p[1:] > 0)
        ratio = np.where(both, over(p[:-1], np.maximum(p[1:], 0)), 1.0)
        parts = slope * (dtp + intercept * np.log(ratio))
        return np.asarray(over(parts, np.maximum(tp[1:] + self.false_negatives[1:], 0)).sum(0))

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        found.update(
            num_thresholds=self.num_thresholds,
            curve=self.curve,
            summation_method=self.summation_method,
            multi_label=self.multi_label,
            num_labels=self.num_labels,
            label_weights=self.label_weights,
            from_logits=self.from_logits,
            thresholds=self._inner,
        )
        return found
