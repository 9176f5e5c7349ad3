"""Average precision as Pascal VOC counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.inputs import as_array

__all__ = ["voc_average_precision", "voc_evaluate"]

Array = np.ndarray[Any, Any]


def voc_average_precision(recall: Any, precision: Any, use_07_metric: bool = False) -> float:
    """The area under a curve of precision over recall.

    Args:
        recall: rising, (D,).
        precision: at these recalls, (D,).
        use_07_metric: the mean of the best precisions from the recalls 0, 0.1, ..., 1 on, as VOC
            had it up to 2009, not the area under all points.

    Source: M. Everingham et al., "The Pascal visual object classes (VOC) challenge", 2010.

    >>> voc_average_precision([0.5, 1.0], [1.0, 0.5])
    0.75
    >>> round(voc_average_precision([0.5, 1.0], [1.0, 0.5], use_07_metric=True), 4)
    0.7727
    """
    recall, precision = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    if use_07_metric:
        levels = np.arange(0.0, 1.1, 0.1)
        reached = [precision[recall >= level].max(initial=0.0) for level in levels]
        return float(np.mean(reached))
    ends = np.concatenate([[0.0], recall, [1.0]])
    best = np.concatenate([[0.0], precision, [0.0]])
    best = np.maximum.accumulate(best[::-1])[::-1]
    return float((np.diff(ends) * best[1:]).sum())


def voc_evaluate(
    preds: Sequence[Mapping[str, Any]],
    target: Sequence[Mapping[str, Any]],
    iou_threshold: float = 0.5,
    use_07_metric: bool = False,
    inclusive: bool = True,
) -> dict[str, Any]:
    """Mean average precision of boxes over the classes, as VOC's development kit has it.

    Args:
        preds: a dictionary an image: ``boxes`` (N, 4) of left, top, right, bottom; ``scores`` (N,);
            ``labels`` (N,).
        target: a dictionary an image: ``boxes``, ``labels``, and optional ``difficult`` (N,):
            objects that do not count, whether they are found or not.
        iou_threshold: a detection is right if it overlaps more than this with an object.
        use_07_metric: precision at eleven recalls, as up to 2009.
        inclusive: a box has its right column and its bottom row, too, as in VOC's annotations.

    Returns:
        ``"map"``, a float; ``"classes"`` (K,) of those that occur in ``target``;
        ``"ap_per_class"`` (K,), NaN for a class whose objects all are difficult.

    Raises:
        ArgumentError: there are more images of one than of the other.

    >>> preds = [{"boxes": [[0, 0, 9, 9]], "scores": [0.9], "labels": [3]}]
    >>> target = [{"boxes": [[0, 0, 9, 7]], "labels": [3]}]
    >>> voc_evaluate(preds, target)["map"]
    1.0
    """
    if len(preds) != len(target):
        raise ArgumentError(f"voc_evaluate: {len(preds)} images in preds, {len(target)} in target.")
    found = _joined(preds, ("boxes", "labels", "scores"))
    there = _joined(target, ("boxes", "labels", "difficult"))
    classes = np.unique(there["labels"])
    values = []
    for label in classes:
        own = {key: v[there["labels"] == label] for key, v in there.items()}
        hits = {key: v[found["labels"] == label] for key, v in found.items()}
        right, wrong = _matched(hits, own, iou_threshold, float(inclusive))
        wanted = int((own["difficult"] == 0).sum())
        hit, miss = np.cumsum(right), np.cumsum(wrong)
        precision = hit / np.maximum(hit + miss, np.finfo(np.float64).eps)
        area = voc_average_precision(hit / max(wanted, 1), precision, use_07_metric)
        values.append(area if wanted else np.nan)
    known = [v for v in values if not np.isnan(v)]
    mean = float(np.mean(known)) if known else float("nan")
    return {"map": mean, "ap_per_class": np.array(values), "classes": classes}


def _joined(images: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> dict[str, Array]:
    """All images' boxes one after another, with the number of the image."""
    parts: dict[str, list[Array]] = {key: [] for key in (*keys, "image")}
    for number, image in enumerate(images):
        count = len(image["labels"])
        given = {"difficult": np.zeros(count), **image, "image": np.full(count, number)}
        for key, values in parts.items():
            shape = (count, 4) if key == "boxes" else (count,)
            values.append(as_array(given[key]).reshape(shape).astype(np.float64))
    empty = {key: np.zeros((0, 4) if key == "boxes" else (0,)) for key in parts}
    joined = {key: np.concatenate([empty[key], *values]) for key, values in parts.items()}
    return {**joined, "labels": joined["labels"].astype(np.int64)}


def _matched(
    found: dict[str, Array], there: dict[str, Array], threshold: float, pixel: float
) -> tuple[Array, Array]:
    """Which detections of a class are right and which wrong, best first."""
    order = np.argsort(-found["scores"], kind="stable")
    right, wrong = np.zeros(len(order), bool), np.zeros(len(order), bool)
    taken = np.zeros(len(there["image"]), bool)
    of_image: dict[float, Array] = {
        image: np.flatnonzero(there["image"] == image) for image in np.unique(there["image"])
    }
    for place, number in enumerate(order):
        objects = of_image.get(found["image"][number])
        if objects is None:
            wrong[place] = True
            continue
        overlap = _overlap(found["boxes"][number], there["boxes"][objects], pixel)
        best = objects[overlap.argmax()]
        if not overlap.max() > threshold:
            wrong[place] = True
        elif not there["difficult"][best]:
            right[place], wrong[place] = not taken[best], taken[best]
            taken[best] = True
    return right, wrong


def _overlap(box: Array, boxes: Array, pixel: float) -> Array:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = (high - low + pixel).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2] + pixel).prod(1)
    union = (box[2:] - box[:2] + pixel).prod() + areas - common
    return np.divide(common, union, out=np.zeros(len(boxes)), where=union > 0)
