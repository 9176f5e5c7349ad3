"""Images whose values are spread evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.creation import ones, zeros
from fovea.functions.pointwise import clamp, round_, where
from fovea.functions.reductions import amin
from fovea.keras.layers.augmentation.base import Drawn, ImageLayer, value_pair

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Equalization"]


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
