"""Affine maps: where each output pixel comes from, and what value lies there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fovea.vision.transforms.kernels.values import Array, as_float, restore

__all__ = ["affine", "inverse_affine_matrix", "perspective", "rotated_size", "sample"]

Matrix = list[float]  # a, b, c, d, e, f: x' = a x + b y + c, y' = d x + e y + f


def inverse_affine_matrix(
    center: Sequence[float],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Sequence[float],
) -> Matrix:
    """The map from output to input coordinates of "shear, scale, rotate about ``center``, then
    translate".

    Angles are in degrees, clockwise as seen on an image (y points down). With M = T C R(angle) S
    SHy SHx C^-1, where C moves the origin to the center, this is M^-1.

    >>> inverse_affine_matrix((0, 0), 0.0, (3, 0), 2.0, (0.0, 0.0))
    [0.5, 0.0, -1.5, 0.0, 0.5, 0.0]
    """
    turn = math.radians(angle)
    shear_x, shear_y = math.radians(shear[0]), math.radians(shear[1])
    # R SHy SHx, whose determinant is 1
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -a * math.tan(shear_x) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -c * math.tan(shear_x) + math.cos(turn)
    inverse = np.array([[d, -b], [-c, a]]) / scale
    about = np.asarray(center, float)
    offset = about - inverse @ (about + np.asarray(translate, float))
    (ia, ib), (ic, id_) = inverse.tolist()
    return [ia + 0.0, ib + 0.0, float(offset[0]), ic + 0.0, id_ + 0.0, float(offset[1])]


def rotated_size(matrix: Matrix, width: int, height: int) -> tuple[int, int]:
    """Width and height of the box around an image that ``matrix`` (about the image's center)
    maps.
    """
    corners = np.array([[x * width, y * height, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)])
    places = corners @ np.array(matrix).reshape(2, 3).T + (0.5 * width, 0.5 * height)
    # Steps of 1e-4: a corner that sits on a pixel's edge but for rounding must not add a row.
    low = np.floor(np.trunc(places.min(axis=0) / 1e-4) * 1e-4)
    high = np.ceil(np.trunc(places.max(axis=0) / 1e-4) * 1e-4)
    size = (high - low).astype(int)
    return int(size[0]), int(size[1])


def affine(
    x: Array,
    matrix: Matrix,
    mode: str,
    fill: Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
) -> Array:
    """Map an image.

    Args:
        x: (..., channels, height, width).
        matrix: from output to input coordinates, both with their origin at the image's center.
        mode: ``nearest`` or ``bilinear``.
        fill: one value, or one a channel, for what lies outside the input (default 0).
        size: output width and height, if other than the input's.
    """
    height, width = x.shape[-2:]
    out_width, out_height = size or (width, height)
    a, b, c, d, e, f = matrix
    across = np.arange(out_width) - (out_width - 1) * 0.5
    down = (np.arange(out_height) - (out_height - 1) * 0.5)[:, None]
    column = a * across + b * down + c + (width - 1) * 0.5
    row = d * across + e * down + f + (height - 1) * 0.5
    return sample(x, row, column, mode, fill)


def perspective(
    x: Array, coefficients: Sequence[float], mode: str, fill: Sequence[float] | None = None
) -> Array:
    """Map an image: its pixel (x, y) comes from (a x + b y + c, d x + e y + f) / (g x + h y + 1).

    Args:
        x: (..., channels, height, width).
        coefficients: a to h, of coordinates that count from the image's corner.
        mode, fill: as for `affine`.
    """
    height, width = x.shape[-2:]
    a, b, c, d, e, f, g, h = coefficients
    across, down = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    far = g * across + h * down + 1
    column = (a * across + b * down + c) / far - 0.5
    row = (d * across + e * down + f) / far - 0.5
    return sample(x, row, column, mode, fill)


def sample(
    x: Array, row: Array, column: Array, mode: str, fill: Sequence[float] | None = None
) -> Array:
    """An image (..., channels, height, width) read at places (new height, new width)."""
    if mode == "nearest":
        return _nearest(x, row, column, fill)
    return restore(_bilinear(as_float(x), row, column, fill), x.dtype)


def _nearest(x: Array, row: Array, column: Array, fill: Sequence[float] | None) -> Array:
    rows, columns, inside = _inside(x, np.rint(row), np.rint(column))
    outside = np.asarray(0 if fill is None else fill).astype(x.dtype).reshape(-1, 1, 1)
    return np.where(inside, x[..., rows, columns], outside)


def _bilinear(x: Array, row: Array, column: Array, fill: Sequence[float] | None) -> Array:
    top, left = np.floor(row), np.floor(column)
    total: Array = np.zeros((*x.shape[:-2], *row.shape), x.dtype)
    covered = np.zeros(row.shape, x.dtype)
    for y in (top, top + 1):
        for z in (left, left + 1):
            rows, columns, inside = _inside(x, y, z)
            weight = ((1 - np.abs(row - y)) * (1 - np.abs(column - z)) * inside).astype(x.dtype)
            total += x[..., rows, columns] * weight
            covered += weight
    if fill is None:
        return total
    color = np.asarray(fill, x.dtype).reshape(-1, 1, 1)
    return total * covered + (1 - covered) * color


def _inside(x: Array, row: Array, column: Array) -> tuple[Array, Array, Array]:
    """Whole-numbered places as indices within the image, and which of them did lie there."""
    height, width = x.shape[-2:]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    rows = np.clip(row, 0, height - 1).astype(np.int64)
    columns = np.clip(column, 0, width - 1).astype(np.int64)
    return rows, columns, inside
