"""Bounding boxes: what their four numbers mean, clipping, moving, overlaps, differences to anchors.

It is ``keras.utils.bounding_boxes``, and what layers that move images move boxes with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import tensor
from fovea.functions.joining import cat, stack
from fovea.functions.pointwise import atan, clamp, cos, exp, log, maximum, minimum, sin, tan, where
from fovea.functions.reductions import amax, amin
from fovea.keras import config
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FORMATS",
    "affine_transform",
    "around",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "corner_points",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw",
    "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh",
)  # fmt: skip


def _floats(values: Any, dtype: Any = None) -> Tensor:
    """A tensor of floats."""
    x = values if is_tensor(values) else tensor(np.asarray(values))
    return x.to(config.as_dtype(dtype or ("float32" if not x.is_floating_point() else x.dtype)))


def _checked(name: str, boxes: Any, dtype: Any = None) -> Tensor:
    found = _floats(boxes, dtype)
    if found.ndim < 1 or found.shape[-1] != 4:
        raise ShapeError(f"{name}: a box is four numbers, got shape {tuple(found.shape)}.")
    return found


def _known(name: str, *formats: str) -> list[str]:
    found = [str(f).lower() for f in formats]
    for given in found:
        if given not in FORMATS:
            raise ArgumentError(f"{name}: a format is one of {FORMATS}, got {given!r}.")
    return found


# -- formats -------------------------------------------------------------------------------------


def _to_corners(boxes: Tensor, kind: str) -> list[Any]:
    """Left, top, right and bottom of boxes in a format without ``rel_``."""
    a, b, c, d = boxes.unbind(-1)
    if kind.endswith(("yxyx", "yxhw")):
        a, b, c, d = b, a, d, c
    if kind in ("xyxy", "yxyx"):
        return [a, b, c, d]
    if kind == "xywh":
        return [a, b, a + c, b + d]
    return [a - c / 2, b - d / 2, a + c / 2, b + d / 2]


def _from_corners(corners: list[Any], kind: str) -> Tensor:
    x1, y1, x2, y2 = corners
    if kind == "xywh":
        x2, y2 = x2 - x1, y2 - y1
    elif kind.startswith("center"):
        x1, y1, x2, y2 = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    if kind.endswith(("yxyx", "yxhw")):
        x1, y1, x2, y2 = y1, x1, y2, x2
    return stack([x1, y1, x2, y2], -1)


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: Any = None,
    width: Any = None,
    dtype: Any = "float32",
) -> Any:
    """Boxes in another format.

    Args:
        boxes: (..., 4), or a dictionary that has them as ``"boxes"``.
        source, target: ``"xyxy"`` (left, top, right, bottom), ``"yxyx"``, ``"xywh"`` (left, top,
            width, height), ``"center_xywh"``, ``"center_yxhw"``; with ``"rel_"`` in front (all but
            the last) as shares of the image's sides.
        height, width: the image's, where one of both formats is relative.

    Raises:
        ArgumentError: an unknown format, or sizes are missing.

    >>> convert_format([[10, 20, 30, 60]], "xyxy", "center_xywh").tolist()
    [[20.0, 40.0, 20.0, 40.0]]
    """
    if isinstance(boxes, dict):
        moved = convert_format(boxes["boxes"], source, target, height, width, dtype)
        return {**boxes, "boxes": moved}
    x = _checked("convert_format", boxes, dtype)
    source, target = _known("convert_format", source, target)
    if source == target:
        return x
    relative = [f.startswith("rel_") for f in (source, target)]
    corners = _to_corners(x, source.removeprefix("rel_"))
    if relative[0] != relative[1]:
        if height is None or width is None:
            raise ArgumentError(
                f"convert_format: from {source!r} to {target!r} the image's height and width are "
                "needed."
            )
        sides = (width, height, width, height)
        pairs = zip(corners, sides, strict=True)
        corners = [c / n if relative[1] else c * n for c, n in pairs]
    return _from_corners(corners, target.removeprefix("rel_")).to(x.dtype)


def clip_to_image_size(
    bounding_boxes: dict[str, Any],
    height: Any = None,
    width: Any = None,
    bounding_box_format: str = "xyxy",
) -> dict[str, Any]:
    """Boxes cut to their image; of those of which nothing is left labels become -1.

    Args:
        bounding_boxes: ``"boxes"`` (..., 4) and maybe ``"labels"`` (...).
        height, width: the image's; not needed for relative formats.

    >>> found = clip_to_image_size({"boxes": [[-1.0, 2, 3, 9]], "labels": [5]}, height=4, width=4)
    >>> found["boxes"].tolist(), found["labels"].tolist()
    ([[0.0, 2.0, 3.0, 4.0]], [5])
    """
    (kind,) = _known("clip_to_image_size", bounding_box_format)
    relative = kind.startswith("rel_")
    if not relative and (height is None or width is None):
        raise ArgumentError("clip_to_image_size: the image's height and width are needed.")
    boxes = _checked("clip_to_image_size", bounding_boxes["boxes"])
    tall, wide = (1.0, 1.0) if relative else (height, width)
    x1, y1, x2, y2 = _to_corners(boxes, kind.removeprefix("rel_"))
    x1, x2 = (minimum(maximum(x, _same(x, 0.0)), _same(x, wide)) for x in (x1, x2))
    y1, y2 = (minimum(maximum(y, _same(y, 0.0)), _same(y, tall)) for y in (y1, y2))
    found = {**bounding_boxes, "boxes": _from_corners([x1, y1, x2, y2], kind.removeprefix("rel_"))}
    if bounding_boxes.get("labels") is not None:
        labels = bounding_boxes["labels"]
        labels = labels if is_tensor(labels) else tensor(np.asarray(labels))
        there = (x2 - x1) * (y2 - y1) > 0
        there = there.reshape(*there.shape, *(1,) * (labels.ndim - there.ndim))
        found["labels"] = where(there, labels, _same(labels, -1))
    return found


def _same(x: Tensor, value: Any) -> Tensor:
    """A value as a tensor of ``x``'s dtype."""
    return value.to(x.dtype) if is_tensor(value) else tensor(value, dtype=x.dtype)


# -- moves ---------------------------------------------------------------------------------------


def corner_points(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the four corners of boxes (..., 4): twice (..., 4)."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return stack([x1, x2, x2, x1], -1), stack([y1, y1, y2, y2], -1)


def around(x: Tensor, y: Tensor) -> Tensor:
    """The smallest boxes (..., 4) around points, of which there are several along the last axis."""
    return stack([amin(x, -1), amin(y, -1), amax(x, -1), amax(y, -1)], -1)


def _need_corners(name: str, bounding_box_format: str) -> None:
    if bounding_box_format != "xyxy":
        raise ArgumentError(
            f"{name}: boxes are read as 'xyxy', not as {bounding_box_format!r}.",
            fix="use convert_format before and after",
        )


def affine_transform(
    boxes: Any,
    angle: Any,
    translate_x: Any,
    translate_y: Any,
    scale: Any,
    shear_x: Any,
    shear_y: Any,
    height: Any,
    width: Any,
    center_x: Any = None,
    center_y: Any = None,
    bounding_box_format: str = "xyxy",
) -> Tensor:
    """The boxes around boxes that were turned, moved, scaled and slanted.

    Args:
        boxes: (N, M, 4), corners in pixels.
        angle: in degrees, one an image (N,); so are the next five.
        translate_x, translate_y: as shares of the image's sides, less one pixel.
        scale: factors.
        shear_x, shear_y: in degrees.
        height, width: the image's.
        center_x, center_y: what stays in place, as shares; the middle unless given.
    """
    _need_corners("affine_transform", bounding_box_format)
    x = _checked("affine_transform", boxes)
    turn, sx, sy = (-math.pi / 180 * _floats(v) for v in (angle, shear_x, shear_y))
    cx = (0.5 if center_x is None else center_x) * (width - 1)
    cy = (0.5 if center_y is None else center_y) * (height - 1)
    fixed_x = cx - _floats(translate_x) * (width - 1)
    fixed_y = cy - _floats(translate_y) * (height - 1)
    # The inverse of [[a, b], [c, d]], whose determinant is 1.
    a, c = cos(turn - sy) / cos(sy), -sin(turn - sy) / cos(sy)
    b, d = a * tan(sx) + sin(turn), cos(turn) - c * tan(sx)
    a0, a1, b0, b1 = (_floats(scale) * v for v in (d, -b, -c, a))
    a2, b2 = cx - a0 * fixed_x - a1 * fixed_y, cy - b0 * fixed_x - b1 * fixed_y
    a0, a1, a2, b0, b1, b2 = (v.reshape(-1, 1, 1) for v in (a0, a1, a2, b0, b1, b2))
    px, py = corner_points(x)
    return around(a0 * px + a1 * py + a2, b0 * px + b1 * py + b2)


def crop(
    boxes: Any, top: Any, left: Any, height: Any, width: Any, bounding_box_format: str = "xyxy"
) -> Tensor:
    """Boxes within the window that was cut out of their image.

    >>> crop([[10.0, 20, 50, 60]], top=10, left=20, height=40, width=30).tolist()
    [[0.0, 10.0, 30.0, 40.0]]
    """
    _need_corners("crop", bounding_box_format)
    x1, y1, x2, y2 = _checked("crop", boxes).unbind(-1)
    x1, x2 = (clamp(x - left, 0, width) for x in (x1, x2))
    y1, y2 = (clamp(y - top, 0, height) for y in (y1, y2))
    return stack([x1, y1, x2, y2], -1)


def pad(
    boxes: Any,
    top: Any,
    left: Any,
    height: Any = None,
    width: Any = None,
    bounding_box_format: str = "xyxy",
) -> Tensor:
    """Boxes in an image to which rows were added above, and columns on the left."""
    _need_corners("pad", bounding_box_format)
    x1, y1, x2, y2 = _checked("pad", boxes).unbind(-1)
    return stack([x1 + left, y1 + top, x2 + left, y2 + top], -1)


# -- anchors -------------------------------------------------------------------------------------


def _code(name: str, code: str, variance: Any, image_shape: Any) -> tuple[Any, Any, Any]:
    """Checks; gives the variance as a tensor, height and width."""
    if code not in ("center_xywh", "center_yxhw"):
        raise ArgumentError(
            f"{name}: boxes are coded as 'center_xywh' or 'center_yxhw', not {code!r}."
        )
    if variance is not None:
        variance = _floats(variance)
        if tuple(variance.shape) != (4,):
            raise ArgumentError(f"{name}: variance is four numbers, got {tuple(variance.shape)}.")
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return variance, height, width


def encode_box_to_deltas(
    anchors: Any,
    boxes: Any,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Any = None,
) -> Tensor:
    """Boxes as differences to anchors: of centers, in sides of the anchor, and logarithms of the
    ratios of sides.

    Args:
        anchors: (M, 4).
        boxes: (M, 4) or (N, M, 4).
        variance: four numbers that differences are divided by.
        image_shape: (height, width, channels), for relative formats.
    """
    variance, h, w = _code("encode_box_to_deltas", encoding_format, variance, image_shape)
    base = convert_format(anchors, anchor_format, encoding_format, h, w)
    found = convert_format(boxes, box_format, encoding_format, h, w)
    sides, other = (maximum(b[..., 2:], _same(b, config.epsilon())) for b in (base, found))
    deltas = cat([(found[..., :2] - base[..., :2]) / sides, log(other / sides)], -1)
    return deltas if variance is None else deltas / variance


def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Any = None,
) -> Any:
    """Boxes of their differences to anchors: the inverse of `encode_box_to_deltas`.

    Args:
        anchors, boxes_delta: tensors, or dictionaries of them with the same keys.
    """
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        rest = (anchor_format, box_format, encoded_format, variance, image_shape)
        return {
            level: decode_deltas_to_boxes(anchor, boxes_delta[level], *rest)
            for level, anchor in anchors.items()
        }
    variance, h, w = _code("decode_deltas_to_boxes", encoded_format, variance, image_shape)
    base = convert_format(anchors, anchor_format, encoded_format, h, w)
    deltas = _floats(boxes_delta)
    deltas = deltas if variance is None else deltas * variance
    centers = deltas[..., :2] * base[..., 2:] + base[..., :2]
    boxes = cat([centers, exp(deltas[..., 2:]) * base[..., 2:]], -1)
    return convert_format(boxes, encoded_format, box_format, h, w)


# -- overlaps ------------------------------------------------------------------------------------


def _corners(name: str, boxes: Any, kind: str, image_shape: Any) -> Tensor:
    if kind.startswith("rel_") and image_shape is None:
        raise ArgumentError(f"{name}: with relative boxes image_shape is needed.")
    h, w = (None, None) if image_shape is None else image_shape[:2]
    return convert_format(boxes, kind, "xyxy", h, w)


def compute_iou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Any = None,
) -> Tensor:
    """How much of what two boxes cover together both cover, for each pair.

    Args:
        boxes1, boxes2: (M, 4) and (K, 4), or with a batch in front.
        use_masking: ``mask_val`` for boxes of negative numbers.
        image_shape: (height, width, channels), for relative formats.

    Returns: (M, K), or (N, M, K).

    >>> compute_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [2, 2, 3, 3]], "xyxy").tolist()
    [[0.5, 0.0]]
    """
    first, second = (
        _corners("compute_iou", b, bounding_box_format, image_shape) for b in (boxes1, boxes2)
    )
    for b in (first, second):
        if b.ndim not in (2, 3):
            raise ShapeError(f"compute_iou: boxes are (M, 4) or (N, M, 4), got {tuple(b.shape)}.")
    first, second = first.unsqueeze(-2), second.unsqueeze(-3)
    low, high = maximum(first[..., :2], second[..., :2]), minimum(first[..., 2:], second[..., 2:])
    both = clamp(high - low, min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (first, second)]
    found = both / (areas[0] + areas[1] - both + config.epsilon())
    if not use_masking:
        return found
    hidden = (amax(first, -1) < 0) | (amax(second, -1) < 0)
    return where(hidden, _same(found, mask_val), found)


def compute_ciou(
    boxes1: Any, boxes2: Any, bounding_box_format: str, image_shape: Any = None
) -> Tensor:
    """The complete IoU of boxes and boxes (..., 4): less for centers that are apart, and for other
    ratios of sides.

    Source: Zheng et al., "Distance-IoU loss", AAAI 2020.
    """
    first, second = (
        _corners("compute_ciou", b, bounding_box_format, image_shape) for b in (boxes1, boxes2)
    )
    tiny = config.epsilon()
    low, high = maximum(first[..., :2], second[..., :2]), minimum(first[..., 2:], second[..., 2:])
    both = clamp(high - low, min=0).prod(-1)
    (w1, h1), (w2, h2) = ((b[..., 2:] - b[..., :2]).unbind(-1) for b in (first, second))
    h1, h2 = h1 + tiny, h2 + tiny
    iou = both / (w1 * h1 + w2 * h2 - both + 2 * tiny)
    hull = maximum(first[..., 2:], second[..., 2:]) - minimum(first[..., :2], second[..., :2])
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = (apart * apart).sum(-1) / ((hull * hull).sum(-1) + tiny)
    v = 4 / math.pi**2 * (atan(w2 / h2) - atan(w1 / h1)) ** 2
    return iou - (distance + v * (v / (v - iou + (1 + tiny))))
