"""Pascal VOC: photographs with boxes around objects, or with a class for each pixel; and folders of
one's own in the same layout.

Source: M. Everingham et al., "The Pascal visual object classes (VOC) challenge", 2010.
"""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.functions.creation import from_numpy
from fovea.utils.download import download_and_extract_archive
from fovea.vision.datasets.boxes import box_target, open_sized
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PairTransform,
    Transform,
    VisionDataset,
)
from fovea.vision.datasets.xml_files import read_xml
from fovea.vision.io import open_image

__all__ = ["VOC_CLASSES", "VOCDetection", "VOCSegmentation", "parse_voc_xml"]

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


_ADDRESS = "https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}"
_ARCHIVES = {  # names and MD5 sums
    "2012": ("VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
    "2011": ("VOCtrainval_25-May-2011.tar", "6c3384ef61512963050cb5d687e5bf1e"),
    "2010": ("VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb"),
    "2009": ("VOCtrainval_11-May-2009.tar", "a3e00b113cfcfebf17e343f59da3caa1"),
    "2008": ("VOCtrainval_14-Jul-2008.tar", "2629fa636546599198acfcfbfcf1904a"),
    "2007": ("VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
    "2007-test": ("VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
}


def parse_voc_xml(source: str | os.PathLike[str]) -> dict[str, Any]:
    """An annotation as nested dictionaries: elements by their names, texts as they are, those that
    occur several times as lists. ``annotation`` always has a list ``object``.

    Raises:
        FileFormatError: missing, damaged, or with declarations of its own (which can make a small
            file fill the memory).
    """
    root = read_xml(source)
    if root.tag != "annotation":
        raise FileFormatError(f"{source}: the first element is {root.tag!r}, not 'annotation'.")
    parsed = _parsed(root)
    content = parsed if isinstance(parsed, dict) else {}
    objects = content.get("object", [])
    content["object"] = objects if isinstance(objects, list) else [objects]
    return {"annotation": content}


def _parsed(node: ElementTree.Element) -> Any:
    if not len(node):
        return (node.text or "").strip()
    found: dict[str, list[Any]] = {}
    for child in node:
        found.setdefault(child.tag, []).append(_parsed(child))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


class _VOC(VisionDataset):
    """What both kinds share: which photographs belong to a part, and where they lie."""

    splits_dir: ClassVar[str]
    target_dir: ClassVar[str]
    target_suffix: ClassVar[str]

    def __init__(
        self,
        root: str | os.PathLike[str],
        year: str = "2012",
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        known = [y for y in _ARCHIVES if y.isdigit()]
        if year not in known:
            raise ArgumentError(f"{type(self).__name__}: year is one of {known}, got {year!r}.")
        self.year, self.image_set = year, image_set
        folder = self._folder()
        if folder is None and download:
            self.download()
            folder = self._folder()
        if folder is None:
            raise DatasetNotFoundError(
                f"{type(self).__name__}: no folder JPEGImages in {self.root} or in "
                f"{self._usual()} there.",
                fix="download=True fetches it",
            )
        self.folder = folder
        self.names = self._names()
        pictures = {f.stem: str(f) for f in sorted((folder / "JPEGImages").iterdir())}
        missing = [name for name in self.names if name not in pictures]
        if missing:
            raise FileFormatError(
                f"{type(self).__name__}: {image_set}.txt lists {len(missing)} pictures that are "
                f"not in {folder / 'JPEGImages'}: {', '.join(missing[:3])} ..."
            )
        self.images = [pictures[name] for name in self.names]
        self.targets = [
            str(folder / self.target_dir / (name + self.target_suffix)) for name in self.names
        ]

    def download(self) -> None:
        """Fetch and unpack the year's archive."""
        is_test = (self.year, self.image_set) == ("2007", "test")
        name, md5 = _ARCHIVES["2007-test" if is_test else self.year]
        url = _ADDRESS.format(year=self.year, name=name)
        download_and_extract_archive(url, self.root, filename=name, md5=md5)

    def _usual(self) -> Path:
        inner = Path("VOCdevkit") / f"VOC{self.year}"
        return Path("TrainVal") / inner if self.year == "2011" else inner

    def _folder(self) -> Path | None:
        root = Path(self.root)
        for folder in (root / self._usual(), root):
            if (folder / "JPEGImages").is_dir():
                return folder
        return None

    def _names(self) -> list[str]:
        """The pictures of the part, as its list has them."""
        folder = self.folder / "ImageSets" / self.splits_dir
        path = folder / f"{self.image_set}.txt"
        if not path.is_file():
            there = sorted(f.stem for f in folder.glob("*.txt")) if folder.is_dir() else []
            raise DatasetNotFoundError(
                f"{type(self).__name__}: there is no list {path}.",
                fix=f"image_set is one of {', '.join(there[:20])}" if there else "check root",
            )
        try:
            lines = path.read_text("utf-8").splitlines()
        except (UnicodeError, OSError) as error:
            raise FileFormatError(f"{path} is no list of names: {error}") from error
        return [line.strip() for line in lines if line.strip()]

    def __len__(self) -> int:
        return len(self.images)

    def extra_repr(self) -> str:
        return f"Split: {self.image_set}"


class VOCDetection(_VOC):
    """Photographs and the boxes around the objects in them; a sample is an RGB PIL image and the
    annotation file's contents, as `parse_voc_xml` gives them.

    ``standard_target`` makes boxes and labels of these, as detectors take them.

    Args:
        root: a folder with ``VOCdevkit/VOC2012`` (or another year), or with ``JPEGImages``,
            ``Annotations`` and ``ImageSets/Main`` of any photographs in the same layout.
        year: ``"2007"`` to ``"2012"``.
        image_set: the list of photographs in ``ImageSets/Main``: ``"train"``, ``"val"``,
            ``"trainval"``, ``"test"`` ...
        download: fetch the year's archive if the folders are not there.
        transform: a function of the PIL image.
        target_transform: a function of the annotation.
        transforms: a function of both, instead.
        classes: the names, in the order of their numbers (default: VOC's, or if the objects have
            other names these, sorted).

    Raises:
        DatasetNotFoundError: the folders or the list are not there.
        FileFormatError: a file is damaged; the message names it.
    """

    splits_dir = "Main"
    target_dir = "Annotations"
    target_suffix = ".xml"

    def __init__(
        self,
        root: str | os.PathLike[str],
        year: str = "2012",
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
        *,
        classes: list[str] | None = None,
    ) -> None:
        super().__init__(root, year, image_set, download, transform, target_transform, transforms)
        self._classes = list(classes) if classes is not None else None

    @property
    def annotations(self) -> list[str]:
        """The annotation files."""
        return self.targets

    @property
    def classes(self) -> list[str]:
        """The names of the classes; number 0 is the background, so the first has number 1."""
        if self._classes is None:
            self._classes = self._found_classes()
        return self._classes

    def _found_classes(self) -> list[str]:
        if self.folder != Path(self.root):
            return list(VOC_CLASSES)
        # Of all annotations, not of this part's: train and test number their classes alike.
        files = sorted((self.folder / self.target_dir).glob("*" + self.target_suffix))
        names = {
            str(item.get("name"))
            for path in files
            for item in parse_voc_xml(path)["annotation"]["object"]
            if isinstance(item, dict)
        }
        return list(VOC_CLASSES) if names <= {*VOC_CLASSES} else sorted(names)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        target = parse_voc_xml(self.targets[index])
        image = open_sized(self.images[index], _size(target))
        return self.transformed(image, target)

    def standard_target(
        self, target: dict[str, Any], index: int, keys: Container[str] | None = None
    ) -> dict[str, Any]:
        """An annotation as a detector's target.

        Returns: ``boxes`` float32 (N, 4) as (x1, y1, x2, y2) in pixels, ``labels`` int64 (N,) from
        1, ``difficult`` bool (N,), ``image_id``, ``annotation``.
        """
        numbers = {name: i for i, name in enumerate(self.classes, 1)}
        boxes, labels, difficult = [], [], []
        for item in target["annotation"]["object"]:
            try:
                corners = [float(item["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")]
                labels.append(numbers[item["name"]])
            except (KeyError, TypeError, ValueError) as error:
                raise FileFormatError(
                    f"{self.targets[index]}: an object without a box or of an unknown class "
                    f"({error}).",
                    fix=f"the classes are {', '.join(self.classes)}",
                ) from error
            boxes.append(corners)
            difficult.append(item.get("difficult", "0") not in ("0", ""))
        return box_target(
            boxes, labels, index, difficult=difficult, annotation=target["annotation"]
        )


def _size(target: dict[str, Any]) -> tuple[int, int] | None:
    """The width and height that an annotation states."""
    try:
        size = target["annotation"]["size"]
        return int(size["width"]), int(size["height"])
    except (KeyError, TypeError, ValueError):
        return None


class VOCSegmentation(_VOC):
    """Photographs and the class of each of their pixels; a sample is an RGB PIL image and a PIL
    image of classes (mode P; 0 is the background, 255 not to be counted).

    Arguments and errors as for `VOCDetection`; the masks lie in ``SegmentationClass``, the lists in
    ``ImageSets/Segmentation``.
    """

    splits_dir = "Segmentation"
    target_dir = "SegmentationClass"
    target_suffix = ".png"
    classes: ClassVar[list[str]] = ["background", *VOC_CLASSES]

    @property
    def masks(self) -> list[str]:
        """The files of masks."""
        return self.targets

    def open_mask(self, index: int) -> Any:
        """A sample's mask alone."""
        return open_image(self.targets[index], "P", exif=False)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        mask = self.open_mask(index)
        return self.transformed(open_sized(self.images[index], mask.size), mask)

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """A mask as a tensor, uint8 (H, W)."""
        return from_numpy(np.array(target, np.uint8))
