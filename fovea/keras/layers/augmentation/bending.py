"""Images bent at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.joining import stack
from fovea.functions.pointwise import clamp, where
from fovea.functions.random import randn
from fovea.functions.ranges import arange
from fovea.keras.layers.augmentation.base import Drawn, RandomImageLayer, factor_pair, value_pair
from fovea.keras.layers.augmentation.filtering import bell, filtered
from fovea.keras.layers.augmentation.warping import check_warp, sampled

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["RandomElasticTransform"]


class RandomElasticTransform(RandomImageLayer):
    """Bend images, as if they were printed on rubber; only in training.

    Args:
        factor: how likely an image is changed, drawn from at most that, or (least, most).
        scale: how far pixels move: at most that, or (least, most), from 0 to 1.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode, fill_value: those of `RandomRotation`.
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
    to visual document analysis", 2003.

    >>> import fovea
    >>> RandomElasticTransform(seed=1)(fovea.rand(2, 8, 8, 3)).shape
    fovea.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        name = "RandomElasticTransform"
        check_warp(name, fill_mode, interpolation)
        self.factor = factor_pair(f"{name}: factor", factor, 0.0, 1.0)
        self.scale = factor_pair(f"{name}: scale", scale, 0.0, 1.0)
        self.interpolation, self.fill_mode = interpolation, fill_mode
        self.fill_value, self.value_range = fill_value, value_pair(name, value_range)

    def draw(self, images: Tensor) -> Drawn:
        n, h, w, _ = images.shape
        hit = self.chosen(n, self.factor, images)
        scale = self.uniform((), *self.scale, images)
        # The width of the bell that smooths the moves; its window suits the widest one.
        sigma = 0.05 * min(h, w) * scale + 1e-6
        size = int(6 * 0.05 * min(h, w) * self.scale[1]) | 1
        weights = bell(size, sigma)
        moves = randn(n, h, w, 2, generator=self._generator) * sigma
        for shape in ((size, 1), (1, size)):
            moves = filtered(moves, weights.reshape(*shape))
        return {"hit": hit, "moves": moves * (0.1 * max(h, w) * scale)}

    def _bent(self, images: Tensor, drawn: Drawn, interpolation: str) -> Tensor:
        _, h, w, _ = images.shape
        moves = drawn["moves"]
        x = arange(w, dtype=moves.dtype).expand(h, w)
        y = arange(h, dtype=moves.dtype).reshape(h, 1).expand(h, w)
        places = moves + stack([x, y], -1)
        bent = sampled(images, places, interpolation, self.fill_mode, self.fill_value)
        return where(drawn["hit"], bent.to(images.dtype), images)

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return clamp(self._bent(images, drawn, self.interpolation), *self.value_range)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self._bent(masks, drawn, "nearest")

    def change_bounding_boxes(self, found: Drawn, drawn: Drawn, before: Any, after: Any) -> Drawn:
        raise ArgumentError(
            f"{self.name}: bounding boxes do not follow images that bend.",
            fix="use RandomPerspective or RandomShear, or keep boxes out of the dictionary",
        )
