"""CIFAR-10 and CIFAR-100, from the Python archives (read without running anything in them) or the
binary ones.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import FileFormatError
from fovea.utils.download import download_and_extract_archive
from fovea.vision.datasets.safe_pickle import load_plain_pickle
from fovea.vision.datasets.vision import ArrayDataset, DatasetNotFoundError, Transform, check_labels

__all__ = ["CIFAR10", "CIFAR100"]

_PIXELS = 3 * 32 * 32
_Part = tuple[np.ndarray[Any, Any], list[int]]


class CIFAR10(ArrayDataset):
    """Small photographs: 50,000 + 10,000 color images of 32×32 in 10 classes.

    Read from ``root/cifar-10-batches-py`` (where it is downloaded to) or
    ``root/cifar-10-batches-bin``; ``root`` may also be that folder itself.

    Args:
        root: the folder.
        train: the training part or the test part.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        download: fetch the Python archive (170 MB) if the files are not there.

    Attributes:
        data: NumPy uint8 (samples, 32, 32, 3).
        targets: a list of class numbers.

    Raises:
        DatasetNotFoundError: the files are not there.
        FileFormatError, LabelError: a file is damaged or holds something else; the message names
            the file.
        MissingExtraError: when a sample is read and Pillow is not installed (``data`` and
            ``targets`` need none).
    """

    base_folder: ClassVar[str] = "cifar-10-batches-py"
    binary_folder: ClassVar[str] = "cifar-10-batches-bin"
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename: ClassVar[str] = "cifar-10-python.tar.gz"
    tgz_md5: ClassVar[str] = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar[list[str]] = [f"data_batch_{i}" for i in range(1, 6)]
    test_list: ClassVar[list[str]] = ["test_batch"]
    meta: ClassVar[tuple[str, str, str]] = ("batches.meta", "label_names", "batches.meta.txt")
    label_key: ClassVar[str] = "labels"
    label_bytes: ClassVar[int] = (
        1  # in a binary record, before the pixels; the last of them is the class
    )
    class_count: ClassVar[int] = 10

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        names = self.train_list if train else self.test_list
        folder = self._folder(names)
        if folder is None and download:
            self.download()
            folder = self._folder(names)
        if folder is None:
            raise DatasetNotFoundError(
                f"{type(self).__name__}: no file {names[0]} or {names[0]}.bin in {self.root},"
                f" {self.base_folder} or {self.binary_folder} there.",
                fix="download=True fetches it",
            )
        parts = [self._read(folder, name) for name in names]
        planes = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        self.targets = [label for _, labels in parts for label in labels]
        self.classes = self._read_classes(folder)

    def download(self) -> None:
        """Fetch and unpack the archive."""
        download_and_extract_archive(self.url, self.root, filename=self.filename, md5=self.tgz_md5)

    def _folder(self, names: list[str]) -> Path | None:
        root = Path(self.root)
        for folder in (root / self.base_folder, root / self.binary_folder, root):
            if any((folder / (names[0] + suffix)).is_file() for suffix in ("", ".bin")):
                return folder
        return None

    def _read(self, folder: Path, name: str) -> _Part:
        """Pixels (samples, 3072) and labels of one file."""
        pickled, binary = folder / name, folder / f"{name}.bin"
        if pickled.is_file() or not binary.is_file():
            path, (pixels, labels) = pickled, self._read_pickle(pickled)
        else:
            path, (pixels, labels) = binary, self._read_binary(binary)
        if len(labels) != len(pixels):
            raise FileFormatError(f"{path} has {len(labels)} labels for {len(pixels)} images.")
        check_labels(np.asarray(labels, np.int64), self.class_count, path)
        return pixels, labels

    def _read_pickle(self, path: Path) -> _Part:
        content = load_plain_pickle(path)
        pixels, labels = content.get("data"), content.get(self.label_key)
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
            shape = getattr(pixels, "shape", None)
            raise FileFormatError(
                f"{path}: 'data' should be bytes of shape (samples, {_PIXELS}), found {shape}."
            )
        if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
            raise FileFormatError(f"{path}: {self.label_key!r} should be a list of class numbers.")
        return pixels, labels

    def _read_binary(self, path: Path) -> _Part:
        raw = np.fromfile(path, np.uint8)
        record = self.label_bytes + _PIXELS
        if len(raw) == 0 or len(raw) % record:
            raise FileFormatError(
                f"{path} has {len(raw):,} bytes, no whole number of {record}-byte records: it is"
                " cut short or of another kind."
            )
        rows = raw.reshape(-1, record)
        return rows[:, self.label_bytes :], rows[:, self.label_bytes - 1].tolist()

    def _read_classes(self, folder: Path) -> list[str]:
        """The classes' names, or their numbers where the file with the names is missing."""
        pickled, key, text = self.meta
        if (folder / pickled).is_file():
            names = load_plain_pickle(folder / pickled).get(key)
            if not isinstance(names, list) or len(names) != self.class_count:
                raise FileFormatError(
                    f"{folder / pickled}: {key!r} should be a list of {self.class_count} names."
                )
            return [str(name) for name in names]
        if (folder / text).is_file():
            return (folder / text).read_text("utf-8").split()[: self.class_count]
        return [str(i) for i in range(self.class_count)]


class CIFAR100(CIFAR10):
    """Small photographs: 50,000 + 10,000 color images of 32×32 in 100 (fine) classes; arguments and
    errors as ``CIFAR10``.
    """

    base_folder: ClassVar[str] = "cifar-100-python"
    binary_folder: ClassVar[str] = "cifar-100-binary"
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename: ClassVar[str] = "cifar-100-python.tar.gz"
    tgz_md5: ClassVar[str] = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[list[str]] = ["train"]
    test_list: ClassVar[list[str]] = ["test"]
    meta: ClassVar[tuple[str, str, str]] = ("meta", "fine_label_names", "fine_label_names.txt")
    label_key: ClassVar[str] = "fine_labels"
    label_bytes: ClassVar[int] = 2
    class_count: ClassVar[int] = 100
