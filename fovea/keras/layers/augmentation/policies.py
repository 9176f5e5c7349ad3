"""Many changes to choose from at random: RandAugment and AugMix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.pointwise import clamp, floor, where
from fovea.keras.layers.augmentation.base import (
    Drawn,
    ImageLayer,
    RandomImageLayer,
    factor_pair,
    value_pair,
)
from fovea.keras.layers.augmentation.color import (
    AutoContrast,
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    Solarization,
)
from fovea.keras.layers.augmentation.equalizing import Equalization
from fovea.keras.layers.augmentation.filtering import RandomSharpness
from fovea.keras.layers.augmentation.geometry import RandomRotation, RandomShear, RandomTranslation
from fovea.keras.random import beta, gamma

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["AugMix", "RandAugment"]


def _choices(factor: tuple[float, float], value_range: Any, interpolation: str) -> list[ImageLayer]:
    """The changes of places, then those of values, then those that `AugMix` may leave out."""
    colors: dict[str, Any] = {"value_range": value_range}
    places: dict[str, Any] = {"interpolation": interpolation}
    return [
        RandomShear(factor, factor, **places),
        RandomTranslation(factor, factor, **places),
        RandomRotation(factor, **places),
        Solarization(factor, factor, **colors),
        RandomPosterization(max(1, int(8 * factor[1])), **colors),
        AutoContrast(**colors),
        Equalization(**colors),
        RandomBrightness(factor, **colors),
        RandomColorDegeneration(factor, **colors),
        RandomContrast(factor, **colors),
        RandomSharpness(factor, **colors),
    ]


class _Choosing(RandomImageLayer):
    """Each image goes through changes drawn for it alone. All are computed and one is taken, so
    that one program serves every draw.
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any,
        interpolation: str,
        seed: int | None,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        name = type(self).__name__
        self.value_range = value_pair(name, value_range)
        self.factor = factor_pair(f"{name}: factor", factor, 0.0, 1.0)
        self.interpolation = interpolation

    def prepare(self, count: int | None = None) -> None:
        """Make the changes to choose from; they draw from this layer's seed."""
        made = _choices(self.factor, self.value_range, self.interpolation)[:count]
        for part in made:
            part.__dict__["_generator"] = self._generator
        self.__dict__["_parts"] = made

    def draw_step(self, images: Tensor, more: int = 0) -> Drawn:
        """Which change each image gets, with ``more`` chances of none, and the changes' draws."""
        count = len(self._parts) + more
        which = floor(self.uniform((images.shape[0], 1, 1, 1), 0.0, count, images))
        return {"which": which, "parts": [part.draw(images) for part in self._parts]}

    def step(self, x: Tensor, drawn: Drawn, method: str = "change", *more: Any) -> Tensor:
        """Images (or masks, or boxes, by the method) after the change drawn for each."""
        found, which = x, drawn["which"].reshape(-1, *(1,) * (x.ndim - 1))
        for index, (part, numbers) in enumerate(zip(self._parts, drawn["parts"], strict=True)):
            found = where(which == index, getattr(part, method)(x, numbers, *more), found)
        return found


class RandAugment(_Choosing):
    """A few of eleven changes, drawn for each image, all of the same strength; only in training.

    Args:
        value_range: of the pixels.
        num_ops: how many changes one after the other.
        factor: their strength, from 0 to 1: at most that, or (least, most).
        interpolation: of turned and moved images, ``"bilinear"`` or ``"nearest"``.
        seed: for draws of its own.

    Source: Cubuk et al., "RandAugment: practical automated data augmentation with a reduced
    search space", 2019.

    >>> import fovea
    >>> RandAugment(seed=0)(fovea.rand(2, 8, 8, 3) * 255).shape
    fovea.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: int = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, interpolation, seed, data_format, **kwargs)
        self.num_ops = num_ops
        self.prepare()

    def draw(self, images: Tensor) -> Drawn:
        return {"steps": [self.draw_step(images) for _ in range(self.num_ops)]}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        for drawn_step in drawn["steps"]:
            images = self.step(images, drawn_step)
        return images

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        for drawn_step in drawn["steps"]:
            masks = self.step(masks, drawn_step, "change_masks")
        return masks

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        for drawn_step in drawn["steps"]:
            boxes = self.step(boxes, drawn_step, "change_boxes", size)
        return boxes


class AugMix(_Choosing):
    """Each image mixed with a mean of itself after chains of random changes; only in training.

    Args:
        value_range: of the pixels.
        num_chains: how many chains are mixed.
        chain_depth: the most changes in a chain.
        factor: their strength, from 0 to 1: at most that, or (least, most).
        alpha: of the distributions of the weights, Dirichlet's and the beta distribution.
        all_ops: whether brightness, color, contrast and sharpness change, too.
        interpolation: of turned and moved images, ``"bilinear"`` or ``"nearest"``.
        seed: for draws of its own.

    Masks and bounding boxes stay as they are: a mixture of the places of pixels has no labels.

    Source: Hendrycks et al., "AugMix: a simple data processing method to improve robustness and
    uncertainty", ICLR 2020.

    >>> import fovea
    >>> AugMix(value_range=(0, 1))(fovea.rand(2, 8, 8, 3)).shape
    fovea.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Any = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, interpolation, seed, data_format, **kwargs)
        if num_chains < 1 or chain_depth < 0 or alpha <= 0:
            raise ArgumentError(
                "AugMix: num_chains and alpha must be positive and chain_depth at least 0, got "
                f"{num_chains}, {alpha} and {chain_depth}."
            )
        self.num_chains, self.chain_depth = num_chains, chain_depth
        self.alpha, self.all_ops = alpha, all_ops
        self.prepare(None if all_ops else 7)

    def draw(self, images: Tensor) -> Drawn:
        n = images.shape[0]
        shares = gamma((self.num_chains, n, 1, 1, 1), self.alpha, seed=self._generator)
        return {
            "shares": shares / shares.sum(0, keepdim=True),
            "kept": beta((n, 1, 1, 1), self.alpha, self.alpha, seed=self._generator),
            "chains": [
                [self.draw_step(images, more=1) for _ in range(self.chain_depth)]
                for _ in range(self.num_chains)
            ],
        }

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        mixed = images * 0
        for share, chain in zip(drawn["shares"], drawn["chains"], strict=True):
            changed = images
            for drawn_step in chain:
                changed = self.step(changed, drawn_step)
            mixed = mixed + share.to(images.dtype) * changed
        kept = drawn["kept"].to(images.dtype)
        return clamp(kept * images + (1 - kept) * mixed, *self.value_range)
