"""Augmentation by policies: changes of images drawn from a list, of drawn strengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms import draws
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.kernels.values import max_value
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.policy_tables import CIFAR10, IMAGENET, SVHN, Policy
from fovea.vision.transforms.v2.sample import flatten
from fovea.vision.transforms.v2.transform import Fill, Transform, checked_fill, fill_of

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]

# How strong a change is: at so many steps of which number, in an image (height, width). None: it
# has no strength. Signed ones go either way.
Strength = Callable[[int, int, int, int], float] | None
Space = Mapping[str, tuple[Strength, bool]]


def _to(most: float) -> Strength:
    return lambda bins, step, height, width: most * step / (bins - 1)


def _share(most: float, axis: int) -> Strength:
    """In parts of the image's height (0) or width (1)."""
    return lambda bins, step, *size: most * size[axis] * step / (bins - 1)


def _bits(first: int, less: int) -> Strength:
    return lambda bins, step, height, width: round(first - step * less / (bins - 1))


def _falling(bins: int, step: int, height: int, width: int) -> float:
    return 1 - step / (bins - 1)


def _space(
    shear: float, x: Strength, y: Strength, turn: float, color: float, bits: Strength
) -> Space:
    factor = (_to(color), True)
    return {
        "ShearX": (_to(shear), True),
        "ShearY": (_to(shear), True),
        "TranslateX": (x, True),
        "TranslateY": (y, True),
        "Rotate": (_to(turn), True),
        "Brightness": factor,
        "Color": factor,
        "Contrast": factor,
        "Sharpness": factor,
        "Posterize": (bits, False),
        "Solarize": (_falling, False),
        "AutoContrast": (None, False),
        "Equalize": (None, False),
    }


class _Policy(Transform):
    """Base: one image or video of a sample is changed, and the rest stays.

    Args:
        interpolation: how values between pixels are found.
        fill: value outside the image, one or one a channel, or a dictionary of these by types and
            ``"others"``.

    Raises:
        TypeError: a sample with no image or several, or with boxes, masks or points, which would
            stay where they are.
    """

    space: Space = {}

    def __init__(self, interpolation: Any, fill: Fill) -> None:
        self.interpolation = as_mode(interpolation)
        self.fill = checked_fill(type(self).__name__, fill)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        placed = (tv_tensors.BoundingBoxes, tv_tensors.Mask, tv_tensors.KeyPoints)
        for part in flat_inputs:
            if isinstance(part, placed):
                raise TypeError(
                    f"{type(self).__name__}: {type(part).__name__} cannot follow its changes."
                )

    def forward(self, *inputs: Any) -> Any:
        parts, _, rebuild = flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(parts)
        places = [i for i, chosen in enumerate(self._chosen(parts)) if chosen]
        if len(places) != 1:
            raise TypeError(f"{type(self).__name__}: one image is needed, found {len(places)}.")
        parts[places[0]] = self.transform(parts[places[0]], {})
        return rebuild(parts)

    def _drawn(
        self, inpt: Any, space: Space, bins: int, step: int | None, name: str | None = None
    ) -> Any:
        """A change of the image: of this name or any, of this strength or any."""
        names = list(space)
        name = name or names[draws.integer(0, len(names))]
        strength, signed = space[name]
        if strength is None:
            return self._changed_by(inpt, name, 0.0)
        step = draws.integer(0, bins) if step is None else step
        amount = strength(bins, step, *F.get_size(inpt))
        if signed and draws.chance(0.5):
            amount = -amount
        return self._changed_by(inpt, name, amount)

    def _changed_by(self, inpt: Any, name: str, amount: float) -> Any:
        fill, mode = fill_of(self.fill, inpt), self.interpolation
        if name in ("ShearX", "ShearY"):
            angle = math.degrees(math.atan(amount))
            shear = [angle, 0.0] if name == "ShearX" else [0.0, angle]
            return F.affine(inpt, 0.0, [0, 0], 1.0, shear, mode, fill, [0, 0])
        if name in ("TranslateX", "TranslateY"):
            shift = [int(amount), 0] if name == "TranslateX" else [0, int(amount)]
            return F.affine(inpt, 0.0, shift, 1.0, [0.0, 0.0], mode, fill)
        if name == "Rotate":
            return F.rotate(inpt, amount, mode, fill=fill)
        if name == "Posterize":
            return F.posterize(inpt, int(amount))
        if name == "Solarize":
            bright = 255.0 if is_pil_image(inpt) else max_value(inpt.numpy().dtype)
            return F.solarize(inpt, bright * amount)
        if name in _FACTORS:
            return _FACTORS[name](inpt, 1.0 + amount)
        return inpt if name == "Identity" else _PLAIN[name](inpt)


_FACTORS = {
    "Brightness": F.adjust_brightness,
    "Color": F.adjust_saturation,
    "Contrast": F.adjust_contrast,
    "Sharpness": F.adjust_sharpness,
}
_PLAIN = {"AutoContrast": F.autocontrast, "Equalize": F.equalize, "Invert": F.invert}
_MODERATE = _space(0.3, _share(150 / 331, 1), _share(150 / 331, 0), 30.0, 0.9, _bits(8, 4))


class AutoAugmentPolicy(Enum):
    """Policies that were found for data sets."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


_POLICIES = {
    AutoAugmentPolicy.IMAGENET: IMAGENET,
    AutoAugmentPolicy.CIFAR10: CIFAR10,
    AutoAugmentPolicy.SVHN: SVHN,
}


class AutoAugment(_Policy):
    """Two changes, of strengths and with probabilities that were found by search.

    Args:
        policy: an `AutoAugmentPolicy`.
        interpolation: how values between pixels are found.
        fill: value outside the image.

    Source: Cubuk et al., "AutoAugment: learning augmentation policies from data", 2018.

    >>> import fovea
    >>> AutoAugment()(fovea.zeros(3, 8, 8, dtype=fovea.uint8)).shape
    fovea.Size([3, 8, 8])
    """

    space: Space = {**_MODERATE, "Invert": (None, False)}

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Fill = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if policy not in _POLICIES:
            raise ArgumentError(f"AutoAugment: policy is an AutoAugmentPolicy, got {policy!r}.")
        self.policy = policy
        self._policies: list[Policy] = _POLICIES[policy]

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for name, probability, step in self._policies[draws.integer(0, len(self._policies))]:
            if draws.chance(probability):
                inpt = self._drawn(inpt, self.space, 10, step, name)
        return inpt


class RandAugment(_Policy):
    """Some changes, all of one strength.

    Args:
        num_ops: how many.
        magnitude: the strength, from 0 to ``num_magnitude_bins - 1``.
        num_magnitude_bins: how many strengths there are.
        interpolation: how values between pixels are found.
        fill: value outside the image.

    Source: Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search
    space", 2019.
    """

    space: Space = {"Identity": (None, False), **_MODERATE}

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Fill = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not 0 <= magnitude < num_magnitude_bins or num_magnitude_bins < 2:
            raise ArgumentError(
                f"RandAugment: magnitude must be from 0 to {num_magnitude_bins - 1}, got "
                f"{magnitude}."
            )
        self.num_ops, self.magnitude = num_ops, magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for _ in range(self.num_ops):
            inpt = self._drawn(inpt, self.space, self.num_magnitude_bins, self.magnitude)
        return inpt


class TrivialAugmentWide(_Policy):
    """One change of any strength, and strong ones among them.

    Args:
        num_magnitude_bins: how many strengths there are.
        interpolation: how values between pixels are found.
        fill: value outside the image.

    Source: Müller, Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation",
    2021.
    """

    space: Space = {
        "Identity": (None, False),
        **_space(0.99, _to(32.0), _to(32.0), 135.0, 0.99, _bits(8, 6)),
    }

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Fill = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._drawn(inpt, self.space, self.num_magnitude_bins, None)


class AugMix(_Policy):
    """An image mixed with some chains of changes of it.

    Args:
        severity: how strong changes are, 1 to 10.
        mixture_width: how many chains.
        chain_depth: changes of a chain; negative: 1 to 3.
        alpha: of the distributions of the shares.
        all_ops: whether brightness, color, contrast and sharpness are changed, too.
        interpolation: how values between pixels are found.
        fill: value outside the image.

    Source: Hendrycks et al., "AugMix: a simple data processing method to improve robustness and
    uncertainty", 2019.
    """

    space: Space = _space(0.3, _share(1 / 3, 1), _share(1 / 3, 0), 30.0, 0.9, _bits(4, 4))

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Fill = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ArgumentError(f"AugMix: severity must be from 1 to 10, got {severity}.")
        self.severity, self.mixture_width = severity, mixture_width
        self.chain_depth, self.alpha, self.all_ops = chain_depth, alpha, all_ops

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if is_pil_image(inpt):
            return F.to_pil_image(self._mixed(F.pil_to_tensor(inpt)), inpt.mode)
        if isinstance(inpt, tv_tensors.TVTensor):
            return tv_tensors.wrap(self._mixed(inpt.as_tensor()), like=inpt)
        return self._mixed(inpt)

    def _mixed(self, image: Tensor) -> Tensor:
        space = self.space
        if not self.all_ops:
            space = {name: how for name, how in space.items() if name not in _FACTORS}
        generator = draws.generator()
        changed = float(generator.beta(self.alpha, self.alpha))
        shares = generator.dirichlet([self.alpha] * self.mixture_width) * changed
        total = (1 - changed) * image.numpy().astype(np.float32)
        for share in shares:
            chain = image
            for _ in range(self.chain_depth if self.chain_depth > 0 else draws.integer(1, 4)):
                chain = self._drawn(chain, space, 10, draws.integer(0, self.severity))
            total += np.float32(share) * chain.numpy().astype(np.float32)
        return from_numpy(total.astype(image.numpy().dtype))
