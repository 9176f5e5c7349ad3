"""Batches whose images are mixed with one another: CutMix and MixUp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional import one_hot
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.transforms import draws
from fovea.vision.transforms.v2.functional.misc import is_pure_tensor
from fovea.vision.transforms.v2.objects import labels_of
from fovea.vision.transforms.v2.sample import flatten
from fovea.vision.transforms.v2.transform import Transform

__all__ = ["CutMix", "MixUp"]


def beta(alpha: float) -> float:
    """A number from the distribution Beta(alpha, alpha), which fovea's seeds determine."""
    return float(draws.generator().beta(alpha, alpha))


class _Mixing(Transform):
    """Base: each image is mixed with the one before it in the batch, and so are their labels.

    Args:
        alpha: of the distribution Beta(alpha, alpha) of the share.
        num_classes: labels (N,) of class numbers become (N, num_classes); labels that are so
            already need none.
        labels_getter: where the labels are: ``"default"`` (the only tensor of one or two
            dimensions, or what a dictionary calls labels), a name, or a function of the batch.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str | None = "default",
    ) -> None:
        if alpha <= 0:
            raise ArgumentError(f"{type(self).__name__}: alpha must be positive, got {alpha}.")
        self.alpha, self.num_classes, self.labels_getter = alpha, num_classes, labels_getter

    def forward(self, *inputs: Any) -> Any:
        batch = inputs if len(inputs) > 1 else inputs[0]
        labels = self._labels(batch)
        parts, _, rebuild = flatten(batch)
        placed = (tv_tensors.BoundingBoxes, tv_tensors.Mask, tv_tensors.KeyPoints)
        if any(isinstance(part, placed) for part in parts):
            raise TypeError(f"{type(self).__name__}: boxes, masks and points cannot be mixed.")
        images = [p for p in parts if isinstance(p, Tensor) and p is not labels and p.ndim >= 4]
        if not images:
            raise ArgumentError(
                f"{type(self).__name__}: a batch of images (N, channels, height, width) is needed.",
                fix="apply it after the DataLoader, or in its collate_fn",
            )
        self._check(labels, len(images[0]))
        share, change = self._draw(images[0].shape[-2], images[0].shape[-1])
        made = []
        for part in parts:
            if part is labels:
                made.append(self._mixed_labels(part, share))
            elif any(part is image for image in images):
                mixed = change(part)
                made.append(part._like(mixed) if isinstance(part, tv_tensors.TVTensor) else mixed)
            else:
                made.append(part)
        return rebuild(made)

    def _labels(self, batch: Any) -> Tensor:
        if self.labels_getter == "default" and isinstance(batch, tuple | list):
            flat = [p for p in flatten(batch)[0] if is_pure_tensor(p) and p.ndim in (1, 2)]
            if len(flat) == 1:
                return flat[0]
        found = labels_of(batch, self.labels_getter)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"{type(self).__name__}: labels are a tensor, got {type(found).__name__}."
            )
        return found

    def _check(self, labels: Tensor, count: int) -> None:
        whole = labels.ndim == 1 and self.num_classes is not None
        wide = labels.ndim == 2 and self.num_classes in (None, labels.shape[1])
        if not (whole or wide) or len(labels) != count:
            raise ShapeError(
                f"{type(self).__name__}: labels should be ({count},) with num_classes, or "
                f"({count}, classes), got {describe(labels)}."
            )

    def _mixed_labels(self, labels: Tensor, share: float) -> Tensor:
        if labels.ndim == 1:
            labels = one_hot(labels.to(dtypes.int64), self.num_classes or -1)
        if not labels.is_floating_point():
            labels = labels.to(dtypes.float32)
        return labels.roll(1, 0) * (1 - share) + labels * share

    def _draw(self, height: int, width: int) -> tuple[float, Callable[[Tensor], Tensor]]:
        """The share of an image that stays, and the change of a batch."""
        raise NotImplementedError


class MixUp(_Mixing):
    """Each image is a mixture of itself and the one before it in the batch, and so is its label.

    Source: Zhang et al., "mixup: beyond empirical risk minimization", 2017.

    >>> import fovea
    >>> images, labels = fovea.rand(4, 3, 8, 8), fovea.tensor([0, 1, 2, 1])
    >>> MixUp(num_classes=3)(images, labels)[1].shape
    fovea.Size([4, 3])
    """

    def _draw(self, height: int, width: int) -> tuple[float, Callable[[Tensor], Tensor]]:
        share = beta(self.alpha)

        def change(images: Tensor) -> Tensor:
            if not images.is_floating_point():
                raise ArgumentError(
                    f"MixUp: images of floats are needed, got {describe(images)}.",
                    fix="ToDtype(float32, scale=True) before it",
                )
            return images.roll(1, 0) * (1 - share) + images * share

        return share, change


class CutMix(_Mixing):
    """A random box of each image is taken from the one before it in the batch; labels are mixed by
    the areas.

    Source: Yun et al., "CutMix: regularization strategy to train strong classifiers with
    localizable features", 2019.

    >>> import fovea
    >>> images, labels = fovea.rand(4, 3, 8, 8), fovea.tensor([0, 1, 2, 1])
    >>> CutMix(num_classes=3)(images, labels)[0].shape
    fovea.Size([4, 3, 8, 8])
    """

    def _draw(self, height: int, width: int) -> tuple[float, Callable[[Tensor], Tensor]]:
        half = 0.5 * (1 - beta(self.alpha)) ** 0.5
        x, y = draws.integer(0, width), draws.integer(0, height)
        x1, x2 = max(x - int(half * width), 0), min(x + int(half * width), width)
        y1, y2 = max(y - int(half * height), 0), min(y + int(half * height), height)
        share = 1 - (x2 - x1) * (y2 - y1) / (width * height)

        def change(images: Tensor) -> Tensor:
            mixed = images.clone()
            mixed[..., y1:y2, x1:x2] = images.roll(1, 0)[..., y1:y2, x1:x2]
            return mixed

        return share, change
