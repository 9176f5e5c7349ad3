"""Overlaps of segmentations: a value an image, and their mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.metrics.inputs import as_array, choice, classes_in_range, divided, is_scores, same_shape
from fovea.metrics.metric import Metric

__all__ = ["DiceScore", "GeneralizedDiceScore", "MeanIoU"]

Array = np.ndarray[Any, Any]
FORMATS = ("one-hot", "index", "mixed")


def one_hot(owner: str, labels: Array, classes: int) -> Array:
    """Classes (N, ...) as masks (N, C, ...).

    Raises:
        LabelError: a class outside [0, classes).
    """
    classes_in_range(owner, "a segmentation", labels, classes)
    number = np.arange(classes).reshape(-1, *[1] * (labels.ndim - 1))
    return np.asarray(labels[:, None] == number)


def as_masks(owner: str, x: Array, classes: int | None, index: bool) -> Array:
    """A segmentation as masks (N, C, ...); scores are taken for the best class."""
    if not index and is_scores(x):
        return one_hot(owner, x.argmax(1), x.shape[1])
    if index:
        if classes is None:
            raise ArgumentError(f"{owner}: num_classes is needed for classes.")
        return one_hot(owner, x, classes)
    return x != 0


def areas(
    owner: str,
    preds: Any,
    target: Any,
    classes: int | None,
    include_background: bool,
    input_format: str,
) -> tuple[Array, Array, Array]:
    """Common, predicted and true pixels of each image and class, (N, C) each."""
    preds, target = as_array(preds), as_array(target)
    by_index = [input_format == "index"] * 2
    if input_format == "mixed":
        if abs(preds.ndim - target.ndim) != 1:
            raise ShapeError(
                f"{owner}: masks (N, C, ...) and classes (N, ...), got {preds.shape} and "
                f"{target.shape}."
            )
        by_index = [preds.ndim < target.ndim, target.ndim < preds.ndim]
        classes = (target if by_index[0] else preds).shape[1]
    if input_format == "index" and preds.ndim < 3 and owner == "MeanIoU":
        preds, target = (a.reshape(1, *[1] * (2 - a.ndim), *a.shape) for a in (preds, target))
    masks = [
        as_masks(owner, x, classes, index)
        for x, index in zip((preds, target), by_index, strict=True)
    ]
    same_shape(owner, *masks)
    if classes is not None and masks[0].shape[1] != classes:
        raise ShapeError(f"{owner}: masks of {classes} classes, got {masks[0].shape[1]}.")
    if not include_background and masks[0].shape[1] > 1:
        masks = [m[:, 1:] for m in masks]
    rest = tuple(range(2, masks[0].ndim))
    counts = (masks[0] & masks[1], *masks)
    return tuple(m.sum(rest, dtype=np.int64) for m in counts)


class _Overlap(Metric):
    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def _start(
        self, num_classes: int | None, include_background: bool, input_format: str
    ) -> int | None:
        """Keep the settings; returns how many classes count."""
        owner = type(self).__name__
        choice(owner, "input_format", input_format, FORMATS)
        if num_classes is not None and num_classes < 1:
            raise ArgumentError(f"{owner}: num_classes is 1 or more, got {num_classes}.")
        if num_classes is None and input_format == "index":
            raise ArgumentError(f"{owner}: num_classes is needed for classes.")
        self.num_classes, self.include_background = num_classes, include_background
        self.input_format = input_format
        if num_classes is None or include_background or num_classes == 1:
            return num_classes
        return num_classes - 1

    def _areas(self, preds: Any, target: Any) -> tuple[Array, Array, Array]:
        owner = type(self).__name__
        settings = (self.num_classes, self.include_background, self.input_format)
        return areas(owner, preds, target, *settings)


class MeanIoU(_Overlap):
    """Intersection over union of each image and class, averaged over those that occur.

    (A class's overlap over all images together is :class:`~fovea.metrics.MulticlassJaccardIndex`.)

    Args:
        num_classes: how many classes; needed for ``input_format="index"``.
        include_background: whether class 0 counts.
        per_class: a value a class; -1 where a class never occurs.
        input_format: ``"one-hot"`` masks (N, C, ...), ``"index"`` classes (N, ...), or ``"mixed"``:
            one of each. Floating point masks are scores: the best class counts.

    >>> MeanIoU(num_classes=2, input_format="index")([[[0, 1]]], [[[1, 1]]])
    tensor(0.2500)
    """

    score: Array
    present: Array

    def __init__(
        self,
        num_classes: int | None = None,
        include_background: bool = True,
        per_class: bool = False,
        input_format: str = "one-hot",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "mean_iou", **kwargs})
        counted = self._start(num_classes, include_background, input_format)
        self.per_class = per_class
        shape = () if counted is None else (counted,)
        self.add_state("score", np.zeros(shape), "sum")
        self.add_state("present", np.zeros(shape, np.int64), "sum")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        common, found, true = self._areas(preds, target)
        union = found + true - common
        self.score = self.score + divided(common, union).sum(0)
        self.present = self.present + (union > 0).sum(0)

    def _load(self, name: str, value: Any) -> None:
        setattr(self, name, as_array(value).copy())  # classes may be as many as the data has

    def compute(self) -> Any:
        """A number, or (C,)."""
        if self.per_class:
            return divided(self.score, self.present, -1.0)
        return divided(self.score.sum(), self.present.sum(), np.nan)


class DiceScore(_Overlap):
    """Twice the common pixels over those of both.

    Args:
        num_classes: how many classes.
        include_background: whether class 0 counts.
        average: over classes: ``"macro"``, ``"micro"``: all pixels together, ``"weighted"`` by true
            pixels, or ``"none"``.
        aggregation_level: ``"samplewise"``: a value an image, and their mean; ``"global"``: pixels
            of all images together.
        input_format: as of :class:`MeanIoU`.

    >>> DiceScore(2, input_format="index")([[[0, 1]]], [[[1, 1]]])
    tensor(0.3333)
    """

    common: Any
    total: Any
    true: Any

    def __init__(
        self,
        num_classes: int,
        include_background: bool = True,
        average: str | None = "macro",
        aggregation_level: str = "samplewise",
        input_format: str = "one-hot",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        counted = self._start(num_classes, include_background, input_format)
        choice("DiceScore", "average", average, ("micro", "macro", "weighted", "none", None))
        choice("DiceScore", "aggregation_level", aggregation_level, ("samplewise", "global"))
        self.average, self.aggregation_level = average, aggregation_level
        for name in ("common", "total", "true"):
            if aggregation_level == "global":
                self.add_state(name, np.zeros((1, counted or 1), np.int64), "sum")
            else:
                self.add_state(name, [], "cat")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        common, found, true = self._areas(preds, target)
        for name, value in (("common", common), ("total", found + true), ("true", true)):
            own = getattr(self, name)
            new = [*own, value] if isinstance(own, list) else own + value.sum(0, keepdims=True)
            setattr(self, name, new)

    def compute(self) -> Any:
        """A number, or (C,); NaN where a class never occurs."""
        if self.aggregation_level != "global" and not self.common:
            return np.asarray(np.nan)
        parts = (self.common, self.total, self.true)
        common, total, true = (np.concatenate(p) if isinstance(p, list) else p for p in parts)
        if self.average == "micro":
            return _mean(divided(2 * common.sum(-1), total.sum(-1), np.nan), 0)
        dice = divided(2 * common, total, np.nan)
        if self.average == "macro":
            dice = _mean(dice, -1)
        elif self.average == "weighted":
            known = ~np.isnan(dice).all(-1)
            weights = divided(true, true.sum(-1, keepdims=True), np.nan)
            dice = np.where(known, np.nansum(dice * weights, -1), np.nan)
        return _mean(dice, 0)


def _mean(values: Array, axis: int) -> Array:
    """The mean of what is known; NaN if nothing is."""
    known = ~np.isnan(values)
    return divided(np.where(known, values, 0).sum(axis), known.sum(axis), np.nan)


class GeneralizedDiceScore(_Overlap):
    """The Dice score in which small classes weigh more, of each image, and its mean over images.

    Source: C. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", 2017.

    Args:
        num_classes: how many classes.
        include_background: whether class 0 counts.
        per_class: a value a class.
        weight_type: a class weighs 1 / pixels² (``"square"``), 1 / pixels (``"simple"``) or 1
            (``"linear"``). One that an image lacks weighs as much as its heaviest.
        input_format: as of :class:`MeanIoU`.

    >>> GeneralizedDiceScore(2, input_format="index")([[[0, 1, 1]]], [[[0, 0, 1]]])
    tensor(0.6667)
    """

    score: Array
    samples: Array

    def __init__(
        self,
        num_classes: int,
        include_background: bool = True,
        per_class: bool = False,
        weight_type: str = "square",
        input_format: str = "one-hot",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        counted = self._start(num_classes, include_background, input_format)
        choice(type(self).__name__, "weight_type", weight_type, ("square", "simple", "linear"))
        self.per_class, self.weight_type = per_class, weight_type
        self.add_state("score", np.zeros((counted or 1,) if per_class else ()), "sum")
        self.add_state("samples", np.zeros((), np.int64), "sum")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        common, found, true = self._areas(preds, target)
        power = {"square": 2, "simple": 1, "linear": 0}[self.weight_type]
        weights = divided(1.0, true.astype(np.float64) ** power)
        heaviest = weights.max(1, keepdims=True, initial=0)
        weights = np.where((true == 0) & (power > 0), heaviest, weights)
        shared, both = 2 * common * weights, (found + true) * weights
        if not self.per_class:
            shared, both = shared.sum(1), both.sum(1)
        self.score = self.score + divided(shared, both).sum(0)
        self.samples = self.samples + len(common)

    def compute(self) -> Any:
        """A number, or (C,)."""
        return divided(self.score, self.samples, np.nan)
