"""Which kind of data set lies at a place."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

from fovea.errors import FileFormatError
from fovea.vision.datasets import (
    CityscapesSegmentation,
    CocoDetection,
    CVATDetection,
    DatasetNotFoundError,
    ImageFolder,
    ImageTable,
    LabelMeDetection,
    SceneParse150,
    SegmentationFolder,
    VOCDetection,
    VOCSegmentation,
    YOLODetection,
)
from fovea.vision.datasets.labelme import is_labelme

__all__ = ["UnknownLayoutError", "names_of_masks", "open_parts"]

_PARTS = ("train", "val", "valid", "validation", "test")


class UnknownLayoutError(DatasetNotFoundError):
    """Nothing is at a place, or nothing whose layout is known."""


def open_parts(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """The parts of the data set at a place, by name.

    Args:
        path: a folder: with a folder for each class, or with parts (``train``, ``val``, ``test``)
            of that kind; with ``JPEGImages`` and ``Annotations`` or ``SegmentationClass``
            (Pascal VOC; or with ``VOCdevkit/VOC2012`` that has them); with ``leftImg8bit`` and
            ``gtFine`` (Cityscapes); with ``images/training`` and ``annotations/training`` (ADE20K);
            with ``annotations.xml`` (CVAT), or a JSON file an image (LabelMe); with ``labels``
            (YOLO); with ``masks``; or with COCO's ``annotations/*.json``. Or a COCO file, or a CSV
            file of paths and labels.
        images: the folder of a COCO file's images (default: the file's folder, or the one of its
            part beside it).
        task: ``"segmentation"``: of VOC's layout, the masks though there are boxes, too.

    Raises:
        UnknownLayoutError: nothing is there, or nothing that is known.
        DatasetNotFoundError, FileFormatError: of a known layout, something is missing or damaged.
    """
    place = Path(path)
    if place.is_file():
        if place.suffix.lower() == ".json":
            return {place.stem: CocoDetection(images or _beside(place), place)}
        return {place.stem: ImageTable(place, images)}
    if not place.is_dir():
        raise UnknownLayoutError(f"there is no {place}.")
    if task == "segmentation" and (found := _voc_masks(place)):
        return found
    for find in _FINDERS:
        found = find(place)
        if found:
            return found
    raise UnknownLayoutError(
        f"{place} holds no data set of a known kind.",
        fix="a folder a class; VOC's JPEGImages; YOLO's labels; COCO's json; a CSV",
    )


def names_of_masks(dataset: Any) -> list[str] | None:
    """The classes of a data set of masks: those in its ``classes.txt``, or those of the published
    set that it is; None: nobody says.
    """
    listed = Path(dataset.root) / "classes.txt"
    if listed.is_file():
        lines = listed.read_text("utf-8", errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    published = isinstance(dataset, CityscapesSegmentation | SceneParse150) or (
        isinstance(dataset, VOCSegmentation) and dataset.folder.name.startswith("VOC")
    )
    return list(dataset.classes) if published else None


def _voc(place: Path) -> dict[str, Any]:
    home = _voc_home(place)
    if not (home / "JPEGImages").is_dir() or not (home / "Annotations").is_dir():
        return {}
    names = _listed(home / "ImageSets" / "Main")
    return {n: VOCDetection(home, image_set=n) for n in names}


def _voc_masks(place: Path) -> dict[str, Any]:
    home = _voc_home(place)
    if not (home / "JPEGImages").is_dir() or not (home / "SegmentationClass").is_dir():
        return {}
    names = _listed(home / "ImageSets" / "Segmentation")
    return {n: VOCSegmentation(home, image_set=n) for n in names}


def _voc_home(place: Path) -> Path:
    """The folder with the pictures: the archives unpack to ``VOCdevkit/VOC2012``."""
    inner = sorted((place / "VOCdevkit").glob("VOC*"))
    return inner[0] if len(inner) == 1 else place


def _listed(folder: Path) -> list[str]:
    """The parts that a folder of lists has: the usual ones, or if there are none all."""
    lists = {f.stem for f in folder.glob("*.txt")}
    names = [n for n in _PARTS if n in lists] or (["trainval"] if "trainval" in lists else [])
    return names or sorted(lists)


def _streets(place: Path) -> dict[str, Any]:
    if not (place / "leftImg8bit").is_dir():
        return {}
    for mode, ground in (("fine", "gtFine"), ("coarse", "gtCoarse")):
        parts = [
            n for n in ("train", "val", "test")
            if (place / ground / n).is_dir() and (place / "leftImg8bit" / n).is_dir()
        ]  # fmt: skip
        if "val" in parts and "test" in parts:
            parts.remove("test")  # the published one has masks without any class
        if parts:
            return {n: CityscapesSegmentation(place, n, mode) for n in parts}
    return {}


def _scenes(place: Path) -> dict[str, Any]:
    for home in (place / "ADEChallengeData2016", place):
        parts = {"train": "training", "val": "validation"}
        there = [n for n, folder in parts.items()
                 if (home / "images" / folder).is_dir()
                 and (home / "annotations" / folder).is_dir()]  # fmt: skip
        if there:
            return {n: SceneParse150(home, n) for n in there}
    return {}


def _cvat(place: Path) -> dict[str, Any]:
    if not (place / "annotations.xml").is_file():
        return {}
    whole = CVATDetection(place)
    if not whole.subsets:
        return {"all": whole}
    return {n.lower(): CVATDetection(place, image_set=n) for n in whole.subsets}


def _labelme(place: Path) -> dict[str, Any]:
    parts = [n for n in _PARTS if _has_labelme(place / n)]
    if parts:
        return {n: LabelMeDetection(place, n) for n in parts}
    return {"all": LabelMeDetection(place)} if _has_labelme(place) else {}


def _has_labelme(folder: Path) -> bool:
    first = islice(sorted(folder.glob("*.json")), 4)  # among which others may be
    return any(is_labelme(file) for file in first)


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


_FINDERS = (
    _voc,
    _voc_masks,
    _streets,
    _scenes,
    _cvat,
    _labelme,
    _yolo,
    _coco,
    _masks,
    _tables,
    _folders,
)
