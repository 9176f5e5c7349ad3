"""Data sets of whole scenes: objects to be found, or pixels to be told apart."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from fovea.cli.folders import skipped_notes
from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.data import Dataset, Subset
from fovea.vision.checking import readable
from fovea.vision.checking.layouts import names_of_masks
from fovea.vision.datasets import (
    CityscapesSegmentation,
    CocoDetection,
    SceneParse150,
    SegmentationFolder,
    Shapes,
    VOCDetection,
    VOCSegmentation,
    YOLODetection,
    wrap_dataset_for_transforms_v2,
)
from fovea.vision.datasets.outlines import MarkedDataset

__all__ = ["Scenes", "scenes_of", "task_of_folder", "task_of_parts"]

_HELD = 0.15  # of the training images, where no others are there to measure with
_MOST_VALIDATED = 300  # images that are looked at between epochs: more of them take long
# Drawn anew each time: it costs little, and nothing is learned by heart.
_SHAPES = {"detection": 38_400, "segmentation": 32_800}
_SHAPES_HELD = 300
_SHAPES_VALIDATED = 100
_MASKS = SegmentationFolder | VOCSegmentation | CityscapesSegmentation | SceneParse150


@dataclass
class Scenes:
    """The parts of a data set.

    Attributes:
        task: ``"detection"`` or ``"segmentation"``.
        title: what it is called.
        classes: the names of classes; of objects without the background.
        train, test: samples (image, target): a dictionary with boxes and labels, or a mask.
        origin: where they came from.
        notes: for people.
        validation: the same, to measure between epochs with; None: there are none.
    """

    task: str
    title: str
    classes: list[str]
    train: Any
    test: Any
    origin: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    validation: Any = None


def task_of_folder(path: str) -> str:
    """What the data at a place is for, by its layout."""
    from fovea.vision.checking import open_parts

    return task_of_parts(open_parts(path))


def task_of_parts(parts: dict[str, Any]) -> str:
    """What a data set is for, by the kind of its first part."""
    first = next(iter(parts.values()))
    if isinstance(first, VOCDetection | CocoDetection | YOLODetection | MarkedDataset):
        return "detection"
    return "segmentation" if isinstance(first, _MASKS) else "classification"


def scenes_of(
    data: str | None,
    task: str,
    image_size: int,
    parts: dict[str, Any] | None = None,
    skip_bad: bool = False,
    validate: bool = False,
) -> Scenes:
    """A folder of scenes, or without one the `Shapes` that fovea draws.

    Args:
        data: the folder.
        task: ``"detection"`` or ``"segmentation"``.
        image_size: pixels a side of drawn images.
        parts: of the folder, if they have been opened.
        skip_bad: leave out samples that cannot be read, and note which.
        validate: have a part to measure between epochs with: the one called ``val``, else some of
            the training images. (The images to test with are the same with and without.)

    Raises:
        ArgumentError: data for another task.
        DatasetNotFoundError: nothing is there.
    """
    if data is None:
        return _drawn(task, image_size, validate)
    if parts is None:
        from fovea.vision.checking import open_parts

        parts = open_parts(data, task=task)
    found = task_of_parts(parts)
    if found != task:
        raise ArgumentError(f"{data} is laid out for {found}, not for {task}.")
    notes = list[str]()
    train_name, val_name, test_name = _roles(list(parts))
    whole, classes = _samples(parts[train_name])
    whole = _good(whole, skip_bad, notes)

    def opened(name: str) -> Any:
        samples, known = _samples(parts[name])
        if known != classes:
            samples = _Renamed(samples, known, classes)
        return _good(samples, skip_bad, notes)

    if test_name is None and val_name is None:
        whole, test = _cut(whole)
        notes.append(f"{len(test)} images are kept for testing")
    else:
        test = opened(test_name or val_name or "")
    if task == "segmentation":
        classes = _classes_of_masks(parts[train_name], whole)
    validation = None
    if validate and val_name is None:
        whole, validation = _cut(whole, _MOST_VALIDATED)
        notes.append(f"{len(validation)} images are kept for validation")
    elif validate and val_name is not None:
        validation = _few(opened(val_name) if test_name is not None else test, notes)
        if test_name is None:
            notes.append(f"{val_name} picks the epoch and tests it: a part test would not flatter")
    origin: dict[str, Any] = {"kind": task, "path": os.path.abspath(data)}
    if skip_bad:
        origin["skip_bad"] = True  # who measures again cuts the same parts
    title = os.path.basename(os.path.abspath(data))
    return Scenes(task, title, classes, whole, test, origin, notes, validation)


def _drawn(task: str, image_size: int, validate: bool) -> Scenes:
    """Shapes, of which each part has its own."""
    kind = {"detection": "detection", "segmentation": "segmentation"}[task]
    counts = (_SHAPES[task], _SHAPES_HELD, _SHAPES_VALIDATED)
    train, test, validation = (Shapes(n, kind, image_size, seed=i) for i, n in enumerate(counts))
    classes = list(Shapes.classes)
    if task == "segmentation":
        classes = ["background", *classes]
    origin = {"kind": "shapes"}
    return Scenes(
        task, "Shapes", classes, train, test, origin, validation=validation if validate else None
    )


def _roles(names: list[str]) -> tuple[str, str | None, str | None]:
    """The parts to learn from, to validate and to test with, by their names: those that are called
    so, else those whose names have it in them (``instances_val2017``); any other is for validation.
    """
    train = next((n for n in names if n.startswith("train") or "train" in n), names[0])
    rest = [n for n in names if n != train and "train" not in n]
    test = next((n for n in ("test", *rest) if n in rest and "test" in n), None)
    rest = [n for n in rest if n != test]
    named = [*("val", "valid", "validation"), *(n for n in rest if "val" in n)]
    named = [n for n in named if n in rest]
    return train, next(iter([*named, *(rest if test is None else [])]), None), test


def _cut(whole: Any, most: int | None = None) -> tuple[Any, Any]:
    """A data set in two, a share of it (but no more than so many) as the second part.

    Raises:
        ArgumentError: nothing would be left of it.
    """
    if len(whole) < 2:
        raise ArgumentError(
            f"{len(whole)} images are too few to keep some to measure with.",
            fix="more images, or parts of their own: val, test; --validate-every 0 needs no val",
        )
    count = max(round(_HELD * len(whole)), 1)
    count = count if most is None else min(count, most)
    step = len(whole) / count
    held = {int(i * step) for i in range(count)}
    rest = [i for i in range(len(whole)) if i not in held]
    return Subset(whole, rest), Subset(whole, sorted(held))


def _few(dataset: Any, notes: list[str]) -> Any:
    """No more images of a part than are looked at between epochs; notes tell of it."""
    if len(dataset) <= _MOST_VALIDATED:
        return dataset
    notes.append(f"epochs are measured on {_MOST_VALIDATED} of {len(dataset):,} images")
    step = len(dataset) / _MOST_VALIDATED
    return Subset(dataset, [int(i * step) for i in range(_MOST_VALIDATED)])


def _good(dataset: Any, skip_bad: bool, notes: list[str]) -> Any:
    """The samples that can be read, if others are to be left out; notes tell of these."""
    if not skip_bad:
        return dataset
    good, bad = readable(dataset)
    if bad:
        notes.extend(skipped_notes(bad, len(dataset)))
    if not len(good):
        raise FileFormatError(
            "no sample can be read.", {f"sample {i + 1}": text for i, text in enumerate(bad[:5])}
        )
    return good if bad else dataset


def _samples(dataset: Any) -> tuple[Any, list[str]]:
    """Samples as recipes take them, and the names of classes."""
    if isinstance(dataset, CocoDetection):
        return _Renumbered(dataset), list(dataset.classes.values())
    if isinstance(dataset, VOCDetection):
        return wrap_dataset_for_transforms_v2(dataset), list(dataset.classes)
    if isinstance(dataset, YOLODetection | MarkedDataset):
        return dataset, list(dataset.classes)
    return dataset, []


def _classes_of_masks(part: Any, dataset: Any) -> list[str]:
    """The names that a part knows, or as many numbers as the masks of a data set have."""
    import numpy as np

    named = names_of_masks(part)
    if named is not None:
        return named
    highest = 0
    for i in range(len(dataset)):
        values = np.asarray(dataset[i][1])
        highest = max(highest, int(values[values != 255].max(initial=0)))
    return ["background", *(f"class {n}" for n in range(1, highest + 1))]


class _Renumbered(Dataset[Any]):
    """COCO's samples with labels from 1 on, in the order of the categories' ids."""

    def __init__(self, dataset: CocoDetection) -> None:
        self.dataset = wrap_dataset_for_transforms_v2(dataset)
        self.numbers = {i: n for n, i in enumerate(dataset.classes, 1)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _relabeled(self.dataset[index], self.numbers)


class _Renamed(Dataset[Any]):
    """Samples whose classes are in another order than those of training."""

    def __init__(self, dataset: Any, names: list[str], wanted: list[str]) -> None:
        unknown = [n for n in names if n not in wanted]
        if unknown:
            raise ArgumentError(f"classes that training does not have: {', '.join(unknown[:5])}.")
        self.dataset = dataset
        self.numbers = {i: wanted.index(n) + 1 for i, n in enumerate(names, 1)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _relabeled(self.dataset[index], self.numbers)


def _relabeled(sample: Any, numbers: dict[int, int]) -> Any:
    from fovea.dtypes import int64
    from fovea.functions.creation import tensor

    image, target = sample
    labels = [numbers[int(n)] for n in target["labels"].tolist()]
    return image, {**target, "labels": tensor(labels, dtype=int64)}
