"""A folder a class: ``root/cat/1.jpg``, ``root/dog/2.jpg`` ..."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.datasets.vision import DatasetNotFoundError, Transform, VisionDataset
from fovea.vision.io import open_image

__all__ = [
    "IMG_EXTENSIONS",
    "DatasetFolder",
    "ImageFolder",
    "default_loader",
    "find_classes",
    "has_file_allowed_extension",
    "make_dataset",
]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions: str | tuple[str, ...]) -> bool:
    """Whether a file's name ends in one of the extensions, in upper or lower case.

    >>> has_file_allowed_extension("A.JPG", IMG_EXTENSIONS)
    True
    """
    return filename.lower().endswith(extensions)


def find_classes(directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """The sorted names of the folders in a folder, and the number each has.

    Raises:
        DatasetNotFoundError: the folder is missing or holds no folders.
    """
    if not os.path.isdir(directory):
        raise DatasetNotFoundError(f"there is no folder {os.fspath(directory)}.")
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise DatasetNotFoundError(
            f"{os.fspath(directory)} holds no folders.",
            fix="put each class's images in a folder of its name",
        )
    return classes, {name: i for i, name in enumerate(classes)}


def make_dataset(
    directory: str | os.PathLike[str],
    class_to_idx: dict[str, int] | None = None,
    extensions: str | tuple[str, ...] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """All samples below a folder, as (path, class number), in a fixed order.

    Args:
        directory: the folder with a folder a class.
        class_to_idx: class names to numbers (default: as ``find_classes`` says).
        extensions: endings of a sample's file name.
        is_valid_file: says whether a path is a sample (instead of ``extensions``).
        allow_empty: let a class be without samples.

    Raises:
        ArgumentError: both or neither of ``extensions`` and ``is_valid_file``; or no class.
        DatasetNotFoundError: a class has no sample.
    """
    if (extensions is None) == (is_valid_file is None):
        raise ArgumentError("make_dataset: give either extensions or is_valid_file.")
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ArgumentError("make_dataset: class_to_idx names no class.")
    samples = []
    empty = []
    for name in sorted(class_to_idx):
        paths = [
            path
            for path in _files(os.path.join(os.path.expanduser(directory), name))
            if (is_valid_file(path) if is_valid_file else _ends_in(path, extensions))
        ]
        samples += [(path, class_to_idx[name]) for path in paths]
        if not paths:
            empty.append(name)
    if empty and not allow_empty:
        known = f" Supported extensions are: {', '.join(extensions)}." if extensions else ""
        raise DatasetNotFoundError(
            f"{os.fspath(directory)}: found no valid file for the classes"
            f" {', '.join(empty)}.{known}",
            fix="allow_empty=True keeps them as empty classes",
        )
    return samples


def _files(folder: str) -> list[str]:
    """Every file below a folder, links followed, folder by folder in sorted order."""
    found = []
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [os.path.join(place, name) for name in sorted(names)]
    return found


def _ends_in(path: str, extensions: str | tuple[str, ...] | None) -> bool:
    return has_file_allowed_extension(path, extensions if extensions is not None else ())


class DatasetFolder(VisionDataset):
    """Samples in a folder a class.

    Args:
        root: the folder with a folder a class, at any depth below which samples lie.
        loader: from a path to a sample.
        extensions: endings of a sample's file name.
        transform: a function of the sample.
        target_transform: a function of the class number.
        is_valid_file: says whether a path is a sample (instead of ``extensions``).
        allow_empty: let a class be without samples.

    Attributes:
        classes: the classes' names, sorted.
        class_to_idx: names to numbers.
        samples: (path, class number) of every sample.
        targets: the class number of every sample.

    Raises:
        DatasetNotFoundError: the folder is missing, has no folders, or a class has no sample.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(
            self.root, self.class_to_idx, extensions, is_valid_file, allow_empty
        )
        self.loader = loader
        self.extensions = extensions
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        """Class names and numbers; override it for another layout."""
        return find_classes(directory)

    @staticmethod
    def make_dataset(
        directory: str,
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """All samples; override it for another layout."""
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


def default_loader(path: str) -> Any:
    """A file as an RGB PIL image, turned as a camera's orientation mark says (which torchvision's
    loader leaves out).

    Raises:
        FileFormatError: missing, no image, or cut short; the message names the file.
        MissingExtraError: Pillow is not installed.
    """
    return open_image(path, "RGB")


class ImageFolder(DatasetFolder):
    """Images in a folder a class; a sample is an RGB PIL image and a class number.

    Args:
        root: the folder with a folder a class.
        transform: a function of the PIL image.
        target_transform: a function of the class number.
        loader: from a path to a sample.
        is_valid_file: says whether a path is a sample (default: by the usual endings of image
            files).
        allow_empty: let a class be without samples.

    Attributes and errors are those of ``DatasetFolder``; a file that is no image raises
    ``FileFormatError`` when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(
            root,
            loader,
            IMG_EXTENSIONS if is_valid_file is None else None,
            transform=transform,
            target_transform=target_transform,
            is_valid_file=is_valid_file,
            allow_empty=allow_empty,
        )
        self.imgs = self.samples
