"""Which kind of data set lies at a place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fovea.errors import FileFormatError
from fovea.vision.datasets import (
    CocoDetection,
    DatasetNotFoundError,
    ImageFolder,
    ImageTable,
    SegmentationFolder,
    VOCDetection,
    YOLODetection,
)

__all__ = ["open_parts"]

_PARTS = ("train", "val", "valid", "validation", "test")


def open_parts(
    path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """The parts of the data set at a place, by name.

    Args:
        path: a folder: with a folder for each class, or with parts (``train``, ``val``, ``test``)
            of that kind; with ``Annotations`` and ``JPEGImages`` (Pascal VOC); with ``labels``
            (YOLO); with ``masks``; or with COCO's ``annotations/*.json``. Or a COCO file, or a CSV
            file of paths and labels.
        images: the folder of a COCO file's images (default: the file's folder, or the one of its
            part beside it).

    Raises:
        DatasetNotFoundError: nothing is there, or nothing that is known.
    """
    place = Path(path)
    if place.is_file():
        if place.suffix.lower() == ".json":
            return {place.stem: CocoDetection(images or _beside(place), place)}
        return {place.stem: ImageTable(place, images)}
    if not place.is_dir():
        raise DatasetNotFoundError(f"there is no {place}.")
    for find in (_voc, _yolo, _coco, _masks, _tables, _folders):
        found = find(place)
        if found:
            return found
    raise DatasetNotFoundError(
        f"{place} holds no data set of a known kind.",
        fix="a folder a class; VOC's Annotations and JPEGImages; YOLO's labels; COCO's json; a CSV",
    )


def _voc(place: Path) -> dict[str, Any]:
    if not (place / "JPEGImages").is_dir() or not (place / "Annotations").is_dir():
        return {}
    lists = {f.stem for f in (place / "ImageSets" / "Main").glob("*.txt")}
    names = [n for n in _PARTS if n in lists] or (["trainval"] if "trainval" in lists else [])
    return {n: VOCDetection(place, image_set=n) for n in names or sorted(lists)}


def _yolo(place: Path) -> dict[str, Any]:
    inner = [n for n in _PARTS if (place / n / "labels").is_dir()]
    outer = [n for n in _PARTS if (place / "labels" / n).is_dir()]
    if not inner and not outer and not (place / "labels").is_dir():
        return {}
    return {n: YOLODetection(place, n) for n in inner or outer or ["all"]}


def _coco(place: Path) -> dict[str, Any]:
    files = [f for folder in (place / "annotations", place) for f in sorted(folder.glob("*.json"))]
    found = {}
    for file in files:
        try:
            found[file.stem] = CocoDetection(_beside(file), file)
        except FileFormatError:
            continue  # another kind of JSON
    return found


def _beside(file: Path) -> Path:
    """The images of a COCO file: ``instances_train2017.json`` has them in ``train2017``."""
    top = file.parent.parent if file.parent.name == "annotations" else file.parent
    last = file.stem.rpartition("_")[2]
    for folder in (top / last, top / "images" / last, top / "images"):
        if folder.is_dir():
            return folder
    return top


def _masks(place: Path) -> dict[str, Any]:
    if not (place / "masks").is_dir():
        inner = [n for n in _PARTS if (place / n / "masks").is_dir()]
        return {n: SegmentationFolder(place, n) for n in inner}
    outer = [n for n in _PARTS if (place / "masks" / n).is_dir()]
    if outer:
        return {n: SegmentationFolder(place, n) for n in outer}
    return {"all": SegmentationFolder(place)}


def _tables(place: Path) -> dict[str, Any]:
    files = {f.stem: f for f in sorted(place.glob("*.csv"))}
    return {name: ImageTable(file) for name, file in files.items()}


def _folders(place: Path) -> dict[str, Any]:
    parts = [n for n in _PARTS if (place / n).is_dir()]
    if parts and any(e.is_dir() for e in (place / parts[0]).iterdir()):
        return {n: ImageFolder(place / n, allow_empty=True) for n in parts}
    if any(e.is_dir() for e in place.iterdir()):
        return {"all": ImageFolder(place, allow_empty=True)}
    return {}
