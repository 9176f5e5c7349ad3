"""STL-10: few labeled photographs and many that are not, from binary files.

Source: A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in unsupervised feature
learning", 2011.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import download_and_extract_archive
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PlanesDataset,
    Transform,
    check_labels,
)

__all__ = ["STL10"]

_IMAGE = 3 * 96 * 96


class STL10(PlanesDataset):
    """Photographs of 96×96 in 10 classes: 5,000 + 8,000, and 100,000 without labels.

    Args:
        root: the folder with ``stl10_binary``, or that folder itself.
        split: ``"train"``, ``"test"``, ``"unlabeled"`` or ``"train+unlabeled"`` (without a label:
            -1).
        folds: one of the ten parts of 1,000 training photographs, 0 to 9; None: all.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        download: fetch the archive (2.6 GB) if the files are not there.

    Attributes:
        data: uint8 (samples, 3, 96, 96).
        labels: int64 (samples,).

    Raises:
        DatasetNotFoundError: the files are not there.
        FileFormatError, LabelError: a file is damaged; the message names it.
    """

    base_folder: ClassVar[str] = "stl10_binary"
    url: ClassVar[str] = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
    filename: ClassVar[str] = "stl10_binary.tar.gz"
    tgz_md5: ClassVar[str] = "91f7769df0f17e558f3565bffb0c7dfb"
    splits: ClassVar[tuple[str, ...]] = ("train", "train+unlabeled", "unlabeled", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        folds: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if split not in self.splits:
            raise ArgumentError(f"STL10: split is one of {self.splits}, got {split!r}.")
        if folds is not None and folds not in range(10):
            raise ArgumentError(f"STL10: folds is a number from 0 to 9, got {folds!r}.")
        self.split, self.folds = split, folds
        parts = split.split("+")
        folder = self._folder(parts[0])
        if folder is None and download:
            download_and_extract_archive(
                self.url, self.root, filename=self.filename, md5=self.tgz_md5
            )
            folder = self._folder(parts[0])
        if folder is None:
            raise DatasetNotFoundError(
                f"STL10: no file {parts[0]}_X.bin in {self.root} or {self.base_folder} there.",
                fix="download=True fetches it",
            )
        read = [self._read(folder, part) for part in parts]
        self.data = np.concatenate([images for images, _ in read])
        self.labels = np.concatenate([labels for _, labels in read])
        names = folder / "class_names.txt"
        if names.is_file():
            self.classes = names.read_text("utf-8").split()

    def _folder(self, part: str) -> Path | None:
        for folder in (Path(self.root) / self.base_folder, Path(self.root)):
            if (folder / f"{part}_X.bin").is_file():
                return folder
        return None

    def _read(self, folder: Path, part: str) -> tuple[Any, Any]:
        """Images (samples, 3, 96, 96) and labels, of the chosen fold."""
        path = folder / f"{part}_X.bin"
        raw = np.fromfile(path, np.uint8)
        if not len(raw) or len(raw) % _IMAGE:
            raise FileFormatError(
                f"{path} has {len(raw):,} bytes, no whole number of images of {_IMAGE:,}."
            )
        images = raw.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)  # stored column by column
        if part == "unlabeled":
            return images, np.full(len(images), -1, np.int64)
        path = folder / f"{part}_y.bin"
        if not path.is_file():
            raise DatasetNotFoundError(f"STL10: there is no file {path}.")
        labels = np.fromfile(path, np.uint8).astype(np.int64) - 1
        if len(labels) != len(images):
            raise FileFormatError(f"{path} has {len(labels)} labels for {len(images)} images.")
        check_labels(labels, 10, path)
        if part == "train" and self.folds is not None:
            chosen = self._fold(folder / "fold_indices.txt", len(images))
            return images[chosen], labels[chosen]
        return images, labels

    def _fold(self, path: Path, count: int) -> Any:
        try:
            line = path.read_text("ascii").splitlines()[self.folds or 0]
            chosen = np.array(line.split(), np.int64)
        except FileNotFoundError as error:
            raise DatasetNotFoundError(f"STL10: there is no file {path}.") from error
        except (ValueError, IndexError, UnicodeError) as error:
            raise FileFormatError(f"{path} is no list of folds: {error}") from error
        if not len(chosen) or chosen.min() < 0 or chosen.max() >= count:
            raise FileFormatError(f"{path} names images that are not there.")
        return chosen
