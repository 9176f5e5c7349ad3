"""Where pixels move, as colors: the direction as the hue, the speed as its strength."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import DTypeError, ShapeError, describe
from fovea.functions.creation import from_numpy

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["flow_to_image"]

# From one color of the circle to the next, in so many steps: red, yellow, green, cyan, blue,
# magenta. The first index is the channel that changes, and whether it rises.
_ARCS = ((15, 1, True), (6, 0, False), (4, 2, True), (11, 1, False), (13, 0, True), (6, 2, False))


def flow_to_image(flow: Tensor) -> Tensor:
    """Optical flow as images.

    Args:
        flow: float32 (N, 2, H, W) or (2, H, W): by how much pixels move along x and y.

    Returns:
        uint8 (N, 3, H, W) or (3, H, W); the fastest pixel has a full color, pixels that stay are
        white.

    Raises:
        DTypeError: other numbers.
        ShapeError: another shape.

    Source: Baker et al., "A database and evaluation methodology for optical flow", ICCV 2007.

    >>> import fovea
    >>> flow_to_image(fovea.tensor([[[0.0, 1.0]], [[0.0, 0.0]]])).tolist()
    [[[255, 255]], [[255, 0]], [[255, 0]]]
    """
    if flow.dtype is not dtypes.float32:
        raise DTypeError(f"flow_to_image: flow is float32, got {describe(flow)}.")
    values = flow.detach().numpy()
    several = values if values.ndim == 4 else values[None]
    if several.ndim != 4 or several.shape[1] != 2:
        raise ShapeError(f"flow_to_image: flow is (N, 2, H, W) or (2, H, W): {describe(flow)}.")
    speed = np.sqrt(np.square(several).sum(1))
    scaled = several / (speed.max(initial=0) + np.finfo(np.float32).eps)
    image = _colored(scaled)
    return from_numpy(image if values.ndim == 4 else image[0])


def _colored(flow: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    wheel = _wheel()
    one = np.float32(1)
    speed = np.sqrt(np.square(flow).sum(1))[:, None]
    angle = np.arctan2(-flow[:, 1], -flow[:, 0]) / np.float32(np.pi)
    place = (angle + one) / 2 * np.float32(len(wheel) - 1)
    before = np.floor(place).astype(np.int64)
    share = (place - before).astype(np.float32)[:, None]
    colors, after = (
        wheel[k % len(wheel)].transpose(0, 3, 1, 2) / np.float32(255) for k in (before, before + 1)
    )
    mixed = one - speed * (one - ((one - share) * colors + share * after))
    made: np.ndarray[Any, Any] = np.floor(255 * mixed).astype(np.uint8)
    return made


def _wheel() -> np.ndarray[Any, Any]:
    """The 55 colors of the circle, float32 (55, 3) up to 255."""
    color = np.array([255.0, 0.0, 0.0], np.float32)
    wheel = []
    for steps, channel, rises in _ARCS:
        for step in range(steps):
            change = np.floor(np.float32(255 * step) / np.float32(steps))
            color[channel] = change if rises else 255 - change
            wheel.append(color.copy())
        color[channel] = 255 if rises else 0
    return np.stack(wheel)
