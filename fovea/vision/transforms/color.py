"""Random color, gray, blur and erasing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.random import randn
from fovea.vision.transforms import draws
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.base import Transform, check_probability, pair

__all__ = ["ColorJitter", "GaussianBlur", "Grayscale", "RandomErasing", "RandomGrayscale"]

Range = tuple[float, float] | None


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue at random, in random order.

    Args:
        brightness: ``b`` for a factor from [max(0, 1 - b), 1 + b], or (least, greatest).
        contrast: likewise.
        saturation: likewise.
        hue: ``h`` for a turn of the color circle from [-h, h], at most 0.5, or (least, greatest).

    Raises:
        ArgumentError: values out of range.

    >>> import fovea
    >>> ColorJitter(0.4, 0.4, 0.4, 0.1)(fovea.rand(3, 8, 8)).shape
    fovea.Size([3, 8, 8])
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = self._range("brightness", brightness)
        self.contrast = self._range("contrast", contrast)
        self.saturation = self._range("saturation", saturation)
        self.hue = self._range("hue", hue, center=0.0, bounds=(-0.5, 0.5))

    @staticmethod
    def _range(
        name: str, value: Any, center: float = 1.0, bounds: tuple[float, float] = (0.0, math.inf)
    ) -> Range:
        """(least, greatest), or None if nothing is to change."""
        if isinstance(value, Sequence):
            low, high = (float(v) for v in value) if len(value) == 2 else (1.0, 0.0)
        elif value < 0:
            raise ArgumentError(f"ColorJitter: a single {name} must not be negative, got {value}.")
        else:
            low, high = center - float(value), center + float(value)
            if center == 1.0:
                low = max(low, 0.0)
        if not bounds[0] <= low <= high <= bounds[1]:
            raise ArgumentError(
                f"ColorJitter: {name} must be a number or (least, greatest) within {bounds}, got"
                f" {value!r}."
            )
        return None if low == high == center else (low, high)

    @staticmethod
    def get_params(
        brightness: Range, contrast: Range, saturation: Range, hue: Range
    ) -> tuple[list[int], float | None, float | None, float | None, float | None]:
        """A random order of the four changes, and a random factor for each (None: leave it)."""
        order = draws.permutation(4)
        b, c, s, h = (
            None if span is None else draws.uniform(span[0], span[1])
            for span in (brightness, contrast, saturation, hue)
        )
        return order, b, c, s, h

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for i in order:
            factor = factors[i]
            if factor is not None:
                img = changes[i](img, factor)
        return img


class Grayscale(Transform):
    """An image in gray.

    Args:
        num_output_channels: 1, or 3 equal ones.

    >>> import fovea
    >>> Grayscale()(fovea.zeros(3, 2, 2)).shape
    fovea.Size([1, 2, 2])
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, self.num_output_channels)


class RandomGrayscale(Transform):
    """Gray with as many channels as before, with probability ``p``.

    >>> import fovea
    >>> RandomGrayscale(p=1.0)(fovea.zeros(3, 2, 2)).shape
    fovea.Size([3, 2, 2])
    """

    def __init__(self, p: float = 0.1) -> None:
        self.p = check_probability("RandomGrayscale", p)

    def forward(self, img: Any) -> Any:
        channels = F.get_image_num_channels(img)
        return F.rgb_to_grayscale(img, channels) if draws.chance(self.p) else img


class GaussianBlur(Transform):
    """Blur with a Gaussian of random width.

    Args:
        kernel_size: odd, one size or two.
        sigma: the standard deviation, or (least, greatest).

    Raises:
        ArgumentError: an even size, or a sigma that is not positive.

    >>> import fovea
    >>> GaussianBlur(3)(fovea.zeros(3, 8, 8)).shape
    fovea.Size([3, 8, 8])
    """

    def __init__(
        self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)
    ) -> None:
        self.kernel_size = pair("GaussianBlur", "kernel_size", kernel_size)
        if any(size < 1 or size % 2 == 0 for size in self.kernel_size):
            raise ArgumentError(
                f"GaussianBlur: kernel_size must be odd and positive, got {kernel_size}."
            )
        values = tuple(sigma) if isinstance(sigma, Sequence) else (sigma, sigma)
        if len(values) != 2 or not 0 < values[0] <= values[1]:
            raise ArgumentError(
                f"GaussianBlur: sigma must be positive, one or (least, greatest), got {sigma}."
            )
        self.sigma = values

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random sigma."""
        return draws.uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])


class RandomErasing(Transform):
    """Overwrite a random box of a tensor, with probability ``p``.

    Args:
        p: the probability.
        scale: the least and the greatest share of the image's area.
        ratio: the least and the greatest height : width.
        value: what to write: one number, one a channel, or ``"random"`` for normal noise.
        inplace: write into the image.

    Raises:
        ArgumentError: values out of range, or as many as the image has channels neither.

    Source: Zhong et al., "Random Erasing Data Augmentation", 2017.

    >>> import fovea
    >>> int((RandomErasing(p=1.0)(fovea.ones(1, 20, 20)) == 0).sum()) > 0
    True
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] = 0,
        inplace: bool = False,
    ) -> None:
        self.p = check_probability("RandomErasing", p)
        if isinstance(value, str) and value != "random":
            raise ArgumentError(f"RandomErasing: value must be numbers or 'random', got {value!r}.")
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ArgumentError(
                f"RandomErasing: scale must be (least, greatest) in [0, 1], got {scale}."
            )
        if not 0 < ratio[0] <= ratio[1]:
            raise ArgumentError(
                f"RandomErasing: ratio must be (least, greatest), positive, got {ratio}."
            )
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(
        img: Any,
        scale: Sequence[float],
        ratio: Sequence[float],
        value: Sequence[float] | None = None,
    ) -> tuple[int, int, int, int, Any]:
        """Row, column, height and width of a random box and what to write there (``value`` None:
        noise).

        After ten boxes that did not fit: the whole image and its own values.
        """
        channels, height, width = F.get_dimensions(img)
        found = _random_box(channels, height, width, scale, ratio, value)
        return (0, 0, height, width, img) if found is None else found

    def choose(self, channels: int, height: int, width: int) -> Any:
        """`get_params` of an image's shape and this transform's arguments; None if nothing fits."""
        value: list[float] | None = None
        if not isinstance(self.value, str):
            numbers = self.value if isinstance(self.value, Sequence) else [self.value]
            value = [float(v) for v in numbers]
            if len(value) not in (1, channels):
                raise ArgumentError(
                    f"RandomErasing: value has {len(value)} numbers, the image {channels} channels."
                )
        return _random_box(channels, height, width, self.scale, self.ratio, value)

    def forward(self, img: Any) -> Any:
        if not draws.chance(self.p):
            return img
        channels, height, width = F.get_dimensions(img)
        box = self.choose(channels, height, width)
        if box is None:
            return img
        i, j, h, w, content = box
        return F.erase(img, i, j, h, w, content, self.inplace)


def _random_box(
    channels: int,
    height: int,
    width: int,
    scale: Sequence[float],
    ratio: Sequence[float],
    value: Sequence[float] | None,
) -> tuple[int, int, int, int, Any] | None:
    """Row, column, height and width of a box, and what to write there; None after ten boxes that
    did not fit.
    """
    for _ in range(10):
        area = height * width * draws.uniform(scale[0], scale[1])
        shape = math.exp(draws.uniform(math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if h < height and w < width:
            content = randn(channels, h, w) if value is None else tensor(value).reshape(-1, 1, 1)
            i, j = draws.integer(0, height - h + 1), draws.integer(0, width - w + 1)
            return i, j, h, w, content
    return None
