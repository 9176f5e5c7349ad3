"""Boxes in the text files that YOLO's programs read: a file for each image, a line for each object,
``class x y width height`` (the middle and the size) or ``class x1 y1 x2 y2 x3 y3 ...`` (a polygon)
in parts of the image's width and height.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.errors import FileFormatError, MissingExtraError
from fovea.functions.creation import from_numpy
from fovea.vision import rle
from fovea.vision.datasets.boxes import box_target
from fovea.vision.datasets.folder import IMG_EXTENSIONS
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PairTransform,
    Transform,
    VisionDataset,
)
from fovea.vision.io import open_image

__all__ = ["YOLODetection", "read_rows"]

_NAMES = ("classes.txt", "obj.names", "labels/classes.txt")
_YAMLS = ("data.yaml", "dataset.yaml", "data.yml")
_OUTSIDE = 0.01  # parts of an image by which rounded numbers may lie outside


class YOLODetection(VisionDataset):
    """Images and the boxes around the objects in them; a sample is an RGB PIL image and a target as
    detectors take it.

    The target has ``boxes`` float32 (N, 4) as (x1, y1, x2, y2) in pixels, ``labels`` int64 (N,)
    from 1 (0 is the background: a file's class 0 is label 1), ``image_id``, and, where all lines
    are polygons, ``masks`` uint8 (N, H, W).

    Args:
        root: the folder: images in ``images/train`` and texts in ``labels/train``, or
            ``train/images`` and ``train/labels``, or ``images`` and ``labels`` (then ``image_set``
            names a list of images, ``train.txt``, or nothing).
        image_set: which part: ``"train"``, ``"val"``, ``"test"`` ...
        transform: a function of the PIL image.
        target_transform: a function of the target.
        transforms: a function of both, instead.
        classes: the names of the classes (default: as ``data.yaml`` or ``classes.txt`` says, else
            their numbers).

    Raises:
        DatasetNotFoundError: no images are there.
        FileFormatError: a file is damaged; the message names it and the line.

    An image without a text file has no objects.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_set: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.image_set = image_set
        pairs = self._pairs(Path(self.root))
        if not pairs:
            raise DatasetNotFoundError(
                f"YOLODetection: no images of {image_set!r} in {self.root}.",
                fix="put them in images/train and their texts in labels/train",
            )
        self.images = [str(image) for image, _ in pairs]
        self.targets = [str(text) for _, text in pairs]
        self.classes = list(classes) if classes is not None else self._found_classes()

    def _pairs(self, root: Path) -> list[tuple[Path, Path]]:
        """Images and their text files."""
        part = self.image_set
        for images, texts in (
            (root / "images" / part, root / "labels" / part),
            (root / part / "images", root / part / "labels"),
        ):
            if images.is_dir():
                return [(i, texts / (i.stem + ".txt")) for i in _images_in(images)]
        listed = root / f"{part}.txt"
        if listed.is_file():
            try:
                lines = listed.read_text("utf-8").splitlines()
            except UnicodeError as error:
                raise FileFormatError(f"{listed} is no list of images: {error}") from error
            return [_beside(root / line.strip()) for line in lines if line.strip()]
        images = root / "images"
        return [(i, root / "labels" / (i.stem + ".txt")) for i in _images_in(images)]

    def _found_classes(self) -> list[str]:
        root = Path(self.root)
        for name in _YAMLS:
            if (root / name).is_file():
                return _names_in_yaml(root / name)
        for name in _NAMES:
            if (root / name).is_file():
                return [s.strip() for s in (root / name).read_text("utf-8").splitlines() if s]
        numbers = [row[0] for path in self.targets for row in read_rows(path)]
        return [str(i) for i in range(int(max(numbers, default=-1)) + 1)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = open_image(self.images[index], "RGB")
        return self.transformed(image, self._target(index, *image.size))

    def _target(self, index: int, width: int, height: int) -> dict[str, Any]:
        rows = read_rows(self.targets[index])
        unknown = [int(r[0]) for r in rows if r[0] >= len(self.classes)]
        if unknown:
            raise FileFormatError(
                f"{self.targets[index]}: class {unknown[0]} of {len(self.classes)} classes."
            )
        scale = np.array([width, height], np.float64)
        boxes = [_corners(row, scale) for row in rows]
        target = box_target(boxes, [int(row[0]) + 1 for row in rows], index)
        if rows and all(len(row) > 5 for row in rows):
            polygons = [(np.reshape(r[1:], (-1, 2)) * scale).reshape(-1).tolist() for r in rows]
            masks = [rle.decode(rle.from_polygons([p], height, width)) for p in polygons]
            target["masks"] = from_numpy(np.stack(masks))
        return target

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """The target, which is one already."""
        return target

    def extra_repr(self) -> str:
        return f"Split: {self.image_set}"


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMG_EXTENSIONS]


def _beside(image: Path) -> tuple[Path, Path]:
    """An image of a list and its text: in ``labels`` where the image is in ``images``, or by it."""
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return image, Path(*parts).with_suffix(".txt")


def read_rows(path: str) -> list[list[float]]:
    """The lines of a text file as numbers."""
    if not os.path.exists(path):
        return []
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (UnicodeError, OSError) as error:
        raise FileFormatError(f"{path} is no text that can be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = [float(v) for v in line.split()]
        except ValueError:
            row = []
        polygon = len(row) > 6 and len(row) % 2 == 1
        places = np.array(row[1:])
        if not (len(row) == 5 or polygon) or not _fits(row[0], places):
            raise FileFormatError(
                f"{path}, line {number}: a class and four numbers from 0 to 1, or a polygon, got "
                f"{line.strip()[:80]!r}."
            )
        rows.append(row)
    return rows


def _fits(kind: float, places: np.ndarray[Any, Any]) -> bool:
    within = (places >= -_OUTSIDE) & (places <= 1 + _OUTSIDE)  # NaN is not
    return bool(kind >= 0 and kind == int(kind) and within.all()) if np.isfinite(kind) else False


def _corners(row: list[float], scale: np.ndarray[Any, Any]) -> list[float]:
    """A line's box (x1, y1, x2, y2) in pixels, within the image."""
    if len(row) == 5:
        middle, size = np.array(row[1:3]), np.array(row[3:5])
        low, high = middle - size / 2, middle + size / 2
    else:
        points = np.reshape(row[1:], (-1, 2))
        low, high = points.min(0), points.max(0)
    return [float(v) for v in (*(low.clip(0, 1) * scale), *(high.clip(0, 1) * scale))]


def _names_in_yaml(path: Path) -> list[str]:
    """``names`` of a data set's description: a list, or a dictionary by numbers."""
    text = path.read_text("utf-8", "replace")
    names = _plain_list(text)
    if names is None:
        try:
            import yaml
        except ImportError:
            raise MissingExtraError(
                f"reading {path} needs PyYAML, which is not installed.",
                fix="pip install pyyaml, or pass classes=[...]",
            ) from None
        try:
            content = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise FileFormatError(f"{path} is no YAML that can be read: {error}") from error
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict):
            names = [names[k] for k in sorted(names)]
    if not isinstance(names, list):
        raise FileFormatError(f"{path}: 'names' should list the classes.")
    return [str(name) for name in names]


def _plain_list(text: str) -> list[Any] | None:
    """``names: [...]`` on one line, which needs no YAML."""
    for line in text.splitlines():
        if line.startswith("names:"):
            try:
                found = ast.literal_eval(line.removeprefix("names:").strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return None
            return found if isinstance(found, list) else None
    return None
