"""Images mixed with others of their batch, and labels with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.joining import cat
from fovea.functions.pointwise import sqrt, where
from fovea.functions.random import randperm
from fovea.keras.layers.augmentation.base import Drawn, RandomImageLayer, factor_pair
from fovea.keras.layers.augmentation.filtering import block, spans
from fovea.keras.random import beta

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["CutMix", "MixUp"]


class _Mixing(RandomImageLayer):
    """Labels (one-hot, or probabilities) become those of both images, by their shares."""

    def order(self, images: Tensor) -> Tensor:
        """With which image each is mixed."""
        return randperm(images.shape[0], generator=self._generator)

    def change_labels(self, labels: Tensor, drawn: Drawn) -> Tensor:
        labels = labels if labels.is_floating_point() else labels.to(self._dtype)
        share = drawn["share"].reshape(-1, *(1,) * (labels.ndim - 1)).to(labels.dtype)
        return share * labels + (1 - share) * labels[drawn["order"]]


class MixUp(_Mixing):
    """Weighted means of images of a batch and of their labels; only in training.

    Args:
        alpha: the weight is drawn from the beta distribution (alpha, alpha): the smaller, the
            nearer to one of both.
        seed: for draws of its own.

    Give it ``{"images": ..., "labels": ...}`` with one-hot labels. Bounding boxes become those of
    both images.

    Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.

    >>> import fovea
    >>> batch = {"images": fovea.rand(4, 8, 8, 3), "labels": fovea.eye(4)}
    >>> MixUp(0.3)(batch, training=True)["labels"].sum(1)
    tensor([1., 1., 1., 1.])
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.alpha = alpha

    def draw(self, images: Tensor) -> Drawn:
        share = beta((images.shape[0],), self.alpha, self.alpha, seed=self._generator)
        return {"share": share, "order": self.order(images)}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        share = drawn["share"].reshape(-1, 1, 1, 1).to(images.dtype)
        return share * images + (1 - share) * images[drawn["order"]]

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.change(masks, drawn)

    def change_bounding_boxes(self, found: Drawn, drawn: Drawn, before: Any, after: Any) -> Drawn:
        both = {k: cat([found[k], found[k][drawn["order"]]], 1) for k in ("boxes", "labels")}
        return {**found, **both}


class CutMix(_Mixing):
    """A block of each image is replaced by that of another of its batch, and labels are mixed by
    the areas; only in training.

    Args:
        factor: the parameter of the beta distribution that areas come from, drawn from 0 to this,
            or from (least, largest).
        seed: for draws of its own.

    Give it ``{"images": ..., "labels": ...}`` with one-hot labels.

    Source: Yun et al., "CutMix", ICCV 2019.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_pair("CutMix: factor", factor, 0.0, 1.0, low=0.0)

    def draw(self, images: Tensor) -> Drawn:
        n, h, w, _ = images.shape
        alpha = self.uniform((), *self.factor, images) + 1e-6
        side = sqrt(1 - beta((n,), alpha, alpha, seed=self._generator))
        columns, rows = spans(self, side, w, images), spans(self, side, h, images)
        area = (columns[1] - columns[0]) * (rows[1] - rows[0])
        return {
            "block": block(images, rows, columns),
            "share": 1 - area / (h * w),
            "order": self.order(images),
        }

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return where(drawn["block"], images[drawn["order"]], images)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.change(masks, drawn)

    def change_bounding_boxes(self, found: Drawn, drawn: Drawn, before: Any, after: Any) -> Drawn:
        raise ArgumentError(
            f"{self.name}: what a block hides of bounding boxes cannot be told.",
            fix="use MixUp, or keep boxes out of the dictionary",
        )
