"""Images of several sizes in one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ImageList"]


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
