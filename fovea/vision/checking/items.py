"""The samples of data sets as checks see them: a file, its labels and boxes, without its pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fovea.errors import FoveaError
from fovea.vision.checking.layouts import names_of_masks
from fovea.vision.datasets import (
    CityscapesSegmentation,
    CocoDetection,
    DatasetFolder,
    ImageTable,
    SceneParse150,
    SegmentationFolder,
    VOCDetection,
    VOCSegmentation,
    YOLODetection,
)
from fovea.vision.datasets.outlines import MarkedDataset
from fovea.vision.datasets.voc import parse_voc_xml
from fovea.vision.datasets.yolo import read_rows

__all__ = ["Item", "items_of"]

Array = np.ndarray[Any, Any]


@dataclass
class Item:
    """A sample.

    Args:
        path: of the image.
        classes: the names of its class, or of its objects' classes.
        boxes: (N, 4) as (x1, y1, x2, y2): in pixels, or ``relative`` to the image; None: the set
            has no boxes.
        relative: whether boxes are in parts of the image.
        size: the width and height that the annotation states, if it does.
        problem: why the annotation cannot be read.
        wrong: what is wrong with single objects: kinds of findings, and what is said of each.
        mask: the file of the classes of pixels, and a function that reads it as a PIL image.
        names: the names of these classes, if they are known.
        content: the picture itself, where the annotation file (which is then ``path``) holds it.
    """

    path: str
    classes: list[str]
    boxes: Array | None = None
    relative: bool = False
    size: tuple[int, int] | None = None
    problem: str | None = None
    wrong: list[tuple[str, str]] = field(default_factory=list)
    mask: tuple[str, Callable[[], Any]] | None = None
    names: list[str] | None = None
    content: bytes | None = None


def items_of(dataset: Any) -> list[Item]:
    """The samples of a data set of images with classes, boxes or masks.

    Raises:
        TypeError: another kind of data set.
    """
    for kind, read in _READERS.items():
        if isinstance(dataset, kind):
            return list(read(dataset))
    known = ", ".join(kind.__name__ for kind in _READERS)
    raise TypeError(f"lint: {type(dataset).__name__} is not known; these are: {known}.")


def _of_folder(dataset: DatasetFolder) -> Iterator[Item]:
    for path, label in dataset.samples:
        yield Item(path, [dataset.classes[label]])


def _of_table(dataset: ImageTable) -> Iterator[Item]:
    for path, label in dataset.samples:
        named = isinstance(label, int) and 0 <= label < len(dataset.classes)
        yield Item(path, [dataset.classes[label]] if named else [])


def _of_masks(
    dataset: SegmentationFolder | VOCSegmentation | CityscapesSegmentation | SceneParse150,
) -> Iterator[Item]:
    names = names_of_masks(dataset)
    for index, (path, mask) in enumerate(zip(dataset.images, dataset.targets, strict=True)):
        read = partial(dataset.open_mask, index)
        yield Item(path, [], mask=(mask, read), names=names)


def _of_voc(dataset: VOCDetection) -> Iterator[Item]:
    for path, annotation in zip(dataset.images, dataset.targets, strict=True):
        try:
            content = parse_voc_xml(annotation)["annotation"]
            objects = content["object"]
            corners = [[float(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")]
                       for o in objects]  # fmt: skip
            size = content.get("size", {})
            stated = (int(size["width"]), int(size["height"])) if size else None
            names = [str(o["name"]) for o in objects]
            yield Item(path, names, np.reshape(np.array(corners, float), (-1, 4)), size=stated)
        except (FoveaError, KeyError, TypeError, ValueError) as error:
            yield Item(path, [], problem=f"{annotation}: {_first_line(error)}")


def _of_coco(dataset: CocoDetection) -> Iterator[Item]:
    names = dataset.classes
    for image_id in dataset.ids:
        entry = dataset.coco.imgs[image_id]
        path = os.path.join(dataset.root, str(entry["file_name"]))
        objects = dataset.coco.imgToAnns.get(image_id, [])
        try:
            boxes = np.array([[float(v) for v in o["bbox"]] for o in objects], float)
            boxes = boxes.reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            classes = [names.get(o["category_id"], f"id {o['category_id']}") for o in objects]
            stated = "width" in entry and "height" in entry
            size = (int(entry["width"]), int(entry["height"])) if stated else None
            wrong = [
                ("unknown class", f"category {o['category_id']} is not in the file")
                for o in objects
                if o["category_id"] not in names
            ]
            wrong += [pair for o in objects for pair in _wrong_outline(o, size)]
            yield Item(path, classes, boxes, size=size, wrong=wrong)
        except (KeyError, TypeError, ValueError) as error:
            yield Item(path, [], problem=f"{dataset.coco.path}: image {image_id}: {error}")


def _of_yolo(dataset: YOLODetection) -> Iterator[Item]:
    for path, text in zip(dataset.images, dataset.targets, strict=True):
        try:
            rows = read_rows(text)
        except FoveaError as error:
            yield Item(path, [], problem=_first_line(error))
            continue
        boxes, classes, wrong = [], [], []
        for row in rows:
            number = int(row[0])
            known = number < len(dataset.classes)
            if not known:
                wrong.append(("unknown class", f"number {number} of {len(dataset.classes)}"))
            classes.append(dataset.classes[number] if known else f"number {number}")
            if len(row) == 5:
                x, y, w, h = row[1:]
                boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            else:
                points = np.reshape(row[1:], (-1, 2))
                boxes.append([*points.min(0), *points.max(0)])
        yield Item(
            path, classes, np.reshape(np.array(boxes, float), (-1, 4)), relative=True, wrong=wrong
        )


def _of_marked(dataset: MarkedDataset) -> Iterator[Item]:
    for index in range(len(dataset)):
        try:
            found = dataset.marked(index)
        except FoveaError as error:
            yield Item(dataset.sources[index], [], problem=_first_line(error))
            continue
        path = found.source if isinstance(found.path, bytes) else found.path
        boxes = np.reshape(np.array([m.box for m in found.objects], float), (-1, 4))
        wrong = [("unknown class", m.label) for m in found.objects
                 if m.label not in dataset.classes]  # fmt: skip
        yield Item(
            path,
            [m.label for m in found.objects],
            boxes,
            size=found.size,
            wrong=wrong,
            content=found.path if isinstance(found.path, bytes) else None,
        )


def _wrong_outline(entry: dict[str, Any], size: tuple[int, int] | None) -> list[tuple[str, str]]:
    """What is wrong with an object's outline and its points, as COCO writes them."""
    found, outline = [], entry.get("segmentation")
    kind = f"object {entry.get('id', '?')}"
    if isinstance(outline, dict):
        counted = [int(n) for n in outline.get("size", ())]
        if size is not None and counted != [size[1], size[0]]:
            found.append(
                ("broken mask", f"{kind}: of {counted}, the image of {[size[1], size[0]]}")
            )
    elif outline:
        rings = outline if isinstance(outline, list) else [outline]
        if any(not isinstance(r, list) or len(r) < 6 or len(r) % 2 for r in rings):
            found.append(("broken mask", f"{kind}: a polygon has less than 3 points"))
    points = entry.get("keypoints")
    if points:
        rows = np.reshape(np.array(points, float), (-1, 3))
        seen = rows[rows[:, 2] > 0, :2]
        if size is not None and ((seen < 0) | (seen > np.array(size))).any():
            found.append(("point outside", kind))
    return found


def _first_line(error: Exception) -> str:
    return str(getattr(error, "summary", error)).splitlines()[0]


_READERS: dict[type, Callable[[Any], Iterator[Item]]] = {
    DatasetFolder: _of_folder,
    ImageTable: _of_table,
    SegmentationFolder: _of_masks,
    CityscapesSegmentation: _of_masks,
    SceneParse150: _of_masks,
    VOCSegmentation: _of_masks,
    VOCDetection: _of_voc,
    CocoDetection: _of_coco,
    YOLODetection: _of_yolo,
    MarkedDataset: _of_marked,
}
