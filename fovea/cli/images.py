"""Images that fit in memory: batches are gathered, moved about and normalized all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.functions.creation import from_numpy
from fovea.functions.random import rand
from fovea.utils.data import Dataset

if TYPE_CHECKING:
    from fovea.cli.recipes import Augment
    from fovea.tensor import Tensor

__all__ = ["ArrayImages", "augmented", "mean_and_deviation", "shifted", "warped"]

Array = np.ndarray[Any, Any]


class ArrayImages(Dataset[Any]):
    """Images and labels in memory; a sample is a normalized image (C, H, W) and a class number.

    Args:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        mean, std: one a channel, of values in [0, 1].
        augment: how images are moved about each time they are drawn; None leaves them.
    """

    def __init__(
        self,
        images: Array,
        labels: Array,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Augment | None = None,
    ) -> None:
        self.images, self.labels = images, labels
        # (v / 255 - mean) / std as one multiplication and one addition.
        self.factor = (1 / (255 * np.asarray(std))).astype(np.float32)
        self.offset = (-np.asarray(mean) / np.asarray(std)).astype(np.float32)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.__getbatch__([index])
        return images[0], int(labels.item())

    def __getbatch__(self, indices: Sequence[int]) -> list[Tensor]:
        chosen = np.asarray(indices, np.int64)
        images = self.images[chosen].astype(np.float32)
        if self.augment is not None:
            images = augmented(images, self.augment)
        images *= self.factor
        images += self.offset
        # Channels last in memory, as the engine has them; the dimensions are named as PyTorch does.
        return [from_numpy(images).permute(0, 3, 1, 2), from_numpy(self.labels[chosen])]


def mean_and_deviation(images: Array) -> tuple[list[float], list[float]]:
    """Of each channel, of values in [0, 1]; a channel that never changes has deviation 1.

    Args:
        images: uint8 (N, H, W, C).
    """
    count = images[..., 0].size
    mean, square = np.zeros(images.shape[-1]), np.zeros(images.shape[-1])
    for start in range(0, len(images), 1024):  # in parts, so that no large copy is made
        part = images[start : start + 1024].reshape(-1, images.shape[-1]).astype(np.float64) / 255
        mean += part.sum(0) / count
        square += (part * part).sum(0) / count
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    return [round(float(v), 6) for v in mean], [round(float(v), 6) for v in deviation]


def augmented(images: Array, how: Augment) -> Array:
    """Images turned, scaled, shifted and flipped, each by its own draw from fovea's generator.

    Args:
        images: float32 (N, H, W, C); may be changed.
    """
    draws = rand(len(images), 6).numpy().astype(np.float64)
    moved = np.flatnonzero(draws[:, 5] < how.share)
    images[moved] = _moved(images[moved], draws[moved], how)
    return images


def _moved(images: Array, draws: Array, how: Augment) -> Array:
    """Every image by its row of numbers from [0, 1)."""
    signed = 2 * draws[:, :4] - 1
    shift = how.shift * signed[:, 2:4]
    mirrored = how.flip & (draws[:, 4] < 0.5)
    if not how.rotate and not how.scale:
        return shifted(images, np.rint(shift).astype(int), mirrored)
    angle = np.deg2rad(how.rotate) * signed[:, 0]
    scale = (1 + how.scale) ** signed[:, 1]
    mirror = np.where(mirrored, -1.0, 1.0)
    # From a place in the result to the place in the image that is shown there.
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrices = np.stack([cos, -sin * mirror, sin, cos * mirror], 1).reshape(-1, 2, 2)
    return warped(images, matrices, shift)


def shifted(images: Array, shifts: Array, mirrored: Array) -> Array:
    """Images moved by whole pixels, some of them mirrored first; what comes in is 0.

    Args:
        images: float32 (N, H, W, C).
        shifts: int (N, 2), down and to the right.
        mirrored: bool (N,).
    """
    _, height, width, _ = images.shape
    reach = int(np.abs(shifts).max(initial=0))
    around = (reach, reach)
    padded = np.pad(images, ((0, 0), around, around, (0, 0)))
    result = np.empty_like(images)
    for i, (down, right) in enumerate(shifts.tolist()):
        image = padded[i, :, ::-1] if mirrored[i] else padded[i]
        top, left = reach - down, reach - right
        result[i] = image[top : top + height, left : left + width]
    return result


def warped(images: Array, matrices: Array, shifts: Array) -> Array:
    """Images seen through a linear map about their centers; what lies outside is 0.

    The result at p is the image at M (p - center - shift) + center, between pixels by bilinear
    interpolation.

    Args:
        images: float32 (N, H, W, C).
        matrices: (N, 2, 2), for (row, column).
        shifts: (N, 2), in pixels.
    """
    count, height, width, channels = images.shape
    # A border of zeros makes every place outside the image read 0.
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    row, column = _places(height, width, matrices, shifts)
    top, left = row.astype(np.intp), column.astype(np.intp)
    row -= top
    column -= left
    pitch = width + 3
    start = top * pitch
    start += left
    start += (np.arange(count) * ((height + 3) * pitch))[:, None]
    # Single numbers are gathered several times faster than rows of one.
    flat = padded.reshape(-1) if channels == 1 else padded.reshape(-1, channels)
    down, right = (row, column) if channels == 1 else (row[..., None], column[..., None])
    upper, lower = _between(flat, start, right), _between(flat, start + pitch, right)
    lower -= upper
    lower *= down
    upper += lower
    return upper.reshape(images.shape)


def _places(height: int, width: int, matrices: Array, shifts: Array) -> tuple[Array, Array]:
    """Where each pixel of each result looks in its padded image: rows and columns (N, H * W)."""
    down = (np.arange(height) - (height - 1) / 2).astype(np.float32)
    right = (np.arange(width) - (width - 1) / 2).astype(np.float32)
    origin = np.array([(height + 1) / 2, (width + 1) / 2]) - np.einsum(
        "nij,nj->ni", matrices, shifts
    )
    linear, start = matrices.astype(np.float32), origin.astype(np.float32)
    result = []
    for axis, size in enumerate((height, width)):
        along = start[:, axis, None] + linear[:, axis, 0, None] * down
        place = along[:, :, None] + (linear[:, axis, 1, None] * right)[:, None, :]
        result.append(np.clip(place, 0, size + 1, out=place).reshape(len(place), height * width))
    return result[0], result[1]


def _between(flat: Array, start: Array, part: Array) -> Array:
    """Values between the elements at ``start`` and those that follow them."""
    first, second = flat.take(start, 0), flat.take(start + 1, 0)
    second -= first
    second *= part
    first += second
    return first
