"""Mean average precision of detections, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.metrics.detection import overlaps
from fovea.metrics.detection.matching import Found, Truth, evaluate
from fovea.metrics.detection.summary import mean, numbers, settings
from fovea.metrics.inputs import as_array, choice
from fovea.metrics.metric import Metric
from fovea.vision import rle

__all__ = ["MeanAveragePrecision"]

Array = np.ndarray[Any, Any]
_KEYS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}
_PARTS = ("labels", "box", "mask", "points")


class MeanAveragePrecision(Metric):
    """COCO's mean average precision and recall of detections.

    ``update`` takes a list with a dictionary an image, as torchvision's detectors return and take
    them. Its numbers equal those of pycocotools. (torchmetrics rounds the default thresholds to
    float32, so that of few objects a number may differ in its third digit.)

    Args:
        box_format: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.
        iou_type: ``"bbox"``, ``"segm"``, ``"keypoints"``, or several: then names of results begin
            with the type.
        iou_thresholds: 0.5 to 0.95 in steps of 0.05 by default.
        rec_thresholds: where precision is read, 0 to 1 in steps of 0.01 by default.
        max_detection_thresholds: how many detections of an image and a category count: three
            numbers, [1, 10, 100] by default (of keypoints one, [20]). ``map`` is that of the
            largest.
        class_metrics: also give the numbers of each class.
        extended_summary: also give all of ``precision``, ``recall``, ``scores`` and ``ious``.
        average: ``"macro"``: the mean over classes; ``"micro"``: all objects are of one class.
        sigmas: how far marks of each keypoint scatter; those of COCO's 17 points by default.

    Shapes:
        preds, an image: ``boxes`` (N, 4), ``scores`` (N,), ``labels`` (N,), and ``masks``
            (N, H, W) of 0 and 1 or run lengths of :mod:`fovea.vision.rle`, or ``keypoints``
            (N, K, 3).
        target, an image: the same without scores; optional ``iscrowd`` (N,), ``area`` (N,).

    >>> preds = [{"boxes": [[0.0, 0.0, 10.0, 10.0]], "scores": [0.9], "labels": [1]}]
    >>> target = [{"boxes": [[0.0, 0.0, 10.0, 8.0]], "labels": [1]}]
    >>> metric = MeanAveragePrecision()
    >>> metric.update(preds, target)
    >>> metric.compute()["map"], metric.compute()["map_50"]
    (tensor(0.7000), tensor(1.))
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    detection_labels: list[Array]
    detection_scores: list[Array]
    groundtruth_labels: list[Array]
    groundtruth_crowds: list[Array]
    groundtruth_area: list[Array]

    def __init__(
        self,
        box_format: str = "xyxy",
        iou_type: str | Sequence[str] = "bbox",
        iou_thresholds: Sequence[float] | None = None,
        rec_thresholds: Sequence[float] | None = None,
        max_detection_thresholds: Sequence[int] | None = None,
        class_metrics: bool = False,
        extended_summary: bool = False,
        average: str = "macro",
        *,
        sigmas: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("backend", None)  # torchmetrics' choice of the package that computes
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.iou_type = (iou_type,) if isinstance(iou_type, str) else tuple(iou_type)
        for kind in self.iou_type:
            choice(owner, "iou_type", kind, tuple(_KEYS))
        choice(owner, "box_format", box_format, ("xyxy", "xywh", "cxcywh"))
        choice(owner, "average", average, ("macro", "micro"))
        several = self.iou_type != ("keypoints",)
        if max_detection_thresholds is not None and several and len(max_detection_thresholds) != 3:
            raise ArgumentError(
                f"{owner}: max_detection_thresholds are three numbers, got "
                f"{list(max_detection_thresholds)}."
            )
        self.box_format, self.average = box_format, average
        self.class_metrics, self.extended_summary = class_metrics, extended_summary
        self.iou_thresholds, self.rec_thresholds = iou_thresholds, rec_thresholds
        self.max_detection_thresholds = max_detection_thresholds
        self.sigmas = overlaps.COCO_SIGMAS if sigmas is None else as_array(sigmas)
        for side in ("detection", "groundtruth"):
            for part in _PARTS:
                self.add_state(f"{side}_{part}", [], "cat")
        for name in ("detection_scores", "groundtruth_crowds", "groundtruth_area"):
            self.add_state(name, [], "cat")

    def update(self, preds: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a batch: a dictionary an image in each list.

        Raises:
            ArgumentError: there are more images of one than of the other, or something is missing.
            ShapeError: parts of an image differ in number.
        """
        for name, given in (("preds", preds), ("target", target)):
            if not isinstance(given, Sequence) or not all(isinstance(g, Mapping) for g in given):
                raise ArgumentError(f"MeanAveragePrecision: {name} is a list of dictionaries.")
        if len(preds) != len(target):
            raise ArgumentError(
                f"MeanAveragePrecision: {len(preds)} images in preds, {len(target)} in target."
            )
        read = [
            (self._image(p, "preds", ["scores"]), self._image(t, "target", []))
            for p, t in zip(preds, target, strict=True)
        ]
        for (found, given), (truth, there) in read:
            count = len(truth["labels"])
            found["scores"] = as_array(given["scores"]).reshape(-1).astype(np.float64)
            truth["crowds"] = _listed(there, "iscrowd", count).astype(bool)
            truth["area"] = _listed(there, "area", count).astype(np.float64)
            for side, parts in (("detection", found), ("groundtruth", truth)):
                for part, value in parts.items():
                    getattr(self, f"{side}_{part}").append(value)

    def _image(self, given: Any, name: str, more: list[str]) -> tuple[dict[str, Array], Any]:
        """An image's parts as arrays."""
        needed = ["labels", *more, *(_KEYS[k] for k in self.iou_type)]
        missing = [key for key in needed if key not in given]
        if missing:
            raise ArgumentError(f"MeanAveragePrecision: an image of {name} lacks {missing[0]!r}.")
        counts = {key: len(given[key]) for key in needed}
        if len(set(counts.values())) > 1:
            raise ShapeError(f"MeanAveragePrecision: an image of {name} has {counts}.")
        labels = as_array(given["labels"]).reshape(-1)
        if labels.size and labels.dtype.kind not in "iu":
            raise ArgumentError(f"MeanAveragePrecision: labels are integers, got {labels.dtype}.")
        count = len(labels)
        boxes, masks = np.zeros((count, 4)), np.zeros(0, np.uint8)
        points = np.zeros((count, 0, 3))
        if "boxes" in given and self.iou_type != ("segm",):
            boxes = as_array(given["boxes"]).reshape(-1, 4)
            boxes = _as_xywh(boxes, self.box_format).astype(np.float64)
        if "segm" in self.iou_type:
            masks = _coded(given["masks"])
        if "keypoints" in self.iou_type:
            points = as_array(given["keypoints"]).astype(np.float64).reshape(count, -1, 3)
        parts: dict[str, Array] = {
            "labels": labels.astype(np.int64),
            "box": boxes,
            "mask": masks,
            "points": points,
        }
        return parts, given

    def compute(self) -> Any:
        """``map``, ``map_50``, ``map_75``, ``map_small`` ..., ``mar_1`` ..., ``classes``."""
        classes = np.unique(np.concatenate([*self.detection_labels, *self.groundtruth_labels, []]))
        classes = classes.astype(np.int64)
        result: dict[str, Any] = {}
        for kind in self.iou_type:
            prefix = "" if len(self.iou_type) == 1 else f"{kind}_"
            found = self._of(kind, classes)
            result.update({prefix + key: value for key, value in found.items()})
        return {**result, "classes": np.squeeze(classes)}

    def _of(self, kind: str, classes: Array) -> dict[str, Any]:
        asked = settings(
            kind, self.iou_thresholds, self.rec_thresholds, self.max_detection_thresholds
        )
        micro = self.average == "micro"
        data = self._data(kind, np.zeros(1, np.int64) if micro else classes, micro)
        tables = evaluate(data.truth, data.found, data.overlap, asked, 1 if micro else len(classes))
        result: dict[str, Any] = {
            name: np.float64(value) for name, value in numbers(tables, asked, kind).items()
        }
        if self.extended_summary:
            result |= {n: getattr(tables, n) for n in ("precision", "recall", "scores")}
            result["ious"] = data.tables(asked.most[-1], [0] if micro else classes.tolist())
        by_class: dict[str, Any] = {"map": np.float64(-1), "mar": np.float64(-1)}
        if self.class_metrics:
            if micro:
                data = self._data(kind, classes, False)
                tables = evaluate(data.truth, data.found, data.overlap, asked, len(classes))
            each = range(len(classes))
            by_class["map"] = np.array([mean(tables.precision[:, :, k, 0, -1]) for k in each])
            by_class["mar"] = np.array([mean(tables.recall[:, k, 0, -1]) for k in each])
        result["map_per_class"] = np.squeeze(by_class["map"])
        result[f"mar_{asked.most[-1]}_per_class"] = np.squeeze(by_class["mar"])
        return result

    def _data(self, kind: str, classes: Array, micro: bool) -> _Data:
        """The state as flat arrays."""
        found, truth = (self._side(side, classes, micro) for side in ("detection", "groundtruth"))
        own, area = (side.boxes[:, 2] * side.boxes[:, 3] for side in (found, truth))
        if "segm" in self.iou_type:
            coded = [np.array([rle.area(m) for m in side.masks], float) for side in (found, truth)]
            own, area = own if kind == "bbox" else coded[0], coded[1]
        given = _joined(self.groundtruth_area, (0,))
        area = np.where(given > 0, given, area)
        crowd = _joined(self.groundtruth_crowds, (0,), bool)
        ignored = crowd
        if kind == "keypoints":
            ignored = crowd | ~(truth.points[..., 2] > 0).any(1)
            own = np.ptp(found.points[..., :2], axis=1).prod(-1)
        scores = _joined(self.detection_scores, (0,))
        return _Data(
            kind,
            Truth(truth.image, truth.category, area, crowd, ignored),
            Found(found.image, found.category, own, scores),
            found,
            truth,
            self.sigmas,
            max(len(classes), 1),
        )

    def _side(self, side: str, classes: Array, micro: bool) -> _Side:
        labels = getattr(self, f"{side}_labels")
        image = np.repeat(np.arange(len(labels)), [len(x) for x in labels]).astype(np.int64)
        flat = _joined(labels, (0,), np.int64)
        return _Side(
            image,
            np.zeros_like(flat) if micro else np.searchsorted(classes, flat),
            _joined(getattr(self, f"{side}_box"), (0, 4)),
            [m for text in getattr(self, f"{side}_mask") for m in _read(text)],
            _joined(getattr(self, f"{side}_points"), (0, len(self.sigmas), 3)),
        )


@dataclass(frozen=True)
class _Side:
    """All that was detected, or all that is there."""

    image: Array
    category: Array
    boxes: Array
    masks: list[Any]
    points: Array


@dataclass(frozen=True)
class _Data:
    """Everything seen, as flat arrays, and how two of its shapes overlap."""

    kind: str
    truth: Truth
    found: Found
    detected: _Side
    there: _Side
    sigmas: Array
    categories: int

    def overlap(self, which: Array, thing: Array) -> Array:
        """Of detections and objects, pair by pair."""
        crowd, boxes = self.truth.crowd, self.there.boxes[thing]
        if self.kind == "bbox":
            return overlaps.of_boxes(self.detected.boxes[which], boxes, crowd[thing])
        if self.kind == "keypoints":
            points = self.detected.points[which], self.there.points[thing]
            return overlaps.of_keypoints(*points, boxes, self.truth.area[thing], self.sigmas)
        group = (self.found.image * self.categories + self.found.category)[which]
        found, truth = self.detected.masks, self.there.masks
        return overlaps.of_masks(found, truth, crowd, which, thing, group)

    def tables(self, most: int, classes: list[int]) -> dict[tuple[int, int], Any]:
        """Overlaps (D, G) of each image and class, best detections first; [] if there are none."""
        result: dict[tuple[int, int], Any] = {}
        images = int(max([-1, *self.found.image, *self.truth.image])) + 1
        for image in range(images):
            for k, label in enumerate(classes):
                own = np.flatnonzero((self.found.image == image) & (self.found.category == k))
                own = own[np.argsort(-self.found.score[own], kind="stable")][:most]
                there = np.flatnonzero((self.truth.image == image) & (self.truth.category == k))
                if not len(own) or not len(there):
                    result[image, label] = []
                    continue
                flat = self.overlap(np.repeat(own, len(there)), np.tile(there, len(own)))
                result[image, label] = flat.reshape(len(own), len(there))
        return result


def _listed(given: Any, key: str, count: int) -> Array:
    """An optional number an object, 0 if it is not given."""
    values = as_array(given[key]).reshape(-1) if key in given else np.zeros(count)
    if len(values) != count:
        raise ShapeError(f"MeanAveragePrecision: {len(values)} of {key!r} for {count} objects.")
    return values


def _joined(parts: Sequence[Array], empty: tuple[int, ...], dtype: Any = np.float64) -> Array:
    filled = [p for p in parts if len(p)]
    return np.concatenate(filled).astype(dtype) if filled else np.zeros(empty, dtype)


def _as_xywh(boxes: Array, box_format: str) -> Array:
    corner, size = boxes[:, :2], boxes[:, 2:]
    if box_format == "xyxy":
        size = size - corner
    if box_format == "cxcywh":
        corner = corner - 0.5 * size
    return np.concatenate([corner, size], 1)


def _coded(masks: Any) -> Array:
    """Masks of an image as the text of their run lengths: a line each."""
    if not (isinstance(masks, Sequence) and all(isinstance(m, Mapping) for m in masks)):
        pixels = as_array(masks)
        if pixels.ndim != 3 and pixels.size:
            raise ShapeError(f"MeanAveragePrecision: masks are (N, H, W), got {pixels.shape}.")
        masks = [rle.encode(m) for m in pixels] if pixels.ndim == 3 else []
    lines = []
    for mask in masks:
        height, width = (int(v) for v in mask["size"])
        counts = mask["counts"]
        if not isinstance(counts, str | bytes):
            counts = rle.from_counts(counts, height, width)["counts"]
        counts = counts.decode("ascii") if isinstance(counts, bytes) else counts
        lines.append(f"{height} {width} {counts}")
    return np.frombuffer("\n".join(lines).encode("ascii"), np.uint8)


def _read(text: Array) -> list[dict[str, Any]]:
    """Masks from the text of their run lengths."""
    lines = bytes(text).decode("ascii").split("\n") if len(text) else []
    parts = [line.split(" ", 2) for line in lines]
    return [{"size": [int(h), int(w)], "counts": counts} for h, w, counts in parts]
