"""Images read at other places: the matrices of rotations and the like, and what lies outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.creation import arange
from fovea.functions.pointwise import abs_, clamp, floor, floor_divide, remainder, round_, where

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["FILL_MODES", "check_warp", "warp"]


def _mirror(index: Tensor, size: int) -> Tensor:
    """Turning back at the centers of the edges' pixels."""
    s = size - 1
    return abs_(remainder(index + s, 2 * s) - s) if s else index * 0


def _reflect(index: Tensor, size: int) -> Tensor:
    """Turning back at the edges, whose pixels come twice."""
    return floor_divide(_mirror(2 * index + 1, 2 * size + 1) - 1, 2)


_PLACES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda index, size: clamp(index, 0, size - 1),
    "nearest": lambda index, size: clamp(index, 0, size - 1),
    "wrap": lambda index, size: remainder(index, size),
    "mirror": _mirror,
    "reflect": _reflect,
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
    n, h, w, _ = images.shape
    kind = matrices.dtype
    a0, a1, a2, b0, b1, b2 = (m.reshape(n, 1, 1) for m in matrices.unbind(1))
    x, y = arange(w, dtype=kind).reshape(1, 1, w), arange(h, dtype=kind).reshape(1, h, 1)
    across, down = a0 * x + a1 * y + a2, b0 * x + b1 * y + b2
    image = arange(n).reshape(n, 1, 1)
    total: Any = None
    for row, by_row in _taps(down, interpolation):
        for column, by_column in _taps(across, interpolation):
            rows, columns = _PLACES[fill_mode](row, h), _PLACES[fill_mode](column, w)
            picked = images[image, rows, columns]
            if fill_mode == "constant":
                inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
                picked = where(inside.unsqueeze(-1), picked, fill_value)
            if interpolation == "bilinear":
                picked = picked * (by_row * by_column).unsqueeze(-1).to(images.dtype)
            total = picked if total is None else total + picked
    return total


def _taps(place: Tensor, interpolation: str) -> list[tuple[Tensor, Any]]:
    """The pixels that a place between pixels reads, and their weights."""
    if interpolation == "nearest":
        return [(round_(place).to(dtypes.int64), None)]
    low = floor(place)
    index, part = low.to(dtypes.int64), place - low
    return [(index, 1 - part), (index + 1, part)]
