"""Images sampled at places that a tensor names."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.parts import stack
from fovea.functions.pointwise import floor, fmod, round_, to_dtype, where
from fovea.functions.ranges import linspace
from fovea.functions.shaping import expand, reshape
from fovea.ops.sampling import SampleAttrs, sample2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]


@autocasts(FLOAT32)
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Pixels at the places that ``grid`` names, between pixels by interpolation.

    Args:
        input: (N, C, H, W), or (N, C, D, H, W).
        grid: (N, OH, OW, 2): x and y for each pixel of the result; -1 and 1 are the image's edges.
            Of a volume (N, OD, OH, OW, 3): x, y and z.
        mode: ``"bilinear"`` (of a volume, trilinear), ``"nearest"`` or, of an image, ``"bicubic"``.
        padding_mode: what lies outside: ``"zeros"``, ``"border"`` (the nearest pixel) or
            ``"reflection"``.
        align_corners: whether -1 and 1 are the centers of the corner pixels, not their outer edges.

    Returns: (N, C, OH, OW) or (N, C, OD, OH, OW).

    Source: Jaderberg et al., "Spatial transformer networks", 2015.

    >>> import fovea
    >>> image = fovea.tensor([[[[1.0, 3.0]]]])
    >>> grid_sample(image, fovea.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    space = input.ndim - 2
    fits = space in (2, 3) and grid.ndim == input.ndim and grid.shape[-1] == space
    if not fits or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            "grid_sample: input must be (N, C, H, W), grid (N, OH, OW, 2); or (N, C, D, H, W) and "
            "(N, OD, OH, OW, 3).",
            {"input": describe(input), "grid": describe(grid)},
        )
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentError(
            f"grid_sample: mode is 'bilinear', 'nearest' or 'bicubic', got {mode!r}."
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentError(
            f"grid_sample: padding_mode is 'zeros', 'border' or 'reflection', got {padding_mode!r}."
        )
    align = bool(align_corners)
    sampler = _Sampler(input, padding_mode, align)
    grid = grid if grid.dtype.itemsize >= 4 else to_dtype(grid, dtypes.float32)
    if space == 3:
        return _sampled_volume(sampler, grid, mode)
    if mode == "bicubic" or (mode == "nearest" and padding_mode == "reflection"):
        x = sampler.position(grid[..., 0], input.shape[3])
        y = sampler.position(grid[..., 1], input.shape[2])
        if mode == "bicubic":
            return _weighted(sampler, y, x, _cubic_taps)
        # PyTorch mirrors a place before it looks for the nearest pixel.
        x, y = sampler.inside(x, input.shape[3]), sampler.inside(y, input.shape[2])
        attrs = SampleAttrs.of(mode, "border", "pixels", 0.0)
        return sample2d.bind((input, stack([x, y], -1)), attrs)
    outside = {"zeros": "constant", "reflection": "mirror" if align else "reflect"}
    kind = outside.get(padding_mode, padding_mode)
    attrs = SampleAttrs.of(mode, kind, "corners" if align else "edges", 0.0)
    return sample2d.bind((input, grid), attrs)


class _Sampler:
    """Reads pixels by their (whole) numbers.

    Args:
        image: (N, C, ...).
        padding: what lies outside.
        align: whether -1 and 1 are the centers of the corner pixels.
    """

    def __init__(self, image: Tensor, padding: str, align: bool) -> None:
        self.image, self.padding, self.align = image, padding, align
        n, c, *self.sizes = image.shape
        self.flat = reshape(image, (n, c, -1)) if image.numel() else image.reshape(n, c, 0)

    def position(self, place: Tensor, size: int) -> Tensor:
        """-1 to 1 as pixel numbers, with fractions."""
        if self.align:
            return (place + 1) * ((size - 1) / 2)
        return ((place + 1) * size - 1) * 0.5

    def inside(self, at: Tensor, size: int) -> Tensor:
        """Positions moved into the image, as the padding says."""
        if self.padding == "zeros":
            return at
        if self.padding == "reflection":
            at = self._reflected(at, size)
        return at.clamp(0, size - 1)

    def _reflected(self, at: Tensor, size: int) -> Tensor:
        low, span = (0.0, size - 1.0) if self.align else (-0.5, float(size))
        if span <= 0:
            return at * 0
        distance = (at - low).abs()
        rest, turns = fmod(distance, span), floor(distance / span).detach()
        return where(fmod(turns, 2) == 0, rest + low, span - rest + low)

    def pixels(self, *places: Tensor) -> Tensor:
        """Pixels at whole positions (y and x, or z, y and x); zeros outside unless the padding
        says otherwise.
        """
        n, c = self.image.shape[:2]
        known: Any = None
        place: Any = 0.0
        for at, size in zip(places, self.sizes, strict=True):
            at = at.detach() if self.padding == "zeros" else self.inside(at.detach(), size)
            within = (at >= 0).logical_and(at <= size - 1)
            known = within if known is None else known.logical_and(within)
            place = place * size + at
        place = place.masked_fill(known.logical_not(), 0.0)
        index = reshape(to_dtype(place, dtypes.int64), (n, 1, -1))
        found = reshape(
            self.flat.gather(2, expand(index, n, c, index.shape[2])), (n, c, *place.shape[1:])
        )
        return found * to_dtype(known, found.dtype).unsqueeze(1)


def _cubic_taps(t: Tensor) -> list[tuple[int, Tensor]]:
    """Keys's cubic convolution with a = -0.75."""
    a = -0.75

    def near(d: Tensor) -> Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Tensor) -> Tensor:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [(-1, far(t + 1)), (0, near(t)), (1, near(1 - t)), (2, far(2 - t))]


def _weighted(sampler: _Sampler, y: Tensor, x: Tensor, taps: Any) -> Tensor:
    top, left = floor(y).detach(), floor(x).detach()
    total: Any = None
    for dy, wy in taps(y - top):
        for dx, wx in taps(x - left):
            part = sampler.pixels(top + dy, left + dx) * (wy * wx).unsqueeze(1)
            total = part if total is None else total + part
    return total


def _sampled_volume(sampler: _Sampler, grid: Tensor, mode: str) -> Tensor:
    """From the eight nearest voxels, or the nearest."""
    if mode == "bicubic":
        raise ArgumentError("grid_sample: of a volume, mode is 'bilinear' or 'nearest'.")
    places = [
        sampler.inside(sampler.position(grid[..., i], size), size)
        for i, size in zip((2, 1, 0), sampler.sizes, strict=True)
    ]
    if mode == "nearest":
        return sampler.pixels(*(round_(at) for at in places))
    starts = [floor(at).detach() for at in places]
    rests = [at - start for at, start in zip(places, starts, strict=True)]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=3):
        weight: Any = 1.0
        for far, rest in zip(corner, rests, strict=True):
            weight = weight * (rest if far else 1 - rest)
        at = (start + far for start, far in zip(starts, corner, strict=True))
        part = sampler.pixels(*at) * weight.unsqueeze(1)
        total = part if total is None else total + part
    return total


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid of an affine transform, for ``grid_sample``.

    Args:
        theta: (N, 2, 3): where each place of the result comes from; of volumes (N, 3, 4).
        size: of the result, (N, C, H, W) or (N, C, D, H, W).

    Returns: (N, H, W, 2) or (N, D, H, W, 3).
    """
    n, _, *sizes = (int(s) for s in size)
    space = len(sizes)
    if space not in (2, 3) or tuple(theta.shape) != (n, space, space + 1):
        raise ShapeError(
            f"affine_grid: theta must be ({n}, 2, 3), or ({n}, 3, 4) for a volume, got "
            f"{describe(theta)}."
        )

    def centers(count: int) -> Tensor:
        steps = linspace(-1, 1, count, dtype=theta.dtype) if count > 1 else theta.new_zeros(1)
        return steps if align_corners else steps * ((count - 1) / count)

    along = [
        expand(reshape(centers(count), (count, *[1] * (space - 1 - i))), *sizes)
        for i, count in enumerate(sizes)
    ]
    base = reshape(stack([*reversed(along), theta.new_ones(sizes)], -1), (-1, space + 1))
    return reshape(base.matmul(theta.transpose(1, 2)), (n, *sizes, space))
