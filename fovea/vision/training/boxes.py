"""Samples that a detector learns from: images and boxes made to one size, and varied.

Sources: A. Bochkovskiy et al., "YOLOv4", 2020 (four images in one); W. Liu et al., "SSD", 2016
(images cut out and shrunk).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import from_array
from fovea.functions.random import randint
from fovea.tensorbase import is_tensor
from fovea.utils.data.dataset import Dataset

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Augment", "DetectionSamples", "as_image"]

Array = np.ndarray[Any, Any]
_GRAY = np.float32(0.5)
_LEAST_LEFT = 0.3  # of a box that the image's edge cuts
_SMALLEST = 2  # pixels of a side


@dataclass(frozen=True)
class Augment:
    """How samples are varied.

    Args:
        mosaic: the share of samples that are put together of four images.
        scale: the least and the largest size of an image; 1 fills the sample (a quarter of it in
            those of four images).
        flip: how often left and right are exchanged.
        upside_down: how often top and bottom are.
        color: the most by which contrast, brightness, saturation and each channel change.
    """

    mosaic: float = 0.5
    scale: tuple[float, float] = (0.7, 1.4)
    flip: float = 0.5
    upside_down: float = 0.0
    color: float = 0.2


class DetectionSamples(Dataset[Any]):
    """A data set of images with boxes as samples of fixed shapes: float32 images (3, height,
    width), values from 0 to 1, and float32 objects (max_objects, 5): label, x1, y1, x2, y2; label 0
    where there is none. Batches of them are those of ``Glance.prepare``.

    Args:
        dataset: its samples are (image, target): a PIL image or a tensor (3, H, W), and a
            dictionary with ``boxes`` (N, 4) and ``labels`` (N,) from 1. Boxes without width or
            height are left out.
        size: (height, width) of samples.
        max_objects: rows of objects; of more (which four images in one can have), some are left
            out by chance.
        augment: how samples are varied; None: the whole image, in the upper left corner.
        cache: read the data set once, and keep its images at the size of samples.

    Raises:
        ArgumentError, ShapeError: samples of another kind.

    >>> from fovea.vision.datasets import Shapes
    >>> samples = DetectionSamples(Shapes(10, image_size=64), (96, 96), 16, Augment(mosaic=1.0))
    >>> image, objects = samples[0]
    >>> image.shape, objects.shape
    (fovea.Size([3, 96, 96]), fovea.Size([16, 5]))
    """

    def __init__(
        self,
        dataset: Any,
        size: tuple[int, int],
        max_objects: int,
        augment: Augment | None = None,
        cache: bool = False,
    ) -> None:
        self.dataset, self.size, self.max_objects = dataset, size, max_objects
        self.augment = augment
        self._kept: list[tuple[Array, Array]] | None = None
        if cache:
            self._kept = [self._small(*self._read(i)) for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        # A generator of its own a sample: one draw of fovea's, whatever is varied.
        rng = np.random.default_rng(int(randint(0, 2**31 - 1, (1,))))
        canvas = np.full((3, *self.size), _GRAY, np.float32)
        if self.augment is None:
            objects = self._place(canvas, index, 1.0, None)
        elif rng.random() < self.augment.mosaic:
            objects = self._four(canvas, index, self.augment, rng)
        else:
            objects = self._place(canvas, index, rng.uniform(*self.augment.scale), rng)
        if self.augment is not None:
            canvas, objects = _varied(canvas, objects, self.augment, rng)
        if len(objects) > self.max_objects:
            objects = rng.permutation(objects)[: self.max_objects]
        rows = np.zeros((self.max_objects, 5), np.float32)
        rows[: len(objects)] = objects
        return from_array(np.ascontiguousarray(canvas)), from_array(rows)

    def _four(self, canvas: Array, index: int, augment: Augment, rng: np.random.Generator) -> Array:
        """Four images around a place near the middle."""
        height, width = self.size
        down, right = int(height * rng.uniform(0.35, 0.65)), int(width * rng.uniform(0.35, 0.65))
        others = rng.integers(len(self), size=3)
        found = []
        for n, one in enumerate((index, *others)):
            rows = slice(0, down) if n < 2 else slice(down, height)
            columns = slice(0, right) if n % 2 == 0 else slice(right, width)
            part = canvas[:, rows, columns]
            objects = self._place(part, int(one), rng.uniform(*augment.scale) * 0.6, rng)
            objects[:, 1:] += [columns.start, rows.start, columns.start, rows.start]
            found.append(objects)
        return np.concatenate(found)

    def _place(
        self, part: Array, index: int, scale: float, rng: np.random.Generator | None
    ) -> Array:
        """Put an image on a part of the canvas: its objects (N, 5) that can still be seen.

        Args:
            scale: 1 fills the canvas.
            rng: draws where; None: in the upper left corner.
        """
        image, objects = self._kept[index] if self._kept is not None else self._read(index)
        scale *= min(self.size[0] / image.shape[1], self.size[1] / image.shape[2])
        shape = tuple(max(round(side * scale), 1) for side in image.shape[1:])
        image = _resized(image, shape)
        offset = [0, 0]
        for d, (have, room) in enumerate(zip(shape, part.shape[1:], strict=True)):
            if rng is not None:
                offset[d] = int(rng.integers(min(0, room - have), max(0, room - have) + 1))
        here = [slice(max(at, 0), at + n) for at, n in zip(offset, shape, strict=True)]
        place = part[:, here[0], here[1]]
        top, left = (max(-at, 0) for at in offset)
        place[...] = image[:, top : top + place.shape[1], left : left + place.shape[2]]
        moved = objects.copy()
        moved[:, 1:] = objects[:, 1:] * scale + np.array([*offset[::-1], *offset[::-1]])
        return _cut(moved, part.shape[1], part.shape[2])

    def _read(self, index: int) -> tuple[Array, Array]:
        """An image float32 (3, H, W) and its objects (N, 5)."""
        image, target = self.dataset[index]
        if not isinstance(target, dict) or "boxes" not in target or "labels" not in target:
            raise ArgumentError(
                "DetectionSamples: targets must be dictionaries with boxes and labels.",
                fix="fovea.vision.datasets.wrap_dataset_for_transforms_v2(dataset)",
            )
        boxes = np.asarray(target["boxes"], np.float32).reshape(-1, 4)
        labels = np.asarray(target["labels"], np.float32).reshape(-1, 1)
        objects = np.concatenate((labels, boxes), 1)
        return _planes(image), objects[(boxes[:, 2:] > boxes[:, :2]).all(1)]

    def _small(self, image: Array, objects: Array) -> tuple[Array, Array]:
        """The same, in bytes at the size of samples (and never larger than it was)."""
        scale = min(self.size[0] / image.shape[1], self.size[1] / image.shape[2], 1)
        shape = tuple(max(round(side * scale), 1) for side in image.shape[1:])
        small = np.round(_resized(image, shape) * 255).clip(0, 255).astype(np.uint8)
        objects = objects.copy()
        objects[:, 1:] *= scale
        return small, objects


def as_image(image: Any) -> Tensor:
    """A PIL image or a tensor, of bytes or of numbers from 0 to 1, as detectors take it: float32
    (3, H, W), from 0 to 1.

    >>> import fovea
    >>> as_image(fovea.full((1, 2, 2), 255, dtype=fovea.uint8)).sum()
    tensor(12.)
    """
    return from_array(np.ascontiguousarray(_planes(image)))


def _planes(image: Any) -> Array:
    """float32 (3, H, W), from 0 to 1, of a PIL image or a tensor."""
    array = image.numpy() if is_tensor(image) else np.asarray(image.convert("RGB"))
    if not is_tensor(image):
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ShapeError(f"DetectionSamples: images are (3, H, W), got {tuple(array.shape)}.")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    planes: Array = np.broadcast_to(array, (3, *array.shape[1:])).astype(np.float32, copy=False)
    return planes


def _resized(image: Array, shape: tuple[int, ...]) -> Array:
    """float32 (3, *shape); what shrinks is averaged."""
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / 255
    if image.shape[1:] == shape:
        return image
    batch = from_array(np.ascontiguousarray(image[None]))
    done = F.interpolate(batch, size=shape, mode="bilinear", antialias=shape < image.shape[1:])
    resized: Array = done[0].numpy()
    return resized


def _cut(objects: Array, height: int, width: int) -> Array:
    """Objects cut at the edges of an image, those left of which enough is to be seen."""
    boxes = objects[:, 1:].clip(0, [width, height, width, height])
    sides, before = boxes[:, 2:] - boxes[:, :2], objects[:, 3:] - objects[:, 1:3]
    left = sides.prod(1) >= _LEAST_LEFT * before.prod(1)
    kept = left & (sides >= _SMALLEST).all(1)
    return np.concatenate((objects[:, :1], boxes), 1)[kept]


def _varied(
    image: Array, objects: Array, augment: Augment, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Flipped and in other colors."""
    _, height, width = image.shape
    if rng.random() < augment.flip:
        image = image[:, :, ::-1]
        objects[:, [1, 3]] = width - objects[:, [3, 1]]
    if rng.random() < augment.upside_down:
        image = image[:, ::-1]
        objects[:, [2, 4]] = height - objects[:, [4, 2]]
    if augment.color:
        contrast, saturation = 1 + rng.uniform(-augment.color, augment.color, 2)
        gains = 1 + rng.uniform(-augment.color, augment.color, (3, 1, 1)) / 2
        shift = rng.uniform(-augment.color, augment.color) / 2 + (1 - contrast) * image.mean()
        gray = image.mean(0) * np.float32(1 - saturation)
        image = (image * np.float32(saturation) + gray) * (gains * contrast).astype(np.float32)
        image = np.clip(image + np.float32(shift), 0, 1)
    return image, objects
