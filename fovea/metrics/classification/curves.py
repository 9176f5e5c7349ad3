"""Decisions at all thresholds: the state of curves, exact or binned, and the curves themselves.

Without ``thresholds`` a metric keeps all scores and its curve is exact; with them it keeps counts
at these thresholds alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions import ranges
from fovea.metrics.inputs import (
    as_array,
    binary_scores,
    choice,
    class_scores,
    divided,
    is_scores,
    probabilities,
    same_shape,
    zeros_and_ones,
)
from fovea.metrics.metric import Metric

__all__ = ["BinaryCurve", "MulticlassCurve", "MultilabelCurve", "precision_recall", "receiver"]

Array = np.ndarray[Any, Any]
Curve = tuple[Array, Array, Array]
Thresholds = int | list[float] | Any | None


def as_thresholds(owner: str, thresholds: Thresholds) -> Array | None:
    """Thresholds as float32: so many from 0 to 1, or those given."""
    if thresholds is None:
        return None
    if isinstance(thresholds, int):
        if thresholds < 2:
            raise ArgumentError(f"{owner}: thresholds is 2 or more, got {thresholds}.")
        return ranges.linspace(0, 1, thresholds)._array().copy()
    values = as_array(thresholds).astype(np.float32)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ArgumentError(f"{owner}: thresholds are numbers in [0, 1].")
    return values


def counts_at(scores: Array, truth: Array, kept: Array, thresholds: Array) -> Array:
    """Counts by threshold, column and (true, found): (T, C, 2, 2), from (M, C) each."""
    columns, order = scores.shape[1], np.argsort(thresholds, kind="stable")
    passed = np.searchsorted(thresholds[order], scores, side="right")
    passed[np.isnan(scores)] = 0
    size = len(thresholds) + 1
    cell = (np.arange(columns) * 2 + truth) * size + passed
    by_cell = np.bincount(cell[kept], minlength=columns * 2 * size).reshape(columns, 2, size)
    found = np.cumsum(by_cell[..., ::-1], -1)[..., ::-1]
    table = np.empty((len(thresholds), columns, 2, 2), np.int64)
    table[order, ..., 1] = np.moveaxis(found[..., 1:], -1, 0)
    table[..., 0] = by_cell.sum(-1) - table[..., 1]
    return table


def ranked(scores: Array, truth: Array) -> Curve:
    """False and true positives at each distinct score, highest first, and the scores."""
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    last = last[last >= 0]
    hits = np.cumsum(truth, dtype=np.int64)[last]
    return 1 + last - hits, hits, scores[last]


def precision_recall(scores: Array, truth: Array, missing: float) -> Curve:
    """Precision and recall at rising thresholds, with the point (1, 0) at the end.

    Args:
        missing: the recall where nothing is positive.
    """
    wrong, hits, thresholds = ranked(scores, truth)
    precision = divided(hits, hits + wrong, np.nan)
    total = hits[-1] if len(hits) else 0
    recall = hits / total if total else np.full(len(hits), missing)
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def receiver(scores: Array, truth: Array) -> Curve:
    """False and true positive rates at falling thresholds, from (0, 0); zeros where undefined."""
    wrong, hits, thresholds = ranked(scores, truth)
    rates = [np.append(0, c) for c in (wrong, hits)]
    rates = [divided(c, c[-1]) for c in rates]
    return rates[0], rates[1], np.append(np.ones(1, scores.dtype), thresholds)


def binned_precision_recall(table: Array) -> tuple[Array, Array]:
    """The same from counts (T, ..., 2, 2): (..., T + 1) each."""
    hits, wrong, missed = table[..., 1, 1], table[..., 0, 1], table[..., 1, 0]
    precision, recall = divided(hits, hits + wrong, np.nan), divided(hits, hits + missed, np.nan)
    end = np.ones((1, *precision.shape[1:]))
    precision, recall = np.concatenate([precision, end]), np.concatenate([recall, 0 * end])
    return np.moveaxis(precision, 0, -1), np.moveaxis(recall, 0, -1)


def binned_receiver(table: Array) -> tuple[Array, Array]:
    """The same from counts (T, ..., 2, 2): (..., T) each."""
    rates = divided(table[..., 1], table.sum(-1))[::-1]
    return np.moveaxis(rates[..., 0], 0, -1), np.moveaxis(rates[..., 1], 0, -1)


def interpolated(x: Array, known: Array, values: Array) -> Array:
    """A broken line through known points, continued beyond its ends."""
    slope = divided(np.diff(values), np.diff(known))
    start = values[:-1] - slope * known[:-1]
    piece = np.searchsorted(known, x, side="right") - 1
    piece = np.clip(piece, 0, len(slope) - 1)
    return slope[piece] * x + start[piece]


def averaged(points: list[Array], values: list[Array]) -> tuple[Array, Array]:
    """The mean of curves over all their points."""
    at = np.sort(np.concatenate(points))
    lines = [interpolated(at, p, v) for p, v in zip(points, values, strict=True)]
    return at, np.mean(lines, axis=0)


class _Curve(Metric):
    """The state: scores and targets, or counts at thresholds."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    thresholds: Array | None
    preds: list[Array]
    target: list[Array]
    confmat: Array

    def _start(
        self,
        thresholds: Thresholds,
        columns: tuple[int, ...],
        ignore_index: int | None,
        validate_args: bool,
    ) -> None:
        self.thresholds = as_thresholds(type(self).__name__, thresholds)
        self.ignore_index, self.validate_args = ignore_index, validate_args
        if self.thresholds is None:
            self.add_state("preds", [], "cat")
            self.add_state("target", [], "cat")
        else:
            shape = (len(self.thresholds), *columns, 2, 2)
            self.add_state("confmat", np.zeros(shape, np.int64), "sum")

    def _add(self, scores: Array, target: Array) -> None:
        self.preds, self.target = [*self.preds, scores.copy()], [*self.target, target.copy()]

    def _count(self, scores: Array, truth: Array, kept: Array | None = None) -> None:
        assert self.thresholds is not None
        kept = np.ones(scores.shape, bool) if kept is None else kept
        table = counts_at(scores, truth, kept, self.thresholds)
        self.confmat = self.confmat + table.reshape(self.confmat.shape)

    def _all(self, columns: tuple[int, ...] = ()) -> tuple[Array, Array]:
        if not self.preds:
            return np.zeros((0, *columns), np.float32), np.zeros((0, *columns), np.int64)
        return np.concatenate(self.preds), np.concatenate(self.target)

    def _columns(self) -> tuple[list[Array], list[Array], list[float]]:
        """Of an exact curve: scores and truth of each column, recall where nothing is positive."""
        raise TypeError(f"{type(self).__name__} has no columns.")

    def precision_recall_curves(self) -> tuple[Any, Any, Any]:
        """Precision, recall and thresholds: lists if exact, arrays (C, T + 1) if binned."""
        if self.thresholds is not None:
            return *binned_precision_recall(self.confmat), self.thresholds
        columns = zip(*self._columns(), strict=True)
        curves = [precision_recall(s, t, missing) for s, t, missing in columns]
        return tuple(list(c) for c in zip(*curves, strict=True))  # type: ignore[return-value]

    def receiver_curves(self) -> tuple[Any, Any, Any]:
        """False and true positive rates and thresholds: lists if exact, arrays if binned."""
        if self.thresholds is not None:
            return *binned_receiver(self.confmat), self.thresholds[::-1]
        scores, truth, _ = self._columns()
        curves = [receiver(s, t) for s, t in zip(scores, truth, strict=True)]
        return tuple(list(c) for c in zip(*curves, strict=True))  # type: ignore[return-value]

    def positives(self) -> Array:
        """How often each column is true."""
        if self.thresholds is not None:
            return self.confmat[0, ..., 1, :].sum(-1)
        return np.array([t.sum() for t in self._columns()[1]])


class BinaryCurve(_Curve):
    """The curve of a binary task.

    Args:
        thresholds: None: exact, all scores are kept; a number: so many from 0 to 1, or a list.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.
        normalization: what makes probabilities of logits, ``"sigmoid"``, ``"softmax"`` or None.
            If all scores lie in [0, 1] they are probabilities.

    Shapes: preds (N, ...) scores, target (N, ...) of 0 and 1.
    """

    def __init__(
        self,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        normalization: str | None = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        choice(type(self).__name__, "normalization", normalization, ("sigmoid", "softmax", None))
        self.normalization = normalization
        self._start(thresholds, (), ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        scores, truth = binary_scores(
            type(self).__name__,
            preds,
            target,
            self.ignore_index,
            self.normalization,
            self.validate_args,
        )
        if self.thresholds is None:
            self._add(scores, truth)
        else:
            self._count(scores[:, None], truth[:, None])

    def _columns(self) -> tuple[list[Array], list[Array], list[float]]:
        scores, truth = self._all()
        return [scores], [truth], [1.0]

    def one_curve(self, kind: str) -> tuple[Any, Any, Any]:
        """The only curve, ``"receiver"`` or ``"precision_recall"``."""
        curves = getattr(self, f"{kind}_curves")()
        return curves if self.thresholds is not None else tuple(c[0] for c in curves)


class MulticlassCurve(_Curve):
    """A curve for each class against the rest.

    Args:
        num_classes: how many classes.
        thresholds: None: exact, all scores are kept; a number: so many from 0 to 1, or a list.
        average: ``"micro"``: one curve of all classes' decisions; ``"macro"``: the mean curve.
        ignore_index: a target that does not count.
        validate_args: kept for torchmetrics' sake; classes are always looked at.

    Shapes: preds (N, C, ...) scores (if any lies outside [0, 1], logits), target (N, ...) classes.
    """

    def __init__(
        self,
        num_classes: int,
        thresholds: Thresholds = None,
        average: str | None = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes, self.average = num_classes, average
        columns = () if average == "micro" else (num_classes,)
        self._start(thresholds, columns, ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        owner = type(self).__name__
        scores, labels = class_scores(owner, preds, target, self.num_classes, self.ignore_index)
        if self.thresholds is None:
            self._add(scores, labels)
            return
        truth = (labels[:, None] == np.arange(self.num_classes)).astype(np.int64)
        if self.average == "micro":
            self._count(scores.reshape(-1, 1), truth.reshape(-1, 1))
        else:
            self._count(scores, truth)

    def _columns(self) -> tuple[list[Array], list[Array], list[float]]:
        scores, labels = self._all()
        scores = scores.reshape(-1, self.num_classes)
        truth = labels[:, None] == np.arange(self.num_classes)
        if self.average == "micro":
            return [scores.reshape(-1)], [truth.reshape(-1)], [1.0]
        return list(scores.T), list(truth.T), [np.nan] * self.num_classes

    def shown(self, curves: tuple[Any, Any, Any], falling: bool) -> tuple[Any, Any, Any]:
        """Curves as ``average`` wants them."""
        first, second, thresholds = curves
        if self.average == "micro":
            return curves if self.thresholds is not None else (first[0], second[0], thresholds[0])
        if self.average != "macro":
            return curves
        if self.thresholds is not None:
            thresholds = [thresholds] * self.num_classes
        at, mean = averaged(list(first), list(second))
        joined = np.sort(np.concatenate(thresholds))
        return at, mean, joined[::-1] if falling else joined


class MultilabelCurve(_Curve):
    """A curve for each label.

    Args:
        num_labels: how many labels.
        thresholds: None: exact, all scores are kept; a number: so many from 0 to 1, or a list.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.

    Shapes: preds (N, L, ...) scores (if any lies outside [0, 1], logits), target (N, L, ...) of 0
        and 1.
    """

    def __init__(
        self,
        num_labels: int,
        thresholds: Thresholds = None,
        ignore_index: int | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self._start(thresholds, (num_labels,), ignore_index, validate_args)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        owner = type(self).__name__
        scores, labels = as_array(preds), as_array(target)
        same_shape(owner, scores, labels)
        if not is_scores(scores) or scores.ndim < 2 or scores.shape[1] != self.num_labels:
            raise ArgumentError(
                f"{owner}: preds are scores (N, {self.num_labels}, ...), got {scores.dtype} "
                f"{scores.shape}."
            )
        if self.validate_args:
            zeros_and_ones(owner, "target", labels, self.ignore_index)
        scores, labels = (
            np.moveaxis(a, 1, -1).reshape(-1, self.num_labels) for a in (scores, labels)
        )
        kept = np.ones(labels.shape, bool)
        if self.ignore_index is not None:
            kept = labels != self.ignore_index
        scores = probabilities(scores)
        truth = np.where(kept, labels == 1, -1)  # what does not count is -1 in the state
        if self.thresholds is None:
            self._add(scores, truth)
        else:
            self._count(scores, np.maximum(truth, 0), kept)

    def _columns(self) -> tuple[list[Array], list[Array], list[float]]:
        scores, labels = self._all((self.num_labels,))
        pairs = [(s[t >= 0], t[t >= 0]) for s, t in zip(scores.T, labels.T, strict=True)]
        return [s for s, _ in pairs], [t for _, t in pairs], [1.0] * self.num_labels

    def together(self) -> tuple[Array, Array] | Array:
        """All labels' decisions as those of one binary task: scores and truth, or counts."""
        if self.thresholds is not None:
            return self.confmat.sum(1)
        scores, labels = self._all((self.num_labels,))
        return scores[labels >= 0], labels[labels >= 0]
