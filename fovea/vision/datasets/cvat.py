"""Images marked with CVAT, in its own format "CVAT for images 1.1": one XML file for all.

The format is described at docs.cvat.ai/docs/dataset_management/formats/format-cvat.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from fovea.errors import FileFormatError, MissingFileError
from fovea.vision.datasets.outlines import (
    Marked,
    MarkedDataset,
    MarkedImage,
    around,
    bounds,
    numbered,
    whole_number,
)
from fovea.vision.datasets.vision import PairTransform, Transform
from fovea.vision.datasets.xml_files import read_xml

__all__ = ["CVATDetection"]

_LARGEST = 1 << 30  # bytes of an annotation file
_MOST_PIXELS = 1 << 28  # of a mask


class CVATDetection(MarkedDataset):
    """Images marked with CVAT; a sample is an RGB PIL image and a target as detectors take it.

    The target has ``boxes`` float32 (N, 4) as (x1, y1, x2, y2) in pixels, ``labels`` int64 (N,)
    from 1, ``image_id``, and, where all objects have outlines (polygons, ellipses or masks, not
    just boxes), ``masks`` uint8 (N, H, W). Of turned boxes it is the box around them. Polylines,
    points, skeletons, cuboids and tags are left out.

    Args:
        root: the folder with the images, below it or in ``images`` there.
        annFile: the XML file (default: ``annotations.xml`` in ``root``).
        transform: a function of the PIL image.
        target_transform: a function of the target.
        transforms: a function of both, instead.
        image_set: only the images of this subset (CVAT's ``Train``, ``Validation`` ...).
        classes: the names of the classes (default: as the file lists its labels; or those that
            occur, sorted).

    Raises:
        FileFormatError: the file is missing or damaged; the message names it and the image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annFile: str | os.PathLike[str] | None = None,  # noqa: N803 - as CocoDetection's
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
        *,
        image_set: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.path = os.fspath(annFile or Path(self.root) / "annotations.xml")
        self.image_set = image_set
        top = _read(self.path)
        every = top.findall("image")
        self.subsets = sorted({i.get("subset", "") for i in every} - {""})
        chosen = [i for i in every if image_set is None or i.get("subset") == image_set]
        self._images = [_image(self.path, node) for node in chosen]
        self.sources = [self.path] * len(self._images)
        listed = [n.text.strip() for n in top.findall("meta/*/labels/label/name") if n.text]
        labels = [m.label for node in every for m in _image(self.path, node).objects]
        self.classes = numbered(classes if classes is not None else listed or None, labels)

    def __len__(self) -> int:
        return len(self._images)

    def marked(self, index: int) -> MarkedImage:
        found = self._images[index]
        return MarkedImage(self._place(str(found.path)), found.size, found.objects, found.source)

    def _place(self, name: str) -> str:
        """Where an image lies, which is below ``root``."""
        root = Path(self.root)
        for folder in (root, root / "images"):
            path = folder / name
            if os.path.isfile(path) and path.resolve().is_relative_to(root.resolve()):
                return str(path)
        raise MissingFileError(f"{self.path}: there is no image {name!r} in {root}.")

    def extra_repr(self) -> str:
        return f"Split: {self.image_set}" if self.image_set is not None else ""


def _read(path: str) -> ElementTree.Element:
    """The file's first element.

    Raises:
        FileFormatError: of `read_xml`, or no file of CVAT's images.
    """
    root = read_xml(path, _LARGEST)
    if root.tag != "annotations" or root.find("track") is not None:
        raise FileFormatError(
            f"{path} is no annotation of images by CVAT.",
            fix='export the task as "CVAT for images 1.1"',
        )
    return root


def _image(path: str, node: ElementTree.Element) -> MarkedImage:
    name = node.get("name")
    if not name:
        raise FileFormatError(f"{path}: an image (id {node.get('id')}) has no name.")
    try:
        width, height = whole_number(node.attrib, "width"), whole_number(node.attrib, "height")
        objects = [_SHAPES[shape.tag](shape) for shape in node if shape.tag in _SHAPES]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path}: image {name!r}: an object cannot be read: {error}") from (
            error
        )
    size = (width, height) if width is not None and height is not None else None
    return MarkedImage(name, size, objects, path)


def _numbers(shape: ElementTree.Element, *names: str) -> list[float]:
    found = [float(shape.attrib[name]) for name in names]
    if not all(math.isfinite(v) for v in found):
        raise ValueError(f"a {shape.tag} that is not finite")
    return found


def _box(shape: ElementTree.Element) -> Marked:
    left, top, right, bottom = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
    turn = math.radians(float(shape.get("rotation", 0)))
    x, y, a, b = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    points = []
    for u, v in ((-a, -b), (a, -b), (a, b), (-a, b)):
        points += [x + u * math.cos(turn) - v * math.sin(turn),
                   y + u * math.sin(turn) + v * math.cos(turn)]  # fmt: skip
    return Marked(shape.attrib["label"], bounds(points))


def _polygon(shape: ElementTree.Element) -> Marked:
    points = [float(v) for pair in shape.attrib["points"].split(";") for v in _pair(pair)]
    if len(points) < 6:
        raise ValueError("a polygon has three points or more")
    return Marked(shape.attrib["label"], bounds(points), [points])


def _pair(text: str) -> tuple[str, str]:
    x, y = text.split(",")
    return x, y


def _ellipse(shape: ElementTree.Element) -> Marked:
    x, y, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
    outline = around(x, y, rx, ry, float(shape.get("rotation", 0)))
    return Marked(shape.attrib["label"], bounds(outline), [outline])


def _mask(shape: ElementTree.Element) -> Marked:
    """Runs of zeros and ones in turn, row by row, in a window of the image."""
    left, top, width, height = (int(v) for v in _numbers(shape, "left", "top", "width", "height"))
    counts = np.array([int(v) for v in shape.attrib["rle"].split(",")], np.int64)
    size = width * height
    if width <= 0 or height <= 0 or size > _MOST_PIXELS:
        raise ValueError(f"a mask of {width} x {height} pixels")
    if (counts < 0).any() or (counts > size).any() or counts.sum() != size:
        raise ValueError("the runs of a mask do not add up to its size")
    ones = np.arange(len(counts), dtype=np.uint8) % 2
    pixels = np.repeat(ones, counts).reshape(height, width)
    box = bounds([left, top, left + width, top + height])
    return Marked(shape.attrib["label"], box, [(left, top, pixels)])


_SHAPES: dict[str, Callable[[ElementTree.Element], Marked]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
