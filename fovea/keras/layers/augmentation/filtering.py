"""Images sharpened, blurred, or with a part erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.pointwise import clamp, exp, sqrt, where
from fovea.functions.random import randn
from fovea.functions.ranges import arange
from fovea.functions.shaping import permute
from fovea.keras.layers.augmentation.base import Drawn, RandomImageLayer, factor_pair, value_pair
from fovea.keras.layers.augmentation.color import _Colored

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomSharpness",
    "bell",
    "block",
    "filtered",
    "spans",
]


def filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of (N, H, W, C) convolved with (KH, KW); zeros outside."""
    c, (kh, kw) = images.shape[-1], kernel.shape
    weight = kernel.to(images.dtype).reshape(1, 1, kh, kw).expand(c, 1, kh, kw)
    x = permute(images, (0, 3, 1, 2))
    y = F.conv2d(x, weight, padding=(kh // 2, kw // 2), groups=c)
    return permute(y, (0, 2, 3, 1))


class RandomSharpness(_Colored):
    """Blur or sharpen each image; only in training.

    Args:
        factor: from 0 (blurred) over 0.5 (as it is) to 1 (sharper); or (least, largest).
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.
    """

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        a, b = 1 / 13, 5 / 13
        smooth = filtered(images, tensor([[a, a, a], [a, b, a], [a, a, a]]))
        share = (1 - 2 * drawn["factor"]).to(images.dtype)
        return self.cut(images + share * (smooth - images))


class RandomGaussianBlur(RandomImageLayer):
    """Blur images with a probability; only in training.

    Args:
        factor: the probability is drawn from 0 to this, or from (least, largest).
        kernel_size: odd, or two odd numbers (height, width).
        sigma: the width of the bell in pixels: drawn from 0 to this, or from (least, largest).
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        name = "RandomGaussianBlur"
        self.factor = factor_pair(f"{name}: factor", factor, 0.0, 1.0, low=0.0)
        sizes = kernel_size if isinstance(kernel_size, list | tuple) else (kernel_size,) * 2
        if len(sizes) != 2 or any(k % 2 == 0 for k in sizes):
            raise ArgumentError(f"{name}: kernel_size must be odd, got {kernel_size!r}.")
        self.kernel_size = tuple(sizes)
        self.sigma = factor_pair(f"{name}: sigma", sigma, 0.0, 1.0, low=0.0)
        self.value_range = value_pair(name, value_range)

    def draw(self, images: Tensor) -> Drawn:
        return {
            "chosen": self.chosen(images.shape[0], self.factor, images),
            "sigma": self.uniform((2,), *self.sigma, images) + 1e-6,
        }

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        across, down = drawn["sigma"].unbind()
        tall, wide = bell(self.kernel_size[0], down), bell(self.kernel_size[1], across)
        low, high = self.value_range
        return clamp(
            where(drawn["chosen"], filtered(images, tall.reshape(-1, 1) * wide), images), low, high
        )


def bell(size: int, sigma: Tensor) -> Tensor:
    """Weights of a Gaussian bell of a width, that add up to one."""
    x = (arange(size, dtype=sigma.dtype) - (size - 1) / 2) / sigma
    weights = exp(-0.5 * x * x)
    return weights / weights.sum()


def spans(
    layer: RandomImageLayer, share: Tensor, length: int, images: Tensor
) -> tuple[Tensor, Tensor]:
    """Where blocks begin and end that take a ``share`` (N,) of ``length``: at random places."""
    size = share * length
    start = layer.uniform((share.shape[0],), 0.0, 1.0, images) * (length - size)
    return start, start + size


def block(images: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """(N, H, W, 1), bool: the pixels between these rows and columns of each image."""
    _, h, w, _ = images.shape
    inside = []
    for (first, last), count, axis in ((rows, h, 1), (columns, w, 2)):
        shape = tuple(count if d == axis else 1 for d in range(4))
        place = arange(count, dtype=first.dtype).reshape(shape)
        inside.append((place >= first.reshape(-1, 1, 1, 1)) & (place < last.reshape(-1, 1, 1, 1)))
    return inside[0] & inside[1]


class RandomErasing(RandomImageLayer):
    """Fill a block of each image with noise or one color, with a probability; only in training.

    Args:
        factor: the probability is drawn from 0 to this, or from (least, largest).
        scale: the share of the image that the block covers, (least, largest).
        fill_value: a number, one a channel, or None for noise.
        value_range: of the pixels.
        seed: for draws of its own.

    Source: Zhong et al., "Random erasing data augmentation", AAAI 2020.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_pair("RandomErasing: factor", factor, 0.0, 1.0, low=0.0)
        self.scale = factor_pair("RandomErasing: scale", scale, 0.0, 1.0, low=0.0)
        self.fill_value, self.value_range = fill_value, value_pair("RandomErasing", value_range)

    def draw(self, images: Tensor) -> Drawn:
        n, h, w, _ = images.shape
        wide, tall = sqrt(self.uniform((n, 2), *self.scale, images)).unbind(1)
        columns = spans(self, wide, w, images)
        rows = spans(self, tall, h, images)
        found = {
            "block": block(images, rows, columns),
            "chosen": self.chosen(n, self.factor, images),
        }
        if self.fill_value is None:
            noise = randn(*images.shape, generator=self._generator)
            found["fill"] = noise * self.value_range[1]
        return found

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        low, high = self.value_range
        fill = drawn.get("fill", self.fill_value)
        fill = images * 0 + (tensor(fill) if isinstance(fill, list | tuple) else fill)
        hidden = drawn["block"] & drawn["chosen"]
        return where(hidden, clamp(fill, low, high).to(images.dtype), images)
