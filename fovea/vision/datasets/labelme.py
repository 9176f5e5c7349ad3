"""Images marked with LabelMe: a JSON file for each.

The format is that of github.com/wkentaro/labelme.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.errors import FileFormatError, FoveaError, MissingFileError
from fovea.vision.datasets.outlines import (
    Marked,
    MarkedDataset,
    MarkedImage,
    around,
    bounds,
    numbered,
    whole_number,
)
from fovea.vision.datasets.vision import DatasetNotFoundError, PairTransform, Transform
from fovea.vision.io import open_image

__all__ = ["LabelMeDetection", "is_labelme", "read_labelme"]

_WITHOUT_AREA = ("point", "points", "line", "linestrip")


class LabelMeDetection(MarkedDataset):
    """Images marked with LabelMe; a sample is an RGB PIL image and a target as detectors take it.

    The target has ``boxes`` float32 (N, 4) as (x1, y1, x2, y2) in pixels, ``labels`` int64 (N,)
    from 1, ``image_id``, and, where all objects have outlines (polygons, circles or masks, not just
    rectangles), ``masks`` uint8 (N, H, W). Shapes of one group and label are one object; points and
    lines, which have no area, are left out.

    Args:
        root: the folder with the JSON files, and beside them the images (where an image is missing,
            the file's own copy is taken).
        image_set: a folder in ``root``: ``"train"`` ...; None: ``root`` itself.
        transform: a function of the PIL image.
        target_transform: a function of the target.
        transforms: a function of both, instead.
        images: another folder with the images.
        classes: the names of the classes (default: those of all files in ``root`` and in its
            folders, sorted).

    Raises:
        DatasetNotFoundError: there is no such file in the folder.
        FileFormatError: of a sample whose file is damaged; the message names it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_set: str | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
        *,
        images: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform, transforms)
        self.image_set = image_set
        self.images_folder = Path(images) if images is not None else None
        folder = Path(self.root) / image_set if image_set is not None else Path(self.root)
        self.sources = [str(f) for f in sorted(folder.glob("*.json")) if is_labelme(f)]
        if not self.sources:
            raise DatasetNotFoundError(f"LabelMeDetection: no JSON files of LabelMe in {folder}.")
        self.classes = numbered(classes, () if classes is not None else _labels(Path(self.root)))

    def __len__(self) -> int:
        return len(self.sources)

    def marked(self, index: int) -> MarkedImage:
        path = self.sources[index]
        content, objects, size = read_labelme(path)
        return MarkedImage(self._image(Path(path), content), size, objects, path)

    def _image(self, path: Path, content: dict[str, Any]) -> str | bytes:
        """Where the image lies, or its bytes; nothing outside of the two folders is looked at."""
        name = str(content.get("imagePath") or "").replace("\\", "/").rpartition("/")[2]
        for folder in (path.parent, self.images_folder):
            if folder is not None and name and os.path.isfile(folder / name):
                return str(folder / name)
        held = content.get("imageData")
        if isinstance(held, str) and held:
            try:
                return base64.b64decode(held, validate=True)
            except ValueError as error:
                raise FileFormatError(f"{path}: imageData is no image: {error}") from error
        raise MissingFileError(
            f"{path}: there is no image {name!r} in {self.images_folder or path.parent}.",
            fix="images= names the folder where they are",
        )

    def extra_repr(self) -> str:
        return f"Split: {self.image_set}" if self.image_set is not None else ""


def _labels(root: Path) -> Iterator[str]:
    """The labels of all parts, so that train and test number their classes alike. Damaged files are
    told of when their samples are read.
    """
    for path in (*sorted(root.glob("*.json")), *sorted(root.glob("*/*.json"))):
        if is_labelme(path):
            with contextlib.suppress(FileFormatError):
                yield from [found.label for found in read_labelme(path)[1]]


def is_labelme(path: str | os.PathLike[str]) -> bool:
    """Whether a JSON file looks like one of LabelMe's, damaged or not."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    return b'"shapes"' in content


def read_labelme(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], list[Marked], tuple[int, int] | None]:
    """A file's contents, its objects, and the width and height of the image, if it states them.

    Raises:
        FileFormatError: it is damaged; the message names it and the shape.
    """
    try:
        with open(path, "rb") as file:
            content = json.load(file)
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path}.") from error
    except (ValueError, RecursionError, OSError) as error:
        raise FileFormatError(f"{path} is no JSON that can be read: {error}") from error
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise FileFormatError(f"{path} is no file of LabelMe: it has no list 'shapes'.")
    objects: dict[Any, Marked] = {}
    for number, shape in enumerate(shapes):
        try:
            found = _marked(shape)
            if found is None:
                continue
            group = shape.get("group_id")
            key = (number,) if group is None else (found.label, int(group))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FileFormatError(f"{path}: shapes[{number}] cannot be read: {error}") from error
        except FoveaError as error:
            raise FileFormatError(f"{path}: shapes[{number}]: {error.summary}") from error
        objects[key] = objects[key].joined(found) if key in objects else found
    try:
        width, height = whole_number(content, "imageWidth"), whole_number(content, "imageHeight")
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path}: {error}") from error
    size = (width, height) if width is not None and height is not None else None
    return content, list(objects.values()), size


def _marked(shape: dict[str, Any]) -> Marked | None:
    """A shape as an object; None: it has no area."""
    label, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
    if kind in _WITHOUT_AREA:
        return None
    points = [float(v) for point in shape["points"] for v in _pair(point)]
    box = bounds(points)
    if kind == "rectangle":
        return Marked(label, box)
    if kind == "circle":
        x, y, to_x, to_y = points
        radius = math.hypot(to_x - x, to_y - y)
        outline = around(x, y, radius, radius)
        return Marked(label, bounds(outline), [outline])
    if kind == "mask":
        held = base64.b64decode(shape["mask"], validate=True)
        pixels = np.asarray(open_image(held, "L", exif=False)) != 0
        part = int(box[0]), int(box[1]), pixels.astype(np.uint8)
        last = box[2] + 1, box[3] + 1  # corners of masks are pixels that belong to them
        return Marked(label, (*box[:2], *last), [part])
    if kind != "polygon":
        raise ValueError(f"a shape of the unknown kind {kind!r}")
    if len(points) < 6:
        raise ValueError("a polygon has three points or more")
    return Marked(label, box, [points])


def _pair(point: Any) -> tuple[Any, Any]:
    x, y = point
    return x, y
