"""What image datasets share: a root folder, transforms of sample and target, a repr, and arrays in
memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, LabelError
from fovea.functions.creation import from_numpy
from fovea.utils.data.dataset import Dataset
from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ArrayDataset",
    "DatasetNotFoundError",
    "PlanesDataset",
    "StandardTransform",
    "VisionDataset",
    "check_labels",
    "to_tensor",
]

Transform = Callable[[Any], Any]
PairTransform = Callable[[Any, Any], Any]


class DatasetNotFoundError(FileFormatError, FileNotFoundError, RuntimeError):
    """A dataset's files are not where they were looked for."""


class StandardTransform:
    """A transform of the sample and one of the target, as one function of both."""

    def __init__(
        self, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, sample: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            sample = self.transform(sample)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return sample, target

    def __repr__(self) -> str:
        rows = ["StandardTransform"]
        parts = (("Transform", self.transform), ("Target transform", self.target_transform))
        for name, part in parts:
            if part is not None:
                rows.append(f"{name}: " + repr(part).replace("\n", "\n" + " " * (len(name) + 2)))
        return "\n".join(rows)


class VisionDataset(Dataset[Any]):
    """Base of image datasets: subclasses define ``__getitem__`` and ``__len__``.

    Args:
        root: the folder with the data.
        transforms: a function of (sample, target) that gives both changed.
        transform: a function of the sample (instead of ``transforms``).
        target_transform: a function of the target (instead of ``transforms``).

    Raises:
        ArgumentError: ``transforms`` beside one of the other two.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: PairTransform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        single = transform is not None or target_transform is not None
        if transforms is not None and single:
            raise ArgumentError(
                f"{type(self).__name__}: give either transforms, or transform and target_transform."
            )
        self.root: Any = os.path.expanduser(root) if root is not None else None
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = StandardTransform(transform, target_transform) if single else transforms

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} should define __getitem__(self, index).")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} should define __len__(self).")

    def transformed(self, sample: Any, target: Any) -> tuple[Any, Any]:
        """The pair after the dataset's transforms."""
        return (sample, target) if self.transforms is None else self.transforms(sample, target)

    def extra_repr(self) -> str:
        """More lines for ``repr``."""
        return ""

    def __repr__(self) -> str:
        rows = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            rows.append(f"Root location: {self.root}")
        rows += self.extra_repr().splitlines()
        if self.transforms is not None:
            rows += repr(self.transforms).splitlines()
        return "\n".join([f"Dataset {type(self).__name__}", *(" " * 4 + row for row in rows)])


class ArrayDataset(VisionDataset):
    """Images that fit in memory, in ``data`` and ``targets``; a sample is a PIL image and a class
    number.

    Attributes:
        data: uint8 (samples, height, width), or with channels last (samples, height, width, 3).
        targets: the class of each sample.
        classes: the classes' names.
        train: whether this is the training part.
    """

    data: Any
    targets: Any
    classes: list[str]
    train: bool

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class names to class numbers."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        pil = require_pillow(f"a sample of {type(self).__name__} (a PIL image)")
        image = pil.fromarray(np.ascontiguousarray(_row(self.data, index)))
        return self.transformed(image, int(_row(self.targets, index)))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class PlanesDataset(VisionDataset):
    """Images that fit in memory, channel by channel; a sample is a PIL image and a class number.

    Attributes:
        data: uint8 (samples, 3, height, width).
        labels: the class of each sample.
        classes: the classes' names, where they are known.
    """

    data: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    classes: list[str]
    split: str

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        pil = require_pillow(f"a sample of {type(self).__name__} (a PIL image)")
        image = pil.fromarray(np.ascontiguousarray(self.data[index].transpose(1, 2, 0)))
        return self.transformed(image, int(self.labels[index]))

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def _row(values: Any, index: int) -> Any:
    """One entry of a tensor (as NumPy sees it, which is quicker), an array or a list."""
    return values.numpy()[index] if hasattr(values, "numpy") else values[index]


def check_labels(labels: np.ndarray[Any, Any], classes: int, source: str | Path) -> None:
    """Raise ``LabelError`` naming the file if a label is outside ``[0, classes)``."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise LabelError(
            f"{source}: label {labels[wrong[0]]} of sample {wrong[0]} is outside 0 ..."
            f" {classes - 1}."
        )


def to_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor over the array's memory."""
    return from_numpy(array)
