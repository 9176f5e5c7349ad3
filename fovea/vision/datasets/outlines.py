"""What annotation programs mark in images: boxes and outlines, as targets of detectors."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import FileFormatError, FoveaError
from fovea.functions.creation import from_numpy
from fovea.vision import rle
from fovea.vision.datasets.boxes import box_target, open_sized
from fovea.vision.datasets.vision import PairTransform, Transform, VisionDataset

__all__ = [
    "Marked",
    "MarkedDataset",
    "MarkedImage",
    "around",
    "bounds",
    "numbered",
    "whole_number",
]

_FARTHEST = 1e5  # pixels: no picture is that large
_CORNERS = 72  # of the polygon that stands for an ellipse


@dataclass
class Marked:
    """An object.

    Args:
        label: its class.
        box: left, top, right, bottom in pixels.
        outline: polygons (x1, y1, x2, y2, ...) or masks (left, top, uint8 (h, w)) that make it up;
            None: only the box is known.
    """

    label: str
    box: tuple[float, float, float, float]
    outline: list[Any] | None = None

    def joined(self, other: Marked) -> Marked:
        """One object of two parts."""
        low = [min(a, b) for a, b in zip(self.box[:2], other.box[:2], strict=True)]
        high = [max(a, b) for a, b in zip(self.box[2:], other.box[2:], strict=True)]
        both = self.outline is not None and other.outline is not None
        outline = [*(self.outline or []), *(other.outline or [])] if both else None
        return Marked(self.label, (low[0], low[1], high[0], high[1]), outline)

    def mask(self, height: int, width: int) -> np.ndarray[Any, Any]:
        """Its pixels, uint8 (H, W)."""
        whole = np.zeros((height, width), np.uint8)
        for part in self.outline or []:
            if isinstance(part, tuple):
                left, top, pixels = part
                down, right = min(top + len(pixels), height), min(left + pixels.shape[1], width)
                y, x = max(top, 0), max(left, 0)
                if down > y and right > x:
                    whole[y:down, x:right] |= pixels[y - top : down - top, x - left : right - left]
            else:
                whole |= rle.decode(rle.from_polygons([part], height, width))
        return whole


@dataclass
class MarkedImage:
    """An image and what is marked in it.

    Args:
        path: of the image; or its bytes, where the annotation holds it.
        size: the width and height that the annotation states, if it does.
        objects: what is marked.
        source: the annotation file.
    """

    path: str | bytes
    size: tuple[int, int] | None
    objects: list[Marked]
    source: str


class MarkedDataset(VisionDataset):
    """Images and the objects that are marked in them; subclasses read annotations.

    A sample is an RGB PIL image and a target as detectors take it: ``boxes`` float32 (N, 4) as (x1,
    y1, x2, y2) in pixels, ``labels`` int64 (N,) from 1, ``image_id``, and, where all objects have
    outlines, ``masks`` uint8 (N, H, W).

    Attributes:
        classes: the names of the classes; the first has label 1.
        sources: the annotation file of each sample.
    """

    classes: list[str]
    sources: list[str]

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None,
        target_transform: Transform | None,
        transforms: PairTransform | None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)

    def marked(self, index: int) -> MarkedImage:
        """A sample's annotation alone.

        Raises:
            FileFormatError: it is damaged.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what is marked.")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        found = self.marked(index)
        try:
            image = open_sized(found.path, found.size)
        except FoveaError as error:
            if isinstance(found.path, bytes):
                raise FileFormatError(f"{found.source}: its image: {error.summary}") from error
            raise
        return self.transformed(image, self._target(found, index, *image.size))

    def _target(self, found: MarkedImage, index: int, width: int, height: int) -> dict[str, Any]:
        numbers = {name: i for i, name in enumerate(self.classes, 1)}
        unknown = [m.label for m in found.objects if m.label not in numbers]
        if unknown:
            raise FileFormatError(
                f"{found.source}: an object of an unknown class {unknown[0]!r}.",
                fix=f"the classes are {', '.join(self.classes[:20])}",
            )
        objects = found.objects
        edge = np.array([width, height, width, height], np.float64)
        boxes = [np.clip(m.box, 0, edge).tolist() for m in objects]
        target = box_target(boxes, [numbers[m.label] for m in objects], index)
        if objects and all(m.outline is not None for m in objects):
            target["masks"] = from_numpy(np.stack([m.mask(height, width) for m in objects]))
        return target

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """The target, which is one already."""
        return target


def numbered(classes: Sequence[str] | None, found: Iterable[str]) -> list[str]:
    """The names of classes: those that are given, or those that were found, sorted."""
    return list(classes) if classes is not None else sorted({*found})


def bounds(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The box around points x1, y1, x2, y2, ...

    Raises:
        ValueError: they are no points of a picture.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 1 or not len(places) or len(places) % 2:
        raise ValueError("points are pairs of numbers")
    if not np.isfinite(places).all() or np.abs(places).max() > _FARTHEST:
        raise ValueError("a point is far outside of any picture")
    x, y = places[0::2], places[1::2]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def around(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> list[float]:
    """The corners of a polygon for an ellipse, turned clockwise about its middle."""
    turn = math.radians(degrees)
    points = []
    for step in range(_CORNERS):
        angle = 2 * math.pi * step / _CORNERS
        a, b = rx * math.cos(angle), ry * math.sin(angle)
        points += [x + a * math.cos(turn) - b * math.sin(turn),
                   y + a * math.sin(turn) + b * math.cos(turn)]  # fmt: skip
    return points


def whole_number(entry: Mapping[str, Any], name: str) -> int | None:
    """A size that an annotation states, or None where it states none.

    Raises:
        ValueError: it states none that a picture has.
    """
    value = entry.get(name)
    if value is None or value == "":
        return None
    number = int(value)
    if not 0 < number <= _FARTHEST:
        raise ValueError(f"{name} is {value!r}")
    return number
