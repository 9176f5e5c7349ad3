"""ImageNet's photographs of 2012's challenge, from its archives or the folders they unpack to.

Source: O. Russakovsky et al., "ImageNet large scale visual recognition challenge", 2015.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fovea import interop
from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.archive import extract_archive
from fovea.utils.download import check_integrity
from fovea.vision.datasets.folder import ImageFolder
from fovea.vision.datasets.matlab import read_matlab
from fovea.vision.datasets.vision import DatasetNotFoundError

__all__ = [
    "ImageNet",
    "load_meta_file",
    "parse_devkit_archive",
    "parse_train_archive",
    "parse_val_archive",
]

ARCHIVE_META = {  # names and MD5 sums
    "train": ("ILSVRC2012_img_train.tar", "1d675b47d978889d74fa0da5fadfb00e"),
    "val": ("ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622"),
    "devkit": ("ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf"),
}
META_FILE = "meta.bin"
_DEVKIT = "ILSVRC2012_devkit_t12"

Root = str | os.PathLike[str]
Meta = tuple[dict[str, tuple[str, ...]], list[str]]


class ImageNet(ImageFolder):
    """Photographs of 1,000 kinds of things: 1,281,167 + 50,000; a sample is an RGB PIL image and a
    class number.

    The archives are to be had from image-net.org after registration. Those that are in ``root`` are
    unpacked on first use to ``root/train/n01440764/*.JPEG`` and the like, the development kit's
    table of classes to ``root/meta.bin`` (the same file as torchvision's).

    Args:
        root: the folder with ``ILSVRC2012_devkit_t12.tar.gz`` (or the folder that it unpacks to, or
            ``meta.bin``), and ``ILSVRC2012_img_train.tar`` or ``ILSVRC2012_img_val.tar`` (or the
            folders ``train`` or ``val`` with a folder a class).
        split: ``"train"`` or ``"val"``.
        kwargs: ``transform``, ``target_transform``, ``loader``, ``is_valid_file`` and
            ``allow_empty`` as of `ImageFolder`.

    Attributes:
        wnids: WordNet's names of the classes, sorted: the folders.
        wnid_to_idx: these to class numbers.
        classes: the words for each class, a tuple.
        class_to_idx: each of the words to the class number.
        imgs, samples, targets: as of `ImageFolder`.

    Raises:
        ArgumentError: another split.
        DatasetNotFoundError: neither archive nor folder is there.
        FileFormatError: an archive or the table is damaged or not the published one.
        MissingExtraError: reading the development kit without SciPy.
    """

    def __init__(self, root: Root, split: str = "train", **kwargs: Any) -> None:
        if split not in ("train", "val"):
            raise ArgumentError(f"ImageNet: split is one of ('train', 'val'), got {split!r}.")
        place = self.root = os.path.expanduser(os.fspath(root))
        self.split = split
        self.parse_archives()
        words = load_meta_file(place)[0]
        super().__init__(self.split_folder, **kwargs)
        self.root = place
        self.wnids = self.classes
        self.wnid_to_idx = self.class_to_idx
        unknown = [wnid for wnid in self.wnids if wnid not in words]
        if unknown:
            raise FileFormatError(
                f"ImageNet: {self.split_folder} has folders that {META_FILE} does not know: "
                f"{', '.join(unknown[:3])}."
            )
        self.classes = [words[wnid] for wnid in self.wnids]  # type: ignore[misc]
        self.class_to_idx = {word: i for i, names in enumerate(self.classes) for word in names}

    def parse_archives(self) -> None:
        """Unpack what is not unpacked yet."""
        if not (Path(self.root) / META_FILE).is_file():
            parse_devkit_archive(self.root)
        load_meta_file(self.root)  # damage is told before an hour of unpacking
        if not os.path.isdir(self.split_folder):
            (parse_train_archive if self.split == "train" else parse_val_archive)(self.root)

    @property
    def split_folder(self) -> str:
        """The folder with a folder a class."""
        return os.path.join(self.root, self.split)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def load_meta_file(root: Root, file: str | None = None) -> Meta:
    """The words of each class by its WordNet name, and the classes of the validation photographs.

    Raises:
        DatasetNotFoundError: there is no such file.
        FileFormatError: it is damaged.
    """
    path = Path(root) / (file or META_FILE)
    if not path.is_file():
        raise DatasetNotFoundError(f"ImageNet: there is no {path}.")
    found = interop.load(path)
    if not isinstance(found, tuple | list) or len(found) != 2 or not _is_meta(*found):
        raise FileFormatError(f"{path} is no table of ImageNet's classes.")
    words = {wnid: (names,) if isinstance(names, str) else tuple(names)
             for wnid, names in found[0].items()}  # fmt: skip
    return words, list(found[1])


def _is_meta(words: Any, truth: Any) -> bool:
    if not isinstance(words, dict) or not isinstance(truth, list | tuple):
        return False
    if not all(isinstance(said, str | tuple | list) for said in words.values()):
        return False
    each = [word for said in words.values() for word in said]
    return all(_is_name(n) for n in (*words, *truth)) and all(isinstance(w, str) for w in each)


def _is_name(wnid: Any) -> bool:
    """Whether it can be a folder's name and nothing else."""
    return isinstance(wnid, str) and re.fullmatch(r"[A-Za-z0-9_-]+", wnid) is not None


def _archive(root: Root, part: str, file: str | None) -> Path:
    name, md5 = ARCHIVE_META[part]
    path = Path(root) / (file or name)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"ImageNet: there is no {path}.",
            fix="fetch it from image-net.org, which asks for a registration, and put it there",
        )
    if not check_integrity(path, md5):
        raise FileFormatError(
            f"{path} is not the published archive, or cut short: its MD5 sum is not {md5}.",
            fix="fetch it again",
        )
    return path


def parse_devkit_archive(root: Root, file: str | None = None) -> None:
    """Write ``meta.bin`` from the development kit, packed or unpacked.

    Args:
        root: the folder with the archive.
        file: its name, if that is another.

    Raises:
        DatasetNotFoundError, FileFormatError: it is not there, or damaged.
    """
    place = Path(root)
    if file is None and (place / _DEVKIT / "data").is_dir():
        meta = _read_devkit(place / _DEVKIT / "data")
    else:
        with tempfile.TemporaryDirectory() as folder:
            extract_archive(_archive(root, "devkit", file), folder)
            meta = _read_devkit(Path(folder) / _DEVKIT / "data")
    interop.save(meta, place / META_FILE)


def _read_devkit(folder: Path) -> Meta:
    table, truth = folder / "meta.mat", folder / "ILSVRC2012_validation_ground_truth.txt"
    for path in (table, truth):
        if not path.is_file():
            raise DatasetNotFoundError(f"ImageNet: the development kit has no {path.name}.")
    rows = read_matlab("ImageNet", table, "synsets", squeeze=True)[0]
    try:
        # A row: number, WordNet's name, words, a sentence, how many kinds are below it, ...
        plain = [row for row in np.atleast_1d(rows) if int(row[4]) == 0]
        names = {int(row[0]): str(row[1]) for row in plain}
        words = {str(row[1]): tuple(str(row[2]).split(", ")) for row in plain}
        numbers = [int(line) for line in truth.read_text("ascii").split()]
        found = words, [names[number] for number in numbers]
    except (ValueError, TypeError, IndexError, KeyError, UnicodeError) as error:
        raise FileFormatError(f"{table} and {truth.name} are no tables of classes: {error}") from (
            error
        )
    if not _is_meta(*found):
        raise FileFormatError(f"{table} has names of classes that are no folders' names.")
    return found


def parse_train_archive(root: Root, file: str | None = None, folder: str = "train") -> None:
    """Unpack the training photographs: an archive of an archive a class.

    Args:
        root: the folder with the archive.
        file: its name, if that is another.
        folder: where to, below ``root``.

    Raises:
        DatasetNotFoundError, FileFormatError: it is not there, or damaged.
    """
    archive = _archive(root, "train", file)

    def unpack(place: Path) -> None:
        extract_archive(archive, place)
        for inner in sorted(place.iterdir()):
            if inner.suffix != ".tar" or not _is_name(inner.stem):
                raise FileFormatError(f"{archive} has {inner.name}, which is no class's archive.")
            extract_archive(inner, inner.with_suffix(""), remove_finished=True)

    _whole(Path(root) / folder, unpack)


def parse_val_archive(
    root: Root, file: str | None = None, wnids: list[str] | None = None, folder: str = "val"
) -> None:
    """Unpack the validation photographs into a folder a class.

    Args:
        root: the folder with the archive.
        file: its name, if that is another.
        wnids: the class of each photograph in the order of their names; None: as ``meta.bin`` says.
        folder: where to, below ``root``.

    Raises:
        DatasetNotFoundError, FileFormatError: it is not there, or damaged, or has another number of
            photographs.
    """
    classes = load_meta_file(root)[1] if wnids is None else wnids
    archive = _archive(root, "val", file)

    def unpack(place: Path) -> None:
        extract_archive(archive, place)
        photographs = sorted(f for f in place.iterdir() if f.is_file())
        if len(photographs) != len(classes):
            raise FileFormatError(
                f"{archive} has {len(photographs):,} photographs; of {len(classes):,} the class is "
                "known."
            )
        for wnid in {*classes}:
            (place / wnid).mkdir()
        for wnid, photograph in zip(classes, photographs, strict=True):
            photograph.rename(place / wnid / photograph.name)

    _whole(Path(root) / folder, unpack)


def _whole(target: Path, unpack: Any) -> None:
    """Fill a folder beside ``target`` and rename it: a folder that is there is whole."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        unpack(partial)
        partial.rename(target)
    except OSError as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"ImageNet: {target} cannot be filled: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
