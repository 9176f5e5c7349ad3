"""Folders of images with a folder a class, already in parts or to be cut into them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fovea.cli.preprocess import Preprocess
from fovea.cli.sources import Source
from fovea.cli.splits import stratified_split
from fovea.errors import FileFormatError
from fovea.utils.data import Dataset
from fovea.vision.checking import readable
from fovea.vision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset
from fovea.vision.datasets.vision import DatasetNotFoundError
from fovea.vision.io import open_image

__all__ = ["FolderImages", "folder_source", "folder_test", "skipped_notes"]

_VALIDATION, _TEST = ("val", "valid", "validation"), ("test",)
_SHOWN = 5

# Mean and deviation of photographs at large (those of ImageNet).
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Samples = list[tuple[str, int]]


class FolderImages(Dataset[Any]):
    """Image files with their class numbers, read when they are drawn.

    Args:
        samples: (path, class number) of each.
        mode: the PIL mode to read as.
        transform: from a PIL image to a tensor.
    """

    def __init__(self, samples: Samples, mode: str, transform: Any) -> None:
        self.samples, self.mode, self.transform = samples, mode, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return self.transform(open_image(path, self.mode)), label


def folder_source(
    path: str, *, size: int, share: float, flip: bool, seed: int, skip_bad: bool = False
) -> Source:
    """A folder of class folders, or one with the parts train, val and test.

    Whatever part is missing is cut from the training images, class by class. ``skip_bad`` leaves
    out the files that cannot be read, and notes which; each is then read whole, before training.

    Raises:
        DatasetNotFoundError: no such folder, no classes, or a class without images.
        FileFormatError: files that are no images; the message names them.
    """
    parts = _parts(path)
    train_folder = parts.get("train", path)
    classes, numbers = find_classes(train_folder)
    if len(classes) < 2:
        raise DatasetNotFoundError(
            f"{train_folder} holds one class only ({classes[0]}).",
            fix="put each class's images in a folder of its own",
        )
    train = _samples(train_folder, numbers)
    found = {name: _samples(parts[name], numbers) for name in ("val", "test") if name in parts}
    notes: list[str] = []
    if skip_bad:
        train, *rest = _without_bad([train, *found.values()], path, notes)
        found = dict(zip(found, rest, strict=True))
    else:
        _check_readable([*train, *(s for part in found.values() for s in part)], path)
    origin: dict[str, Any] = {"kind": "folder", "path": os.path.abspath(path)}
    if not parts:
        train, found["test"] = _cut(train, share, seed, keep=2)
        origin["held_out"] = [os.path.relpath(file, path) for file, _ in found["test"]]
        notes.append(
            f"{len(found['test'])} images, {share:.0%} of each class, are kept for testing"
        )
    if "val" not in found:
        train, found["val"] = _cut(train, share, seed + 1, keep=1)
    preprocess = Preprocess(3, size, size, "crop", MEAN, STD)
    plain = preprocess.transform()
    held = {name: FolderImages(samples, "RGB", plain) for name, samples in found.items() if samples}
    return Source(
        title=os.path.basename(os.path.abspath(path)),
        origin=origin,
        classes=classes,
        preprocess=preprocess,
        train=FolderImages(train, "RGB", preprocess.training_transform(flip)),
        validation=held.get("val"),
        test=held.get("test"),
        notes=notes,
    )


def folder_test(
    path: str, classes: list[str], preprocess: Preprocess, held_out: list[str] | None
) -> tuple[Any, str]:
    """Images to measure a checkpoint with, and what to call them.

    Args:
        path: a folder of class folders, or one with a part ``test`` (or ``val``).
        classes: the checkpoint's classes.
        preprocess: how images are prepared.
        held_out: the files in ``path`` that training kept away; None takes all.

    Raises:
        DatasetNotFoundError: no such folder, a class that the checkpoint does not know, or files
            that training kept away are gone.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    title = os.path.basename(os.path.abspath(path))
    if held_out is not None:
        samples = [_held_sample(path, file, numbers) for file in held_out]
        missing = [file for file, _ in samples if not os.path.isfile(file)]
        if missing:
            raise DatasetNotFoundError(
                f"{len(missing)} of the images kept for testing are gone: {_listed(missing)}.",
                fix="name a folder of test images: fovea evaluate CHECKPOINT DATA",
            )
        title = f"{title}, images kept for testing"
    else:
        parts = _parts(path)
        folder = parts.get("test", parts.get("val", path))
        samples = _samples(folder, numbers)
        title = title if folder == path else f"{title}/{os.path.basename(folder)}"
    _check_readable(samples, path)
    return FolderImages(samples, preprocess.mode, preprocess.transform()), title


def _held_sample(folder: str, file: Any, numbers: dict[str, int]) -> tuple[str, int]:
    """A file that a checkpoint names, within the folder and in the folder of a known class."""
    parts = file.replace("\\", "/").split("/") if isinstance(file, str) else [""]
    if len(parts) < 2 or parts[0] not in numbers or ".." in parts:
        raise FileFormatError(
            f"the checkpoint names an image kept for testing that cannot be one: {file!r}."
        )
    return os.path.join(folder, *parts), numbers[parts[0]]


def _parts(path: str) -> dict[str, str]:
    """The folders of the parts ``train``, ``val`` and ``test``; empty if ``path`` is not so
    divided.

    A class may be called ``train``: the folder counts as a part only beside another part or alone.
    """
    if not os.path.isdir(path):
        raise DatasetNotFoundError(f"there is no folder {path}.")
    folders = {entry.name.lower(): entry.path for entry in os.scandir(path) if entry.is_dir()}
    kinds = (("train", ("train",)), ("val", _VALIDATION), ("test", _TEST))
    parts = {kind: folders[name] for kind, names in kinds for name in names if folders.get(name)}
    divided = "train" in parts and (len(parts) > 1 or len(folders) == 1)
    return parts if divided else {}


def _samples(folder: str, numbers: dict[str, int]) -> Samples:
    """All images in a folder's class folders."""
    classes, _ = find_classes(folder)
    unknown = [name for name in classes if name not in numbers]
    if unknown:
        raise DatasetNotFoundError(
            f"{folder} holds the classes {_listed(unknown)}, which the training images lack.",
            {"known": _listed(list(numbers))},
        )
    chosen = {name: numbers[name] for name in classes}
    return make_dataset(folder, chosen, extensions=IMG_EXTENSIONS)


def _cut(samples: Samples, share: float, seed: int, keep: int) -> tuple[Samples, Samples]:
    first, second = stratified_split([label for _, label in samples], share, seed, keep)
    return [samples[i] for i in first], [samples[i] for i in second]


def _without_bad(parts: list[Samples], where: str, notes: list[str]) -> list[Samples]:
    """The samples of each part whose files can be read; notes tell of the others."""
    every = [sample for part in parts for sample in part]
    good, bad = readable(FolderImages(every, "RGB", lambda image: image))
    if bad:
        notes.extend(skipped_notes(bad, len(every)))
    kept = [set(part) & {every[i] for i in good.indices} for part in parts]
    if len({label for _, label in kept[0]}) < len({label for _, label in parts[0]}):
        raise FileFormatError(
            f"{where}: a class has no image that can be read.",
            {f"file {i + 1}": text for i, text in enumerate(bad[:_SHOWN])},
        )
    return [[s for s in part if s in held] for part, held in zip(parts, kept, strict=True)]


def skipped_notes(bad: list[str], count: int) -> list[str]:
    """What people are told of samples that are left out: how many, and each with its reason."""
    return [f"{len(bad)} of {count} samples cannot be read and are left out:", *bad]


def _check_readable(samples: Samples, where: str) -> None:
    """Look at the head of every file, so that a broken one is told before training, not within."""
    with ThreadPoolExecutor(8) as pool:
        problems = [p for p in pool.map(_problem, (file for file, _ in samples)) if p]
    if problems:
        raise FileFormatError(
            f"{where}: {len(problems)} of {len(samples)} files cannot be read as images.",
            {f"file {i + 1}": text for i, text in enumerate(problems[:_SHOWN])},
            "remove or mend them, or leave them out with --skip-bad",
        )


def _problem(file: str) -> str | None:
    from fovea.vision.pillow import require_pillow

    pil = require_pillow("reading images")
    try:
        with pil.open(file):
            return None
    except pil.UnidentifiedImageError:
        return f"{file} is not an image"
    except Exception as error:  # decoders raise nearly anything
        return f"{file}: {error}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
