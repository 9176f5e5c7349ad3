"""Samples of objects: crops and borders for detectors, and boxes and points that make sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.transforms import draws
from fovea.vision.transforms.base import pair
from fovea.vision.transforms.interpolation import as_mode
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.functional.formats import to_corners
from fovea.vision.transforms.v2.geometry import BILINEAR, Moving
from fovea.vision.transforms.v2.sample import flatten
from fovea.vision.transforms.v2.transform import (
    Fill,
    RandomlyApplied,
    Transform,
    checked_fill,
    fill_of,
    get_bounding_boxes,
    get_keypoints,
    query_size,
)

__all__ = [
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "ConvertBoundingBoxFormat",
    "Letterbox",
    "RandomIoUCrop",
    "RandomZoomOut",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
    "SetClampingMode",
]


class RandomZoomOut(RandomlyApplied):
    """Put a sample at a random place of a larger canvas, with probability ``p``.

    Args:
        fill: value of the canvas, one or one a channel, or a dictionary of these by types and
            ``"others"``.
        side_range: the least and the greatest factor of the sides.
        p: the probability.

    Source: Liu et al., "SSD: single shot multibox detector", 2015, section 3.6.
    """

    _moves = True

    def __init__(
        self, fill: Fill = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.fill = checked_fill("RandomZoomOut", fill)
        if len(side_range) != 2 or not 1 <= side_range[0] <= side_range[1]:
            raise ArgumentError(
                f"RandomZoomOut: side_range is (least, greatest) from 1 on, got {side_range}."
            )
        self.side_range = side_range

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = draws.uniform(self.side_range[0], self.side_range[1])
        tall, wide = int(height * ratio) - height, int(width * ratio) - width
        left, top = int(wide * draws.uniform(0, 1)), int(tall * draws.uniform(0, 1))
        return {"padding": [left, top, wide - left, tall - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pad(inpt, params["padding"], fill_of(self.fill, inpt))


class RandomIoUCrop(Moving):
    """Cut out a random box that overlaps at least one object by a random share.

    Boxes whose middle is not in the crop become empty: `SanitizeBoundingBoxes` takes them out.

    Args:
        min_scale, max_scale: of the crop's sides.
        min_aspect_ratio, max_aspect_ratio: of its width to its height.
        sampler_options: the shares to draw from; 1 or more stands for no crop.
        trials: how many crops are tried for a share.

    Raises:
        TypeError: a sample without boxes, or without an image.

    Source: Liu et al., "SSD: single shot multibox detector", 2015, section 2.2.
    """

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: Sequence[float] | None = None,
        trials: int = 40,
    ) -> None:
        self.min_scale, self.max_scale = min_scale, max_scale
        self.min_aspect_ratio, self.max_aspect_ratio = min_aspect_ratio, max_aspect_ratio
        self.options = list(sampler_options or (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0))
        self.trials = trials

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        kinds = [type(part) for part in flat_inputs]
        if tv_tensors.BoundingBoxes not in kinds:
            raise TypeError("RandomIoUCrop: the sample has no BoundingBoxes.")
        if all(k in (tv_tensors.BoundingBoxes, tv_tensors.Mask) for k in kinds):
            raise TypeError("RandomIoUCrop: the sample has no image.")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size, boxes = query_size(flat_inputs), get_bounding_boxes(flat_inputs)
        corners = to_corners(boxes.as_tensor().numpy().astype(np.float64), boxes.format)
        while len(corners):  # ends: the share that stands for no crop, or one that fits, is drawn
            least = self.options[draws.integer(0, len(self.options))]
            if least >= 1:
                break
            for _ in range(self.trials):
                found = self._try(size, corners, least)
                if found is not None:
                    return found
        return {}

    def _try(self, size: tuple[int, int], boxes: Any, least: float) -> dict[str, Any] | None:
        """A random crop, if it will do."""
        height, width = (int(n * draws.uniform(self.min_scale, self.max_scale)) for n in size)
        if not height or not width:
            return None
        if not self.min_aspect_ratio <= width / height <= self.max_aspect_ratio:
            return None
        left = int((size[1] - width) * draws.uniform(0, 1))
        top = int((size[0] - height) * draws.uniform(0, 1))
        low, high = np.array([left, top]), np.array([left + width, top + height])
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        within = ((middle > low) & (middle < high)).all(1)
        kept = boxes[within]
        if not len(kept):
            return None
        common = np.clip(np.minimum(kept[:, 2:], high) - np.maximum(kept[:, :2], low), 0, None)
        shared = common.prod(1)
        union = (kept[:, 2:] - kept[:, :2]).prod(1) + height * width - shared
        if (shared / union).max() < least:
            return None
        return {"box": (top, left, height, width), "within": within}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:
            return inpt
        made = F.crop(inpt, *params["box"])
        if isinstance(made, tv_tensors.BoundingBoxes):
            values = made.as_tensor().numpy().copy()
            values[~params["within"]] = 0
            made = tv_tensors.wrap(from_numpy(values), like=made)
        return made


class Letterbox(Moving):
    """Resize to fit into a size, the shape kept, and fill what is left on both sides.

    Args:
        size: (height, width), or one number for both.
        fill: value of the borders, one or one a channel, or a dictionary of these by types and
            ``"others"``.
        scale_up: whether images smaller than ``size`` are made larger.
        interpolation: how values between pixels are found.

    >>> import fovea
    >>> Letterbox(8)(fovea.ones(3, 4, 8)).shape
    fovea.Size([3, 8, 8])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        fill: Fill = 0,
        scale_up: bool = True,
        interpolation: Any = BILINEAR,
    ) -> None:
        self.size = pair("Letterbox", "size", size)
        self.fill = checked_fill("Letterbox", fill)
        self.scale_up = scale_up
        self.interpolation = as_mode(interpolation)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = min(self.size[0] / height, self.size[1] / width)
        ratio = ratio if self.scale_up else min(ratio, 1.0)
        tall, wide = max(round(height * ratio), 1), max(round(width * ratio), 1)
        y, x = self.size[0] - tall, self.size[1] - wide
        return {"size": (tall, wide), "padding": [x // 2, y // 2, x - x // 2, y - y // 2]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        made = F.resize(inpt, params["size"], self.interpolation)
        return F.pad(made, params["padding"], fill_of(self.fill, inpt))


class ConvertBoundingBoxFormat(Transform):
    """Boxes in another format.

    Args:
        format: a `BoundingBoxFormat` or its name.
    """

    def __init__(self, format: Any) -> None:
        self.format = tv_tensors.as_format(format)

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.BoundingBoxes)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.convert_bounding_box_format(inpt, new_format=self.format)


class ClampBoundingBoxes(Transform):
    """Boxes cut off at the edges of their image.

    Args:
        clamping_mode: None, ``"soft"``, ``"hard"``, or ``"auto"``: as the boxes say.
    """

    def __init__(self, clamping_mode: str | None = "auto") -> None:
        self.clamping_mode = clamping_mode

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.BoundingBoxes)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.clamp_bounding_boxes(inpt, clamping_mode=self.clamping_mode)


class SetClampingMode(Transform):
    """Say whether boxes may reach out of their image from here on.

    Args:
        clamping_mode: None (they may), ``"soft"`` or ``"hard"``.
    """

    def __init__(self, clamping_mode: str | None) -> None:
        if clamping_mode not in (None, "soft", "hard"):
            raise ArgumentError(
                f"SetClampingMode: None, 'soft' or 'hard' is needed, got {clamping_mode!r}."
            )
        self.clamping_mode = clamping_mode

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.BoundingBoxes)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return tv_tensors.wrap(inpt.as_tensor(), like=inpt, clamping_mode=self.clamping_mode)


class ClampKeyPoints(Transform):
    """Points moved to the nearest pixel of their image."""

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.KeyPoints)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.clamp_keypoints(inpt)


Getter = Callable[[Any], Any] | str | None


class _Sanitizing(Transform):
    """Base of what takes objects out of a sample, with their labels."""

    labels_getter: Getter

    def _valid(self, parts: list[Any]) -> tuple[Tensor, int]:
        """Which objects stay, and how many there were."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        labels = self._labels(sample)
        parts, _, rebuild = flatten(sample)
        valid, count = self._valid(parts)
        for label in labels:
            if label.shape[0] != count:
                raise ShapeError(
                    f"{type(self).__name__}: {count} objects, but labels {describe(label)}."
                )
        return rebuild([self._kept(part, valid, count, labels) for part in parts])

    def _labels(self, sample: Any) -> list[Tensor]:
        found = labels_of(sample, self.labels_getter)
        listed = (
            [] if found is None else list(found) if isinstance(found, tuple | list) else [found]
        )
        for label in listed:
            if not isinstance(label, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: labels are tensors, got {type(label).__name__}."
                )
        return listed

    def _kept(self, part: Any, valid: Tensor, count: int, labels: list[Tensor]) -> Any:
        if any(part is label for label in labels):
            return part[valid]
        if self._goes_along(part) and part.ndim > 1 and part.shape[0] == count:
            return tv_tensors.wrap(part.as_tensor()[valid], like=part)
        return part

    def _goes_along(self, part: Any) -> bool:
        raise NotImplementedError


def labels_of(sample: Any, getter: Getter) -> Any:
    """The labels in a sample: what a function says, what a dictionary has by a name, or for
    ``"default"`` by a name with "label" in it.
    """
    if getter is None:
        return None
    if callable(getter):
        return getter(sample)
    if isinstance(sample, tuple | list):
        sample = next((part for part in sample if isinstance(part, Mapping)), None)
    if not isinstance(sample, Mapping):
        if getter == "default":
            raise ArgumentError(
                "the sample has no dictionary with labels.",
                fix="labels_getter=None if there are none, or a function that finds them",
            )
        return None
    if getter != "default":
        if getter not in sample:
            raise ArgumentError(
                f"the sample has no {getter!r}, only {', '.join(map(str, sample))}."
            )
        return sample[getter]
    names = [k for k in sample if isinstance(k, str) and "label" in k.lower()]
    exact = [k for k in names if k.lower() == "labels"]
    if not names:
        raise ArgumentError(
            "the sample has nothing called labels.",
            fix="labels_getter=None if there are none, or a function that finds them",
        )
    return sample[(exact or names)[0]]


class SanitizeBoundingBoxes(_Sanitizing):
    """Take out boxes that are too small or reach out of their image, with their labels and masks.

    Args:
        min_size: the least width and height.
        min_area: the least area.
        labels_getter: what else has an entry for each box: ``"default"`` is what a dictionary calls
            labels; a name; a function of the sample that gives a tensor or several; None: nothing.

    >>> import fovea
    >>> boxes = tv_tensors.BoundingBoxes(
    ...     [[0, 0, 4, 4], [2, 2, 2, 9]], format="XYXY", canvas_size=(9, 9))
    >>> SanitizeBoundingBoxes()({"boxes": boxes, "labels": fovea.tensor([1, 2])})["labels"]
    tensor([1])
    """

    def __init__(
        self, min_size: float = 1.0, min_area: float = 1.0, labels_getter: Getter = "default"
    ) -> None:
        if min_size < 1 or min_area < 1:
            raise ArgumentError("SanitizeBoundingBoxes: min_size and min_area are at least 1.")
        self.min_size, self.min_area, self.labels_getter = min_size, min_area, labels_getter

    def _valid(self, parts: list[Any]) -> tuple[Tensor, int]:
        boxes = get_bounding_boxes(parts)
        valid = F.sanitize_bounding_boxes(boxes, min_size=self.min_size, min_area=self.min_area)[1]
        return valid, len(boxes)

    def _goes_along(self, part: Any) -> bool:
        return isinstance(part, tv_tensors.BoundingBoxes) or (
            isinstance(part, tv_tensors.Mask) and part.ndim == 3
        )


class SanitizeKeyPoints(_Sanitizing):
    """Take out points outside their image, with their labels; of points that belong together all
    must lie within.

    Args:
        labels_getter: as for `SanitizeBoundingBoxes`, here None unless given.
    """

    def __init__(self, labels_getter: Getter = None) -> None:
        self.labels_getter = labels_getter

    def _valid(self, parts: list[Any]) -> tuple[Tensor, int]:
        points = get_keypoints(parts)
        return F.sanitize_keypoints(points)[1], len(points)

    def _goes_along(self, part: Any) -> bool:
        return isinstance(part, tv_tensors.KeyPoints)
