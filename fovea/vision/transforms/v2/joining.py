"""Samples put together of several of a batch: Mosaic and SimpleCopyPaste."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import full, tensor, zeros
from fovea.functions.parts import cat
from fovea.functions.pointwise import where
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.ops import masks_to_boxes
from fovea.vision.transforms import draws
from fovea.vision.transforms.base import check_probability
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.v2 import functional as F

BILINEAR = InterpolationMode.BILINEAR
PLACED = (tv_tensors.BoundingBoxes, tv_tensors.Mask, tv_tensors.KeyPoints)

__all__ = ["Mosaic", "SimpleCopyPaste"]

Sample = tuple[Tensor, dict[str, Any]]


class _Joining:
    """Base: takes a batch apart into samples, makes each anew, and gives lists back."""

    def __call__(self, *batch: Any) -> tuple[list[Tensor], list[dict[str, Any]]]:
        samples = self._samples(batch if len(batch) > 1 else batch[0])
        made = [self.join(samples, i) for i in range(len(samples))]
        return [image for image, _ in made], [target for _, target in made]

    def join(self, samples: list[Sample], index: int) -> Sample:
        """A new sample in the place of number ``index``."""
        raise NotImplementedError

    def _samples(self, batch: Any) -> list[Sample]:
        name = type(self).__name__
        if not isinstance(batch, tuple | list) or len(batch) != 2 or len(batch[0]) != len(batch[1]):
            raise ArgumentError(
                f"{name}: a batch is (images, targets), as many of one as of the other.",
                fix="DataLoader(..., collate_fn=lambda batch: transform(*zip(*batch)))",
            )
        samples = list(zip(*batch, strict=True))
        for image, target in samples:
            if not isinstance(image, Tensor) or image.ndim != 3:
                raise ArgumentError(
                    f"{name}: images are tensors (channels, height, width), got {describe(image)}.",
                    fix="ToImage() before it",
                )
            if not isinstance(target, dict):
                raise ArgumentError(f"{name}: targets are dictionaries, got {target!r:.60}.")
        return samples


class Mosaic(_Joining):
    """Each image of a batch becomes four: itself and three others, around a point near the middle.

    Boxes, masks and points move along; objects of which less than a pixel is left are gone, from
    all entries of a target that have one row an object. Used on a batch as lists, such as in a
    loader's ``collate_fn``.

    Args:
        size: (height, width) of what is made; None: the image's own.
        p: the share of images that are changed.
        center: the point where the four meet, drawn between these parts of height and width.
        scale: how much of the whole picture an image may fill, drawn between these.
        fill: the value of pixels that no image covers.

    Raises:
        ArgumentError, ShapeError: a batch of another kind, or targets that differ in their entries.

    Source: Bochkovskiy, Wang, Liao, "YOLOv4: optimal speed and accuracy of object detection", 2020.

    >>> import fovea
    >>> from fovea.vision.tv_tensors import BoundingBoxes
    >>> boxes = BoundingBoxes([[2, 2, 30, 30]], format="XYXY", canvas_size=(32, 32))
    >>> target = {"boxes": boxes, "labels": fovea.tensor([1])}
    >>> images, targets = Mosaic()([fovea.ones(3, 32, 32)] * 4, [target] * 4)
    >>> images[0].shape, len(targets[0]["boxes"]) == len(targets[0]["labels"])
    (fovea.Size([3, 32, 32]), True)
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        p: float = 1.0,
        center: Sequence[float] = (0.35, 0.65),
        scale: Sequence[float] = (0.4, 1.0),
        fill: float = 0,
    ) -> None:
        check_probability("Mosaic", p)
        for name, (low, high) in (("center", center), ("scale", scale)):
            if not 0 < low <= high or (name == "center" and high >= 1):
                raise ArgumentError(f"Mosaic: {name} is two parts in order, got {(low, high)}.")
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.p, self.center, self.scale, self.fill = p, tuple(center), tuple(scale), fill

    def join(self, samples: list[Sample], index: int) -> Sample:
        if not draws.chance(self.p):
            return samples[index]
        height, width = self.size or samples[index][0].shape[-2:]
        y = round(height * draws.uniform(*self.center))
        x = round(width * draws.uniform(*self.center))
        canvas = full((samples[index][0].shape[0], height, width), self.fill).to(
            samples[index][0].dtype
        )
        found = []
        for n, chosen in enumerate((index, *(draws.integer(0, len(samples)) for _ in range(3)))):
            rows = (0, y) if n < 2 else (y, height)
            columns = (0, x) if n % 2 == 0 else (x, width)
            place = _Place(rows, columns, (height, width), draws.uniform(*self.scale))
            found.append(place.put(canvas, *samples[chosen], near=(n < 2, n % 2 == 0)))
        image = samples[index][0]
        made = (
            tv_tensors.wrap(canvas, like=image) if isinstance(image, tv_tensors.Image) else canvas
        )
        return made, _joined("Mosaic", found)


class _Place:
    """A quarter of a canvas that an image is put into."""

    def __init__(
        self, rows: tuple[int, int], columns: tuple[int, int], canvas: tuple[int, int], scale: float
    ) -> None:
        self.rows, self.columns, self.canvas, self.scale = rows, columns, canvas, scale

    def put(
        self, canvas: Tensor, image: Tensor, target: dict[str, Any], near: tuple[bool, bool]
    ) -> dict[str, Any]:
        """Write an image, one corner in the middle; returns its target at its new place.

        Args:
            near: whether the middle is below the quarter, and to the right of it.
        """
        height, width = image.shape[-2:]
        ratio = self.scale * min(self.canvas[0] / height, self.canvas[1] / width)
        size = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        room = (self.rows[1] - self.rows[0], self.columns[1] - self.columns[0])
        # The corner of the quarter as the resized image sees it; below 0 where it is too small.
        corner = tuple(s - r if low else 0 for s, r, low in zip(size, room, near, strict=True))
        shown = [(max(c, 0), min(s, c + r)) for c, s, r in zip(corner, size, room, strict=True)]
        resized = F.resize(image, list(size))
        (top, bottom), (left, right) = shown
        at_y = self.rows[0] + top - corner[0]
        at_x = self.columns[0] + left - corner[1]
        part = resized[:, top:bottom, left:right]
        canvas[:, at_y : at_y + bottom - top, at_x : at_x + right - left] = _plain(part)
        sides = [
            self.columns[0], self.rows[0],
            self.canvas[1] - self.columns[1], self.canvas[0] - self.rows[1],
        ]  # fmt: skip

        def moved(value: Any) -> Any:
            if not isinstance(
                value, tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints
            ):
                return value
            return F.pad(F.crop(F.resize(value, list(size)), *corner, *room), sides)

        return _of_what_is_left({name: moved(value) for name, value in target.items()})


def _plain(value: Any) -> Tensor:
    made: Tensor = value.as_tensor() if isinstance(value, tv_tensors.TVTensor) else value
    return made


def _objects(target: dict[str, Any]) -> int | None:
    """How many objects there are, where there are boxes."""
    boxes = [v for v in target.values() if isinstance(v, tv_tensors.BoundingBoxes)]
    return len(boxes[0]) if boxes else None


def _is_row_each(value: Any, count: int | None) -> bool:
    """Whether a value has one row an object."""
    if count is None or not isinstance(value, Tensor) or value.ndim == 0:
        return False
    return len(value) == count and not (isinstance(value, tv_tensors.Mask) and value.ndim < 3)


def _of_what_is_left(target: dict[str, Any]) -> dict[str, Any]:
    """The target without objects whose boxes are narrower than a pixel."""
    count = _objects(target)
    if not count:
        return target
    boxes = next(v for v in target.values() if isinstance(v, tv_tensors.BoundingBoxes))
    corners = _plain(F.convert_bounding_box_format(boxes, new_format="XYXY"))
    kept = ((corners[:, 2:] - corners[:, :2]) >= 1).all(1)
    return {
        name: _like(_plain(value)[kept], value) if _is_row_each(value, count) else value
        for name, value in target.items()
    }


def _like(made: Tensor, value: Any) -> Any:
    return tv_tensors.wrap(made, like=value) if isinstance(value, tv_tensors.TVTensor) else made


def _joined(name: str, targets: list[dict[str, Any]]) -> dict[str, Any]:
    """One target of several: rows of objects behind each other, masks of pixels as one."""
    first, counts = targets[0], [_objects(t) for t in targets]
    if any(set(t) != set(first) for t in targets):
        raise ArgumentError(f"{name}: targets differ in their entries.")
    made = dict(first)
    for key, value in first.items():
        values = [t[key] for t in targets]
        if all(_is_row_each(v, c) for v, c in zip(values, counts, strict=True)):
            made[key] = _like(cat([_plain(v) for v in values]), value)
        elif isinstance(value, tv_tensors.Mask):  # of pixels: 0 where the others are
            whole = _plain(value)
            for other in values[1:]:
                whole = where(whole != 0, whole, _plain(other))
            made[key] = _like(whole, value)
    return made


class SimpleCopyPaste(_Joining):
    """Objects of the image before it in the batch are pasted onto each image, with their masks.

    What they cover is taken out of the masks below, boxes are made anew from masks, and objects of
    which nothing is left are gone. Used on a batch as lists, such as in a loader's ``collate_fn``.
    Targets need ``masks`` (N, H, W), ``boxes`` and ``labels``.

    Args:
        blending: soften the edges of what is pasted with a Gaussian of 5 pixels.
        resize_interpolation: how pasted images of another size are resized.
        antialias: of that resizing.

    Raises:
        ArgumentError, ShapeError: a batch of another kind.

    Source: Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance
    segmentation", 2020.

    >>> import fovea
    >>> from fovea.vision.tv_tensors import BoundingBoxes, Mask
    >>> mask = fovea.zeros(1, 8, 8, dtype=fovea.bool)
    >>> mask[0, 1:4, 2:6] = True
    >>> boxes = BoundingBoxes([[2, 1, 6, 4]], format="XYXY", canvas_size=(8, 8))
    >>> one = {"boxes": boxes, "masks": Mask(mask), "labels": fovea.tensor([1])}
    >>> other = {**one, "masks": Mask(mask.flip(1))}
    >>> pair = [fovea.zeros(3, 8, 8), fovea.ones(3, 8, 8)]
    >>> images, targets = SimpleCopyPaste()(pair, [one, other])
    >>> targets[0]["boxes"].tolist(), targets[0]["labels"].tolist()
    ([[2.0, 1.0, 6.0, 4.0], [2.0, 4.0, 6.0, 7.0]], [1, 1])
    """

    def __init__(
        self,
        blending: bool = True,
        resize_interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.blending, self.antialias = blending, antialias
        self.resize_interpolation = as_mode(resize_interpolation)

    def join(self, samples: list[Sample], index: int) -> Sample:
        (image, target), (pasted, source) = samples[index], samples[index - 1]
        for one, of in ((image, target), (pasted, source)):
            self._check(one, of)
        count = len(source["masks"])
        chosen = sorted({draws.integer(0, count) for _ in range(count)})
        if not chosen:
            return image, dict(target)
        rows = tensor(chosen)
        size = list(image.shape[-2:])
        if list(pasted.shape[-2:]) != size:
            pasted = F.resize(pasted, size, self.resize_interpolation, antialias=self.antialias)
        on_top = _plain(F.resize(tv_tensors.Mask(_plain(source["masks"])[rows]), size))
        covered = (on_top != 0).any(0)
        below = _plain(target["masks"])
        below = where(covered, zeros((), dtype=below.dtype), below)
        masks = cat([below, on_top.to(below.dtype)])
        labels = cat([target["labels"], source["labels"][rows].to(target["labels"].dtype)])
        left = (masks != 0).reshape(len(masks), -1).any(1)
        masks, labels = masks[left], labels[left]
        corners = masks_to_boxes(masks != 0) + tensor([0.0, 0.0, 1.0, 1.0])
        boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=tuple(size))
        kind = target["boxes"].format
        made = {
            **target,
            "boxes": F.convert_bounding_box_format(boxes, new_format=kind),
            "masks": tv_tensors.Mask(masks),
            "labels": labels,
        }
        return _like(self._blended(_plain(image), _plain(pasted), covered), image), made

    def _blended(self, image: Tensor, pasted: Tensor, covered: Tensor) -> Tensor:
        share = covered.to(dtypes.float32).unsqueeze(0)
        if self.blending:
            share = F.gaussian_blur(share, [5, 5], [2.0, 2.0])
        mixed = image.to(dtypes.float32) * (1 - share) + pasted.to(dtypes.float32) * share
        if not image.is_floating_point():
            mixed = mixed.round()
        return mixed.to(image.dtype)

    @staticmethod
    def _check(image: Tensor, target: dict[str, Any]) -> None:
        missing = [n for n in ("boxes", "masks", "labels") if n not in target]
        if missing:
            raise ArgumentError(f"SimpleCopyPaste: a target lacks {', '.join(missing)}.")
        if not isinstance(target["boxes"], tv_tensors.BoundingBoxes):
            raise ArgumentError("SimpleCopyPaste: boxes are tv_tensors.BoundingBoxes.")
        masks, labels = target["masks"], target["labels"]
        if masks.ndim != 3 or tuple(masks.shape[1:]) != tuple(image.shape[-2:]):
            raise ShapeError(
                f"SimpleCopyPaste: {describe(masks)} are no masks of {describe(image)}."
            )
        if len(labels) != len(masks):
            raise ShapeError(f"SimpleCopyPaste: {len(labels)} labels for {len(masks)} masks.")
