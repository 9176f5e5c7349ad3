"""Caltech 101 and Caltech 256: photographs of objects, a folder a class.

Sources: L. Fei-Fei, R. Fergus, P. Perona, "Learning generative visual models from few training
examples", 2004; G. Griffin, A. Holub, P. Perona, "Caltech-256 object category dataset", 2007.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.archive import extract_archive
from fovea.utils.download import download_and_extract_archive
from fovea.vision.datasets.matlab import read_matlab
from fovea.vision.datasets.vision import DatasetNotFoundError, Transform, VisionDataset
from fovea.vision.io import open_image

__all__ = ["Caltech101", "Caltech256"]


class _Caltech(VisionDataset):
    """Photographs that are numbered within their class.

    Attributes:
        categories: the classes' names, which are their folders'.
        y: the class of each photograph.
        index: its number within the class.
    """

    photographs: ClassVar[str]  # the folder of the classes' folders
    home: ClassVar[str]

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None,
        target_transform: Transform | None,
        download: bool,
    ) -> None:
        place = os.path.join(os.fspath(root), self.home)
        super().__init__(place, transform=transform, target_transform=target_transform)
        folder = Path(self.root) / self.photographs
        if download and not folder.is_dir():
            self.download()
        if not folder.is_dir():
            raise DatasetNotFoundError(
                f"{type(self).__name__}: there is no folder {folder}.",
                fix="download=True fetches it",
            )
        self.categories = sorted(f.name for f in folder.iterdir() if f.is_dir())
        self.categories = [name for name in self.categories if name != "BACKGROUND_Google"]
        self.index: list[int] = []
        self.y: list[int] = []
        self._files: list[Path] = []
        for number, category in enumerate(self.categories):
            for index, path in self._numbered(folder / category):
                self.index.append(index)
                self.y.append(number)
                self._files.append(path)

    def _numbered(self, folder: Path) -> list[tuple[int, Path]]:
        """The photographs of a class with their numbers, in order."""
        found = []
        for path in folder.iterdir():
            match = re.fullmatch(r"[A-Za-z0-9]+_(\d{1,9})\.jpg", path.name)
            if match:
                found.append((int(match[1]), path))
        return sorted(found)

    def download(self) -> None:
        """Fetch the archive."""
        raise NotImplementedError(f"{type(self).__name__} does not say where it is to be had.")

    def __len__(self) -> int:
        return len(self.index)


class Caltech101(_Caltech):
    """Photographs of 101 kinds of objects (9,144 with a class of faces that are cut out); a sample
    is a PIL image, RGB or gray (L) as it is stored, and what ``target_type`` says.

    Args:
        root: the folder with ``caltech101``, which holds ``101_ObjectCategories`` and, for
            outlines, ``Annotations``.
        target_type: ``"category"`` (the class number), ``"annotation"`` (the object's outline,
            float64 (2, points) of columns and rows), or a list of these: a sample then has a tuple.
        transform: a function of the PIL image.
        target_transform: a function of the target.
        download: fetch the archive (130 MB) if the folder is not there.

    Attributes:
        categories: the classes' names.
        annotation_categories: those of the folders of their outlines.
        y, index: the class of each photograph, and its number there.

    Raises:
        ArgumentError: an unknown type.
        DatasetNotFoundError: the folder is not there.
        FileFormatError: when a damaged file is read.
        MissingExtraError: outlines without SciPy.
    """

    photographs = "101_ObjectCategories"
    home = "caltech101"
    url: ClassVar[str] = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
    md5: ClassVar[str] = "3138e1922a9193bfa496528edbbc45d0"
    types: ClassVar[tuple[str, ...]] = ("category", "annotation")
    # Outlines of some classes lie in folders of other names.
    renamed: ClassVar[dict[str, str]] = {
        "Faces": "Faces_2",
        "Faces_easy": "Faces_3",
        "Motorbikes": "Motorbikes_16",
        "airplanes": "Airplanes_Side_2",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        target_type: Sequence[str] | str = "category",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        wanted = [target_type] if isinstance(target_type, str) else list(target_type)
        if not wanted or any(t not in self.types for t in wanted):
            raise ArgumentError(f"Caltech101: target_type is of {self.types}, got {target_type!r}.")
        super().__init__(root, transform, target_transform, download)
        self.target_type = wanted
        self.annotation_categories = [self.renamed.get(c, c) for c in self.categories]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = open_image(self._files[index], None, exif=False)
        found = [self.y[index] if t == "category" else self._outline(index)
                 for t in self.target_type]  # fmt: skip
        return self.transformed(image, tuple(found) if len(found) > 1 else found[0])

    def _outline(self, index: int) -> np.ndarray[Any, Any]:
        folder = Path(self.root) / "Annotations" / self.annotation_categories[self.y[index]]
        path = folder / f"annotation_{self.index[index]:04d}.mat"
        if not path.is_file():
            raise DatasetNotFoundError(f"Caltech101: there is no outline {path}.")
        outline = read_matlab("Caltech101", path, "obj_contour")[0]
        if outline.ndim != 2 or outline.shape[0] != 2 or outline.dtype.kind not in "fiu":
            raise FileFormatError(f"{path} has no outline of columns and rows.")
        return np.asarray(outline)

    def download(self) -> None:
        """Fetch the archive, and unpack the two archives in it."""
        place = Path(self.root)
        download_and_extract_archive(
            self.url, place, filename="caltech-101.zip", md5=self.md5, remove_finished=True
        )
        inner = place / "caltech-101"
        for archive in sorted(inner.glob("*.tar*")):
            extract_archive(archive, place, remove_finished=True)
        shutil.rmtree(inner, ignore_errors=True)

    def extra_repr(self) -> str:
        return f"Target type: {self.target_type}"


class Caltech256(_Caltech):
    """Photographs of 256 kinds of objects and of clutter: 30,607; a sample is a PIL image, RGB or
    gray (L) as it is stored, and a class number.

    Args:
        root: the folder with ``caltech256``, which holds ``256_ObjectCategories``.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        download: fetch the archive (1.2 GB) if the folder is not there.

    Attributes:
        categories: the classes' names (``"001.ak47"`` ...).
        y, index: the class of each photograph, and its number there.

    Raises:
        DatasetNotFoundError: the folder is not there.
        FileFormatError: when a damaged photograph is read.
    """

    photographs = "256_ObjectCategories"
    home = "caltech256"
    url: ClassVar[str] = (
        "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar"
    )
    md5: ClassVar[str] = "67b4f42ca05d46448c6bb8ecd2220f6d"

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform, download)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = open_image(self._files[index], None, exif=False)
        return self.transformed(image, self.y[index])

    def download(self) -> None:
        """Fetch and unpack the archive."""
        download_and_extract_archive(
            self.url, self.root, filename="256_ObjectCategories.tar", md5=self.md5
        )
