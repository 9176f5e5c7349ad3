"""Counts of right and wrong decisions, and how they are averaged over classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.inputs import binary_labels, choice, class_labels, divided
from fovea.metrics.metric import Metric

__all__ = ["BinaryCounted", "Counts", "MulticlassCounted", "MultilabelCounted"]

Array = np.ndarray[Any, Any]
AVERAGES = ("micro", "macro", "weighted", "none", None)


class Counts(NamedTuple):
    """Decisions by their truth, each an array (..., C), or (...) of a binary task."""

    tp: Array
    fp: Array
    tn: Array
    fn: Array

    def summed(self) -> Counts:
        """Over classes."""
        return Counts(*(c.sum(-1) for c in self))


class Counted(Metric):
    """What follows from counts: a subclass gives ``ratio``, the numerator and the denominator."""

    is_differentiable = False
    higher_is_better: bool | None = True
    full_state_update = False
    one_of_many = False  # a sample has one class
    absent_by_support = True  # with top_k, a class without samples is left out of means

    def __init__(
        self,
        shape: tuple[int, ...],
        average: str | None,
        multidim_average: str,
        ignore_index: int | None,
        validate_args: bool,
        zero_division: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        choice(owner, "multidim_average", multidim_average, ("global", "samplewise"))
        choice(owner, "zero_division", zero_division, (0, 1))
        if average != "binary":
            choice(owner, "average", average, AVERAGES)
        self.average, self.multidim_average = average, multidim_average
        self.ignore_index, self.validate_args = ignore_index, validate_args
        self.zero_division = zero_division
        self.samplewise = multidim_average == "samplewise"
        for name in Counts._fields:
            if self.samplewise:
                self.add_state(name, [], "cat")
            else:
                self.add_state(name, np.zeros(shape, np.int64), "sum")
        self._shape = shape

    def _add(self, counts: Counts) -> None:
        for name, value in counts._asdict().items():
            own = getattr(self, name)
            setattr(self, name, [*own, value] if self.samplewise else own + value)

    def counts(self) -> Counts:
        """The state as arrays."""
        values = [getattr(self, name) for name in Counts._fields]
        if self.samplewise:
            empty = np.zeros((0, *self._shape), np.int64)
            values = [np.concatenate(v) if v else empty for v in values]
        return Counts(*values)

    def ratio(self, c: Counts) -> tuple[Array, Array]:
        """What is divided by what."""
        raise TypeError(f"{type(self).__name__} does not say what is divided by what.")

    def score(self, c: Counts) -> Array:
        """Of each class."""
        return divided(*self.ratio(c), self.zero_division)

    def compute(self) -> Any:
        """A number, or (C,); samplewise (N,) or (N, C)."""
        counts = self.counts()
        if self.average == "binary":
            return self.score(counts)
        if self.average == "micro":
            return self.score(counts.summed())
        score = self.score(counts)
        if self.average in (None, "none"):
            return score
        support = counts.tp + counts.fn
        if self.average == "weighted":
            weights = support
        elif not self.one_of_many:
            weights = np.ones_like(support)
        else:
            by_support = self.absent_by_support and getattr(self, "top_k", 1) != 1
            weights = (support if by_support else support + counts.fp) > 0
        return (divided(weights, weights.sum(-1, keepdims=True)) * score).sum(-1)


def counted(chosen: Array, truth: Array, kept: Array, axes: tuple[int, ...]) -> Counts:
    """Counts of boolean decisions over axes."""
    tp, fp = chosen & truth & kept, chosen & ~truth & kept
    tn, fn = ~chosen & ~truth & kept, ~chosen & truth & kept
    return Counts(*(c.sum(axes, dtype=np.int64) for c in (tp, fp, tn, fn)))


def needs_more_axes(owner: str, samplewise: bool, ndim: int, least: int) -> None:
    """Check that samples have something to count over."""
    if samplewise and ndim < least:
        raise ArgumentError(f"{owner}: multidim_average='samplewise' needs {least} axes or more.")


class BinaryCounted(Counted):
    """Counts of two classes.

    Args:
        threshold: scores above are positive.
        multidim_average: ``"global"``, or ``"samplewise"``: a value a sample.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.
        zero_division: the value of 0 / 0, 0 or 1.

    Shapes: preds (N, ...), scores or 0 and 1; if any score is outside [0, 1] all are taken for
    logits. target (N, ...) of 0 and 1.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        rest = (multidim_average, ignore_index, validate_args, zero_division)
        super().__init__((), "binary", *rest, **kwargs)
        self.threshold = _checked_threshold(self, threshold)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        owner = type(self).__name__
        chosen, truth, kept = binary_labels(
            owner, preds, target, self.threshold, self.ignore_index, self.validate_args
        )
        needs_more_axes(owner, self.samplewise, chosen.ndim, 2)
        axes = tuple(range(1 if self.samplewise else 0, chosen.ndim))
        self._add(counted(chosen, truth, kept, axes))


class MultilabelCounted(Counted):
    """Counts of labels that each apply or not.

    Args:
        num_labels: how many labels.
        threshold: scores above mean that a label applies.
        average: ``"micro"``: all labels counted together; ``"macro"``: the mean over labels;
            ``"weighted"`` by how often a label applies; ``"none"``: a value a label.
        multidim_average: ``"global"``, or ``"samplewise"``: a value a sample.
        ignore_index: a target that does not count.
        validate_args: look whether labels are 0 and 1.
        zero_division: the value of 0 / 0, 0 or 1.

    Shapes: preds (N, L, ...), scores or 0 and 1; target (N, L, ...) of 0 and 1.
    """

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        rest = (multidim_average, ignore_index, validate_args, zero_division)
        super().__init__((num_labels,), average, *rest, **kwargs)
        self.num_labels, self.threshold = num_labels, _checked_threshold(self, threshold)

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
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
        rest = tuple(range(2, chosen.ndim))
        self._add(counted(chosen, truth, kept, rest if self.samplewise else (0, *rest)))


class MulticlassCounted(Counted):
    """Counts of classes of which a sample has one.

    Args:
        num_classes: how many classes; needed unless all is counted together.
        top_k: a sample's class is found if it is among the k highest scores.
        average: ``"micro"``: all classes counted together; ``"macro"``: the mean over classes that
            occur; ``"weighted"`` by how often a class is true; ``"none"``: a value a class.
        multidim_average: ``"global"``, or ``"samplewise"``: a value a sample.
        ignore_index: a target that does not count.
        validate_args: kept for torchmetrics' sake; classes are always looked at.
        zero_division: the value of 0 / 0, 0 or 1.

    Shapes: preds (N, C, ...) of scores, or (N, ...) of classes; target (N, ...) of classes.
    """

    one_of_many = True

    def __init__(
        self,
        num_classes: int | None = None,
        top_k: int = 1,
        average: str | None = "macro",
        multidim_average: str = "global",
        ignore_index: int | None = None,
        validate_args: bool = True,
        zero_division: float = 0,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        if num_classes is None and (average != "micro" or top_k != 1):
            raise ArgumentError(f"{owner}: num_classes is needed unless average='micro'.")
        if num_classes is not None and num_classes < 2:
            raise ArgumentError(f"{owner}: num_classes is 2 or more, got {num_classes}.")
        if top_k < 1 or (num_classes or top_k) < top_k:
            raise ArgumentError(f"{owner}: top_k={top_k} of {num_classes} classes.")
        rest = (multidim_average, ignore_index, validate_args, zero_division)
        super().__init__((num_classes or 1,), average, *rest, **kwargs)
        self.num_classes, self.top_k = num_classes, top_k

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        owner = type(self).__name__
        chosen, truth, kept = class_labels(
            owner, preds, target, self.num_classes, self.ignore_index, self.top_k
        )
        needs_more_axes(owner, self.samplewise, chosen.ndim, 2)
        if self.num_classes is None:
            axes = tuple(range(1 if self.samplewise else 0, chosen.ndim))
            right = ((chosen == truth) & kept).sum(axes)[..., None]
            wrong = kept.sum(axes)[..., None] - right
            self._add(Counts(right, wrong, np.zeros_like(right) - wrong, wrong))
            return
        self._add(self._by_class(chosen, truth, kept))

    def _by_class(self, chosen: Array, truth: Array, kept: Array) -> Counts:
        classes = self._shape[0]
        samples = chosen.shape[0] if self.samplewise else 1
        group = np.zeros(kept.shape, np.int64)
        if self.samplewise:
            group += np.arange(samples).reshape(-1, *[1] * (chosen.ndim - 1))
        group, chosen, truth = group[kept] * classes, chosen[kept], truth[kept]
        size = samples * classes
        hit = chosen == truth
        tp = np.bincount((group + truth)[hit], minlength=size)
        positive = np.bincount(group + truth, minlength=size)
        found = np.bincount(group + chosen, minlength=size)
        tp, positive, found = (c.reshape(samples, classes) for c in (tp, positive, found))
        total = positive.sum(1, keepdims=True)
        counts = Counts(tp, found - tp, total - positive - found + tp, positive - tp)
        return counts if self.samplewise else Counts(*(c[0] for c in counts))


def _checked_threshold(metric: Metric, threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise ArgumentError(f"{type(metric).__name__}: threshold is in [0, 1], got {threshold}.")
    return threshold
