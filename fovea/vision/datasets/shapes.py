"""Pictures of colored shapes, drawn as they are asked for: something to learn all tasks from that
needs no files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, OutOfRangeError
from fovea.vision.datasets.boxes import box_target
from fovea.vision.datasets.vision import PairTransform, Transform, VisionDataset, to_tensor

__all__ = ["Shapes"]

Array = np.ndarray[Any, Any]
_LEAST_VISIBLE = 0.4  # of a shape that others lie on
_LEAST_CONTRAST = 0.35  # of a shape's color with what it lies on, in the channel that differs most
_TRIES = 30


class Shapes(VisionDataset):
    """Colored shapes on textured backgrounds, in any number, size and direction, some partly under
    others. An image is drawn when it is read: the same for the same seed and index, whoever reads.

    A sample is a float32 tensor (3, image_size, image_size) with values in [0, 1], and a target:

    ====================  ==========================================================================
    task                  target
    ====================  ==========================================================================
    ``"classification"``  the class of the only shape, an int from 0
    ``"detection"``       a dictionary as detectors take it: ``boxes`` float32 (N, 4), x1, y1, x2,
                          y2, around what can be seen; ``labels`` int64 (N,), from 1, since 0 is
                          detectors' background; ``image_id``
    ``"instances"``       also ``masks`` uint8 (N, image_size, image_size): what can be seen of each
    ``"keypoints"``       the dictionary of detection, and ``keypoints`` float32 (N, 5, 3): x, y
                          and whether it can be seen (2) or lies under another shape (1)
    ``"segmentation"``    int64 (image_size, image_size): the class of each pixel from 1, 0 where
                          there is no shape
    ====================  ==========================================================================

    Args:
        size: how many samples.
        task: one of these.
        image_size: pixels a side, at least 16.
        max_objects: images have 1 to so many shapes (fewer where there is no room).
        object_size: the smallest and the largest diameter, in sides of the image; None: (0.12,
            0.45), and (0.4, 0.8) for classification.
        seed: another one gives other images: for validation, say.
        transform: a function of the image.
        transforms: a function of (image, target) that gives both (instead of ``transform``).

    Attributes:
        classes: the shapes' names, in the order of their numbers.
        keypoints: the points' names: the middle, and those farthest to each side.

    Raises:
        ArgumentError: an unknown task, sizes that are impossible.
        OutOfRangeError: an index outside the dataset.

    >>> shapes = Shapes(100, image_size=64)
    >>> image, target = shapes[0]
    >>> image.shape, target["boxes"].shape
    (fovea.Size([3, 64, 64]), fovea.Size([4, 4]))
    >>> [shapes.classes[k - 1] for k in target["labels"]]
    ['triangle', 'triangle', 'ring', 'cross']
    """

    classes: ClassVar[list[str]] = ["circle", "square", "triangle", "star", "cross", "ring"]
    keypoints: ClassVar[list[str]] = ["middle", "left", "top", "right", "bottom"]
    tasks: ClassVar[tuple[str, ...]] = (
        "classification", "detection", "instances", "keypoints", "segmentation",
    )  # fmt: skip

    def __init__(
        self,
        size: int = 1000,
        task: str = "detection",
        image_size: int = 128,
        max_objects: int = 6,
        object_size: tuple[float, float] | None = None,
        seed: int = 0,
        transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(None, transforms=transforms, transform=transform)
        if task not in self.tasks:
            raise ArgumentError(f"Shapes: task is one of {self.tasks}, got {task!r}.")
        alone = task == "classification"
        low, high = object_size or ((0.4, 0.8) if alone else (0.12, 0.45))
        if not 0 < low <= high <= 1 or image_size < 16 or max_objects < 1 or size < 0 or seed < 0:
            raise ArgumentError(
                f"Shapes: size={size}, image_size={image_size}, max_objects={max_objects}, "
                f"object_size={object_size}, seed={seed} do not make images.",
                fix="image_size of 16 or more, 0 < object_size[0] <= object_size[1] <= 1",
            )
        self.size, self.task, self.image_size, self.seed = size, task, image_size, seed
        self.max_objects = 1 if alone else max_objects
        self.object_size = (low, high)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.size:
            raise OutOfRangeError(
                f"Shapes: index {index} is outside a dataset of {self.size} samples."
            )
        rng = np.random.default_rng((self.seed, index))
        image, shapes, owner = self._scene(rng)
        return self.transformed(to_tensor(image), self._target(index, shapes, owner))

    def _scene(self, rng: np.random.Generator) -> tuple[Array, list[_Shape], Array]:
        """A picture (3, H, W), its shapes, and for each pixel the shape on it, -1 for none."""
        image = _background(rng, self.image_size)
        owner = np.full(image.shape[1:], -1)
        shapes: list[_Shape] = []
        for _ in range(rng.integers(1, self.max_objects + 1)):
            for _ in range(_TRIES):
                shape = self._drawn(rng)
                inside = shape.coverage >= 0.5
                if inside.any() and _leaves_visible(owner, shapes, inside, shape.place):
                    _paint(image, shape, rng)
                    owner[shape.place][inside] = len(shapes)
                    shapes.append(shape)
                    break
        return image, shapes, owner

    def _drawn(self, rng: np.random.Generator) -> _Shape:
        """A shape anywhere in an image."""
        side = self.image_size
        radius = side * rng.uniform(*self.object_size) / 2
        reach = min(radius + 1, side / 2)
        x, y = rng.uniform(reach, side - reach, 2)
        angle, kind = rng.uniform(0, 2 * math.pi), int(rng.integers(len(self.classes)))
        rows, columns = (
            slice(max(math.floor(at - reach), 0), min(math.ceil(at + reach), side)) for at in (y, x)
        )
        right = np.arange(columns.start, columns.stop) + 0.5 - x
        down = np.arange(rows.start, rows.stop)[:, None] + 0.5 - y
        u = right * math.cos(angle) + down * math.sin(angle)
        v = down * math.cos(angle) - right * math.sin(angle)
        coverage = np.clip(0.5 - _OUTSIDE[self.classes[kind]](u, v, radius), 0, 1)
        return _Shape(kind, (x, y), (rows, columns), coverage)

    def _target(self, index: int, shapes: list[_Shape], owner: Array) -> Any:
        if self.task == "classification":
            return shapes[0].kind
        kinds = np.array([shape.kind + 1 for shape in shapes], np.int64)
        if self.task == "segmentation":
            return to_tensor(np.append(kinds, 0)[owner])
        masks = owner == np.arange(len(shapes))[:, None, None]
        more: dict[str, Any] = {}
        if self.task == "instances":
            more["masks"] = to_tensor(masks.astype(np.uint8))
        if self.task == "keypoints":
            points = [_points(shape, owner > i) for i, shape in enumerate(shapes)]
            more["keypoints"] = to_tensor(np.array(points, np.float32))
        return box_target([_box(mask) for mask in masks], kinds.tolist(), index, **more)

    def extra_repr(self) -> str:
        return f"Task: {self.task}\nImage size: {self.image_size}\nSeed: {self.seed}"


@dataclass
class _Shape:
    """One shape: which, the middle (x, y), the part of the image around it (rows, columns), and how
    much of each pixel there it covers.
    """

    kind: int
    middle: tuple[float, float]
    place: tuple[slice, slice]
    coverage: Array


def _leaves_visible(
    owner: Array, shapes: list[_Shape], inside: Array, place: tuple[slice, slice]
) -> bool:
    """Whether enough of all shapes stays to be seen with another on top."""
    for i in np.unique(owner[place][inside]):
        if i >= 0:
            left = np.sum(owner == i) - np.sum(owner[place][inside] == i)
            if left < _LEAST_VISIBLE * np.sum(shapes[i].coverage >= 0.5):
                return False
    return True


def _paint(image: Array, shape: _Shape, rng: np.random.Generator) -> None:
    """Put a shape on an image, in a color that stands out."""
    part, cover = image[:, *shape.place], shape.coverage.astype(np.float32)
    below = (part * cover).sum((1, 2)) / cover.sum()
    color = rng.uniform(0, 1, 3)
    while np.abs(color - below).max() < _LEAST_CONTRAST:
        color = rng.uniform(0, 1, 3)
    slope = np.linspace(-0.5, 0.5, part.shape[2], dtype=np.float32) * rng.uniform(-0.2, 0.2)
    light = slope + 0.02 * rng.standard_normal(part.shape[1:], np.float32)
    part += cover * (np.clip(_planes(color) + light, 0, 1) - part)


def _planes(color: Array) -> Array:
    """A color for a picture of three planes."""
    return color.astype(np.float32).reshape(3, 1, 1)


def _background(rng: np.random.Generator, side: int) -> Array:
    """Two colors mixed by clouds and stripes, with noise: float32 (3, side, side)."""
    one, other = map(_planes, rng.uniform(0, 1, (2, 3)))
    along = np.linspace(0, 1, side, dtype=np.float32)
    weight = 0.5 * rng.uniform() * _clouds(rng, along, 4) + 0.3 * _clouds(rng, along, 12)
    turn, waves = rng.uniform(0, math.pi), rng.uniform(2, 12)
    across = along * math.cos(turn) + along[:, None] * math.sin(turn)
    weight += rng.uniform(0, 0.3) * np.sin(2 * math.pi * waves * across)
    image = rng.standard_normal((3, side, side), np.float32)
    image *= 0.03
    image += one + weight * (other - one)
    return np.clip(image, 0, 1, out=image)


def _clouds(rng: np.random.Generator, along: Array, cells: int) -> Array:
    """Random values at the corners of cells, and linear in between."""
    near = np.clip(1 - np.abs(along[:, None] * cells - np.arange(cells + 1)), 0, 1)
    clouds: Array = near @ rng.random((cells + 1, cells + 1), np.float32) @ near.T
    return clouds


# How far a place (u, v) from the middle of a shape of a radius lies outside its edge, in pixels;
# less than 0 inside. Beyond corners it is less than the distance, which the pixels' coverage bears.


def _circle(u: Array, v: Array, radius: float) -> Array:
    return np.hypot(u, v) - radius


def _square(u: Array, v: Array, radius: float) -> Array:
    return np.maximum(np.abs(u), np.abs(v)) - radius / math.sqrt(2)


def _triangle(u: Array, v: Array, radius: float) -> Array:
    sides = [u * math.cos(a) + v * math.sin(a) for a in (math.pi / 3, math.pi, -math.pi / 3)]
    return np.maximum.reduce(sides) - radius / 2


def _star(u: Array, v: Array, radius: float) -> Array:
    fifth = 2 * math.pi / 5
    angle = np.abs((np.arctan2(v, u) + fifth / 2) % fifth - fifth / 2)  # from the nearest point
    inner = 0.45 * np.array([math.cos(fifth / 2), math.sin(fifth / 2)]) - [1, 0]
    normal = np.array([inner[1], -inner[0]]) / np.hypot(*inner)
    far = np.hypot(u, v)
    return (far * np.cos(angle) - radius) * normal[0] + far * np.sin(angle) * normal[1]


def _cross(u: Array, v: Array, radius: float) -> Array:
    u, v, half = np.abs(u), np.abs(v), 0.28 * radius
    long = math.sqrt(radius**2 - half**2)
    return np.maximum(np.minimum(u, v) - half, np.maximum(u, v) - long)


def _ring(u: Array, v: Array, radius: float) -> Array:
    return np.abs(np.hypot(u, v) - 0.75 * radius) - 0.25 * radius


_OUTSIDE: dict[str, Callable[[Array, Array, float], Array]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross,
    "ring": _ring,
}  # fmt: skip


def _box(mask: Array) -> tuple[float, float, float, float]:
    """The edges (x1, y1, x2, y2) of the pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _points(shape: _Shape, covered: Array) -> list[tuple[float, float, int]]:
    """The middle and the outermost points of a whole shape, and whether each can be seen."""
    rows, columns = np.nonzero(shape.coverage >= 0.5)
    rows, columns = rows + shape.place[0].start + 0.5, columns + shape.place[1].start + 0.5
    points = [shape.middle]
    for depth in (columns, rows, -columns, -rows):
        outermost = depth == depth.min()
        middle = np.flatnonzero(outermost)[outermost.sum() // 2]
        points.append((float(columns[middle]), float(rows[middle])))
    return [(x, y, 1 if covered[int(y), int(x)] else 2) for x, y in points]
