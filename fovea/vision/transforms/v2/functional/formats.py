"""Boxes in their formats: from and to corners, cut off at an image's edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.tv_tensors import BoundingBoxes, BoundingBoxFormat, KeyPoints, as_format

__all__ = [
    "clamp_bounding_boxes",
    "clamp_keypoints",
    "clamped",
    "convert_bounding_box_format",
    "from_corners",
    "to_corners",
]

Array = np.ndarray[Any, Any]


def to_corners(boxes: Array, format: BoundingBoxFormat) -> Array:
    """Boxes (..., 4) of a format as (x1, y1, x2, y2)."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if format is BoundingBoxFormat.XYXY:
        return boxes
    if format is BoundingBoxFormat.CXCYWH:
        corners = np.concatenate([first - second / 2, first + second / 2], -1)
        return corners.astype(boxes.dtype)
    return np.concatenate([first, first + second], -1)


def from_corners(boxes: Array, format: BoundingBoxFormat) -> Array:
    """Boxes (..., 4) as (x1, y1, x2, y2) in a format."""
    low, high = boxes[..., :2], boxes[..., 2:]
    if format is BoundingBoxFormat.XYXY:
        return boxes
    size = high - low
    if format is BoundingBoxFormat.XYWH:
        return np.concatenate([low, size], -1)
    middle = (low + high) // 2 if boxes.dtype.kind in "iu" else (low + high) / 2
    return np.concatenate([middle, size], -1)


def clamped(boxes: Array, size: tuple[int, int]) -> Array:
    """Boxes (..., 4) as (x1, y1, x2, y2), cut off at the edges of an image (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height]))


def convert_bounding_box_format(
    inpt: Any, old_format: Any = None, new_format: Any = None, inplace: bool = False
) -> Any:
    """Boxes in another format.

    Args:
        inpt: `BoundingBoxes`, or a tensor (..., 4).
        old_format: of a plain tensor.
        new_format: the format wanted.
        inplace: write into ``inpt``.

    Raises:
        ArgumentError: no new format, an old one for `BoundingBoxes`, or none for a plain tensor.

    >>> boxes = BoundingBoxes([[1, 2, 3, 5]], format="XYXY", canvas_size=(9, 9))
    >>> convert_bounding_box_format(boxes, new_format="XYWH").tolist()
    [[1, 2, 2, 3]]
    """
    if new_format is None:
        raise ArgumentError("convert_bounding_box_format: new_format is missing.")
    new = as_format(new_format)
    if isinstance(inpt, BoundingBoxes):
        if old_format is not None:
            raise ArgumentError("convert_bounding_box_format: BoundingBoxes have their format.")
        old = inpt.format
    elif isinstance(inpt, Tensor):
        if old_format is None:
            raise ArgumentError("convert_bounding_box_format: a plain tensor needs old_format.")
        old = as_format(old_format)
    else:
        raise TypeError(
            f"convert_bounding_box_format: boxes are a tensor, got {type(inpt).__name__}."
        )
    values = inpt.detach().numpy()
    if new is not old:
        values = from_corners(to_corners(values, old), new)
    made = from_numpy(np.array(values, order="C"))
    if inplace:
        inpt.copy_(made)
        made = inpt
    return tv_tensors.wrap(made, like=inpt, format=new) if isinstance(inpt, BoundingBoxes) else made


def clamp_bounding_boxes(
    inpt: Any, format: Any = None, canvas_size: Any = None, clamping_mode: Any = "auto"
) -> Any:
    """Boxes cut off at the edges of their image.

    Args:
        inpt: `BoundingBoxes`, or a tensor (..., 4).
        format, canvas_size: of a plain tensor.
        clamping_mode: None leaves the boxes; ``"auto"``: as `BoundingBoxes` say.

    Raises:
        ArgumentError: a plain tensor without, or `BoundingBoxes` with a format and a size.
    """
    known = isinstance(inpt, BoundingBoxes)
    if known != (format is None and canvas_size is None) or (not known and canvas_size is None):
        raise ArgumentError(
            "clamp_bounding_boxes: a plain tensor needs format and canvas_size, BoundingBoxes "
            "have them."
        )
    mode = (inpt.clamping_mode if known else "soft") if clamping_mode == "auto" else clamping_mode
    if mode is None:
        return inpt.clone()
    kind, size = (inpt.format, inpt.canvas_size) if known else (as_format(format), canvas_size)
    values = inpt.detach().numpy()
    made = from_corners(clamped(to_corners(values.astype(np.float64), kind), size), kind)
    plain = from_numpy(np.array(made, values.dtype, order="C"))
    return tv_tensors.wrap(plain, like=inpt) if known else plain


def clamp_keypoints(inpt: Any, canvas_size: Any = None) -> Any:
    """Points moved to the nearest pixel of their image.

    Args:
        inpt: `KeyPoints`, or a tensor (..., 2).
        canvas_size: of a plain tensor.
    """
    known = isinstance(inpt, KeyPoints)
    if known != (canvas_size is None):
        raise ArgumentError("clamp_keypoints: a plain tensor needs canvas_size, KeyPoints have it.")
    height, width = inpt.canvas_size if known else canvas_size
    values = inpt.detach().numpy()
    made = from_numpy(np.clip(values, 0, np.array([width - 1, height - 1])).astype(values.dtype))
    return tv_tensors.wrap(made, like=inpt) if known else made
