"""Where images come from: a dataset by its name, or a folder; each as parts ready for a loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.cli.images import ArrayImages, mean_and_deviation
from fovea.cli.preprocess import Preprocess
from fovea.cli.recipes import Augment
from fovea.cli.splits import stratified_split

__all__ = ["Source", "named_source", "named_test", "read_named"]

Array = np.ndarray[Any, Any]

_TITLES = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


@dataclass
class Source:
    """Images to train on and to measure with.

    Attributes:
        title: what to call them.
        origin: plain data from which ``fovea evaluate`` finds the images again.
        classes: the classes' names.
        preprocess: how images are prepared.
        train: the training part.
        validation, test: the other parts; None where there is none.
        notes: what a person should know about the parts.
    """

    title: str
    origin: dict[str, Any]
    classes: list[str]
    preprocess: Preprocess
    train: Any
    validation: Any = None
    test: Any = None
    notes: list[str] = field(default_factory=list)


def named_source(
    name: str,
    root: str,
    *,
    size: int | None,
    share: float,
    augment: Augment,
    seed: int,
    download: bool,
) -> Source:
    """A dataset by its name, with ``share`` of its training part kept for validation.

    Raises:
        DatasetNotFoundError, FileFormatError: its files are missing or damaged.
    """
    images, labels, classes = read_named(name, root, train=True, download=download)
    test_images, test_labels, _ = read_named(name, root, train=False)
    if size is not None:
        images, test_images = _resized(images, size), _resized(test_images, size)
    first, second = stratified_split(labels.tolist(), share, seed)
    mean, std = mean_and_deviation(images[first])
    _, height, width, channels = images.shape
    return Source(
        title=_TITLES[name],
        origin={"kind": "dataset", "name": name},
        classes=classes,
        preprocess=Preprocess(channels, height, width, "squash", tuple(mean), tuple(std)),
        train=ArrayImages(images[first], labels[first], mean, std, augment),
        validation=ArrayImages(images[second], labels[second], mean, std) if second else None,
        test=ArrayImages(test_images, test_labels, mean, std),
    )


def named_test(name: str, root: str, preprocess: Preprocess, download: bool) -> tuple[Any, str]:
    """The test part of a dataset, prepared as a checkpoint says; and what to call it."""
    images, labels, _ = read_named(name, root, train=False, download=download)
    if images.shape[-1] != preprocess.channels:
        weights = np.array([0.299, 0.587, 0.114])  # of luma, as Pillow takes it
        color = preprocess.channels == 3
        images = np.repeat(images, 3, -1) if color else np.rint(images @ weights)[..., None]
        images = images.astype(np.uint8)
    images = _resized(images, preprocess.height, preprocess.width)
    title = f"{_TITLES[name]}, test part"
    return ArrayImages(images, labels, preprocess.mean, preprocess.std), title


def read_named(
    name: str, root: str, *, train: bool, download: bool = False
) -> tuple[Array, Array, list[str]]:
    """Images as uint8 (N, H, W, C), labels as int64 (N,), and the classes' names."""
    from fovea.vision import datasets
    from fovea.vision.datasets.vision import DatasetNotFoundError

    if name == "digits":
        digits = datasets.Digits(train=train)
        scaled = np.rint(digits.data.numpy().astype(np.float32) * (255 / 16))
        return scaled.astype(np.uint8)[..., None], digits.targets.numpy(), digits.classes
    makers: dict[str, Callable[..., Any]] = {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "kmnist": datasets.KMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }
    try:
        dataset = makers[name](root, train=train, download=download)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(
            error.summary, fix="--root DIR says where the files are, --download fetches them"
        ) from error
    images = np.asarray(dataset.data)
    labels = np.asarray(dataset.targets, np.int64)
    return images.reshape(*images.shape[:3], -1), labels, list(dataset.classes)


def _resized(images: Array, height: int, width: int | None = None) -> Array:
    """All images at another size, as ``Preprocess`` squashes single ones."""
    from fovea.functions.creation import from_numpy
    from fovea.vision.transforms import functional as F

    size = (height, height if width is None else width)
    if images.shape[1:3] == size:
        return images
    parts = []
    for start in range(0, len(images), 1024):
        part = from_numpy(np.ascontiguousarray(images[start : start + 1024])).permute(0, 3, 1, 2)
        parts.append(F.resize(part, size, antialias=True).numpy().transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.concatenate(parts))
