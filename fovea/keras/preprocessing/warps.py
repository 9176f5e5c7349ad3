"""Arrays of one image turned, shifted, sheared and zoomed, as Keras's older functions do.

Random numbers are NumPy's (``np.random``), drawn in Keras's order: the same seed gives the same
images. Axes are those of Keras's functions, which take channels first unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.keras.utils.images import array_to_img, img_to_array
from fovea.vision.pillow import require_pillow

__all__ = [
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
]

Array = np.ndarray[Any, Any]
Axes = tuple[int, int, int]


def random_rotation(
    x: Array,
    rg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """An image turned by up to ``rg`` degrees either way; see `apply_affine_transform`."""
    theta = np.random.uniform(-rg, rg)
    return apply_affine_transform(
        x, theta=theta, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis,
        fill_mode=fill_mode, cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_shift(
    x: Array,
    wrg: float,
    hrg: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """An image moved by up to the shares ``wrg`` of its width and ``hrg`` of its height."""
    h, w = x.shape[row_axis], x.shape[col_axis]
    tx = np.random.uniform(-hrg, hrg) * h
    ty = np.random.uniform(-wrg, wrg) * w
    return apply_affine_transform(
        x, tx=tx, ty=ty, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis,
        fill_mode=fill_mode, cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_shear(
    x: Array,
    intensity: float,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """An image sheared by up to ``intensity`` degrees either way."""
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(
        x, shear=shear, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis,
        fill_mode=fill_mode, cval=cval, order=interpolation_order,
    )  # fmt: skip


def random_zoom(
    x: Array,
    zoom_range: Any,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Array:
    """An image zoomed by factors from ``zoom_range``, one for each axis; below 1 it grows.

    Raises:
        ArgumentError: ``zoom_range`` is not two numbers.
    """
    if len(zoom_range) != 2:
        raise ArgumentError(f"random_zoom: zoom_range is two numbers, got {zoom_range!r}.")
    zx, zy = (
        (1, 1)
        if tuple(zoom_range) == (1, 1)
        else np.random.uniform(zoom_range[0], zoom_range[1], 2)
    )
    return apply_affine_transform(
        x, zx=zx, zy=zy, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis,
        fill_mode=fill_mode, cval=cval, order=interpolation_order,
    )  # fmt: skip


def apply_channel_shift(x: Array, intensity: float, channel_axis: int = 0) -> Array:
    """An image with ``intensity`` added, cut to the range that it had."""
    return np.clip(x + intensity, np.min(x), np.max(x)).astype(x.dtype, copy=False)


def random_channel_shift(x: Array, intensity_range: float, channel_axis: int = 0) -> Array:
    """`apply_channel_shift` of a number of up to ``intensity_range`` either way."""
    intensity = np.random.uniform(-intensity_range, intensity_range)
    return apply_channel_shift(x, intensity, channel_axis=channel_axis)


def apply_brightness_shift(x: Array, brightness: float, scale: bool = True) -> Array:
    """An image (H, W, C) of another brightness, by way of a picture of 8 bits.

    Args:
        x: the image; values from 0 to 255 unless ``scale``.
        brightness: a factor.
        scale: stretch the values over 0 to 255 first. Else they are left as they are, unless some
            lie outside.
    """
    require_pillow("apply_brightness_shift")
    from PIL import ImageEnhance

    low, high = np.min(x), np.max(x)
    outside = low < 0 or high > 255
    picture = array_to_img(x, scale=bool(outside or scale))
    found: Array = img_to_array(ImageEnhance.Brightness(picture).enhance(brightness))
    return found / 255 * (high - low) + low if outside and not scale else found


def random_brightness(x: Array, brightness_range: Any, scale: bool = True) -> Array:
    """`apply_brightness_shift` by a factor from ``brightness_range``.

    Raises:
        ArgumentError: ``brightness_range`` is not two numbers.
    """
    if len(brightness_range) != 2:
        raise ArgumentError(
            f"random_brightness: brightness_range is two numbers, got {brightness_range!r}."
        )
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)


# -- affine ---------------------------------------------------------------------------------------


def apply_affine_transform(
    x: Array,
    theta: float = 0,
    tx: float = 0,
    ty: float = 0,
    shear: float = 0,
    zx: float = 1,
    zy: float = 1,
    row_axis: int = 1,
    col_axis: int = 2,
    channel_axis: int = 0,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Array:
    """An image turned, moved, sheared and zoomed around its middle.

    Args:
        x: one image: three dimensions, the channels first or last of them.
        theta: degrees, against the clock.
        tx, ty: pixels, to the left and up.
        shear: degrees.
        zx, zy: factors of height and width of what is shown.
        fill_mode: what lies outside: ``"constant"`` (``cval``), ``"nearest"``, ``"reflect"`` or
            ``"wrap"``.
        order: 0: the nearest pixel; 1: bilinear.

    Raises:
        ShapeError: not three dimensions. ArgumentError: axes, a mode or an order out of range.

    >>> x = np.arange(4.0).reshape(1, 2, 2)
    >>> apply_affine_transform(x, tx=1)
    array([[[1., 1.],
            [3., 3.]]])
    """
    axes = (row_axis, col_axis, channel_axis)
    _check(x, axes, fill_mode, order)
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    if matrix is None:
        return x
    h, w = x.shape[row_axis], x.shape[col_axis]
    matrix = _centered(matrix, h, w)
    if col_axis > row_axis:  # the matrix is for (x, y), arrays are indexed by (row, column)
        matrix = matrix[[1, 0, 2]][:, [1, 0, 2]]
    image = x.transpose(axes)
    found = _sampled(image, matrix, fill_mode, cval, order)
    return found.transpose(np.argsort(axes))


def _check(x: Array, axes: Axes, fill_mode: str, order: int) -> None:
    what = "apply_affine_transform"
    if sorted(axes) != [0, 1, 2] or axes[2] == 1:
        raise ArgumentError(
            f"{what}: row_axis, col_axis and channel_axis are 0, 1 and 2 in some order, the "
            f"channels first or last; got {axes}."
        )
    if x.ndim != 3:
        raise ShapeError(f"{what}: an image with channels has 3 dimensions, got {x.shape}.")
    if fill_mode not in _PLACES:
        raise ArgumentError(f"{what}: fill_mode is one of {tuple(_PLACES)}, got {fill_mode!r}.")
    if order not in (0, 1):
        raise ArgumentError(
            f"{what}: order is 0 or 1, got {order!r}.",
            fix="interpolation_order=1; splines of higher order are SciPy's",
        )


def _matrix(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> Array | None:
    """The product of what is asked for; None if that is nothing."""
    parts = []
    if theta != 0:
        c, s = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
        parts.append(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    if tx != 0 or ty != 0:
        parts.append(np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]]))
    if shear != 0:
        c, s = np.cos(np.deg2rad(shear)), np.sin(np.deg2rad(shear))
        parts.append(np.array([[1, -s, 0], [0, c, 0], [0, 0, 1]]))
    if zx != 1 or zy != 1:
        parts.append(np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]]))
    if not parts:
        return None
    product = parts[0]
    for part in parts[1:]:
        product = product @ part
    return product


def _centered(matrix: Array, height: int, width: int) -> Array:
    """The same around the middle of the image."""
    y, x = height / 2 - 0.5, width / 2 - 0.5
    there = np.array([[1, 0, y], [0, 1, x], [0, 0, 1]])
    back = np.array([[1, 0, -y], [0, 1, -x], [0, 0, 1]])
    product: Array = there @ matrix @ back
    return product


def _nearest(place: Array, size: int) -> Array:
    return np.clip(place, 0, size - 1)


def _reflected(place: Array, size: int) -> Array:
    """``d c b a | a b c d | d c b a``."""
    around = np.mod(place + 0.5, 2 * size)
    return np.clip(np.minimum(around, 2 * size - around) - 0.5, 0, size - 1)


def _wrapped(place: Array, size: int) -> Array:
    """The last pixel lies on the first one, as in SciPy's mode of this name."""
    last = size - 1
    if last == 0:
        return np.zeros_like(place)
    return np.where((place < 0) | (place > last), np.mod(place, last), place)


_PLACES: dict[str, Callable[[Array, int], Array]] = {
    "constant": _nearest,
    "nearest": _nearest,
    "reflect": _reflected,
    "wrap": _wrapped,
}


def _sampled(image: Array, matrix: Array, mode: str, cval: float, order: int) -> Array:
    """What an image (H, W, C) has where the matrix leads from each pixel."""
    h, w, channels = image.shape
    i, j = np.arange(h)[:, None], np.arange(w)[None]
    rows = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2]
    columns = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2]
    outside = (rows < 0) | (rows > h - 1) | (columns < 0) | (columns > w - 1)
    rows, columns = _PLACES[mode](rows, h), _PLACES[mode](columns, w)
    pixels = np.ascontiguousarray(image).reshape(h * w, channels)
    if order == 0:
        flat = np.floor(rows + 0.5).astype(np.intp) * w + np.floor(columns + 0.5).astype(np.intp)
        found = pixels[flat]
    else:
        found = _bilinear(pixels, rows, columns, h, w).astype(image.dtype, copy=False)
    if mode == "constant" and outside.any():
        found[outside] = cval
    return found


def _bilinear(pixels: Array, rows: Array, columns: Array, h: int, w: int) -> Array:
    """The pixels (H * W, C) between whole places: (h, w, C)."""
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    kind = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float64)
    down, right = (rows - top).astype(kind)[..., None], (columns - left).astype(kind)[..., None]
    below = (np.minimum(top + 1, h - 1) - top) * w
    beside = np.minimum(left + 1, w - 1) - left
    flat = top * w + left
    upper = pixels[flat]
    upper = upper + (pixels[flat + beside] - upper) * right
    lower = pixels[flat + below]
    lower = lower + (pixels[flat + below + beside] - lower) * right
    found: Array = upper + (lower - upper) * down
    return found
