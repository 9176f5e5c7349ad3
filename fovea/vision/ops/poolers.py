"""Regions of a feature pyramid: each box is read from the map that suits its size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.pointwise import clamp, floor, log2, sqrt
from fovea.vision.ops.boxes import box_area, concatenated
from fovea.vision.ops.regions import roi_align

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LevelMapper", "MultiScaleRoIAlign"]


class LevelMapper:
    """Which map of a pyramid a box is read from: one coarser for twice the size.

    Args:
        k_min, k_max: the finest and the coarsest level (2**k pixels of the image a pixel).
        canonical_scale: boxes of this side (the root of the area) ...
        canonical_level: ... belong to this level.

    Source: Lin et al., "Feature pyramid networks for object detection", CVPR 2017, equation 1.
    """

    def __init__(
        self,
        k_min: int,
        k_max: int,
        canonical_scale: int = 224,
        canonical_level: int = 4,
        eps: float = 1e-6,
    ) -> None:
        self.k_min, self.k_max, self.eps = k_min, k_max, eps
        self.s0, self.lvl0 = canonical_scale, canonical_level

    def __call__(self, boxlists: list[Tensor]) -> Tensor:
        """int64 (K,): the number of each box's map, the finest being 0."""
        side = sqrt(box_area(concatenated(boxlists)[:, 1:].detach()))
        level = floor(self.lvl0 + log2(side / self.s0) + self.eps)
        return clamp(level, min=self.k_min, max=self.k_max).long() - self.k_min


class MultiScaleRoIAlign(nn.Module):
    """`roi_align` on a feature pyramid.

    Args:
        featmap_names: which maps to read.
        output_size: cells of the grid, (height, width).
        sampling_ratio: of `roi_align`.
        canonical_scale, canonical_level: of `LevelMapper`.

    ``forward(x, boxes, image_shapes)`` takes a dictionary of maps, a list of (L, 4) boxes an image,
    and the images' (height, width); it returns (K, C, height, width).

    >>> import fovea
    >>> pooler = MultiScaleRoIAlign(["0"], 3, 2)
    >>> boxes = [fovea.tensor([[0.0, 0.0, 16.0, 16.0]])]
    >>> pooler({"0": fovea.rand(1, 5, 8, 8)}, boxes, [(32, 32)]).shape
    fovea.Size([1, 5, 3, 3])
    """

    def __init__(
        self,
        featmap_names: list[str],
        output_size: int | tuple[int, int] | list[int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        if isinstance(output_size, int):
            output_size = (output_size, output_size)
        self.featmap_names, self.sampling_ratio = featmap_names, sampling_ratio
        self.output_size = tuple(output_size)
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level
        self.scales: list[float] | None = None
        self.map_levels: LevelMapper | None = None

    def forward(
        self,
        x: dict[str, Tensor],
        boxes: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> Tensor:
        maps = [m for name, m in x.items() if name in self.featmap_names]
        if not maps:
            raise ArgumentError(
                f"MultiScaleRoIAlign: none of {self.featmap_names} is among the maps {list(x)}."
            )
        scales = self._scales(maps, image_shapes)
        rois = concatenated(boxes)
        if len(maps) == 1:
            return self._align(maps[0], rois, scales[0])
        levels = self._mapper(scales)(boxes)
        shape = (len(rois), maps[0].shape[1], *self.output_size)
        result: Any = maps[0].new_zeros(shape)
        for level, (one, scale) in enumerate(zip(maps, scales, strict=True)):
            members = (levels == level).nonzero().squeeze(1)
            if members.numel():
                aligned = self._align(one, rois[members], scale)
                result = result.index_put((members,), aligned.to(result.dtype))
        return result

    def _align(self, one: Tensor, rois: Tensor, scale: float) -> Tensor:
        height, width = self.output_size
        return roi_align(one, rois, (height, width), scale, self.sampling_ratio)

    def _scales(self, maps: list[Tensor], image_shapes: list[tuple[int, int]]) -> list[float]:
        """Pixels of each map a pixel of the (largest) image: a power of two."""
        if not image_shapes:
            raise ArgumentError("MultiScaleRoIAlign: the list of image sizes is empty.")
        height = max(size[0] for size in image_shapes)
        scales = [2 ** float(round(math.log2(m.shape[-2] / height))) for m in maps]
        self.scales = scales
        return scales

    def _mapper(self, scales: list[float]) -> LevelMapper:
        finest, coarsest = (int(-math.log2(s)) for s in (scales[0], scales[-1]))
        mapper = LevelMapper(finest, coarsest, self.canonical_scale, self.canonical_level)
        self.map_levels = mapper
        return mapper

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(featmap_names={self.featmap_names}, "
            f"output_size={self.output_size}, sampling_ratio={self.sampling_ratio})"
        )
