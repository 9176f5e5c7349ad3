"""Handwritten digits: 60,000 + 10,000 gray images of 28×28 in 10 classes."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from fovea.errors import FileFormatError
from fovea.keras.utils.downloads import get_file

__all__ = ["load_data"]

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: str = "mnist.npz") -> tuple[Arrays, Arrays]:
    """MNIST as uint8: images (60000, 28, 28) and (10000, 28, 28), labels (60000,) and (10000,).

    Args:
        path: the file's name in the cache, or an absolute path.

    Raises:
        DownloadError: the file is not there and cannot be fetched.
        FileFormatError: it holds something else.
    """
    found = get_file(path, origin=ORIGIN, file_hash=SHA256)
    try:
        with np.load(found, allow_pickle=False) as file:
            train, test = ((file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test"))
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as wrong:
        raise FileFormatError(f"{found} is not MNIST as arrays of NumPy: {wrong}") from wrong
    return train, test
