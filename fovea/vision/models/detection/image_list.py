"""Images of several sizes in one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ImageList", "check_image"]


def check_image(image: Any) -> None:
    """
    Raises:
        ArgumentError: it is no tensor.
        ShapeError: it is not (C, H, W).
        DTypeError: it is of integers.
    """
    if not is_tensor(image):
        raise ArgumentError(
            f"images must be tensors (C, H, W), got {type(image).__name__}.",
            fix="fovea.vision.transforms.functional.to_tensor(image)",
        )
    if image.ndim != 3:
        raise ShapeError(f"images must be a list of tensors (C, H, W), got {describe(image)}.")
    if not image.dtype.is_floating_point:
        raise DTypeError(
            f"images must be of floating point, got {describe(image)}.", fix="image.float() / 255"
        )


class ImageList:
    """A batch of images, padded to a common size, and their sizes before.

    Args:
        tensors: (N, C, H, W).
        image_sizes: (height, width) of each image.

    >>> import fovea
    >>> ImageList(fovea.zeros(2, 3, 32, 32), [(30, 32), (32, 20)]).image_sizes[1]
    (32, 20)
    """

    def __init__(self, tensors: Tensor, image_sizes: list[tuple[int, int]]) -> None:
        self.tensors, self.image_sizes = tensors, image_sizes

    def to(self, device: Any) -> ImageList:
        """The same images on another device or in another type."""
        return ImageList(self.tensors.to(device), self.image_sizes)
