"""COCO's evaluation of results against its annotations."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, FoveaError
from fovea.metrics.detection import overlaps
from fovea.metrics.detection.matching import Found, Tables, Truth, evaluate
from fovea.metrics.detection.summary import numbers, settings
from fovea.metrics.inputs import choice
from fovea.vision import rle

__all__ = ["CocoEvaluation", "coco_evaluate"]

Array = np.ndarray[Any, Any]
IOU_TYPES = ("bbox", "segm", "keypoints")


@dataclass(frozen=True)
class CocoEvaluation:
    """What an evaluation found; -1 where nothing is to be found.

    Args:
        numbers: COCO's twelve numbers (ten of keypoints) by name, in COCO's order.
        precision: (thresholds, recalls, categories, areas, numbers of detections).
        recall: (thresholds, categories, areas, numbers of detections).
        scores: the scores at which recalls are reached, as ``precision``.
        categories: the categories' ids.
    """

    numbers: dict[str, float]
    precision: Array
    recall: Array
    scores: Array
    categories: list[int]

    @property
    def stats(self) -> Array:
        """The numbers as an array, in COCO's order."""
        return np.array(list(self.numbers.values()))

    def __str__(self) -> str:
        width = max(len(name) for name in self.numbers)
        return "\n".join(f"{name:<{width}}  {v:6.3f}" for name, v in self.numbers.items())


def coco_evaluate(
    annotations: Any,
    results: Any,
    iou_type: str = "bbox",
    *,
    iou_thresholds: Any = None,
    recall_thresholds: Any = None,
    max_detections: Any = None,
    use_categories: bool = True,
    categories: Any = None,
    images: Any = None,
    sigmas: Any = None,
) -> CocoEvaluation:
    """Evaluate results in COCO's format, number by number as COCO's own tools do.

    Args:
        annotations: a COCO annotation file, or what it holds: ``images``, ``categories`` and
            ``annotations``.
        results: a COCO result file, or what it holds: a list of dictionaries with ``image_id``,
            ``category_id``, ``score`` and ``bbox`` (left, top, width, height), ``segmentation``
            (run lengths) or ``keypoints``.
        iou_type: ``"bbox"``, ``"segm"`` or ``"keypoints"``.
        iou_thresholds: 0.5 to 0.95 in steps of 0.05 by default.
        recall_thresholds: where precision is read, 0 to 1 in steps of 0.01 by default.
        max_detections: how many detections of an image and a category count; 1, 10 and 100 by
            default, 20 of keypoints.
        use_categories: False: an object may be met by a detection of any category.
        categories: ids of those to look at, all by default.
        images: ids of those to look at, all by default.
        sigmas: how far marks of each keypoint scatter; those of COCO's 17 points by default.

    Raises:
        FileFormatError: a file that is no COCO file, or an entry that lacks what is needed.
        ArgumentError: a result of an image that the annotations lack.

    >>> thing = {"image_id": 1, "category_id": 7, "bbox": [10, 10, 40, 40], "area": 1600}
    >>> truth = {"images": [{"id": 1}], "categories": [{"id": 7}], "annotations": [thing]}
    >>> found = [{"image_id": 1, "category_id": 7, "bbox": [10, 10, 40, 38], "score": 0.9}]
    >>> evaluation = coco_evaluate(truth, found)
    >>> round(evaluation.numbers["map"], 3), round(evaluation.numbers["map_50"], 3)
    (1.0, 1.0)
    """
    choice("coco_evaluate", "iou_type", iou_type, IOU_TYPES)
    held = _read(annotations, dict, "annotations")
    listed = _read(results, list, "results")
    try:
        sizes = {i["id"]: (i.get("height"), i.get("width")) for i in held.get("images", [])}
        ids = sorted(c["id"] for c in held.get("categories", []))
        chosen = sorted(set(ids if categories is None else categories))
        looked_at = sorted(set(sizes if images is None else images))
        strange = {r["image_id"] for r in listed} - set(sizes)
        if strange:
            raise ArgumentError(
                f"coco_evaluate: the annotations have no image {sorted(strange)[0]!r}."
            )
        place = {i: n for n, i in enumerate(looked_at)}
        number = {c: n for n, c in enumerate(chosen)}
        both = [
            [e for e in entries if e["image_id"] in place and e["category_id"] in number]
            for entries in (held.get("annotations", []), listed)
        ]
        if not use_categories:  # those of one category after those of another
            both = [sorted(es, key=lambda e: number[e["category_id"]]) for es in both]
            number = dict.fromkeys(number, 0)
        images_of = [np.array([place[e["image_id"]] for e in es], np.int64) for es in both]
        kinds = [np.array([number[e["category_id"]] for e in es], np.int64) for es in both]
        return _evaluated(
            both,
            images_of,
            kinds,
            sizes,
            chosen if use_categories else [-1],
            iou_type,
            settings(iou_type, iou_thresholds, recall_thresholds, max_detections),
            overlaps.COCO_SIGMAS if sigmas is None else np.asarray(sigmas, np.float64),
        )
    except FoveaError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"coco_evaluate: an entry is not COCO's: {error!r}.") from error


def _read(given: Any, kind: type, what: str) -> Any:
    if isinstance(given, str | os.PathLike):
        try:
            with open(given, encoding="utf-8") as file:
                given = json.load(file)
        except ValueError as error:
            raise FileFormatError(f"coco_evaluate: {what} are no JSON: {error}") from error
    if not isinstance(given, kind):
        raise FileFormatError(f"coco_evaluate: {what} are a {kind.__name__}, got {type(given)}.")
    return given


def _evaluated(
    both: list[list[Any]],
    images: list[Array],
    kinds: list[Array],
    sizes: dict[Any, Any],
    categories: list[int],
    iou_type: str,
    asked: Any,
    sigmas: Array,
) -> CocoEvaluation:
    things, hits = both
    crowd = np.array([bool(t.get("iscrowd", 0)) for t in things], bool)
    ignored = crowd
    area = np.array([t["area"] for t in things], np.float64)
    score = np.array([h["score"] for h in hits], np.float64)
    boxes = [
        np.array([e.get("bbox", [0] * 4) for e in es], np.float64).reshape(-1, 4)
        for es in (things, hits)
    ]
    if iou_type == "bbox":
        own = boxes[1][:, 2] * boxes[1][:, 3]

        def overlap(which: Array, thing: Array) -> Array:
            return overlaps.of_boxes(boxes[1][which], boxes[0][thing], crowd[thing])

    elif iou_type == "segm":
        masks = [
            [as_mask(e["segmentation"], sizes[e["image_id"]]) for e in es] for es in (things, hits)
        ]
        own = np.array([rle.area(m) for m in masks[1]], np.float64)
        group = images[1] * len(categories) + kinds[1]

        def overlap(which: Array, thing: Array) -> Array:
            return overlaps.of_masks(masks[1], masks[0], crowd, which, thing, group[which])

    else:
        points = [
            np.array([e["keypoints"] for e in es], np.float64).reshape(len(es), -1, 3)
            if es
            else np.zeros((0, len(sigmas), 3))
            for es in (things, hits)
        ]
        xy = points[1][..., :2]
        own = np.ptp(xy, axis=1).prod(-1) if len(xy) else np.zeros(0)
        marked = np.array([t["num_keypoints"] for t in things], np.int64)
        ignored = crowd | (marked == 0)

        def overlap(which: Array, thing: Array) -> Array:
            return overlaps.of_keypoints(
                points[1][which], points[0][thing], boxes[0][thing], area[thing], sigmas
            )

    tables: Tables = evaluate(
        Truth(images[0], kinds[0], area, crowd, ignored),
        Found(images[1], kinds[1], own, score),
        overlap,
        asked,
        len(categories),
    )
    named = numbers(tables, asked, iou_type)
    return CocoEvaluation(named, tables.precision, tables.recall, tables.scores, categories)


def as_mask(segmentation: Any, size: tuple[Any, Any]) -> Any:
    """A segmentation of COCO's, polygons or run lengths, as a run-length mask."""
    if isinstance(segmentation, dict):
        return segmentation
    if None in size:
        raise KeyError("height")
    return rle.from_polygons(segmentation, int(size[0]), int(size[1]))
