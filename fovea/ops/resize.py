"""Resizing images (N, C, H, W), and the op that is its gradient.

Every mode is linear and separable: an output row is a weighted sum of a few input rows, and so for
columns. An output pixel reads at a source position: ``(i + 0.5) * scale - 0.5`` (half-pixel
centers), or ``i * (in - 1) / (out - 1)`` with ``align_corners``. Nearest neighbors read at
``floor(i * scale)``, the exact ones at ``floor((i + 0.5) * scale)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import channels_last_strides, require_floating
from fovea.ops.windows import Pair, check_pair, image_size

__all__ = ["MODES", "ResizeAttrs", "ResizeGradAttrs", "resize2d", "resize2d_grad", "resize_weights"]

Array = np.ndarray[Any, Any]
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic")
CUBIC = -0.75  # Keys' coefficient, as PyTorch and OpenCV choose it


@dataclass(frozen=True, eq=False)
class ResizeAttrs(Attrs):
    """``scale``: source pixels an output pixel, per dimension; 0 for input size / output size."""

    output_size: Pair
    mode: str
    align_corners: bool = False
    scale: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class ResizeGradAttrs(Attrs):
    """``output_size`` is the gradient's size, ``input_size`` the image's."""

    output_size: Pair
    mode: str
    align_corners: bool
    scale: tuple[float, float]
    input_size: Pair


resize2d = Op("resize2d", ("x",), ResizeAttrs)
resize2d_grad = Op("resize2d_grad", ("gy",), ResizeGradAttrs)


def _check(name: str, a: ResizeAttrs | ResizeGradAttrs, size: Pair) -> None:
    if a.mode not in MODES:
        raise ArgumentError(f"{name}: mode must be one of {', '.join(MODES)}, got {a.mode!r}.")
    check_pair(name, "output_size", a.output_size, 1)
    check_pair(name, "input_size", size)
    if len(a.scale) != 2 or not all(s >= 0 for s in a.scale):
        raise ArgumentError(f"{name}: two scales of at least 0 are needed, got {a.scale}.")
    if 0 in size:
        raise ShapeError(
            f"{name}: an image without pixels cannot be resized, got {size[0]} x {size[1]}."
        )


@resize2d.shape
def _(x: Shaped, a: ResizeAttrs) -> Spec:
    require_floating("resize2d", x=x)
    _check("resize2d", a, image_size("resize2d", x))
    shape = (x.shape[0], x.shape[1], *a.output_size)
    return Spec(shape, x.dtype, channels_last_strides(shape))


@resize2d_grad.shape
def _(gy: Shaped, a: ResizeGradAttrs) -> Spec:
    require_floating("resize2d_grad", gy=gy)
    _check("resize2d_grad", a, a.input_size)
    if image_size("resize2d_grad", gy, "gy") != tuple(a.output_size):
        raise ShapeError(
            f"resize2d_grad: gy {describe(gy)} is not of the output size {a.output_size}."
        )
    shape = (gy.shape[0], gy.shape[1], *a.input_size)
    return Spec(shape, gy.dtype, channels_last_strides(shape))


@resize2d.grad()
def _(ctx: Any, gy: Any) -> Any:
    a, shape = ctx.attrs, ctx.shape(0)
    attrs = ResizeGradAttrs.of(
        a.output_size, a.mode, a.align_corners, a.scale, (shape[2], shape[3])
    )
    return resize2d_grad.bind((gy,), attrs)


@resize2d_grad.grad()
def _(ctx: Any, g: Any) -> Any:
    a = ctx.attrs
    return resize2d.bind((g,), ResizeAttrs.of(a.output_size, a.mode, a.align_corners, a.scale))


def _cubic(distance: Array) -> Array:
    """Keys' cubic convolution kernel."""
    d = np.abs(distance)
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * CUBIC - 4 * CUBIC
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def resize_weights(
    n: int, count: int, mode: str, align_corners: bool, scale: float
) -> tuple[Array, Array]:
    """Which inputs each of ``count`` outputs along a dimension of size ``n`` reads, and weights.

    Returns:
        Two arrays (count, taps): indices into the input, and the weights, which sum to one.

    >>> resize_weights(2, 4, "bilinear", False, 0.0)[1][:, 1]
    array([0.  , 0.25, 0.75, 0.  ])
    """
    i = np.arange(count, dtype=np.float64)
    step = scale or n / count
    if mode in ("nearest", "nearest-exact"):
        offset = 0.5 if mode == "nearest-exact" else 0.0
        index = np.minimum(np.floor((i + offset) * step).astype(np.int64), n - 1)
        return index[:, None], np.ones((count, 1))
    if align_corners:
        position = i * ((n - 1) / (count - 1) if count > 1 else 0.0)
    else:
        position = (i + 0.5) * step - 0.5
        if mode == "bilinear":
            position = np.maximum(position, 0.0)
    low = np.floor(position).astype(np.int64)
    around = np.arange(2) if mode == "bilinear" else np.arange(-1, 3)
    index = low[:, None] + around
    distance = position[:, None] - index
    weights = 1 - np.abs(distance) if mode == "bilinear" else _cubic(distance)
    if mode == "bilinear":
        weights[low >= n - 1] = (1.0, 0.0)
    return np.clip(index, 0, n - 1), weights


def _matrix(n: int, count: int, a: ResizeAttrs | ResizeGradAttrs, dim: int) -> Array:
    """The resize along one dimension as a matrix (count, n)."""
    index, weights = resize_weights(n, count, a.mode, a.align_corners, a.scale[dim])
    matrix = np.zeros((count, n))
    np.add.at(matrix, (np.arange(count)[:, None], index), weights)
    return matrix


@resize2d.reference
def _(x: Array, a: ResizeAttrs) -> Array:
    rows = _matrix(x.shape[2], a.output_size[0], a, 0)
    columns = _matrix(x.shape[3], a.output_size[1], a, 1)
    return rows.astype(x.dtype) @ x @ columns.T.astype(x.dtype)


@resize2d_grad.reference
def _(gy: Array, a: ResizeGradAttrs) -> Array:
    rows = _matrix(a.input_size[0], a.output_size[0], a, 0)
    columns = _matrix(a.input_size[1], a.output_size[1], a, 1)
    return rows.T.astype(gy.dtype) @ gy @ columns.astype(gy.dtype)
