"""Images of any size made into a batch, and what a network finds in it put back on the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import tensor
from fovea.functions.joining import stack
from fovea.functions.random import randint
from fovea.vision.models.detection.image_list import ImageList, check_image
from fovea.vision.models.detection.masks import paste_masks_in_image

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["GeneralizedRCNNTransform", "resize_boxes", "resize_keypoints"]

Target = dict[str, Any]


class GeneralizedRCNNTransform(nn.Module):
    """Normalizes images, resizes them and their targets, and pads them to one size.

    Args:
        min_size: the shorter side after resizing; of several, training draws one and evaluation
            takes the last.
        max_size: the most that the longer side may have.
        image_mean, image_std: y = (x - mean) / std, channel by channel.
        size_divisible: sides of the batch are multiples of it.
        fixed_size: (width, height) of every image, whatever its shape.
        _skip_resize: leave sizes as they are.

    ``forward(images, targets)`` takes images (C, H, W) and dictionaries of ``boxes`` and, if there
    are, ``masks`` and ``keypoints``; it returns an `ImageList` and new dictionaries.

    >>> import fovea
    >>> transform = GeneralizedRCNNTransform(32, 64, [0.5] * 3, [0.5] * 3)
    >>> images, _ = transform([fovea.rand(3, 64, 80), fovea.rand(3, 40, 20)])
    >>> images.tensors.shape, images.image_sizes
    (fovea.Size([2, 3, 64, 64]), [(32, 40), (64, 32)])
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        size_divisible: int = 32,
        fixed_size: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.min_size = (min_size,) if isinstance(min_size, int) else min_size
        self.max_size = max_size
        self.image_mean, self.image_std = image_mean, image_std
        self.size_divisible, self.fixed_size = size_divisible, fixed_size
        self._skip_resize = kwargs.pop("_skip_resize", False)

    def forward(
        self, images: Any, targets: list[Target] | None = None
    ) -> tuple[ImageList, list[Target] | None]:
        given: list[Target | None] = [None] * len(images)
        if targets is not None:
            given = [dict(target) for target in targets]
        done = []
        for image, target in zip(images, given, strict=True):
            check_image(image)
            done.append(self.resize(self.normalize(image), target))
        sizes = [(image.shape[1], image.shape[2]) for image, _ in done]
        batch = self.batch_images([image for image, _ in done], self.size_divisible)
        after = None if targets is None else [target for _, target in done if target is not None]
        return ImageList(batch, sizes), after

    def normalize(self, image: Tensor) -> Tensor:
        """An image (C, H, W) less the mean, over the deviation."""
        mean, std = (
            tensor(list(values), dtype=image.dtype)[:, None, None]
            for values in (self.image_mean, self.image_std)
        )
        return (image - mean) / std

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """An image at the size that this transformation asks for, and its target with it."""
        height, width = image.shape[-2:]
        if self._skip_resize and self.training:
            return image, target
        size = self._size(height, width)
        image = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
        if target is None:
            return image, target
        target["boxes"] = resize_boxes(target["boxes"], (height, width), size)
        if "masks" in target:
            masks = target["masks"]
            if masks.ndim != 3 or tuple(masks.shape[1:]) != (height, width):
                raise ShapeError(
                    f"masks must be (N, {height}, {width}) as their image, got {describe(masks)}."
                )
            resized = F.interpolate(masks[:, None].float(), size=size, mode="nearest")
            target["masks"] = resized[:, 0].to(masks.dtype)
        if "keypoints" in target:
            target["keypoints"] = resize_keypoints(target["keypoints"], (height, width), size)
        return image, target

    def _size(self, height: int, width: int) -> tuple[int, int]:
        if self.fixed_size is not None:
            return self.fixed_size[1], self.fixed_size[0]
        shorter = self.torch_choice(self.min_size) if self.training else self.min_size[-1]
        scale = min(shorter / min(height, width), self.max_size / max(height, width))
        return math.floor(height * scale), math.floor(width * scale)

    def torch_choice(self, k: Sequence[int]) -> int:
        """One of several numbers, drawn by the framework's generator."""
        return k[int(randint(0, len(k), (1,)))] if len(k) > 1 else k[0]

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Images (C, H, W) as one tensor, zeros to the right of and below each."""
        if not images:
            raise ArgumentError("there is no image.")
        sides = (max(image.shape[d] for image in images) for d in (1, 2))
        height, width = (-(-side // size_divisible) * size_divisible for side in sides)
        return stack([F.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in images], 0)

    def postprocess(
        self,
        result: list[Target],
        image_shapes: list[tuple[int, int]],
        original_image_sizes: list[tuple[int, int]],
    ) -> list[Target]:
        """What was found in evaluation, in pixels of the original images; as is in training.

        Args:
            result: for each image ``boxes`` and, if there are, ``masks`` and ``keypoints``.
            image_shapes: (height, width) of the images that the network saw.
            original_image_sizes: those of the images that came in.
        """
        if self.training:
            return result
        for found, seen, original in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], seen, original)
            if "masks" in found:
                found["masks"] = paste_masks_in_image(found["masks"], found["boxes"], original)
            if "keypoints" in found:
                found["keypoints"] = resize_keypoints(found["keypoints"], seen, original)
        return result

    def __repr__(self) -> str:
        resize = f"Resize(min_size={self.min_size}, max_size={self.max_size}, mode='bilinear')"
        normalize = f"Normalize(mean={self.image_mean}, std={self.image_std})"
        return f"{type(self).__name__}(\n    {normalize}\n    {resize}\n)"


def _factors(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """(right, down)."""
    return after[1] / before[1], after[0] / before[0]


def resize_boxes(boxes: Tensor, original_size: Sequence[int], new_size: Sequence[int]) -> Tensor:
    """Boxes (N, 4) of an image of ``original_size`` (height, width) at ``new_size``."""
    x, y = _factors(original_size, new_size)
    return boxes * tensor([x, y, x, y], dtype=boxes.dtype)


def resize_keypoints(
    keypoints: Tensor, original_size: Sequence[int], new_size: Sequence[int]
) -> Tensor:
    """Points (N, K, 3), x, y, visibility, of an image of ``original_size`` at ``new_size``."""
    if keypoints.ndim != 3 or keypoints.shape[2] != 3:
        raise ShapeError(f"keypoints must be (N, K, 3), got {describe(keypoints)}.")
    x, y = _factors(original_size, new_size)
    return keypoints * tensor([x, y, 1.0], dtype=keypoints.dtype)
