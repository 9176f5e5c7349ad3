"""Images sampled at places that a tensor names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import linspace
from fovea.functions.pointwise import floor, fmod, to_dtype, where
from fovea.functions.shaping import expand, reshape, stack
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
        input: (N, C, H, W).
        grid: (N, OH, OW, 2): x and y for each pixel of the result; -1 and 1 are the image's edges.
        mode: ``"bilinear"``, ``"nearest"`` or ``"bicubic"``.
        padding_mode: what lies outside: ``"zeros"``, ``"border"`` (the nearest pixel) or
            ``"reflection"``.
        align_corners: whether -1 and 1 are the centers of the corner pixels, not their outer edges.

    Returns: (N, C, OH, OW).

    Source: Jaderberg et al., "Spatial transformer networks", 2015.

    >>> import fovea
    >>> image = fovea.tensor([[[[1.0, 3.0]]]])
    >>> grid_sample(image, fovea.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    if input.ndim != 4 or grid.ndim != 4 or grid.shape[-1] != 2 or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            "grid_sample: input must be (N, C, H, W), grid (N, OH, OW, 2).",
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
        image: (N, C, H, W).
        padding: what lies outside.
        align: whether -1 and 1 are the centers of the corner pixels.
    """

    def __init__(self, image: Tensor, padding: str, align: bool) -> None:
        self.image, self.padding, self.align = image, padding, align
        n, c, h, w = image.shape
        self.flat = reshape(image, (n, c, h * w))

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

    def pixels(self, y: Tensor, x: Tensor) -> Tensor:
        """Pixels at whole positions; zeros outside unless the padding says otherwise."""
        n, c, h, w = self.image.shape
        x, y = x.detach(), y.detach()
        if self.padding != "zeros":
            x, y = self.inside(x, w), self.inside(y, h)
        known = (x >= 0).logical_and(x <= w - 1).logical_and((y >= 0).logical_and(y <= h - 1))
        place = (y * w + x).masked_fill(known.logical_not(), 0.0)
        index = reshape(to_dtype(place, dtypes.int64), (n, 1, -1))
        found = reshape(
            self.flat.gather(2, expand(index, n, c, index.shape[2])), (n, c, *x.shape[1:])
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


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid of an affine transform, for ``grid_sample``.

    Args:
        theta: (N, 2, 3): where each place of the result comes from.
        size: of the result, (N, C, H, W).

    Returns: (N, H, W, 2).
    """
    n, _, h, w = (int(s) for s in size)
    if tuple(theta.shape) != (n, 2, 3):
        raise ShapeError(f"affine_grid: theta must be ({n}, 2, 3), got {describe(theta)}.")

    def centers(count: int) -> Tensor:
        steps = linspace(-1, 1, count, dtype=theta.dtype) if count > 1 else theta.new_zeros(1)
        return steps if align_corners else steps * ((count - 1) / count)

    x = expand(reshape(centers(w), (1, w)), h, w)
    y = expand(reshape(centers(h), (h, 1)), h, w)
    base = reshape(stack([x, y, theta.new_ones((h, w))], -1), (h * w, 3))
    return reshape(base.matmul(theta.transpose(1, 2)), (n, h, w, 2))
