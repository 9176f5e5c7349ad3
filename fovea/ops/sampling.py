"""Images (N, C, H, W) read at places that need not lie on their pixels.

A place names a pixel by (x, y), where 0 is the middle of the first one, or by numbers from -1 to 1:
the middles of the first and the last pixel (``corners``), or their outer edges (``edges``). Between
pixels their values are mixed in proportion. Outside the image, pixels are a number (``constant``)
or those of the image, which goes on as its last pixel (``border``), mirrored at the edges
(``reflect``) or at the middles of the last pixels (``mirror``), or from the start (``wrap``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import channels_last_strides, require_dtype, require_floating, same_dtype

__all__ = ["GRIDS", "OUTSIDE", "SampleAttrs", "in_pixels_slope", "sample2d", "sample2d_grad"]

Array = np.ndarray[Any, Any]
MODES = ("bilinear", "nearest")
OUTSIDE = ("constant", "border", "reflect", "mirror", "wrap")
GRIDS = ("pixels", "corners", "edges")
FARTHEST = float(1 << 22)  # pixels: farther ones are as far, and whole numbers stay exact


@dataclass(frozen=True, eq=False)
class SampleAttrs(Attrs):
    """``fill``: the pixels outside where these are ``constant``."""

    mode: str
    outside: str
    grid: str = "pixels"
    fill: float = 0.0


sample2d = Op("sample2d", ("x", "places"), SampleAttrs)


@sample2d.shape
def _(x: Shaped, places: Shaped, a: SampleAttrs) -> Spec:
    require_floating("sample2d", x=x)
    require_dtype("sample2d", "places", places, dtypes.float32, dtypes.float64)
    for name, given, known in (
        ("mode", a.mode, MODES),
        ("outside", a.outside, OUTSIDE),
        ("grid", a.grid, GRIDS),
    ):
        if given not in known:
            raise ArgumentError(f"sample2d: {name} is one of {known}, got {given!r}.")
    fits = len(x.shape) == len(places.shape) == 4 and places.shape[3] == 2
    if not fits or places.shape[0] != x.shape[0]:
        raise ShapeError(
            "sample2d: x must be (N, C, H, W), places (N, OH, OW, 2).",
            {"x": describe(x), "places": describe(places)},
        )
    shape = (*x.shape[:2], *places.shape[1:3])
    if 0 in x.shape[2:] and 0 not in shape:
        raise ShapeError("sample2d: an image without pixels cannot be read.", {"x": describe(x)})
    return Spec(shape, x.dtype, channels_last_strides(shape))


def in_pixels(place: Any, size: int, grid: str) -> Any:
    """Places along a dimension as pixels."""
    if grid == "corners":
        return (place + 1) * ((size - 1) / 2)
    return ((place + 1) * size - 1) * 0.5 if grid == "edges" else place


# Whole numbers of pixels to those that are read; ``m`` offers floor, abs and minimum.
_INSIDE: dict[str, Callable[[Any, int, Any], Any]] = {
    "constant": lambda i, n, m: i,
    "border": lambda i, n, m: i,
    "wrap": lambda i, n, m: _rest(i, n, m),
    "mirror": lambda i, n, m: m.abs(_rest(i + (n - 1), max(2 * n - 2, 1), m) - (n - 1)),
    "reflect": lambda i, n, m: m.minimum(_rest(i, 2 * n, m), 2 * n - 1 - _rest(i, 2 * n, m)),
}


def _rest(i: Any, n: int, m: Any) -> Any:
    return i - m.floor(i / n) * n


class _Tensors:
    """floor, abs and minimum of tensors."""

    floor = staticmethod(lambda t: t.floor())
    abs = staticmethod(lambda t: t.abs())
    minimum = staticmethod(lambda a, b: a.minimum(b))


def _taps(place: Any, nearest: bool) -> list[tuple[Any, Any]]:
    """Which pixels are read along a dimension, and their shares (None: all)."""
    if nearest:
        return [(place.detach().round(), None)]
    low = place.detach().floor()
    part = place - low
    return [(low, 1 - part), (low + 1, part)]


@sample2d.decompose
def _(x: Any, places: Any, a: SampleAttrs) -> Any:
    n, c, h, w = x.shape
    flat, pixels = x.reshape(n, c, h * w), places.shape[1] * places.shape[2]
    across, down = (
        in_pixels(p, size, a.grid).clamp(-FARTHEST, FARTHEST)
        for p, size in zip(places.unbind(-1), (w, h), strict=True)
    )
    total: Any = None
    for row, tall in _taps(down, a.mode == "nearest"):
        for column, wide in _taps(across, a.mode == "nearest"):
            y, z = (
                _INSIDE[a.outside](i, size, _Tensors).clamp(0, size - 1)
                for i, size in ((row, h), (column, w))
            )
            index = (y * w + z).to(dtypes.int64).reshape(n, 1, pixels).expand(n, c, pixels)
            part = flat.gather(2, index).reshape(n, c, *places.shape[1:3])
            if a.outside == "constant":
                inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
                part = part.where(inside.unsqueeze(1), a.fill)
            if tall is not None:
                part = part * (tall * wide).unsqueeze(1).to(x.dtype)
            total = part if total is None else total + part
    return total


@sample2d.reference
def _(x: Array, places: Array, a: SampleAttrs) -> Array:
    n, _, h, w = x.shape
    across, down = (
        np.clip(in_pixels(places[..., d], size, a.grid), -FARTHEST, FARTHEST)
        for d, size in ((0, w), (1, h))
    )
    total = np.zeros((n, *places.shape[1:3], x.shape[1]), np.result_type(x, np.float32))
    image = np.arange(n).reshape(n, 1, 1)
    offsets = (0,) if a.mode == "nearest" else (0, 1)
    lows = [np.rint(p) if a.mode == "nearest" else np.floor(p) for p in (down, across)]
    for i in offsets:
        for j in offsets:
            rows, columns = lows[0] + i, lows[1] + j
            y, z = (
                np.clip(_INSIDE[a.outside](v, size, np), 0, size - 1).astype(np.int64)
                for v, size in ((rows, h), (columns, w))
            )
            part = x[image, :, y, z].astype(total.dtype)
            if a.outside == "constant":
                inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
                part = np.where(inside[..., None], part, a.fill)
            if a.mode == "bilinear":
                share = (1 - abs(down - rows)) * (1 - abs(across - columns))
                part = part * share[..., None].astype(total.dtype)
            total = total + part
    return np.moveaxis(total, 3, 1).astype(x.dtype)


# -- the gradient ---------------------------------------------------------------------------------

sample2d_grad = Op("sample2d_grad", ("gy", "x", "places"), SampleAttrs, outputs=("gx", "gplaces"))


@sample2d.grad(saves=("x", "places"))
def _(ctx: Any, gy: Any) -> Any:
    return sample2d_grad.bind((gy, ctx.x, ctx.places), ctx.attrs)


@sample2d_grad.shape
def _(gy: Shaped, x: Shaped, places: Shaped, a: SampleAttrs) -> tuple[Spec, Spec]:
    require_floating("sample2d_grad", x=x)
    same_dtype("sample2d_grad", gy, x)
    if tuple(gy.shape) != (*x.shape[:2], *places.shape[1:3]):
        raise ShapeError(
            "sample2d_grad: gy must have the shape of what was sampled.",
            {"gy": describe(gy), "x": describe(x), "places": describe(places)},
        )
    return (
        Spec(tuple(x.shape), x.dtype, channels_last_strides(x.shape)),
        Spec(tuple(places.shape), places.dtype),
    )


def in_pixels_slope(size: int, grid: str) -> float:
    """How many pixels a place moves where its number grows by one."""
    return {"corners": (size - 1) / 2, "edges": size / 2, "pixels": 1.0}[grid]


@sample2d_grad.decompose
def _(gy: Any, x: Any, places: Any, a: SampleAttrs) -> tuple[Any, Any]:
    n, c, h, w = x.shape
    flat, pixels, nearest = x.reshape(n, c, -1), places[0, ..., 0].numel(), a.mode == "nearest"
    down, across = (
        _taps(in_pixels(places[..., d], size, a.grid).clamp(-FARTHEST, FARTHEST), nearest)
        for d, size in ((1, h), (0, w))
    )
    gx = x.new_zeros((n, c, h * w))
    slopes: list[Any] = [places.new_zeros(places.shape[:3])] * 2
    for row, tall in down:
        for column, wide in across:
            y, z = (
                _INSIDE[a.outside](i, size, _Tensors).clamp(0, size - 1)
                for i, size in ((row, h), (column, w))
            )
            index = (y * w + z).to(dtypes.int64).reshape(n, 1, pixels).expand(n, c, pixels)
            part = flat.gather(2, index).reshape(gy.shape)
            share = gy if tall is None else gy * (tall * wide).unsqueeze(1).to(gy.dtype)
            if a.outside == "constant":
                inside = ((row >= 0) & (row < h) & (column >= 0) & (column < w)).unsqueeze(1)
                part, share = part.where(inside, a.fill), share.where(inside, 0.0)
            gx = gx.scatter_add(2, index, share.reshape(n, c, pixels))
            if tall is not None:
                dot = (gy * part).sum(1).to(places.dtype)
                lower, left = row is down[0][0], column is across[0][0]
                slopes[0] = slopes[0] + (-dot if left else dot) * tall
                slopes[1] = slopes[1] + (-dot if lower else dot) * wide
    moved = [s * in_pixels_slope(size, a.grid) for s, size in zip(slopes, (w, h), strict=True)]
    gplaces = moved[0].unsqueeze(-1) * places.new_tensor([1.0, 0.0])
    gplaces = gplaces + moved[1].unsqueeze(-1) * places.new_tensor([0.0, 1.0])
    return gx.reshape(n, c, h, w), gplaces


@sample2d_grad.reference
def _(gy: Array, x: Array, places: Array, a: SampleAttrs) -> tuple[Array, Array]:
    n, c, h, w = x.shape
    wide = np.result_type(x, np.float32)
    across, down = (
        np.clip(in_pixels(places[..., d], size, a.grid), -FARTHEST, FARTHEST)
        for d, size in ((0, w), (1, h))
    )
    gx = np.zeros((n, h, w, c), wide)
    slopes = np.zeros(places.shape, np.result_type(places, wide))
    image = np.arange(n).reshape(n, 1, 1)
    g = np.moveaxis(gy, 1, 3).astype(wide)
    nearest = a.mode == "nearest"
    lows = [np.rint(p) if nearest else np.floor(p) for p in (down, across)]
    for i in (0,) if nearest else (0, 1):
        for j in (0,) if nearest else (0, 1):
            rows, columns = lows[0] + i, lows[1] + j
            y, z = (
                np.clip(_INSIDE[a.outside](v, size, np), 0, size - 1).astype(np.int64)
                for v, size in ((rows, h), (columns, w))
            )
            inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
            inside = inside | (a.outside != "constant")
            tall, broad = (
                (1.0, 1.0) if nearest else (1 - abs(down - rows), 1 - abs(across - columns))
            )
            share = np.where(inside, tall * broad, 0)[..., None] * g
            np.add.at(gx, (image, y, z), share.astype(wide))
            part = np.where(inside[..., None], x[image, :, y, z].astype(wide), a.fill)
            if not nearest:
                dot = (g * part).sum(-1)
                slopes[..., 0] += (1 if j else -1) * dot * tall
                slopes[..., 1] += (1 if i else -1) * dot * broad
    slopes = slopes * [in_pixels_slope(w, a.grid), in_pixels_slope(h, a.grid)]
    return np.moveaxis(gx, 3, 1).astype(x.dtype), slopes.astype(places.dtype)
