"""What layers that change images have in common: layouts, single images, dictionaries, draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.functions.pointwise import where
from fovea.functions.random import rand
from fovea.functions.shaping import permute
from fovea.keras import config
from fovea.keras.bounding_boxes import FORMATS, clip_to_image_size, convert_format
from fovea.keras.layers.activation import _SameShape
from fovea.random import Generator
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ImageLayer", "RandomImageLayer", "factor_pair", "value_pair"]

Drawn = dict[str, Any]


def factor_pair(
    name: str, factor: Any, least: float = -1.0, most: float = 1.0, *, low: float | None = None
) -> tuple[float, float]:
    """A factor as (lower, upper): a number f gives (-f, f), cut to ``least``, or (``low``, f).

    Raises:
        ArgumentError: no number or pair, or outside [``least``, ``most``].
    """
    wrong = f"{name} must be a number from {least:g} to {most:g}, or two, got {factor!r}."
    if isinstance(factor, list | tuple):
        if len(factor) != 2 or max(factor) > most or min(factor) < least:
            raise ArgumentError(wrong)
        lower, upper = sorted(float(f) for f in factor)
        return lower, upper
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise ArgumentError(wrong)
    if not least <= factor <= most:
        raise ArgumentError(wrong)
    size = abs(float(factor))
    return (max(-size, least) if low is None else low), size


def value_pair(name: str, value_range: Any) -> tuple[float, float]:
    """The least and the greatest value of a pixel."""
    if not isinstance(value_range, list | tuple) or len(value_range) != 2:
        raise ArgumentError(f"{name}: value_range must be two numbers, got {value_range!r}.")
    low, high = sorted(value_range)
    return low, high


class ImageLayer(_SameShape):
    """A layer that changes images: batches or single ones, or dictionaries with ``"images"``.

    A dictionary may hold ``"labels"``, ``"segmentation_masks"`` and ``"bounding_boxes"`` (with
    ``"boxes"`` (N, M, 4) and ``"labels"`` (N, M), or lists of different lengths), too: they are
    changed along. Of boxes of which nothing is left labels become -1.

    A subclass gives ``change(images, drawn)`` for a batch (N, H, W, C), whatever the layer's
    layout, and where pixels move ``change_boxes``.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.
        bounding_box_format: of boxes; see `fovea.keras.bounding_boxes.convert_format`.
    """

    always: bool = True  # whether it works outside of training
    takes_integers = True  # labels stay what they are

    def __init__(
        self,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        if bounding_box_format is not None and bounding_box_format.lower() not in FORMATS:
            raise ArgumentError(
                f"{self.name}: bounding_box_format is one of {FORMATS}, got "
                f"{bounding_box_format!r}."
            )
        self.bounding_box_format = bounding_box_format
        self.built = True

    def call(self, data: Any, training: bool = True) -> Any:
        active = training or self.always
        if not isinstance(data, dict):
            batch, back = self._inward(data)
            return back(self.change(batch, self.draw(batch)) if active else batch)
        found = dict(data)
        batch, back = self._inward(data["images"])
        drawn = self.draw(batch) if active else {}
        changed = self.change(batch, drawn) if active else batch
        found["images"] = back(changed)
        if "bounding_boxes" in data:
            sizes = batch.shape[1:3], changed.shape[1:3]
            single = data["images"].ndim == 3
            boxes = self._dense(data["bounding_boxes"], single)
            boxes = self.change_bounding_boxes(boxes, drawn, *sizes) if active else boxes
            found["bounding_boxes"] = _single(boxes) if single else boxes
        if active and "labels" in data:
            found["labels"] = self.change_labels(data["labels"], drawn)
        if active and "segmentation_masks" in data:
            masks, back = self._inward(data["segmentation_masks"])
            found["segmentation_masks"] = back(self.change_masks(masks, drawn))
        return found

    def _inward(self, images: Any) -> tuple[Tensor, Any]:
        """Images as (N, H, W, C) in the layer's dtype, and the way back."""
        if not is_tensor(images) or images.ndim not in (3, 4):
            what = describe(images) if is_tensor(images) else type(images).__name__
            raise ShapeError(f"{self.name}: images have 3 or 4 dimensions, got {what}.")
        single, first = images.ndim == 3, self.data_format == "channels_first"
        batch = images if images.is_floating_point() else images.to(self._dtype)
        batch = batch.unsqueeze(0) if single else batch
        batch = permute(batch, (0, 2, 3, 1)) if first else batch

        def back(changed: Tensor) -> Tensor:
            changed = permute(changed, (0, 3, 1, 2)) if first else changed
            return changed.squeeze(0) if single else changed

        return batch, back

    def _dense(self, given: Any, single: bool) -> Drawn:
        """Boxes (N, M, 4) and labels (N, M, ...) as tensors: lists filled up with boxes of zeros
        whose label is -1.
        """
        if not self.bounding_box_format:
            raise ArgumentError(
                f"{self.name}: the data has bounding boxes, whose format is not known.",
                fix="pass bounding_box_format, e.g. 'xyxy', to the layer",
            )
        if not isinstance(given, dict) or not {"boxes", "labels"} <= given.keys():
            raise ArgumentError(
                f"{self.name}: bounding_boxes is a dictionary with 'boxes' and 'labels'."
            )
        boxes, labels = given["boxes"], given["labels"]
        if isinstance(boxes, list | tuple):
            rows = [boxes] if single else boxes
            named = [labels] if single else labels
            most = max((len(row) for row in rows), default=0)
            boxes = np.zeros((len(rows), most, 4), np.float32)
            filled = np.full((len(rows), most), -1, np.int32)
            for i, (row, names) in enumerate(zip(rows, named, strict=True)):
                if len(row) != len(names):
                    raise ShapeError(f"{self.name}: {len(row)} boxes, but {len(names)} labels.")
                if len(row):
                    boxes[i, : len(row)], filled[i, : len(row)] = np.asarray(row), names
            return {**given, "boxes": from_numpy(boxes), "labels": from_numpy(filled)}
        if single:
            boxes, labels = boxes.unsqueeze(0), labels.unsqueeze(0)
        if boxes.ndim != 3 or boxes.shape[-1] != 4 or labels.shape[:2] != boxes.shape[:2]:
            raise ShapeError(
                f"{self.name}: boxes are (images, boxes, 4) and labels (images, boxes), got "
                f"{tuple(boxes.shape)} and {tuple(labels.shape)}."
            )
        return {**given, "boxes": boxes.to(self._dtype), "labels": labels}

    def change_bounding_boxes(self, found: Drawn, drawn: Drawn, before: Any, after: Any) -> Drawn:
        """What becomes of boxes and their labels, in images of another size than before."""
        if type(self).change_boxes is ImageLayer.change_boxes:
            return found
        kind = str(self.bounding_box_format)
        boxes = convert_format(found["boxes"], kind, "xyxy", before[0], before[1], self._dtype)
        x1, y1, x2, y2 = boxes.unbind(-1)
        there = ((x2 > x1) & (y2 > y1)).unsqueeze(-1)
        moved = where(there, self.change_boxes(boxes, drawn, before), 0.0)
        found = clip_to_image_size({**found, "boxes": moved}, *after)
        return convert_format(found, "xyxy", kind, after[0], after[1], self._dtype)

    def draw(self, images: Tensor) -> Drawn:
        """The random numbers of one call for a batch (N, H, W, C)."""
        return {}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        """A changed batch (N, H, W, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define change().")

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        """What becomes of masks (N, H, W, C): nothing, where pixels stay in place."""
        return masks

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        """What becomes of boxes (N, M, 4), corners in pixels, in images of a size (height, width):
        nothing, where pixels stay in place.
        """
        return boxes

    def change_labels(self, labels: Tensor, drawn: Drawn) -> Tensor:
        """What becomes of labels (N, ...)."""
        return labels

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        if not isinstance(input_shape, dict):
            return self.image_shape(tuple(input_shape))
        sized = ("images", "segmentation_masks")
        return {k: self.image_shape(v) if k in sized else v for k, v in input_shape.items()}

    def image_shape(self, shape: Any) -> Any:
        """The shape of images after the change: the same, unless a layer overrides it."""
        return shape


def _single(found: Drawn) -> Drawn:
    """The only image's boxes and labels."""
    return {**found, "boxes": found["boxes"].squeeze(0), "labels": found["labels"].squeeze(0)}


class RandomImageLayer(ImageLayer):
    """An `ImageLayer` that draws, from its own seed or the default generator, only in training."""

    always = False

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.seed = None if seed is None else int(seed)
        own = None if self.seed is None else Generator().manual_seed(self.seed)
        self.__dict__["_generator"] = own

    def uniform(self, shape: Sequence[int], low: float, high: float, images: Tensor) -> Tensor:
        """Numbers from ``low`` to ``high``, on the images' device, of at least float32."""
        kind = images.dtype if images.dtype.itemsize >= 4 else "float32"
        return rand(*shape, generator=self._generator, dtype=kind) * (high - low) + low

    def chosen(self, count: int, factor: tuple[float, float], images: Tensor) -> Tensor:
        """Which of ``count`` images change: with a probability drawn from ``factor``; (N, 1, 1,
        1), bool.
        """
        probability = self.uniform((count,), *factor, images)
        hit = self.uniform((count,), 0.0, 1.0, images) < probability
        return hit.reshape(count, 1, 1, 1)
