"""Random images, for trying a program out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import OutOfRangeError
from fovea.vision.datasets.vision import Transform, VisionDataset
from fovea.vision.pillow import require_pillow

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """Random images with random labels, the same at every reading; a sample is a PIL image and a
    class number.

    Args:
        size: how many samples.
        image_size: (channels, height, width), with 1 or 3 channels.
        num_classes: how many classes.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        random_offset: added to the index to seed a sample.

    Raises:
        OutOfRangeError: an index outside the dataset.
        MissingExtraError: when a sample is read and Pillow is not installed.

    >>> image, label = FakeData(size=4, image_size=(3, 8, 6))[0]
    >>> image.size, 0 <= label < 10
    ((6, 8), True)
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size = size
        self.image_size = image_size
        self.num_classes = num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.size:
            raise OutOfRangeError(
                f"FakeData: index {index} is outside a dataset of {self.size} samples."
            )
        pil = require_pillow("a sample of FakeData (a PIL image)")
        channels, height, width = self.image_size
        rng = np.random.default_rng(index + self.random_offset)
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        label = int(rng.integers(self.num_classes))
        image = pil.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        return self.transformed(image, label)

    def __len__(self) -> int:
        return self.size
