"""What layers that change images have in common: layouts, single images, dictionaries, draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.random import rand
from fovea.functions.shaping import permute
from fovea.keras import config
from fovea.keras.layers.activation import _SameShape
from fovea.random import Generator
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ImageLayer", "RandomImageLayer", "factor_pair", "value_pair"]

Drawn = dict[str, Any]


def factor_pair(
    name: str, factor: Any, least: float = -1.0, most: float = 1.0, *, low: float | None = None
) -> tuple[float, float]:
    """A factor as (lower, upper): a number f gives (-f, f), cut to ``least``, or (``low``, f).

    Raises:
        ArgumentError: no number or pair, or outside [``least``, ``most``].
    """
    wrong = f"{name} must be a number from {least:g} to {most:g}, or two, got {factor!r}."
    if isinstance(factor, list | tuple):
        if len(factor) != 2 or max(factor) > most or min(factor) < least:
            raise ArgumentError(wrong)
        lower, upper = sorted(float(f) for f in factor)
        return lower, upper
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise ArgumentError(wrong)
    if not least <= factor <= most:
        raise ArgumentError(wrong)
    size = abs(float(factor))
    return (max(-size, least) if low is None else low), size


def value_pair(name: str, value_range: Any) -> tuple[float, float]:
    """The least and the greatest value of a pixel."""
    if not isinstance(value_range, list | tuple) or len(value_range) != 2:
        raise ArgumentError(f"{name}: value_range must be two numbers, got {value_range!r}.")
    low, high = sorted(value_range)
    return low, high


class ImageLayer(_SameShape):
    """A layer that changes images: batches or single ones, or dictionaries with ``"images"``.

    A dictionary may hold ``"labels"`` and ``"segmentation_masks"``, too: they are changed along.

    A subclass gives ``change(images, drawn)`` for a batch (N, H, W, C), whatever the layer's
    layout.
    """

    always: bool = True  # whether it works outside of training

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.built = True

    def call(self, data: Any, training: bool = True) -> Any:
        if not isinstance(data, dict):
            return self._changed(data, training)[0]
        if "bounding_boxes" in data:
            raise ArgumentError(
                f"{self.name}: bounding boxes are not changed along.",
                fix="use fovea.vision.transforms.v2, or keep them out of the dictionary",
            )
        found = dict(data)
        found["images"], drawn = self._changed(data["images"], training)
        if training or self.always:
            if "labels" in data:
                found["labels"] = self.change_labels(data["labels"], drawn)
            if "segmentation_masks" in data:
                masks, back = self._inward(data["segmentation_masks"])
                found["segmentation_masks"] = back(self.change_masks(masks, drawn))
        return found

    def _changed(self, images: Tensor, training: bool) -> tuple[Tensor, Drawn]:
        batch, back = self._inward(images)
        if not training and not self.always:
            return images, {}
        drawn = self.draw(batch)
        return back(self.change(batch, drawn)), drawn

    def _inward(self, images: Any) -> tuple[Tensor, Any]:
        """Images as (N, H, W, C), and the way back."""
        if not is_tensor(images) or images.ndim not in (3, 4):
            what = describe(images) if is_tensor(images) else type(images).__name__
            raise ShapeError(f"{self.name}: images have 3 or 4 dimensions, got {what}.")
        single, first = images.ndim == 3, self.data_format == "channels_first"
        batch = images.unsqueeze(0) if single else images
        batch = permute(batch, (0, 2, 3, 1)) if first else batch

        def back(changed: Tensor) -> Tensor:
            changed = permute(changed, (0, 3, 1, 2)) if first else changed
            return changed.squeeze(0) if single else changed

        return batch, back

    def draw(self, images: Tensor) -> Drawn:
        """The random numbers of one call for a batch (N, H, W, C)."""
        return {}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        """A changed batch (N, H, W, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define change().")

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        """What becomes of masks (N, H, W, C): nothing, where pixels stay in place."""
        return masks

    def change_labels(self, labels: Tensor, drawn: Drawn) -> Tensor:
        """What becomes of labels (N, ...)."""
        return labels


class RandomImageLayer(ImageLayer):
    """An `ImageLayer` that draws, from its own seed or the default generator, only in training."""

    always = False

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.seed = None if seed is None else int(seed)
        own = None if self.seed is None else Generator().manual_seed(self.seed)
        self.__dict__["_generator"] = own

    def uniform(self, shape: Sequence[int], low: float, high: float, images: Tensor) -> Tensor:
        """Numbers from ``low`` to ``high``, on the images' device, of at least float32."""
        kind = images.dtype if images.dtype.itemsize >= 4 else "float32"
        return rand(*shape, generator=self._generator, dtype=kind) * (high - low) + low

    def chosen(self, count: int, factor: tuple[float, float], images: Tensor) -> Tensor:
        """Which of ``count`` images change: with a probability drawn from ``factor``; (N, 1, 1,
        1), bool.
        """
        probability = self.uniform((count,), *factor, images)
        hit = self.uniform((count,), 0.0, 1.0, images) < probability
        return hit.reshape(count, 1, 1, 1)
