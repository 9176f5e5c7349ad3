"""Turning, slanting and bending whatever moves with an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.tensor import Tensor
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.functional.geometry import TENSOR_WARP, fill_values, mode_for
from fovea.vision.transforms.functional.images import (
    check_image,
    from_array,
    is_tensor,
    pil_kernels,
    to_array,
)
from fovea.vision.transforms.interpolation import InterpolationMode
from fovea.vision.transforms.kernels import warp
from fovea.vision.transforms.v2.functional.kinds import Array, by_kind, moves

__all__ = ["affine", "elastic", "elastic_transform", "perspective", "rotate"]

Size = tuple[int, int]


@by_kind
def rotate(
    inpt: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    """Turn counter-clockwise; a turned box becomes the one around it.

    Args:
        inpt: an image, masks, boxes or points.
        angle: degrees.
        interpolation: how an image's values between pixels are found (masks: the nearest).
        expand: make the result large enough for the whole turned image.
        center: the point (x, y) to turn about (default: the middle).
        fill: value outside the image, one or one a channel.

    >>> from fovea.vision.tv_tensors import BoundingBoxes
    >>> boxes = BoundingBoxes([[0.0, 0.0, 2.0, 4.0]], format="XYXY", canvas_size=(10, 10))
    >>> rotate(boxes, 90).round().tolist()
    [[0.0, 8.0, 4.0, 10.0]]
    """
    return F.rotate(inpt, angle, interpolation, expand, center, fill)


def _rotate_mask(
    mask: Any,
    angle: float,
    interpolation: Any = None,
    expand: bool = False,
    center: Any = None,
    fill: Any = None,
) -> Any:
    return F.rotate(mask, angle, InterpolationMode.NEAREST, expand, center, fill)


def _rotate_points(
    points: Array,
    size: Size,
    angle: float,
    interpolation: Any = None,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> tuple[Array, Size]:
    height, width = size
    matrix = _forward(size, -angle, (0.0, 0.0), 1.0, (0.0, 0.0), center)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    if not expand:
        return moved, size
    corners = np.array([[0, 0], [0, height], [width, height], [width, 0]], float)
    moved = moved - (corners @ matrix[:, :2].T + matrix[:, 2]).min(0)
    middle = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
    inverse = warp.inverse_affine_matrix(middle, -angle, (0, 0), 1.0, (0.0, 0.0))
    new_width, new_height = warp.rotated_size(inverse, width, height)
    return moved, (new_height, new_width)


moves(rotate, _rotate_points, _rotate_mask)


@by_kind
def affine(
    inpt: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Turn, scale and shear about the middle, then move.

    Args:
        inpt: an image, masks, boxes or points.
        angle: degrees, clockwise.
        translate: pixels to the right and down.
        scale: factor, above 0.
        shear: degrees, along x or along (x, y).
        interpolation: how an image's values between pixels are found (masks: the nearest).
        fill: value outside the image, one or one a channel.
        center: the point (x, y) that stays (default: the middle).

    >>> from fovea.vision.tv_tensors import KeyPoints
    >>> affine(KeyPoints([[1.0, 1.0]], canvas_size=(4, 4)), 0, (1, 0), 2.0, 0.0).tolist()
    [[1.0, 0.0]]
    """
    return F.affine(inpt, angle, translate, scale, shear, interpolation, fill, center)


def _affine_mask(
    mask: Any,
    angle: float,
    translate: Any,
    scale: float,
    shear: Any,
    interpolation: Any = None,
    fill: Any = None,
    center: Any = None,
) -> Any:
    return F.affine(mask, angle, translate, scale, shear, InterpolationMode.NEAREST, fill, center)


def _affine_points(
    points: Array,
    size: Size,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Any = None,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> tuple[Array, Size]:
    if scale <= 0:
        raise ArgumentError(f"affine: scale must be positive, got {scale}.")
    shears = list(shear) if isinstance(shear, Sequence) else [shear, 0.0]
    shears = shears * 2 if len(shears) == 1 else shears
    matrix = _forward(size, angle, translate, scale, shears, center)
    return points @ matrix[:, :2].T + matrix[:, 2], size


def _forward(
    size: Size,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
    center: Sequence[float] | None,
) -> Array:
    """Where points go: the first two rows of a 3 x 3 matrix."""
    middle = (size[1] * 0.5, size[0] * 0.5) if center is None else center
    inverse = warp.inverse_affine_matrix(middle, angle, translate, scale, shear)
    return np.linalg.inv(np.array([*inverse, 0, 0, 1], float).reshape(3, 3))[:2]


moves(affine, _affine_points, _affine_mask)


@by_kind
def perspective(
    inpt: Any,
    startpoints: Sequence[Sequence[int]] | None = None,
    endpoints: Sequence[Sequence[int]] | None = None,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
    coefficients: Sequence[float] | None = None,
) -> Any:
    """Look at an image from another side.

    Args:
        inpt: an image, masks, boxes or points.
        startpoints, endpoints: four points (x, y), and where they go.
        interpolation: how an image's values between pixels are found (masks: the nearest).
        fill: value outside the image, one or one a channel.
        coefficients: instead of points, eight numbers a to h: what is at (x, y) comes from
            (a x + b y + c, d x + e y + f) / (g x + h y + 1).

    Raises:
        ArgumentError: both points and coefficients, or neither; or another number of them.

    >>> import fovea
    >>> corners = [[0, 0], [3, 0], [3, 3], [0, 3]]
    >>> perspective(fovea.ones(1, 4, 4), corners, corners).min().item() > 0.99
    True
    """
    check_image("perspective", inpt)
    chosen = _coefficients(startpoints, endpoints, coefficients)
    mode = mode_for(inpt, interpolation, TENSOR_WARP)
    if not is_tensor(inpt):
        return pil_kernels().perspective(inpt, chosen, mode, fill)
    filled = fill_values(inpt, fill)
    return from_array(warp.perspective(to_array(inpt), chosen, mode.value, filled))


def _perspective_mask(
    mask: Any,
    startpoints: Any = None,
    endpoints: Any = None,
    interpolation: Any = None,
    fill: Any = None,
    coefficients: Any = None,
) -> Any:
    nearest = InterpolationMode.NEAREST
    return perspective.image(mask, startpoints, endpoints, nearest, fill, coefficients)


def _perspective_points(
    points: Array,
    size: Size,
    startpoints: Any = None,
    endpoints: Any = None,
    interpolation: Any = None,
    fill: Any = None,
    coefficients: Any = None,
) -> tuple[Array, Size]:
    chosen = _coefficients(startpoints, endpoints, coefficients)
    matrix = np.linalg.inv(np.array([*chosen, 1.0]).reshape(3, 3))
    moved = np.concatenate([points, np.ones_like(points[..., :1])], -1) @ matrix.T
    return moved[..., :2] / moved[..., 2:], size


def _coefficients(start: Any, end: Any, coefficients: Any) -> list[float]:
    """Where what is at the end points comes from: the map that takes each to its start point."""
    if (coefficients is None) == (start is None or end is None):
        raise ArgumentError("perspective: give startpoints and endpoints, or coefficients.")
    if coefficients is not None:
        if len(coefficients) != 8:
            raise ArgumentError(f"perspective: eight coefficients, got {len(coefficients)}.")
        return [float(c) for c in coefficients]
    if np.shape(start) != (4, 2) or np.shape(end) != (4, 2):
        raise ArgumentError("perspective: startpoints and endpoints are four points (x, y) each.")
    rows = []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    known = np.asarray(start, np.float64).reshape(8)
    found: list[float] = np.linalg.lstsq(np.array(rows, np.float64), known, rcond=None)[0].tolist()
    return found


moves(perspective, _perspective_points, _perspective_mask)


@by_kind
def elastic(
    inpt: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Bend: each pixel comes from beside its place.

    Args:
        inpt: an image, masks, boxes or points.
        displacement: (1, height, width, 2): how far beside, along x and y, where the image's whole
            width and height are 2.
        interpolation: how an image's values between pixels are found (masks: the nearest).
        fill: value outside the image, one or one a channel.

    Raises:
        ShapeError: a displacement of another shape.

    >>> import fovea
    >>> elastic(fovea.ones(1, 4, 4), fovea.zeros(1, 4, 4, 2)).shape
    fovea.Size([1, 4, 4])
    """
    check_image("elastic", inpt)
    if not is_tensor(inpt):
        plain = F.pil_to_tensor(inpt)
        return F.to_pil_image(elastic.image(plain, displacement, interpolation, fill), inpt.mode)
    mode = mode_for(inpt, interpolation, TENSOR_WARP)
    _, height, width = F.get_dimensions(inpt)
    beside = _displacement(displacement, (height, width)) * np.array([width / 2, height / 2])
    row = np.arange(height)[:, None] + beside[..., 1]
    column = np.arange(width) + beside[..., 0]
    return from_array(warp.sample(to_array(inpt), row, column, mode.value, fill_values(inpt, fill)))


def _displacement(displacement: Any, size: Size) -> Array:
    if not isinstance(displacement, Tensor):
        raise TypeError(f"elastic: displacement is a tensor, got {type(displacement).__name__}.")
    if tuple(displacement.shape) != (1, *size, 2):
        raise ShapeError(
            f"elastic: displacement should be {(1, *size, 2)}, got {describe(displacement)}."
        )
    return displacement.detach().numpy()[0].astype(np.float64)


def _elastic_mask(
    mask: Any, displacement: Tensor, interpolation: Any = None, fill: Any = None
) -> Any:
    return elastic.image(mask, displacement, InterpolationMode.NEAREST, fill)


def _elastic_points(
    points: Array, size: Size, displacement: Tensor, interpolation: Any = None, fill: Any = None
) -> tuple[Array, Size]:
    """As if what lies beside a point were as far beside as the point: the opposite way."""
    height, width = size
    beside = _displacement(displacement, size) * np.array([width / 2, height / 2])
    column = np.clip(points[..., 0].astype(np.int64), 0, width - 1)
    row = np.clip(points[..., 1].astype(np.int64), 0, height - 1)
    return points - beside[row, column], size


moves(elastic, _elastic_points, _elastic_mask)
elastic_transform = elastic
