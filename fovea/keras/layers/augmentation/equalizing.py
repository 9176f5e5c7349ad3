"""Images whose values are spread evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.creation import ones, zeros
from fovea.functions.pointwise import clamp, floor, round_, where
from fovea.functions.ranges import arange
from fovea.functions.reductions import amin
from fovea.keras.layers.arguments import pair
from fovea.keras.layers.augmentation.base import Drawn, ImageLayer, value_pair
from fovea.keras.layers.augmentation.warping import reflected

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ContrastLimitedAdaptiveHistogramEqualization", "Equalization"]


class Equalization(ImageLayer):
    """Spread the values of each channel of each image evenly over the range; only in training.

    Args:
        value_range: of the pixels.
        bins: in how many steps values are told apart.

    >>> import fovea
    >>> Equalization()(fovea.tensor([[[10.0], [11.0]], [[12.0], [13.0]]])).squeeze(-1)
    tensor([[  0.,  85.],
            [170., 255.]])
    """

    always = False

    def __init__(
        self,
        value_range: Any = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = value_pair("Equalization", value_range)
        if bins < 1:
            raise ArgumentError(f"Equalization: bins must be positive, got {bins}.")
        self.bins = bins

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        n, h, w, c = images.shape
        first, last = self.value_range
        share = clamp((images - first) / (last - first), 0.0, 1.0)
        step = (share * (self.bins - 1)).to(dtypes.int64)
        step = step.permute(0, 3, 1, 2).reshape(n * c, h * w)
        counts = zeros(n * c, self.bins).scatter_add(1, step, ones(n * c, h * w))
        below = counts.cumsum(1)
        least = amin(where(below > 0, below, float(h * w)), 1, True)
        rest = h * w - least
        table = clamp(round_((below - least) * 255 / where(rest > 0, rest, 1.0)), 0.0, 255.0)
        spread = table.gather(1, step).reshape(n, c, h, w).permute(0, 2, 3, 1)
        flat = (rest == 0).reshape(n, 1, 1, c)
        return where(flat, images, (spread * ((last - first) / 255) + first).to(images.dtype))


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Spread the values of each channel evenly over the range within parts of the image, between
    whose tables pixels interpolate; peaks of a histogram are cut first, so that noise stays small.

    Args:
        value_range: of the pixels.
        clip_limit: how many times the mean a bin may hold; 0: as many as there are.
        tile_grid_size: how many parts (down, across).

    Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.

    >>> import fovea
    >>> layer = ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2))
    >>> layer(fovea.rand(1, 8, 8, 3) * 255).shape
    fovea.Size([1, 8, 8, 3])
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: Any = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        name = type(self).__name__
        self.value_range = value_pair(name, value_range)
        self.clip_limit = clip_limit
        self.tile_grid_size = pair(name, "tile_grid_size", tile_grid_size)

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        (first, last), (down, across) = self.value_range, self.tile_grid_size
        n, h, w, c = images.shape
        tall, wide = -(-h // down), -(-w // across)
        x = clamp((images - first) * (255 / (last - first)), 0.0, 255.0).to(dtypes.int64)
        for axis, size, whole in ((1, h, down * tall), (2, w, across * wide)):
            if whole > size:
                x = x.index_select(axis, reflected(arange(whole), size))
        tiles = x.reshape(n, down, tall, across, wide, c).permute(0, 1, 3, 5, 2, 4)
        tables = self._tables(tiles.reshape(n * down * across * c, tall * wide)).flatten()
        y, z = _between(h, tall, down), _between(w, wide, across)
        place = arange(n).reshape(n, 1, 1, 1)
        total: Any = 0.0
        for row, tall_share in y:
            for column, wide_share in z:
                tile = (place * down + row.reshape(h, 1, 1)) * across + column.reshape(w, 1)
                spot = (tile * c + arange(c)) * 256 + x[:, :h, :w]
                share = tall_share.reshape(h, 1, 1) * wide_share.reshape(w, 1)
                total = total + tables[spot] * share
        return (total * ((last - first) / 255) + first).to(images.dtype)

    def _tables(self, tiles: Tensor) -> Tensor:
        """What becomes of each of 256 values in each tile (tiles, pixels)."""
        count, pixels = tiles.shape
        held = zeros(count, 256).scatter_add(1, tiles, ones(count, pixels))
        if self.clip_limit > 0:
            cut = clamp(held, max=self.clip_limit * pixels / 256)
            held = cut + (held - cut).sum(1, keepdim=True) / 256
        below = held.cumsum(1)
        least = below[:, :1]
        rest = pixels - least
        return clamp((below - least) * 255 / where(rest == 0, 1.0, rest), 0.0, 255.0)


def _between(size: int, step: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """For each of ``size`` pixels the two of ``count`` tiles between whose middles it lies, and
    their shares.
    """
    place = (arange(size, dtype=dtypes.float32) - step / 2) / step
    low = floor(place)
    index, part = low.to(dtypes.int64), place - low
    return [
        (clamp(index, 0, count - 1), 1 - part),
        (clamp(index + 1, 0, count - 1), part),
    ]
