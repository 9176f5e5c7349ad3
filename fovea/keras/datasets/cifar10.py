"""Small photographs: 50,000 + 10,000 color images of 32×32 in 10 classes."""

from __future__ import annotations

import numpy as np

from fovea.keras import config
from fovea.keras.datasets.mnist import Arrays
from fovea.keras.utils.downloads import get_file
from fovea.vision.datasets.cifar import CIFAR10

__all__ = ["load_data"]

SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[Arrays, Arrays]:
    """CIFAR-10 as uint8: images (50000, 32, 32, 3) and (10000, 32, 32, 3), or with their channels
    first where `config.image_data_format` says so; labels (50000, 1) and (10000, 1).

    Raises:
        DownloadError: the archive is not there and cannot be fetched.
        FileFormatError: it holds something else.
    """
    name = "cifar-10-batches-py-target"
    folder = get_file(name, origin=CIFAR10.url, extract=True, file_hash=SHA256)
    return arrays(CIFAR10(folder, train=True)), arrays(CIFAR10(folder, train=False))


def arrays(dataset: CIFAR10) -> Arrays:
    """A dataset's images, in the layout that is configured, and its labels as a column."""
    images, labels = dataset.data, np.array(dataset.targets, np.uint8)
    if config.image_data_format() == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images, labels.reshape(-1, 1)
