"""Colors and values of samples' images, changed at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.transforms import color, draws
from fovea.vision.transforms.base import check_probability
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.transform import RandomlyApplied, Transform, query_chw

__all__ = [
    "JPEG",
    "RGB",
    "ColorJitter",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPhotometricDistort",
    "RandomPosterize",
    "RandomSolarize",
]


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue at random, in random order.

    Args:
        brightness: ``b`` for a factor from [max(0, 1 - b), 1 + b], or (least, greatest).
        contrast: likewise.
        saturation: likewise.
        hue: ``h`` for a turn of the color circle from [-h, h], at most 0.5, or (least, greatest).
    """

    def __init__(
        self,
        brightness: float | Sequence[float] | None = None,
        contrast: float | Sequence[float] | None = None,
        saturation: float | Sequence[float] | None = None,
        hue: float | Sequence[float] | None = None,
    ) -> None:
        plain = color.ColorJitter(brightness or 0, contrast or 0, saturation or 0, hue or 0)
        self.brightness, self.contrast = plain.brightness, plain.contrast
        self.saturation, self.hue = plain.saturation, plain.hue

    get_params = staticmethod(color.ColorJitter.get_params)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        return {"order": order, "factors": factors}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for i in params["order"]:
            factor = params["factors"][i]
            if factor is not None:
                inpt = changes[i](inpt, factor)
        return inpt


class RandomPhotometricDistort(Transform):
    """Each of brightness, contrast, saturation, hue and the order of channels changed at random,
    each with probability ``p``.

    Args:
        brightness, contrast, saturation: (least, greatest) factors.
        hue: (least, greatest) turn of the color circle.
        p: the probability.

    Source: Liu et al., "SSD: single shot multibox detector", 2015.
    """

    def __init__(
        self,
        brightness: tuple[float, float] = (0.875, 1.125),
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: tuple[float, float] = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue
        self.p = check_probability("RandomPhotometricDistort", p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels = query_chw(flat_inputs)[0]

        def factor(span: tuple[float, float]) -> float | None:
            return draws.uniform(*span) if draws.chance(self.p) else None

        spans = (self.brightness, self.contrast, self.saturation, self.hue)
        brightness, contrast, saturation, hue = (factor(span) for span in spans)
        # Contrast comes before saturation and hue, or after them.
        early = draws.chance(0.5)
        steps = [
            (F.adjust_brightness, brightness),
            (F.adjust_contrast, contrast if early else None),
            (F.adjust_saturation, saturation),
            (F.adjust_hue, hue),
            (F.adjust_contrast, None if early else contrast),
        ]
        order = draws.permutation(channels) if draws.chance(self.p) else None
        return {"steps": [s for s in steps if s[1] is not None], "order": order}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for change, factor in params["steps"]:
            inpt = change(inpt, factor)
        return inpt if params["order"] is None else F.permute_channels(inpt, params["order"])


class Grayscale(Transform):
    """Images in gray.

    Args:
        num_output_channels: 1, or 3 equal ones.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.rgb_to_grayscale(inpt, self.num_output_channels)


class RandomGrayscale(RandomlyApplied):
    """Gray with as many channels as before, with probability ``p``."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"num_output_channels": query_chw(flat_inputs)[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.rgb_to_grayscale(inpt, **params)


class RGB(Transform):
    """Gray images with three equal channels; others stay."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.grayscale_to_rgb(inpt)


class RandomChannelPermutation(Transform):
    """Channels in random order."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"permutation": draws.permutation(query_chw(flat_inputs)[0])}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.permute_channels(inpt, params["permutation"])


class RandomInvert(RandomlyApplied):
    """Bright is dark, with probability ``p``."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.invert(inpt)


class RandomPosterize(RandomlyApplied):
    """As many levels as so many bits name, with probability ``p``.

    Args:
        bits: 0 to 8.
        p: the probability.
    """

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.posterize(inpt, self.bits)


class RandomSolarize(RandomlyApplied):
    """What is as bright as a threshold is inverted, with probability ``p``.

    Args:
        threshold: of values as they are in the images.
        p: the probability.
    """

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.solarize(inpt, self.threshold)


class RandomAutocontrast(RandomlyApplied):
    """Values spread from 0 to full brightness, with probability ``p``."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.autocontrast(inpt)


class RandomEqualize(RandomlyApplied):
    """Levels spread so that all are about as frequent, with probability ``p``."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.equalize(inpt)


class RandomAdjustSharpness(RandomlyApplied):
    """Sharpness scaled, with probability ``p``.

    Args:
        sharpness_factor: 0 gives a smoothed image, 1 the image, 2 twice its sharpness.
        p: the probability.
    """

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.adjust_sharpness(inpt, self.sharpness_factor)


class GaussianBlur(Transform):
    """Blur with a Gaussian of random width.

    Args:
        kernel_size: odd, one size or two.
        sigma: the standard deviation, or (least, greatest).
    """

    def __init__(
        self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)
    ) -> None:
        plain = color.GaussianBlur(kernel_size, sigma)
        self.kernel_size, self.sigma = plain.kernel_size, plain.sigma

    get_params = staticmethod(color.GaussianBlur.get_params)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"sigma": [self.get_params(*self.sigma)] * 2}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.gaussian_blur(inpt, self.kernel_size, params["sigma"])


class GaussianNoise(Transform):
    """Normal noise added, in parts of full brightness; images are tensors.

    Args:
        mean, sigma: of the noise.
        clip: cut floats off to [0, 1].
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.gaussian_noise(inpt, self.mean, self.sigma, self.clip)


class JPEG(Transform):
    """Images as they are after they were stored as JPEG, of random quality.

    Args:
        quality: 1 (worst) to 100, or (least, greatest).
    """

    def __init__(self, quality: int | Sequence[int]) -> None:
        values = [quality, quality] if isinstance(quality, int) else list(quality)
        if len(values) != 2 or not 1 <= values[0] <= values[1] <= 100:
            raise ArgumentError(f"JPEG: quality must be from 1 to 100, got {quality!r}.")
        self.quality = values

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quality": draws.integer(self.quality[0], self.quality[1] + 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.jpeg(inpt, **params)


class RandomErasing(RandomlyApplied):
    """Overwrite a random box of an image, with probability ``p``.

    Args:
        p: the probability.
        scale: the least and the greatest share of the image's area.
        ratio: the least and the greatest height : width.
        value: what to write: one number, one a channel, or ``"random"`` (or None) for normal noise.
        inplace: write into the image.

    Source: Zhong et al., "Random erasing data augmentation", 2017.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] | None = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        chosen = "random" if value is None else value
        self._plain = color.RandomErasing(1.0, scale, ratio, chosen, inplace)
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, value, inplace

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        box = self._plain.choose(*query_chw(flat_inputs))
        return {} if box is None else dict(zip("ijhwv", box, strict=True))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.erase(inpt, **params, inplace=self.inplace) if params else inpt
