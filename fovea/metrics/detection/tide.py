"""What a detector's errors are and what each kind costs.

Source: D. Bolya et al., "TIDE: a general toolbox for identifying object detection errors", 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.inputs import as_array

__all__ = ["ErrorBreakdown", "tide_evaluate"]

Array = np.ndarray[Any, Any]
_RIGHT, _IGNORED = "right", "ignored"
_WRONG = ("classification", "localization", "both", "duplicate", "background")
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ErrorBreakdown:
    """How often each kind of error occurs, and by how much average precision would rise without it.

    Attributes:
        ap: the mean over classes of average precision at the threshold, in [0, 1].
        counts: detections of each kind of error, and objects that were missed.
        costs: for each kind how much higher ``ap`` would be, were these errors mended and no
            others. They do not add up: errors hide one another.
        false_positives: how much higher without any detection that is wrong.
        false_negatives: how much higher if only the objects that were found were there.
    """

    ap: float
    counts: dict[str, int]
    costs: dict[str, float]
    false_positives: float
    false_negatives: float

    def __str__(self) -> str:
        rows = [f"AP {self.ap:.4f}"]
        rows += [f"  {name:<15}{self.counts[name]:>8,}  +{cost:.4f}"
                 for name, cost in self.costs.items()]  # fmt: skip
        rows.append(f"  false positives         +{self.false_positives:.4f}")
        rows.append(f"  false negatives         +{self.false_negatives:.4f}")
        return "\n".join(rows)


@dataclass
class _All:
    """Detections and objects of all images, one after another.

    Args:
        score, label, kind: of detections.
        aim: the object that a detection meets, or would if its error were mended; -1: none.
        truth: the objects' classes.
        met: whether a detection meets them.
    """

    score: list[float] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    aim: list[int] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    met: list[bool] = field(default_factory=list)


def tide_evaluate(
    preds: Sequence[Mapping[str, Any]],
    target: Sequence[Mapping[str, Any]],
    iou_threshold: float = 0.5,
    background_threshold: float = 0.1,
    max_detections: int = 100,
) -> ErrorBreakdown:
    """Tell a detector's errors apart: of class, of place, of both, found twice, nothing there, and
    objects missed.

    A detection that meets no object of its class is, in this order,

    - ``"localization"``: of the right class, overlapping from ``background_threshold`` up to
      ``iou_threshold``;
    - ``"classification"``: overlapping enough with an object of another class;
    - ``"duplicate"``: overlapping enough with an object that a better detection met;
    - ``"background"``: overlapping with nothing by more than ``background_threshold``;
    - ``"both"``: of the wrong class, and in the wrong place.

    An object is ``"missed"`` if no detection meets it and none would whose class or place were
    mended.

    Args:
        preds: a dictionary an image: ``boxes`` (N, 4) of left, top, right, bottom; ``scores`` (N,);
            ``labels`` (N,).
        target: a dictionary an image: ``boxes``, ``labels``, and optional ``iscrowd`` (N,): crowds
            do not count, nor do detections within them.
        iou_threshold: overlap from which on a detection meets an object.
        background_threshold: overlap up to which there is nothing.
        max_detections: the best of an image that count.

    Raises:
        ArgumentError: there are more images of one than of the other, or thresholds out of order.

    >>> preds = [{"boxes": [[0, 0, 9, 9], [20, 20, 30, 30]], "scores": [0.9, 0.8],
    ...           "labels": [1, 1]}]
    >>> target = [{"boxes": [[0, 0, 9, 8], [20, 20, 30, 30]], "labels": [1, 2]}]
    >>> found = tide_evaluate(preds, target)
    >>> found.ap, found.counts["classification"], found.costs["classification"]
    (0.5, 1, 0.5)
    """
    if len(preds) != len(target):
        raise ArgumentError(
            f"tide_evaluate: {len(preds)} images in preds, {len(target)} in target."
        )
    if not 0 <= background_threshold <= iou_threshold <= 1:
        raise ArgumentError(
            f"tide_evaluate: 0 <= background_threshold <= iou_threshold <= 1, got "
            f"{background_threshold} and {iou_threshold}."
        )
    everything = _All()
    for found, there in zip(preds, target, strict=True):
        _add_image(everything, found, there, iou_threshold, background_threshold, max_detections)
    return _costs(everything)


def _add_image(
    into: _All,
    found: Mapping[str, Any],
    there: Mapping[str, Any],
    right_from: float,
    nothing_to: float,
    most: int,
) -> None:
    boxes, scores = _boxes(found), as_array(found["scores"]).reshape(-1)
    labels = as_array(found["labels"]).reshape(-1)
    order = np.argsort(-scores, kind="stable")[:most]
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    crowd = as_array(there.get("iscrowd", np.zeros(len(there["labels"])))).reshape(-1) != 0
    objects, classes = _boxes(there), as_array(there["labels"]).reshape(-1)
    common, area, other = _common(boxes, objects)
    within = np.divide(common, area, out=np.zeros_like(common), where=area > 0)[:, crowd]
    union = area + other - common
    overlap = np.divide(common, union, out=np.zeros_like(common), where=union > 0)[:, ~crowd]
    alike = labels[:, None] == classes[None, ~crowd]
    first, count = len(into.truth), overlap.shape[1]
    taken = np.full(count, -1)
    met = _matched(overlap, alike, right_from, taken)
    in_crowd = (within >= right_from) & (labels[:, None] == classes[None, crowd])
    for number in range(len(labels)):
        if met[number] >= 0:
            kind, aim = _RIGHT, int(met[number])
        elif in_crowd[number].any():
            kind, aim = _IGNORED, -1
        else:
            kind, aim = _error(overlap[number], alike[number], taken >= 0, right_from, nothing_to)
        into.score.append(float(scores[number]))
        into.label.append(int(labels[number]))
        into.kind.append(kind)
        into.aim.append(first + aim if aim >= 0 else -1)
    into.truth += [int(c) for c in classes[~crowd]]
    into.met += (taken >= 0).tolist()


def _boxes(image: Mapping[str, Any]) -> Array:
    return as_array(image["boxes"]).reshape(-1, 4).astype(np.float64)


def _common(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The areas that boxes share (A, B), and their own (A, B) each."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).clip(0).prod(1) for x in (a, b)]
    shape = common.shape
    return common, np.broadcast_to(areas[0][:, None], shape), np.broadcast_to(areas[1], shape)


def _matched(overlap: Array, alike: Array, right_from: float, taken: Array) -> list[int]:
    """The object that each detection meets, best first, or -1; ``taken`` is by which."""
    met = []
    for number in range(len(overlap)):
        free = np.where(alike[number] & (taken < 0), overlap[number], -1.0)
        best = int(free.argmax()) if len(free) else -1
        if best < 0 or free[best] < right_from:
            met.append(-1)
            continue
        taken[best] = number
        met.append(best)
    return met


def _error(
    overlap: Array, alike: Array, taken: Array, right_from: float, nothing_to: float
) -> tuple[str, int]:
    """The kind of a wrong detection's error, and the object that it would meet without it."""
    if not len(overlap):
        return "background", -1
    own = np.where(alike, overlap, 0.0)
    if nothing_to <= own.max() < right_from and own.max() > 0:
        return "localization", int(own.argmax())
    other = np.where(alike, 0.0, overlap)
    if other.max() >= right_from:
        return "classification", int(other.argmax())
    if np.where(alike & taken, overlap, 0.0).max() >= right_from:
        return "duplicate", -1
    return ("background" if overlap.max() <= nothing_to else "both"), -1


def _costs(every: _All) -> ErrorBreakdown:
    kind, label = np.array(every.kind, object), np.array(every.label, np.int64)
    score, truth = np.array(every.score), np.array(every.truth, np.int64)
    aim, met = np.array(every.aim, np.int64), np.array(every.met, bool)
    right = kind == _RIGHT
    counted = kind != _IGNORED
    classes = np.unique(truth)

    def mean(right: Array, counted: Array, label: Array, wanted: Array) -> float:
        found = []
        for number in classes:
            own = counted & (label == number)
            there = int((wanted == number).sum())
            if there or own.any():
                found.append(_average_precision(score[own], right[own], there))
        return float(np.mean(found)) if found else float("nan")

    base = mean(right, counted, label, truth)
    mendable = (kind == "classification") | (kind == "localization")
    best = _best_for_each(mendable, aim, score, met)
    costs = {}
    for name in _WRONG:
        wrong = kind == name
        mended, kept, named = right, counted & ~wrong, label
        fixed = wrong & best
        if fixed.any():
            mended, kept, named = right | fixed, kept | fixed, label.copy()
            named[fixed] = truth[aim[fixed]]
        costs[name] = max(mean(mended, kept, named, truth) - base, 0.0)
    missed = ~met & ~np.isin(np.arange(len(truth)), aim[mendable])
    costs["missed"] = max(mean(right, counted, label, truth[~missed]) - base, 0.0)
    counts = {name: int((kind == name).sum()) for name in _WRONG} | {"missed": int(missed.sum())}
    without_wrong = mean(right, counted & right, label, truth) - base
    without_missed = mean(right, counted, label, truth[met]) - base
    return ErrorBreakdown(base, counts, costs, without_wrong, without_missed)


def _best_for_each(wrong: Array, aim: Array, score: Array, met: Array) -> Array:
    """Of the wrong detections those that would be right if mended: the best for each object that
    none meets, whether its class is wrong or its place.
    """
    best = np.zeros(len(wrong), bool)
    taken: set[int] = set()
    for number in np.argsort(-score, kind="stable"):
        if wrong[number] and not met[aim[number]] and int(aim[number]) not in taken:
            taken.add(int(aim[number]))
            best[number] = True
    return best


def _average_precision(score: Array, right: Array, there: int) -> float:
    """The mean of the best precisions from 101 recalls on, as COCO has it."""
    if not there or not len(score):
        return 0.0
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(right[order])
    recall, precision = hits / there, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, _RECALLS - 1e-12, side="left")
    reached = place < len(precision)
    return float(precision[place[reached]].sum() / len(_RECALLS))
