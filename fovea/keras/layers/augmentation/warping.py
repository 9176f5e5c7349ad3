"""Images read at other places: the matrices of rotations and the like, and what lies outside."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.joining import cat, stack
from fovea.functions.matrices import solve
from fovea.functions.pointwise import abs_, clamp, floor, floor_divide, remainder, round_, where
from fovea.functions.ranges import arange
from fovea.functions.shaping import permute
from fovea.keras.bounding_boxes import around, corner_points
from fovea.ops.sampling import SampleAttrs, sample2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FILL_MODES",
    "between",
    "check_warp",
    "homographies",
    "moved_boxes",
    "project",
    "reflected",
    "sample",
    "sampled",
    "warp",
]


def _mirror(index: Tensor, size: int) -> Tensor:
    """Turning back at the centers of the edges' pixels."""
    s = size - 1
    return abs_(remainder(index + s, 2 * s) - s) if s else index * 0


def reflected(index: Tensor, size: int) -> Tensor:
    """Turning back at the edges, whose pixels come twice."""
    return floor_divide(_mirror(2 * index + 1, 2 * size + 1) - 1, 2)


_PLACES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda index, size: clamp(index, 0, size - 1),
    "nearest": lambda index, size: clamp(index, 0, size - 1),
    "wrap": lambda index, size: remainder(index, size),
    "mirror": _mirror,
    "reflect": reflected,
}
FILL_MODES = tuple(_PLACES)


def check_warp(name: str, fill_mode: str, interpolation: str) -> None:
    """ArgumentError for a mode that there is not."""
    if fill_mode not in _PLACES:
        raise ArgumentError(f"{name}: fill_mode is one of {FILL_MODES}, got {fill_mode!r}.")
    if interpolation not in ("nearest", "bilinear"):
        raise ArgumentError(
            f"{name}: interpolation is 'nearest' or 'bilinear', got {interpolation!r}."
        )


def warp(
    images: Tensor,
    matrices: Tensor,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
) -> Tensor:
    """Images (N, H, W, C) read where affine maps say.

    Args:
        matrices: (N, 6): the pixel (x, y) of the result is that of the image at
            (a0 x + a1 y + a2, b0 x + b1 y + b2).
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: what lies outside: ``"constant"`` (``fill_value``), ``"nearest"``, ``"wrap"``,
            ``"mirror"`` or ``"reflect"``.
    """
    x, y = _line(images, 2, matrices.dtype), _line(images, 1, matrices.dtype)
    a0, a1, a2, b0, b1, b2 = (m.reshape(-1, 1, 1) for m in matrices.unbind(1))
    # Rows and columns apart: only their sum is as large as the image.
    places = stack([a0 * x, b0 * x], -1) + stack([a1 * y + a2, b1 * y + b2], -1)
    return sampled(images, places, interpolation, fill_mode, fill_value)


def _line(images: Tensor, dim: int, dtype: Any) -> Tensor:
    """The numbers of rows or columns, to broadcast against (N, H, W)."""
    shape = [1, 1, 1]
    shape[dim] = images.shape[dim]
    return arange(images.shape[dim], dtype=dtype).reshape(*shape)


def project(
    images: Tensor, maps: Tensor, interpolation: str = "bilinear", fill_value: float = 0.0
) -> Tensor:
    """Images (N, H, W, C) read where projective maps (N, 8) say; `homographies` makes them."""
    x, y = _line(images, 2, maps.dtype), _line(images, 1, maps.dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = (m.reshape(-1, 1, 1) for m in maps.unbind(1))
    places = stack([a0 * x, b0 * x], -1) + stack([a1 * y + a2, b1 * y + b2], -1)
    places = places / (c0 * x + (c1 * y + 1)).unsqueeze(-1)
    return sampled(images, places, interpolation, "constant", fill_value)


def moved_boxes(boxes: Tensor, maps: Tensor) -> Tensor:
    """The boxes (N, M, 4), corners in pixels, around what is shown of boxes after `warp` (maps
    (N, 6)) or `project` (maps (N, 8)).

    Maps lead from pixels of the result to those of the image, so that boxes go the other way.
    """
    none = maps[:, 0] * 0
    entries = [*maps[:, :6].unbind(1), *(maps[:, 6:].unbind(1) or (none, none))]
    a0, a1, a2, b0, b1, b2, c0, c1 = (m.reshape(-1, 1, 1).to(boxes.dtype) for m in entries)
    columns = (  # of the inverse, times the determinant
        (b1 - b2 * c1, b2 * c0 - b0, b0 * c1 - b1 * c0),
        (a2 * c1 - a1, a0 - a2 * c0, a1 * c0 - a0 * c1),
        (a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0),
    )
    det = a0 * columns[0][0] + b0 * columns[1][0] + c0 * columns[2][0]
    det = where(det == 0, 1.0, det)
    px, py = (p - 0.5 for p in corner_points(boxes))  # maps count from the middle of a pixel
    x, y, scale = ((u * px + v * py + w) / det for u, v, w in zip(*columns, strict=True))
    scale = where(scale > 1e-6, scale, 1e-6)  # behind the viewer: as far away as can be
    return around(x / scale + 0.5, y / scale + 0.5)


def homographies(starts: Tensor, ends: Tensor) -> Tensor:
    """The eight numbers of the projective maps from four points ``ends`` (N, 4, 2), as (x, y),
    back to ``starts``.
    """
    x, y = ends.unbind(-1)
    u, v = starts.unbind(-1)
    one, none = x * 0 + 1, x * 0
    rows = cat(
        [
            stack([x, y, one, none, none, none, -u * x, -u * y], -1),
            stack([none, none, none, x, y, one, -v * x, -v * y], -1),
        ],
        1,
    )
    return solve(rows, cat([u, v], 1))


def sample(
    images: Tensor,
    down: Tensor,
    across: Tensor,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """Images (N, H, W, C) at places (N, H', W') in pixels."""
    return sampled(images, stack([across, down], -1), interpolation, fill_mode, fill_value)


def sampled(
    images: Tensor, places: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Images (N, H, W, C) at places (N, H', W', 2), which are (x, y) in pixels."""
    outside = "border" if fill_mode == "nearest" else fill_mode
    attrs = SampleAttrs.of(interpolation, outside, "pixels", float(fill_value))
    places = places if places.dtype.itemsize >= 4 else places.to(dtypes.float32)
    found = sample2d.bind((permute(images, (0, 3, 1, 2)), places), attrs)
    return permute(found, (0, 2, 3, 1))


def between(
    x: Tensor, places: Sequence[Tensor], order: int, fill_mode: str, fill_value: float
) -> Tensor:
    """Elements of ``x`` at places along its first axes; whole slices of the other axes.

    Args:
        places: one tensor an axis, integers where nothing lies between.
        order: 0 reads the nearest element, 1 between neighbors.
    """
    rest = (1,) * (len(x.shape) - len(places))
    total: Any = None
    taps = [_taps(place, order) for place in places]
    for corner in itertools.product(*taps):
        spots = [
            _PLACES[fill_mode](index, size)
            for (index, _), size in zip(corner, x.shape, strict=False)
        ]
        picked = x[tuple(spots)]
        weight: Any = None
        inside: Any = None
        for (index, share), size in zip(corner, x.shape, strict=False):
            if share is not None:
                weight = share if weight is None else weight * share
            here = (index >= 0) & (index < size)
            inside = here if inside is None else inside & here
        if fill_mode == "constant":
            picked = where(inside.reshape(*inside.shape, *rest), picked, fill_value)
        if weight is not None:
            picked = picked * weight.reshape(*weight.shape, *rest).to(picked.dtype)
        total = picked if total is None else total + picked
    return total


def _taps(place: Tensor, order: int) -> list[tuple[Tensor, Any]]:
    """The elements that a place reads, and their weights."""
    if not place.dtype.is_floating_point:
        return [(place, None)]
    if order == 0:
        return [(round_(place).to(dtypes.int64), None)]
    low = floor(place)
    index, part = low.to(dtypes.int64), place - low
    return [(index, 1 - part), (index + 1, part)]
