"""Boxes laid over the maps of a network, from which it predicts those of the objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array
from fovea.vision.models.detection.image_list import ImageList

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["AnchorGenerator", "DefaultBoxGenerator"]

Array = np.ndarray[Any, Any]


class AnchorGenerator(nn.Module):
    """Boxes of some sizes and shapes around each place of each map.

    Args:
        sizes: for each map, the sides (root of the area) of its boxes in pixels of the image; one
            number a map is enough.
        aspect_ratios: for each map, heights over widths; one tuple serves all maps.

    ``forward(image_list, feature_maps)`` returns for each image boxes (K, 4): map by map, row by
    row, column by column, ratio by ratio, size by size. Corners around the place are rounded.

    Source: S. Ren et al., "Faster R-CNN", 2015, section 3.1.

    >>> import fovea
    >>> anchors = AnchorGenerator(((16,),), ((1.0,),))
    >>> images = ImageList(fovea.zeros(1, 3, 16, 32), [(16, 32)])
    >>> anchors(images, [fovea.zeros(1, 8, 1, 2)])[0]
    tensor([[-8., -8.,  8.,  8.],
            [ 8., -8., 24.,  8.]])
    """

    def __init__(
        self,
        sizes: Sequence[Any] = ((128, 256, 512),),
        aspect_ratios: Sequence[Any] = ((0.5, 1.0, 2.0),),
    ) -> None:
        super().__init__()
        if not isinstance(sizes[0], list | tuple):
            sizes = tuple((size,) for size in sizes)
        if not isinstance(aspect_ratios[0], list | tuple):
            aspect_ratios = (tuple(aspect_ratios),) * len(sizes)
        self.sizes, self.aspect_ratios = sizes, aspect_ratios
        self.cell_anchors = [
            self.generate_anchors(s, r) for s, r in zip(sizes, aspect_ratios, strict=False)
        ]

    def generate_anchors(
        self, scales: Sequence[float], aspect_ratios: Sequence[float], dtype: Any = None
    ) -> Tensor:
        """The boxes (R · S, 4) around a place at (0, 0)."""
        tall = np.sqrt(np.asarray(aspect_ratios, np.float32))[:, None]
        side = np.asarray(scales, np.float32)[None, :]
        half = np.stack([(1 / tall * side).ravel(), (tall * side).ravel()], 1) / 2
        return from_array(np.round(np.concatenate([-half, half], 1)), dtype)

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes each place of each map has."""
        return [len(s) * len(r) for s, r in zip(self.sizes, self.aspect_ratios, strict=False)]

    def grid_anchors(
        self, grid_sizes: Sequence[Sequence[int]], strides: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """The boxes of each map.

        Args:
            grid_sizes: (height, width) of each map.
            strides: pixels of the image between places of each map, (down, right).

        Raises:
            ArgumentError: as many maps as there are sizes and ratios are needed.
        """
        if not len(grid_sizes) == len(strides) == len(self.cell_anchors):
            raise ArgumentError(
                f"AnchorGenerator: sizes and aspect_ratios are for {len(self.cell_anchors)} maps, "
                f"got {len(grid_sizes)}."
            )
        return [
            from_array(_around(cell.numpy(), grid, (int(stride[0]), int(stride[1]))), cell.dtype)
            for grid, stride, cell in zip(grid_sizes, strides, self.cell_anchors, strict=True)
        ]

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        height, width = image_list.tensors.shape[-2:]
        grids = [tuple(each.shape[-2:]) for each in feature_maps]
        dtype = feature_maps[0].dtype
        parts = self.grid_anchors(grids, [(height // h, width // w) for h, w in grids])
        whole = from_array(np.concatenate([part.numpy() for part in parts]), dtype)
        return [whole] * len(image_list.image_sizes)


def _around(cell: Array, grid: Sequence[int], stride: tuple[int, int]) -> Array:
    """Boxes ``cell`` around each place of a map, (H · W · A, 4)."""
    y, x = (np.arange(n, dtype=np.float32) * s for n, s in zip(grid, stride, strict=True))
    boxes = np.empty((len(y), len(x), len(cell), 4), np.float32)
    boxes[..., 0::2] = x[None, :, None, None] + cell[:, 0::2]
    boxes[..., 1::2] = y[:, None, None, None] + cell[:, 1::2]
    return boxes.reshape(-1, 4)


class DefaultBoxGenerator(nn.Module):
    """SSD's boxes: two squares and, for each ratio, a wide and a tall box around each place.

    Args:
        aspect_ratios: for each map, how much longer one side is than the other.
        min_ratio, max_ratio: sides of the boxes of the first and of the last map, as parts of the
            image; those in between lie on a line.
        scales: these sides, one more than there are maps (the second square lies between two);
            None: from ``min_ratio`` and ``max_ratio``.
        steps: pixels of the image between places of each map; None: the image over the map.
        clip: cut sides to the image.

    ``forward(image_list, feature_maps)`` returns for each image boxes (K, 4) in pixels.

    Source: W. Liu et al., "SSD", 2016, section 2.2.

    >>> DefaultBoxGenerator([[2], [2, 3]]).num_anchors_per_location()
    [4, 6]
    """

    def __init__(
        self,
        aspect_ratios: Sequence[Sequence[float]],
        min_ratio: float = 0.15,
        max_ratio: float = 0.9,
        scales: Sequence[float] | None = None,
        steps: Sequence[int] | None = None,
        clip: bool = True,
    ) -> None:
        super().__init__()
        if steps is not None and len(steps) != len(aspect_ratios):
            raise ArgumentError(
                f"DefaultBoxGenerator: aspect_ratios are for {len(aspect_ratios)} maps, steps for "
                f"{len(steps)}."
            )
        self.aspect_ratios, self.steps, self.clip = aspect_ratios, steps, clip
        self.scales = _line(min_ratio, max_ratio, len(aspect_ratios)) if scales is None else scales

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes each place of each map has."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        height, width = image_list.tensors.shape[-2:]
        parts = [
            self._of_map(k, tuple(each.shape[-2:]), (height, width))
            for k, each in enumerate(feature_maps)
        ]
        boxes = np.concatenate(parts)
        center, half = boxes[:, :2], boxes[:, 2:] * np.float32(0.5)
        size = np.array([width, height], np.float32)
        corners = np.concatenate([(center - half) * size, (center + half) * size], 1)
        whole = from_array(corners, feature_maps[0].dtype)
        return [whole] * len(image_list.image_sizes)

    def _of_map(self, k: int, grid: tuple[int, ...], image: tuple[int, int]) -> Array:
        """Centers and sizes (H · W · A, 4) as parts of the image."""
        places = grid if self.steps is None else [side / self.steps[k] for side in image]
        y, x = ((np.arange(n) + 0.5) / m for n, m in zip(grid, places, strict=True))
        sizes = self._sizes(k)
        boxes = np.empty((len(y), len(x), len(sizes), 4), np.float32)
        boxes[..., 0], boxes[..., 1] = x[None, :, None], y[:, None, None]
        boxes[..., 2:] = np.clip(sizes, 0, 1) if self.clip else sizes
        return boxes.reshape(-1, 4)

    def _sizes(self, k: int) -> Array:
        """(A, 2): widths and heights of the boxes around a place of a map."""
        side, following = self.scales[k], self.scales[k + 1]
        between = math.sqrt(side * following)
        sizes = [(side, side), (between, between)]
        for ratio in self.aspect_ratios[k]:
            long, short = side * math.sqrt(ratio), side / math.sqrt(ratio)
            sizes += [(long, short), (short, long)]
        return np.array(sizes, np.float32)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(aspect_ratios={self.aspect_ratios}, clip={self.clip}, "
            f"scales={self.scales}, steps={self.steps})"
        )


def _line(first: float, last: float, count: int) -> list[float]:
    if count == 1:
        return [first, last]
    return [*(first + (last - first) * k / (count - 1.0) for k in range(count)), 1.0]
