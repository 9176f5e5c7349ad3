"""A pass over a folder of JPEGs, batch by batch, as each library's users write it.

``augment`` is RandomResizedCrop, a flip half of the time, and normalization; ``crop`` resizes the
shorter edge, cuts out the middle and normalizes.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.nets.models import without_compiled_operators
from bench.unsupported import Unsupported
from bench.workloads import Task

__all__ = ["MEAN", "STD", "Workload", "folder_loader"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMPARED = 2  # batches


def _steps(transforms: Any, kind: str, size: int) -> Any:
    """torchvision's transforms, or fovea's of the same names."""
    t = transforms
    if kind == "augment":
        steps = [t.RandomResizedCrop(size), t.RandomHorizontalFlip()]
    else:
        steps = [t.Resize(size * 256 // 224), t.CenterCrop(size)]
    return t.Compose([*steps, t.ToTensor(), t.Normalize(MEAN, STD)])


def folder_loader(
    lib: str, folder: str, kind: str, size: int, batch: int, workers: int
) -> Iterable[Any]:
    """fovea's loader or, of the same words, PyTorch's."""
    if lib == "fovea":
        vision = "fovea.vision"
        transforms, datasets = (importlib.import_module(f"{vision}.{name}") for name in _PARTS)
    else:
        with without_compiled_operators():
            transforms, datasets = (importlib.import_module(f"torchvision.{n}") for n in _PARTS)
    images = datasets.ImageFolder(folder, _steps(transforms, kind, size))
    return _loader(lib, images, kind, batch, workers)


_PARTS = ("transforms", "datasets")


def _loader(lib: str, images: Any, kind: str, batch: int, workers: int) -> Any:
    data = importlib.import_module(f"{lib}.utils.data")
    return data.DataLoader(
        images, batch, shuffle=kind == "augment", num_workers=workers, persistent_workers=True
    )


class _OpenCV:
    """A folder of images read by OpenCV and transformed by Albumentations."""

    def __init__(self, folder: str, kind: str, size: int) -> None:
        self.cv2 = importlib.import_module("cv2")
        self.cv2.setNumThreads(0)
        a = importlib.import_module("albumentations")
        tensor = importlib.import_module("albumentations.pytorch").ToTensorV2()
        if kind == "augment":
            steps = [a.RandomResizedCrop((size, size)), a.HorizontalFlip()]
        else:
            steps = [a.SmallestMaxSize(size * 256 // 224), a.CenterCrop(size, size)]
        self.transform = a.Compose([*steps, a.Normalize(MEAN, STD), tensor])
        from fovea.vision.datasets import ImageFolder

        self.samples = ImageFolder(folder).samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        image = self.cv2.cvtColor(self.cv2.imread(path), self.cv2.COLOR_BGR2RGB)
        return self.transform(image=image)["image"], label


def _keras(folder: str, kind: str, size: int, batch: int) -> Iterable[Any]:
    """Keras's data set of a folder, channels first in the end as the others are."""
    if kind == "augment":
        raise Unsupported("Keras has no RandomResizedCrop")
    keras, tf = importlib.import_module("keras"), importlib.import_module("tensorflow")
    edge = size * 256 // 224
    images = keras.utils.image_dataset_from_directory(
        folder, label_mode="int", batch_size=batch, image_size=(edge, edge),
        crop_to_aspect_ratio=True, shuffle=False, verbose=False,
    )  # fmt: skip
    first = (edge - size) // 2
    scale, shift = 1 / (255 * np.array(STD, "f4")), np.array(MEAN, "f4") / np.array(STD, "f4")

    def prepare(x: Any, y: Any) -> Any:
        x = x[:, first : first + size, first : first + size] * scale - shift
        return tf.transpose(x, (0, 3, 1, 2)), y

    return images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


class Workload:
    """One library's loader.

    Args:
        module: ``fovea``, ``torch``, ``albumentations`` or ``tensorflow``.
        threads: workers, and threads of the library itself.
    """

    def __init__(self, module: str, threads: int = 1) -> None:
        self.module, self.workers = module, threads
        if module in ("torch", "albumentations"):
            importlib.import_module("torch").set_num_threads(threads)

    def prepare(self, folder: str, kind: str, size: int, batch: int) -> Task:
        """A pass over a folder, and the images of its first batches where nothing is random."""
        loader = self._open(folder, kind, size, batch)
        results = {}
        if kind == "crop":
            pairs = zip(range(COMPARED), loader, strict=False)
            results = {"images": np.concatenate([np.asarray(x) for _, (x, _) in pairs])}
        return Task(_pass(loader), results, time.time())

    def _open(self, folder: str, kind: str, size: int, batch: int) -> Iterable[Any]:
        if self.module == "tensorflow":
            return _keras(folder, kind, size, batch)
        if self.module == "albumentations":
            return _loader("torch", _OpenCV(folder, kind, size), kind, batch, self.workers)
        return folder_loader(self.module, folder, kind, size, batch, self.workers)


def _pass(loader: Iterable[Any]) -> Callable[[], None]:
    def run() -> None:
        for _ in loader:
            pass

    return run
