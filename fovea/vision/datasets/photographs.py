"""Photographs of pets, flowers and dishes, each set as its own page offers it.

Sources: O. Parkhi et al., "Cats and dogs", 2012; M.-E. Nilsback and A. Zisserman, "Automated flower
classification over a large number of classes", 2008; L. Bossard et al., "Food-101", 2014.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import download_and_extract_archive, download_file
from fovea.vision.datasets.flower_names import FLOWERS
from fovea.vision.datasets.folder import default_loader
from fovea.vision.datasets.matlab import read_matlab
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PairTransform,
    Transform,
    VisionDataset,
)
from fovea.vision.io import open_image

__all__ = ["Flowers102", "Food101", "OxfordIIITPet"]


class _Photographs(VisionDataset):
    """Files of photographs in ``images``, and a class number for each in ``labels``.

    Attributes:
        classes: the classes' names.
    """

    images: list[str]
    labels: list[int]
    classes: list[str]
    split: str
    loader: Callable[[Any], Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transformed(self.loader(self.images[index]), self.labels[index])

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class names to class numbers."""
        return {name: i for i, name in enumerate(self.classes)}

    def extra_repr(self) -> str:
        return f"split={self.split}"

    def _choose(self, split: str, known: Sequence[str]) -> None:
        if split not in known:
            name = type(self).__name__
            raise ArgumentError(f"{name}: split is one of {tuple(known)}, got {split!r}.")
        self.split = split

    def _require(self, *paths: Path) -> None:
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise DatasetNotFoundError(
                f"{type(self).__name__}: there is no {missing[0]}.", fix="download=True fetches it"
            )


class OxfordIIITPet(_Photographs):
    """Photographs of cats and dogs of 37 breeds: 3,680 + 3,669; a sample is an RGB PIL image and
    what ``target_types`` says.

    Args:
        root: the folder with ``oxford-iiit-pet``, which holds ``images`` and ``annotations``.
        split: ``"trainval"`` or ``"test"``.
        target_types: ``"category"`` (the breed's number), ``"binary-category"`` (0 a cat, 1 a dog),
            ``"segmentation"`` (a PIL image of 1 pet, 2 background, 3 border), or several of them;
            of several a sample has a tuple, of none None.
        transforms: a function of both, instead of the next two.
        transform: a function of the PIL image.
        target_transform: a function of the target.
        download: fetch the archives (800 MB) if they are not there.

    Raises:
        ArgumentError: an unknown split or type.
        DatasetNotFoundError: the folders are not there.
        FileFormatError: the list of photographs is damaged.
    """

    address: ClassVar[str] = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
    archives: ClassVar[dict[str, str]] = {
        "images.tar.gz": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
        "annotations.tar.gz": "95a8c909bbe2e81eed6a22bccdf3f68f",
    }
    types: ClassVar[tuple[str, ...]] = ("category", "binary-category", "segmentation")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "trainval",
        target_types: Sequence[str] | str = "category",
        transforms: PairTransform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self._choose(split, ("trainval", "test"))
        wanted = [target_types] if isinstance(target_types, str) else list(target_types)
        if any(t not in self.types for t in wanted):
            raise ArgumentError(
                f"OxfordIIITPet: target_types is of {self.types}, got {target_types!r}."
            )
        self.target_types, self.loader = wanted, default_loader
        folder = Path(self.root) / "oxford-iiit-pet"
        photographs, notes = folder / "images", folder / "annotations"
        if download and not (photographs.is_dir() and notes.is_dir()):
            for name, md5 in self.archives.items():
                download_and_extract_archive(self.address + name, folder, md5=md5)
        listed = notes / f"{split}.txt"
        self._require(photographs, notes, listed)
        names, self.labels, self.species = _pets(listed)
        self.images = [str(photographs / f"{name}.jpg") for name in names]
        self.masks = [str(notes / "trimaps" / f"{name}.png") for name in names]
        self.bin_classes = ["Cat", "Dog"]
        breeds = {label: n.rpartition("_")[0] for n, label in zip(names, self.labels, strict=True)}
        self.classes = [
            " ".join(part.title() for part in breeds[label].split("_")) for label in sorted(breeds)
        ]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        readers: dict[str, Callable[[], Any]] = {
            "category": lambda: self.labels[index],
            "binary-category": lambda: self.species[index],
            "segmentation": lambda: open_image(self.masks[index], None, exif=False),
        }
        found = [readers[t]() for t in self.target_types]
        target = tuple(found) if len(found) > 1 else found[0] if found else None
        return self.transformed(self.loader(self.images[index]), target)


def _pets(path: Path) -> tuple[list[str], list[int], list[int]]:
    """Names, breeds and species from a list of photographs."""
    names, breeds, species = [], [], []
    try:
        for line in path.read_text("utf-8").splitlines():
            name, breed, kind, _ = line.split()
            names.append(name)
            breeds.append(int(breed) - 1)
            species.append(int(kind) - 1)
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} is no list of photographs: {error}") from error
    return names, breeds, species


class Flowers102(_Photographs):
    """Photographs of flowers of 102 kinds: 1,020 + 1,020 + 6,149.

    Args:
        root: the folder with ``flowers-102``, which holds ``jpg`` and two of Matlab's files.
        split: ``"train"``, ``"val"`` or ``"test"``.
        transform: a function of the image.
        target_transform: a function of the class number.
        download: fetch the files (330 MB) if they are not there.
        loader: from a path to an image.

    Raises:
        ArgumentError: an unknown split.
        DatasetNotFoundError: the files are not there.
        FileFormatError: they are damaged.
        MissingExtraError: SciPy is not installed.
    """

    address: ClassVar[str] = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    files: ClassVar[dict[str, str]] = {
        "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
        "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
        "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
    }
    splits: ClassVar[dict[str, str]] = {"train": "trnid", "val": "valid", "test": "tstid"}

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
        loader: Callable[[Any], Any] = default_loader,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._choose(split, [*self.splits])
        folder = Path(self.root) / "flowers-102"
        labels, parts = folder / "imagelabels.mat", folder / "setid.mat"
        if download and not (folder / "jpg").is_dir():
            name, md5 = next(iter(self.files.items()))
            download_and_extract_archive(self.address + name, folder, md5=md5)
        if download:
            for path in (labels, parts):
                download_file(self.address + path.name, path, md5=self.files[path.name])
        self._require(folder / "jpg", labels, parts)
        of_all = _numbers(labels, "labels")
        chosen = _numbers(parts, self.splits[split])
        if chosen.min(initial=1) < 1 or chosen.max(initial=1) > len(of_all):
            raise FileFormatError(f"{parts} names photographs that {labels} has no label of.")
        self.labels = [int(of_all[n - 1]) - 1 for n in chosen]
        if not {*self.labels} <= {*range(len(FLOWERS))}:
            raise FileFormatError(f"{labels} has labels outside 1 ... {len(FLOWERS)}.")
        self.images = [str(folder / "jpg" / f"image_{n:05d}.jpg") for n in chosen]
        self.classes, self.loader = list(FLOWERS), loader


def _numbers(path: Path, name: str) -> np.ndarray[Any, Any]:
    """A row of whole numbers from a file of Matlab's."""
    values = read_matlab("Flowers102", path, name)[0]
    try:
        return np.asarray(values).reshape(-1).astype(np.int64)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: {name} are no numbers: {error}") from error


class Food101(_Photographs):
    """Photographs of 101 dishes: 75,750 + 25,250.

    Args:
        root: the folder with ``food-101``, which holds ``images`` and ``meta``.
        split: ``"train"`` or ``"test"``.
        transform: a function of the image.
        target_transform: a function of the class number.
        download: fetch the archive (5 GB) if it is not there.
        loader: from a path to an image.

    Raises:
        ArgumentError: an unknown split.
        DatasetNotFoundError: the folders are not there.
        FileFormatError: the list of photographs is damaged.
    """

    address: ClassVar[str] = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
    md5: ClassVar[str] = "85eeb15f3717b99a5da872d97d918f87"

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
        loader: Callable[[Any], Any] = default_loader,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._choose(split, ("train", "test"))
        folder = Path(self.root) / "food-101"
        if download and not ((folder / "meta").is_dir() and (folder / "images").is_dir()):
            download_and_extract_archive(self.address, self.root, md5=self.md5)
        listed = folder / "meta" / f"{split}.json"
        self._require(folder / "images", listed)
        names = _dishes(listed)
        self.classes, self.loader = sorted(names), loader
        numbers = self.class_to_idx
        pairs = [(numbers[dish], name) for dish, of_dish in names.items() for name in of_dish]
        self.labels = [number for number, _ in pairs]
        self.images = [str(folder.joinpath("images", *f"{n}.jpg".split("/"))) for _, n in pairs]


def _dishes(path: Path) -> dict[str, list[str]]:
    """The photographs of each dish."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    plain = isinstance(found, dict) and all(
        isinstance(names, list)
        and all(isinstance(n, str) and ".." not in n.split("/") for n in names)
        for names in found.values()
    )
    if not plain:
        raise FileFormatError(f"{path} is no table of dishes and photographs.")
    return dict(found)
