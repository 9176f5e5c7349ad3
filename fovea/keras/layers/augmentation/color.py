"""Images in other colors: lighter, flatter, grayer, turned on the color wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.joining import stack
from fovea.functions.pointwise import abs_, clamp, floor, maximum, minimum, remainder, where
from fovea.functions.reductions import amax, amin
from fovea.keras.layers.augmentation.base import (
    Drawn,
    ImageLayer,
    RandomImageLayer,
    factor_pair,
    value_pair,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AutoContrast",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomSaturation",
    "Solarization",
]

Pair = tuple[float, float]


def gray(images: Tensor) -> Tensor:
    """(N, H, W, 3) as luminance (N, H, W, 1), by the weights of ITU-R BT.601."""
    r, g, b = images.unbind(-1)
    return (0.2989 * r + 0.5870 * g + 0.1140 * b).unsqueeze(-1)


def to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue (0 to 1 around the wheel), saturation (0 to 1) and value of RGB.

    Source: Smith, "Color gamut transform pairs", SIGGRAPH 1978.
    """
    r, g, b = images.unbind(-1)
    value = maximum(maximum(r, g), b)
    spread = value - minimum(minimum(r, g), b)
    saturation = where(value > 0, spread / where(value > 0, value, 1.0), 0.0)
    sixth = 1 / (6 * where(spread > 0, spread, 1.0))
    hue = where(value == g, sixth * (b - r) + 2 / 6, sixth * (r - g) + 4 / 6)
    hue = where(value == r, sixth * (g - b), hue)
    hue = where(spread > 0, hue, 0.0) + (hue < 0).to(hue.dtype)
    return hue, saturation, value


def from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB of hue, saturation and value."""
    place = remainder(hue, 1.0) * 6
    shares = (
        clamp(abs_(place - 3) - 1, 0.0, 1.0),
        clamp(2 - abs_(place - 2), 0.0, 1.0),
        clamp(2 - abs_(place - 4), 0.0, 1.0),
    )
    return stack([value * (1 - saturation + saturation * share) for share in shares], -1)


class _Colored(RandomImageLayer):
    """A layer with a factor and a range of values."""

    least, most = 0.0, 1.0
    low: float | None = 0.0  # of a factor that is given as one number

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        name = type(self).__name__
        self.factor = factor_pair(f"{name}: factor", factor, self.least, self.most, low=self.low)
        self.value_range = value_pair(name, value_range)

    def scaled(self, images: Tensor, low: float, high: float, back: bool = False) -> Tensor:
        """Values from the layer's range to [low, high], or back."""
        first, last = self.value_range
        if back:
            return (images - low) * ((last - first) / (high - low)) + first
        return (images - first) * ((high - low) / (last - first)) + low

    def cut(self, images: Tensor) -> Tensor:
        """Values within the range."""
        low, high = self.value_range
        return clamp(images, low, high)

    def draw(self, images: Tensor) -> Drawn:
        return {"factor": self.uniform((images.shape[0], 1, 1, 1), *self.factor, images)}


class RandomBrightness(_Colored):
    """Add a random number to each image; only in training.

    Args:
        factor: the largest change as a share of the range of values, either way; or (least,
            largest), from -1 to 1.
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.

    >>> import fovea
    >>> RandomBrightness((0.2, 0.2))(fovea.zeros(1, 1, 1)).item()
    51.0
    """

    least, low = -1.0, None

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(factor, value_range, seed=seed, **kwargs)

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        low, high = self.value_range
        return self.cut(images + (drawn["factor"] * (high - low)).to(images.dtype))


class RandomContrast(_Colored):
    """Move values to or from each channel's mean; only in training.

    Args:
        factor: 0.2 multiplies distances from the mean by 0.8 to 1.2; (a, b) by 1 - a to 1 + b.
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        if not isinstance(factor, list | tuple):
            factor = (factor, factor)
        elif len(factor) == 2 and factor[0] > factor[1]:
            raise ArgumentError(f"RandomContrast: factor must rise, got {factor!r}.")
        super().__init__(factor, value_range, seed=seed, **kwargs)

    def draw(self, images: Tensor) -> Drawn:
        low, high = 1 - self.factor[0], 1 + self.factor[1]
        return {"factor": self.uniform((images.shape[0], 1, 1, 1), low, high, images)}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        mean = images.mean((1, 2), keepdim=True)
        return self.cut((images - mean) * drawn["factor"].to(images.dtype) + mean)


class RandomGrayscale(RandomImageLayer):
    """Turn images gray with a probability; only in training.

    Args:
        factor: the probability.
        seed: for draws of its own.
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if not 0 <= factor <= 1:
            raise ArgumentError(f"RandomGrayscale: factor lies between 0 and 1, got {factor}.")
        self.factor = factor

    def draw(self, images: Tensor) -> Drawn:
        n = images.shape[0]
        return {"chosen": self.uniform((n, 1, 1, 1), 0.0, 1.0, images) < self.factor}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return where(drawn["chosen"], gray(images), images)


class RandomColorDegeneration(_Colored):
    """Mix each image with its gray picture; only in training.

    Args:
        factor: the largest share of gray; or (least, largest).
        value_range: of the pixels; results are cut to it.
        seed: for draws of its own.
    """

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        share = drawn["factor"].to(images.dtype)
        return self.cut(images + share * (gray(images) - images))


class RandomInvert(_Colored):
    """Replace each image by its negative with a probability; only in training.

    Args:
        factor: the probability is drawn from 0 to this, or from (least, largest).
        value_range: of the pixels.
        seed: for draws of its own.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def draw(self, images: Tensor) -> Drawn:
        return {"chosen": self.chosen(images.shape[0], self.factor, images)}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return where(drawn["chosen"], self.value_range[1] - images, images)


class RandomHue(_Colored):
    """Turn the colors of each image on the wheel; only in training.

    Args:
        factor: the largest turn, 1 being half of the wheel, either way; or (least, largest).
        value_range: of the pixels.
        seed: for draws of its own.
    """

    def draw(self, images: Tensor) -> Drawn:
        n = images.shape[0]
        way = where(self.uniform((n, 1, 1), 0.0, 1.0, images) > 0.5, -1.0, 1.0)
        return {"turn": self.uniform((n, 1, 1), *self.factor, images) * way * 0.5}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        hue, saturation, value = to_hsv(self.scaled(images, 0.0, 1.0))
        hue = hue + drawn["turn"].to(images.dtype)
        hue = where(hue > 1, hue - 1, hue)
        hue = where(hue < 0, hue + 1, hue)
        return self.scaled(clamp(from_hsv(hue, saturation, value), 0.0, 1.0), 0.0, 1.0, back=True)


class RandomSaturation(_Colored):
    """Make the colors of each image paler or deeper; only in training.

    Args:
        factor: from 0 (gray) over 0.5 (as it is) to 1 (as deep as can be); or (least, largest).
        value_range: of the pixels.
        seed: for draws of its own.
    """

    def draw(self, images: Tensor) -> Drawn:
        share = self.uniform((images.shape[0], 1, 1), *self.factor, images)
        return {"scale": share / (1 - share + 1e-7)}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        hue, saturation, value = to_hsv(images)
        saturation = clamp(saturation * drawn["scale"].to(images.dtype), 0.0, 1.0)
        return from_hsv(hue, saturation, value)


class RandomPosterization(_Colored):
    """Keep only the first bits of each value; only in training.

    Args:
        factor: how many bits, from 1 to 8; or (least, largest), the largest left out.
        value_range: of the pixels.
        seed: for draws of its own.
    """

    least, most = 1.0, 8.0

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(factor, list | tuple):
            factor = (factor, factor)
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def draw(self, images: Tensor) -> Drawn:
        low, high = self.factor
        bits = floor(self.uniform((images.shape[0], 1, 1, 1), low, max(high, low), images))
        return {"step": 2.0 ** (8 - bits)}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        values = floor(clamp(self.scaled(images, 0.0, 255.0), 0.0, 255.0))
        step = drawn["step"].to(images.dtype)
        return self.scaled(floor(values / step) * step, 0.0, 255.0, back=True)


class Solarization(_Colored):
    """Turn values above a threshold into their negatives; only in training.

    Args:
        addition_factor: what is added to values first, as a share of 255: drawn from 0 to this, or
            from (least, largest).
        threshold_factor: the threshold, likewise.
        value_range: of the pixels.
        seed: for draws of its own.
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(0.0, value_range, seed=seed, **kwargs)
        del self.factor
        self.addition_factor = self._share("addition_factor", addition_factor)
        self.threshold_factor = self._share("threshold_factor", threshold_factor)

    @staticmethod
    def _share(key: str, factor: Any) -> Pair:
        return factor_pair(f"Solarization: {key}", factor, 0.0, 1.0, low=0.0)

    def draw(self, images: Tensor) -> Drawn:
        shape = (images.shape[0], 1, 1, 1)
        found = {}
        for key in ("addition", "threshold"):
            low, high = getattr(self, f"{key}_factor")
            found[key] = self.uniform(shape, low, high * 255, images)
        return found

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        values = self.scaled(images, 0.0, 255.0)
        values = clamp(values + drawn["addition"].to(images.dtype), 0.0, 255.0)
        turned = where(values < drawn["threshold"], values, 255 - values)
        return self.scaled(turned, 0.0, 255.0, back=True)


class AutoContrast(ImageLayer):
    """Stretch the values of each channel of each image over the whole range.

    Args:
        value_range: of the pixels.
    """

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_pair("AutoContrast", value_range)

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        first, last = self.value_range
        low, high = amin(images, (1, 2), True), amax(images, (1, 2), True)
        flat = high == low
        share = (images - low) / where(flat, 1.0, high - low)
        return where(flat, images, clamp(share, 0.0, 1.0) * (last - first) + first)


class RandomColorJitter(RandomImageLayer):
    """Random brightness, contrast, saturation and hue, one after the other; only in training.

    Args:
        value_range: of the pixels.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: those of
            `RandomBrightness` and so on; None leaves one out.
        seed: for draws of its own.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.value_range = value_pair("RandomColorJitter", value_range)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        parts: tuple[tuple[Any, Any], ...] = (
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        )
        # The parts draw from this layer's seed: they are no layers of their own.
        made = [
            kind(factor, value_range=value_range) for kind, factor in parts if factor is not None
        ]
        for part in made:
            part.__dict__["_generator"] = self._generator
        self.__dict__["_parts"] = made

    def draw(self, images: Tensor) -> Drawn:
        return {"parts": [part.draw(images) for part in self._parts]}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        for part, numbers in zip(self._parts, drawn["parts"], strict=True):
            images = part.change(images, numbers)
        return images
