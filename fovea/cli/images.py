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

__all__ = ["ArrayImages", "augmented", "mean_and_deviation", "warped"]

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
    """Every image turned, scaled, shifted and flipped by its own draw from fovea's generator.

    Args:
        images: float32 (N, H, W, C).
    """
    count = len(images)
    draws = rand(count, 5).numpy().astype(np.float64)
    signed = 2 * draws[:, :4] - 1
    angle = np.deg2rad(how.rotate) * signed[:, 0]
    scale = (1 + how.scale) ** signed[:, 1]
    shift = how.shift * signed[:, 2:4]
    if not how.rotate and not how.scale:
        shift = np.round(shift)  # whole pixels: nothing is blurred
    mirror = np.where(how.flip & (draws[:, 4] < 0.5), -1.0, 1.0)
    # From a place in the result to the place in the image that is shown there.
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrices = np.stack([cos, -sin * mirror, sin, cos * mirror], 1).reshape(count, 2, 2)
    return warped(images, matrices, shift)


def warped(images: Array, matrices: Array, shifts: Array) -> Array:
    """Images seen through a linear map about their centers; what lies outside is 0.

    The result at p is the image at M (p - center - shift) + center, between pixels by bilinear
    interpolation.

    Args:
        images: float32 (N, H, W, C).
        matrices: (N, 2, 2), for (row, column).
        shifts: (N, 2), in pixels.
    """
    count, height, width, _ = images.shape
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    grid = np.stack([rows.ravel() - center[0], columns.ravel() - center[1]])
    origin = center[None] - np.einsum("nij,nj->ni", matrices, shifts)
    places = (matrices @ grid + origin[:, :, None]).astype(np.float32)
    # A border of zeros makes every place outside the image read 0.
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    row = np.clip(places[:, 0] + 1, 0, height + 1)
    column = np.clip(places[:, 1] + 1, 0, width + 1)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = np.modf(row)[0][..., None], np.modf(column)[0][..., None]
    pitch = width + 3
    first = np.arange(count, dtype=np.int64)[:, None] * ((height + 3) * pitch)
    start = first + top * pitch + left
    flat = padded.reshape(-1, images.shape[3])
    upper = flat[start] * (1 - right) + flat[start + 1] * right
    lower = flat[start + pitch] * (1 - right) + flat[start + pitch + 1] * right
    mixed: Array = upper * (1 - down) + lower * down
    return mixed.reshape(images.shape)
