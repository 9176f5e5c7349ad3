"""Articles of clothing: 60,000 + 10,000 gray images of 28×28 in 10 classes."""

from __future__ import annotations

import os

from fovea.errors import FileFormatError
from fovea.keras.datasets.mnist import Arrays
from fovea.keras.utils.downloads import get_file
from fovea.vision.datasets.mnist import FashionMNIST, read_idx

__all__ = ["load_data"]

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
FOLDER = os.path.join("datasets", "fashion-mnist")


def load_data() -> tuple[Arrays, Arrays]:
    """Fashion-MNIST as uint8: images (60000, 28, 28) and (10000, 28, 28), labels (60000,) and
    (10000,).

    Raises:
        DownloadError: a file is not there and cannot be fetched.
        FileFormatError: a file holds something else.
    """
    paths = [
        get_file(name, origin=ORIGIN + name, cache_subdir=FOLDER, file_hash=md5)
        for name, md5 in FashionMNIST.resources
    ]
    x_train, y_train, x_test, y_test = map(read_idx, paths)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.ndim != 3 or y.shape != x.shape[:1]:
            raise FileFormatError(
                f"{os.path.dirname(paths[0])}: {y.shape} labels for {x.shape} images."
            )
    return (x_train, y_train), (x_test, y_test)
