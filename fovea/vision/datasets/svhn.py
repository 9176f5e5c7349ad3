"""Street View House Numbers, from Matlab's files (read by SciPy).

Source: Y. Netzer et al., "Reading digits in natural images with unsupervised feature learning",
2011.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import download_file
from fovea.vision.datasets.matlab import read_matlab
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PlanesDataset,
    Transform,
    check_labels,
)

__all__ = ["SVHN"]

Array = np.ndarray[Any, Any]


class SVHN(PlanesDataset):
    """Digits of house numbers: color images of 32×32 in 10 classes; 73,257 + 26,032, and 531,131
    more.

    Args:
        root: the folder with ``train_32x32.mat`` and its kin.
        split: ``"train"``, ``"test"`` or ``"extra"``.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        download: fetch the file if it is not there.

    Attributes:
        data: uint8 (samples, 3, 32, 32).
        labels: int64 (samples,), the digits.

    Raises:
        DatasetNotFoundError: the file is not there.
        FileFormatError, LabelError: it is damaged.
        MissingExtraError: SciPy is not installed.
    """

    address: ClassVar[str] = "http://ufldl.stanford.edu/housenumbers/"
    split_list: ClassVar[dict[str, tuple[str, str]]] = {
        "train": ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        "test": ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        "extra": ("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"),
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if split not in self.split_list:
            raise ArgumentError(f"SVHN: split is one of {[*self.split_list]}, got {split!r}.")
        self.split = split
        name, md5 = self.split_list[split]
        path = Path(self.root) / name
        if download:
            download_file(self.address + name, path, md5=md5)
        if not path.is_file():
            raise DatasetNotFoundError(
                f"SVHN: there is no file {path}.", fix="download=True fetches it"
            )
        self.data, self.labels = _read(path)
        check_labels(self.labels, 10, path)
        self.classes = [str(digit) for digit in range(10)]


def _read(path: Path) -> tuple[Array, Array]:
    images, labels = read_matlab("SVHN", path, "X", "y")
    if images.ndim != 4 or images.shape[:3] != (32, 32, 3) or images.dtype != np.uint8:
        raise FileFormatError(f"{path}: X should be uint8 (32, 32, 3, samples), it is "
                              f"{images.dtype} {images.shape}.")  # fmt: skip
    if labels.size != images.shape[3]:
        raise FileFormatError(f"{path} has {labels.size} labels for {images.shape[3]} images.")
    digits = labels.reshape(-1).astype(np.int64)
    return images.transpose(3, 2, 0, 1), np.where(digits == 10, 0, digits)  # they write 0 as 10
