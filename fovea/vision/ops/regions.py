"""Regions of interest: what maps hold within boxes, on a grid of one size for all.

A region is (image, x1, y1, x2, y2). Aligning samples the map between pixels, so it has a gradient
everywhere; pooling takes the largest of whole pixels. Position-sensitive variants read other
channels for each place of the grid. Boxes have no gradients, as in torchvision.

Sources: He et al., "Mask R-CNN", 2017 (align); Girshick, "Fast R-CNN", 2015 (pool); Dai et al.,
"R-FCN", 2016 (position-sensitive); Li et al., "Light-Head R-CNN", 2017 (position-sensitive align).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes, nn
from fovea.autograd import is_grad_enabled
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.vision.ops.boxes import concatenated

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "PSRoIAlign",
    "PSRoIPool",
    "RoIAlign",
    "RoIPool",
    "ps_roi_align",
    "ps_roi_pool",
    "roi_align",
    "roi_pool",
]

Array = np.ndarray[Any, Any]
Pair = int | tuple[int, int]
_CHUNK = 1 << 20  # numbers sampled at once: 4 MB of float32, which stay in a cache
_LEARNED_CHUNK = 1 << 22  # where each costs a gradient of the whole map


def _pair(value: Pair | list[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    height, width = value
    return int(height), int(width)


def _regions(name: str, input: Tensor, boxes: Any) -> Array:
    """Regions (K, 5) in float64; ShapeError for another shape or an image that is not there."""
    if input.ndim != 4:
        raise ShapeError(f"{name}: input must be (N, C, H, W), got {describe(input)}.")
    rois = concatenated(list(boxes)) if isinstance(boxes, list | tuple) else boxes
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ShapeError(
            f"{name}: boxes must be (K, 5), or a list of (L, 4), got {describe(rois)}."
        )
    found = rois.detach().to(dtypes.float64).numpy()
    images = found[:, 0]
    if found.size and not ((images >= 0) & (images < input.shape[0])).all():
        raise ArgumentError(
            f"{name}: a region names image {images.max():g} of a batch of {input.shape[0]}."
        )
    return found


def _axis(start: Array, size: Array, cells: int, samples: int) -> Array:
    """Where a grid's samples lie along one axis: (K, cells * samples)."""
    steps = (np.arange(samples) + 0.5) / samples
    at = start[:, None, None] + (np.arange(cells)[:, None] + steps) * (size / cells)[:, None, None]
    return at.reshape(len(start), cells * samples)


def _grids(rois: Array, scale: float, aligned: bool, cells: tuple[int, int], ratio: int) -> Any:
    """For each number of samples: which regions have it, and their two axes."""
    offset = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (rois[:, i] * scale - offset for i in range(1, 5))
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = np.maximum(width, 1.0), np.maximum(height, 1.0)
    counts = np.full((len(rois), 2), ratio)
    if ratio <= 0:  # a sample a pixel
        counts = np.stack([np.ceil(height / cells[0]), np.ceil(width / cells[1])], 1)
    counts = np.maximum(counts.astype(np.int64), 0)
    for each in np.unique(counts, axis=0):
        members = np.flatnonzero((counts == each).all(1))
        rows, columns = int(each[0]), int(each[1])
        if not rows or not columns:
            continue
        yield (
            members,
            _axis(y1[members], height[members], cells[0], rows),
            _axis(x1[members], width[members], cells[1], columns),
        )


def roi_align(
    input: Tensor,
    boxes: Any,
    output_size: Pair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """The map within each box, averaged over samples between pixels, on a grid.

    Args:
        input: (N, C, H, W).
        boxes: (K, 5), the image's number and x1, y1, x2, y2; or a list, an image each, of (L, 4).
        output_size: cells of the grid, (height, width).
        spatial_scale: pixels of the map a unit of the boxes.
        sampling_ratio: samples along a cell's side; not above 0: one a pixel.
        aligned: pixels have their centers at half numbers (which is right; False is older).

    Returns:
        (K, C, height, width).

    >>> import fovea
    >>> map = fovea.arange(16.0).reshape(1, 1, 4, 4)
    >>> roi_align(map, [fovea.tensor([[0.0, 0, 4, 4]])], 2, sampling_ratio=1, aligned=True)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    rois, cells = _regions("roi_align", input, boxes), _pair(output_size)
    c = input.shape[1]
    at_once = _LEARNED_CHUNK if is_grad_enabled() and input.requires_grad else _CHUNK
    parts, order = [], []
    for members, ys, xs in _grids(rois, spatial_scale, aligned, cells, sampling_ratio):
        images = rois[members, 0].astype(np.int64)
        chunk = max(1, at_once // max(c * ys.shape[1] * xs.shape[1], 1))
        for image in np.unique(images):
            own = np.flatnonzero(images == image)
            for i in range(0, len(own), chunk):
                some = own[i : i + chunk]
                parts.append(_sampled(input[int(image)], ys[some], xs[some], cells))
                order.append(members[some])
    return _assembled(parts, order, len(rois), (*cells, c), input).permute(0, 3, 1, 2)


def _sampled(map: Tensor, ys: Array, xs: Array, cells: tuple[int, int]) -> Tensor:
    """Regions of one map (C, H, W) as (K, PH, PW, C), whose samples lie at (K, PH * samples) rows
    and (K, PW * samples) columns.
    """
    if map.dtype.itemsize < 4:  # places need more digits than half a float has
        return _sampled(map.float(), ys, xs, cells).to(map.dtype)
    c, h, w = map.shape
    (k, high), wide = ys.shape, xs.shape[1]
    grid = np.empty((k, high, wide, 2))
    grid[..., 0] = ((2 * xs + 1) / w - 1)[:, None, :]
    grid[..., 1] = ((2 * ys + 1) / h - 1)[:, :, None]
    places = from_array(grid.reshape(1, k * high, wide, 2), map.dtype)
    taken = nn.functional.grid_sample(
        map.unsqueeze(0), places, padding_mode="border", align_corners=False
    )
    inside = ((ys >= -1) & (ys <= h))[:, :, None] & ((xs >= -1) & (xs <= w))[:, None, :]
    if not inside.all():
        taken = taken * from_array(inside.reshape(1, 1, k * high, wide), map.dtype)
    if (high, wide) != cells:
        taken = nn.functional.avg_pool2d(taken, (high // cells[0], wide // cells[1]))
    return taken.reshape(c, k, *cells).permute(1, 2, 3, 0)


def _assembled(
    parts: list[Tensor], order: list[Array], count: int, shape: tuple[int, ...], like: Tensor
) -> Tensor:
    """Results of groups of regions, in the regions' order; zeros where there is none."""
    done = np.concatenate([np.empty(0, np.int64), *order])
    rest = np.setdiff1d(np.arange(count), done)
    if rest.size or not parts:
        parts = [*parts, like.new_zeros((len(rest), *shape))]
        done = np.concatenate([done, rest])
    whole = cat(parts, 0) if len(parts) > 1 else parts[0]
    back = np.argsort(done, kind="stable")
    return whole if (back == np.arange(count)).all() else whole[from_array(back)]


def ps_roi_align(
    input: Tensor,
    boxes: Any,
    output_size: Pair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
) -> Tensor:
    """`roi_align` in which each cell of the grid reads channels of its own: C must be a multiple of
    the cells; the result has (K, C / cells, height, width).
    """
    cells = _pair(output_size)
    groups = _groups("ps_roi_align", input, cells)
    rois = _regions("ps_roi_align", input, boxes).copy()
    aligned = roi_align(input, from_array(_shifted(rois, spatial_scale)), cells, 1.0,
                        sampling_ratio, aligned=True)  # fmt: skip
    return _diagonal(aligned, groups, cells)


def _shifted(rois: Array, scale: float) -> Array:
    """Regions in pixels; position-sensitive aligning takes half a pixel off, whatever the scale."""
    rois[:, 1:] *= scale
    return rois


def _groups(name: str, input: Tensor, cells: tuple[int, int]) -> int:
    if input.ndim != 4 or input.shape[1] % (cells[0] * cells[1]):
        raise ShapeError(
            f"{name}: the channels must be a multiple of {cells[0]} x {cells[1]} cells, got "
            f"{describe(input)}."
        )
    return input.shape[1] // (cells[0] * cells[1])


def _diagonal(x: Tensor, groups: int, cells: tuple[int, int]) -> Tensor:
    """(K, groups * PH * PW, PH, PW): for each cell the channels that are its own."""
    ph, pw = cells
    x = x.reshape(x.shape[0], groups, ph * pw, ph * pw)
    return x.diagonal(0, 2, 3).reshape(x.shape[0], groups, ph, pw)


def _edges(start: Array, size: Array, cells: int, length: int) -> tuple[Array, Array]:
    """First pixel and one past the last of each cell, (K, cells), cut to the map."""
    step = (size / cells)[:, None]
    low = np.floor(np.arange(cells) * step) + start[:, None]
    high = np.ceil((np.arange(cells) + 1) * step) + start[:, None]
    return np.clip(low, 0, length).astype(np.int64), np.clip(high, 0, length).astype(np.int64)


def roi_pool(input: Tensor, boxes: Any, output_size: Pair, spatial_scale: float = 1.0) -> Tensor:
    """The largest of the pixels within each cell of a grid over each box; 0 for an empty cell.

    Args and result as of `roi_align`; corners are rounded to pixels.
    """
    rois, cells = _regions("roi_pool", input, boxes), _pair(output_size)
    _, c, h, w = input.shape
    image = rois[:, 0].astype(np.int64)
    x1, y1, x2, y2 = (_rounded(rois[:, i] * spatial_scale) for i in range(1, 5))
    ys = _edges(y1, np.maximum(y2 - y1 + 1, 1), cells[0], h)
    xs = _edges(x1, np.maximum(x2 - x1 + 1, 1), cells[1], w)
    values = input.detach().float().numpy() if input.dtype.itemsize < 4 else input.detach().numpy()
    places = np.full((len(rois), c, *cells), -1, np.int64)
    for k in range(len(rois)):
        plane = values[image[k]]
        for i in range(cells[0]):
            for j in range(cells[1]):
                rows, columns = (ys[0][k, i], ys[1][k, i]), (xs[0][k, j], xs[1][k, j])
                if rows[0] >= rows[1] or columns[0] >= columns[1]:
                    continue
                part = plane[:, rows[0] : rows[1], columns[0] : columns[1]]
                best = part.reshape(c, -1).argmax(1)
                width = columns[1] - columns[0]
                places[k, :, i, j] = (rows[0] + best // width) * w + columns[0] + best % width
    empty_cell = places < 0
    channel = np.arange(c)[None, :, None, None]
    flat = (image[:, None, None, None] * c + channel) * (h * w) + np.maximum(places, 0)
    found = input.reshape(-1)[from_array(flat)]
    return found.masked_fill(from_array(empty_cell), 0.0)


def _rounded(x: Array) -> Array:
    """Halves away from zero, as C rounds."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def ps_roi_pool(input: Tensor, boxes: Any, output_size: Pair, spatial_scale: float = 1.0) -> Tensor:
    """The mean of the pixels within each cell, which reads channels of its own: C must be a
    multiple of the cells; the result has (K, C / cells, height, width).
    """
    cells = _pair(output_size)
    groups = _groups("ps_roi_pool", input, cells)
    rois = _regions("ps_roi_pool", input, boxes)
    h, w = input.shape[2:]
    image = rois[:, 0].astype(np.int64)
    x1, y1, x2, y2 = (_rounded(rois[:, i] * spatial_scale) for i in range(1, 5))
    ys = _edges(y1, np.maximum(y2 - y1, 1), cells[0], h)
    xs = _edges(x1, np.maximum(x2 - x1, 1), cells[1], w)
    # Sums within rectangles are differences of running sums.
    running = _padded_sums(input)
    corners = []
    for y in ys:
        for x in xs:
            at = (image[:, None, None] * (h + 1) + y[:, :, None]) * (w + 1) + x[:, None, :]
            corners.append(at)
    tl, tr, bl, br = (running[from_array(at)] for at in corners)
    total = br - tr - bl + tl  # (K, PH, PW, C)
    area = (ys[1] - ys[0])[:, :, None] * (xs[1] - xs[0])[:, None, :]
    scale = (1 / np.maximum(area, 1))[..., None]
    mean = (total * from_array(scale, total.dtype)).permute(0, 3, 1, 2)
    return _diagonal(mean.to(input.dtype), groups, cells)


def _padded_sums(input: Tensor) -> Tensor:
    """Running sums over rows and columns with a zero in front: ((N (H + 1) (W + 1)), C)."""
    from fovea.nn.functional import pad

    x = input.permute(0, 2, 3, 1).to(dtypes.float64)
    x = pad(x.cumsum(1).cumsum(2), (0, 0, 1, 0, 1, 0))
    return x.reshape(-1, x.shape[-1])


class _OfRegions(nn.Module):
    """A module over one of the functions."""

    _names: tuple[str, ...] = ("output_size", "spatial_scale")

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class RoIAlign(_OfRegions):
    """`roi_align` as a module: ``forward(input, rois)``."""

    _names = ("output_size", "spatial_scale", "sampling_ratio", "aligned")

    def __init__(
        self, output_size: Pair, spatial_scale: float, sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        return roi_align(
            input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )


class PSRoIAlign(_OfRegions):
    """`ps_roi_align` as a module: ``forward(input, rois)``."""

    _names = ("output_size", "spatial_scale", "sampling_ratio")

    def __init__(self, output_size: Pair, spatial_scale: float, sampling_ratio: int) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        return ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)


class RoIPool(_OfRegions):
    """`roi_pool` as a module: ``forward(input, rois)``."""

    def __init__(self, output_size: Pair, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)


class PSRoIPool(_OfRegions):
    """`ps_roi_pool` as a module: ``forward(input, rois)``."""

    def __init__(self, output_size: Pair, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        return ps_roi_pool(input, rois, self.output_size, self.spatial_scale)
