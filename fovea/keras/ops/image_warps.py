"""``keras.ops.image``: images read at other places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import random
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.augmentation import warping
from fovea.keras.ops.elementwise import floating, numeric, tensor, wide
from fovea.keras.ops.image_batches import Batch
from fovea.keras.ops.image_filters import bell, weighted
from fovea.keras.ops.symbolic import shapes_of, symbolic

__all__ = [
    "affine_transform", "elastic_transform", "map_coordinates", "perspective_transform",
    "scale_and_translate",
]  # fmt: skip


@symbolic
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images read where maps say: the result's pixel (x, y) is that at
    (a0 x + a1 y + a2, b0 x + b1 y + b2).

    Args:
        transform: (8,) or (N, 8): a0, a1, a2, b0, b1, b2 and two zeros.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
    """
    warping.check_warp("affine_transform", fill_mode, interpolation)
    batch = Batch(images, data_format)
    maps = wide(transform)
    maps = (maps.unsqueeze(0) if maps.ndim == 1 else maps)[:, :6]
    maps = maps.expand(batch.images.shape[0], 6)
    y = warping.warp(batch.images, maps, interpolation, fill_mode, float(fill_value))
    return batch.back(y)


@symbolic
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images seen from elsewhere: ``start_points`` (4, 2) or (N, 4, 2), as (x, y), come to lie at
    ``end_points``.
    """
    warping.check_warp("perspective_transform", "constant", interpolation)
    batch = Batch(images, data_format)
    starts, ends = (wide(p) for p in (start_points, end_points))
    starts, ends = (p.unsqueeze(0) if p.ndim == 2 else p for p in (starts, ends))
    maps = warping.homographies(starts, ends).expand(batch.images.shape[0], 8)
    return batch.back(warping.project(batch.images, maps, interpolation, fill_value))


def _places(coordinates: Any) -> Any:
    t = numeric(coordinates)
    return t if t.dtype.is_floating_point else t.to(fovea.int64)


@shapes_of(perspective_transform)
def _(images: Any, *args: Any, **kwargs: Any) -> Any:
    x = tensor(images)
    return KerasTensor(x.shape, x.dtype if isinstance(x, KerasTensor) else x.dtype.name)


@symbolic
def map_coordinates(
    inputs: Any,
    coordinates: Any,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Any:
    """Values between elements.

    Args:
        coordinates: for each axis of ``inputs`` a tensor of places.
        order: 0 reads the nearest element, 1 between neighbors.
        fill_mode: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
    """
    if order not in (0, 1):
        raise ArgumentError(f"map_coordinates: order is 0 or 1, got {order}.")
    warping.check_warp("map_coordinates", fill_mode, "bilinear")
    x = tensor(inputs)
    given = tensor(coordinates) if not isinstance(coordinates, list | tuple) else coordinates
    places = [_places(c) for c in given]
    kind = x.dtype
    x = floating(x) if order else numeric(x)  # between integers lie fractions
    if len(places) != x.ndim:
        raise ShapeError(f"map_coordinates: {x.ndim} axes, but {len(places)} coordinates.")
    y = warping.between(x, places, order, fill_mode, fill_value)
    return (y if kind.is_floating_point else y.round()).to(kind)


@symbolic
def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images bent: each pixel is read from a place near by, neighbors from alike places.

    Args:
        alpha: how far.
        sigma: how alike; the width in pixels of the bell by which the moves are smoothed.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"`` or ``"reflect"``.
        seed: an integer (always the same), a `keras.random.SeedGenerator`, or None.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
    to visual document analysis", 2003.
    """
    warping.check_warp("elastic_transform", fill_mode, interpolation)
    batch = Batch(images, data_format)
    n, h, w, _ = batch.images.shape
    size, width = int(6 * float(sigma)) | 1, float(sigma)
    moves = random.normal((n, h, w, 2), stddev=width, dtype="float32", seed=seed)
    weights = bell(size, width)
    moves = weighted(moves, weights, weights, (size // 2, size // 2)) * float(alpha)
    right, lower = moves.unbind(-1)
    across = fovea.arange(w, dtype=fovea.float32) + right
    down = fovea.arange(h, dtype=fovea.float32).reshape(h, 1) + lower
    y = warping.sample(batch.images, down, across, interpolation, fill_mode, float(fill_value))
    return batch.back(y)


# -- scaled and moved ----------------------------------------------------------------------------


def _linear(x: Any) -> Any:
    return fovea.relu(1 - x)


def _cubic(x: Any) -> Any:
    """Keys's kernel with a = -1/2, of distances."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((2.5 - 0.5 * x) * x - 4) * x + 2
    return fovea.where(x < 1, near, fovea.where(x < 2, far, 0.0))


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def weights(x: Any) -> Any:
        return fovea.where(x <= radius, fovea.sinc(x) * fovea.sinc(x / radius), 0.0)

    return weights


_KERNELS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), _linear),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
}


def _weights(size: int, wanted: int, scale: Any, move: Any, kernel: Any, antialias: bool) -> Any:
    """(size, wanted): what each element gives to each of the result; 0 where it lies outside."""
    place = (fovea.arange(wanted, dtype=scale.dtype) + 0.5 - move) / scale - 0.5
    distance = (place - fovea.arange(size, dtype=scale.dtype).unsqueeze(-1)).abs()
    # Where the result is smaller, a wider kernel takes in all that falls upon a pixel.
    shares = kernel(distance / (1 / scale).clamp(min=1) if antialias else distance)
    total = shares.sum(0, keepdim=True)
    known = (total.abs() > 1000 * fovea.finfo(fovea.float32).eps) & _within(place, size)
    return fovea.where(known, shares / fovea.where(known, total, 1.0), 0.0)


def _within(place: Any, size: int) -> Any:
    return (place >= -0.5) & (place <= size - 0.5)


@symbolic
def scale_and_translate(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> Any:
    """Images in other sizes, scaled and moved: what was at ``x`` comes to lie at
    ``x * scale + translation``; zeros lie outside. Pixel ``i`` has its middle at ``i + 0.5``.

    Args:
        images: of any shape; integers are rounded and stay within those that there are.
        output_shape: a size for each axis.
        scale, translation: one number for each of ``spatial_dims``.
        spatial_dims: the axes that change.
        method: ``"linear"``, ``"cubic"``, ``"lanczos3"`` or ``"lanczos5"``.
        antialias: smooth before shrinking.

    >>> import fovea
    >>> scale_and_translate(fovea.eye(2), (4, 2), [2.0], [0.0], [0], "linear").shape
    fovea.Size([4, 2])
    """
    if method not in _KERNELS:
        raise ArgumentError(
            f"scale_and_translate: method is one of {tuple(_KERNELS)}, got {method!r}."
        )
    x = tensor(images)
    scales, moves = floating(scale), floating(translation)
    if not len(spatial_dims) == scales.shape[0] == moves.shape[0]:
        raise ArgumentError(
            f"scale_and_translate: {len(spatial_dims)} axes, {scales.shape[0]} scales and "
            f"{moves.shape[0]} translations."
        )
    y = floating(x)
    for d, factor, move in zip(spatial_dims, scales.unbind(0), moves.unbind(0), strict=True):
        weights = _weights(x.shape[d], output_shape[d], factor, move, _KERNELS[method], antialias)
        y = fovea.movedim(fovea.movedim(y, d, -1) @ weights.to(y.dtype), -1, d)
    if x.dtype.is_floating_point:
        return y
    return y.round().clamp(float(x.min()), float(x.max())).to(x.dtype)
