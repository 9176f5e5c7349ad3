"""Datasets from folders of pictures, one folder a class; and from a series of numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, MissingFileError
from fovea.functions.creation import from_numpy, tensor
from fovea.keras import config
from fovea.keras.layers.augmentation.sizing import resized
from fovea.keras.utils.pipeline import Dataset
from fovea.tensorbase import is_tensor
from fovea.vision.io import open_image

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["image_dataset_from_directory", "split_dataset", "timeseries_dataset_from_array"]

ALLOWLIST_FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_COLORS = {"rgb": ("RGB", 3), "rgba": ("RGBA", 4), "grayscale": ("L", 1)}
_LABEL_MODES = ("int", "categorical", "binary", None)


def _files(folder: str, follow_links: bool) -> list[str]:
    """The pictures below a folder, by path."""
    found = []
    for root, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        found += [
            os.path.join(root, n) for n in sorted(names) if n.lower().endswith(ALLOWLIST_FORMATS)
        ]
    return found


def index_folder(
    directory: str, labels: Any, class_names: Sequence[str] | None, follow_links: bool
) -> tuple[list[str], Any, list[str] | None]:
    """The pictures of a folder, their classes (or None), and the classes' names.

    Raises:
        ArgumentError: names that are not those of subfolders; labels that are not one a picture.
        MissingFileError: there is no folder.
    """
    if not os.path.isdir(directory):
        raise MissingFileError(f"image_dataset_from_directory: there is no folder {directory!r}.")
    if labels != "inferred":
        if class_names is not None:
            raise ArgumentError("class_names go with labels='inferred' only.")
        paths = _files(directory, follow_links)
        if labels is None:
            return paths, None, None
        if len(labels) != len(paths):
            raise ArgumentError(f"{len(labels)} labels were given for {len(paths)} pictures.")
        return paths, np.asarray(labels), [str(v) for v in sorted(set(labels))]
    folders = sorted(
        name
        for name in os.listdir(directory)
        if os.path.isdir(os.path.join(directory, name)) and not name.startswith(".")
    )
    if class_names is not None:
        unknown = sorted(set(class_names) - set(folders))
        if unknown:
            raise ArgumentError(
                f"class_names: there are no folders {unknown} in {directory!r}; it has {folders}."
            )
        folders = list(class_names)
    paths, numbers = [], []
    for number, name in enumerate(folders):
        inside = _files(os.path.join(directory, name), follow_links)
        paths += inside
        numbers += [number] * len(inside)
    return paths, np.asarray(numbers, np.int32), folders


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Batches of pictures from a folder with a folder for each class.

    Args:
        directory: the folder.
        labels: ``"inferred"`` from the folders, None, or a number a picture (by path).
        label_mode: ``"int"`` (N,), ``"categorical"`` (N, classes), ``"binary"`` (N, 1), or None for
            pictures alone.
        class_names: the order of the classes (default: by name).
        color_mode: ``"rgb"``, ``"rgba"`` or ``"grayscale"``.
        batch_size: None for single pictures.
        image_size: (height, width).
        shuffle: another order in each epoch.
        seed: of the order.
        validation_split, subset: the share that is held back, and which part is wanted:
            ``"training"``, ``"validation"`` or ``"both"``.
        interpolation: ``"bilinear"``, ``"nearest"`` or ``"bicubic"``.
        crop_to_aspect_ratio, pad_to_aspect_ratio: do not stretch pictures.

    Returns:
        A `Dataset` with ``class_names`` and ``file_paths`` (for ``"both"`` two): images are float32
        (N, height, width, channels) from 0 to 255, labels int32 or float32.

    Raises:
        ArgumentError: arguments that do not go together; no pictures.
        FileFormatError: (when iterated over) a file that is no picture; names it.
    """
    folder = os.path.abspath(os.path.expanduser(os.fspath(directory)))
    _check_arguments(color_mode, label_mode, validation_split, subset, shuffle, seed)
    if labels is None or label_mode is None:
        labels = label_mode = None
    paths, numbers, names = index_folder(folder, labels, class_names, follow_links)
    if not paths:
        raise ArgumentError(
            f"there is no picture in {folder!r}; a picture ends with {ALLOWLIST_FORMATS}."
        )
    if label_mode == "binary" and names is not None and len(names) != 2:
        raise ArgumentError(f"label_mode='binary' needs two classes, there are {len(names)}.")
    if verbose:
        belong = "" if names is None else f" belonging to {len(names)} classes"
        print(f"Found {len(paths)} files{belong}.")
    order = np.arange(len(paths))
    if shuffle:
        seed = int(np.random.default_rng().integers(10**6)) if seed is None else seed
        np.random.RandomState(seed).shuffle(order)

    def made(picked: Any, what: str = "") -> Dataset:
        if verbose and what:
            print(f"Using {len(picked)} files for {what}.")
        reader = _Reader(
            color_mode, image_size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio,
            config.standardize_data_format(data_format),
        )  # fmt: skip
        chosen = [paths[i] for i in picked]
        targets = (
            None if numbers is None else _targets(numbers[picked], label_mode, len(names or ()))
        )
        return _pictures(chosen, targets, reader, batch_size, shuffle, seed, names)

    if validation_split is None:
        return made(order)
    held = int(validation_split * len(order))
    parts = {"training": order[: len(order) - held], "validation": order[len(order) - held :]}
    if subset == "both":
        return tuple(made(part, name) for name, part in parts.items())
    return made(parts[str(subset)], str(subset))


def _check_arguments(
    color_mode: str, label_mode: Any, split: float | None, subset: Any, shuffle: bool, seed: Any
) -> None:
    if color_mode not in _COLORS:
        raise ArgumentError(f"color_mode is one of {tuple(_COLORS)}, got {color_mode!r}.")
    if label_mode not in _LABEL_MODES:
        raise ArgumentError(f"label_mode is one of {_LABEL_MODES}, got {label_mode!r}.")
    if subset not in ("training", "validation", "both", None):
        raise ArgumentError(f"subset is 'training', 'validation', 'both' or None, got {subset!r}.")
    if (split is None) != (subset is None):
        raise ArgumentError("validation_split and subset are given together or not at all.")
    if split is not None and not 0 < split < 1:
        raise ArgumentError(f"validation_split lies between 0 and 1, got {split}.")
    if split is not None and shuffle and seed is None and subset != "both":
        raise ArgumentError(
            "with shuffle and validation_split a seed is needed, or the parts would overlap.",
            fix="pass the same seed=... to both calls, or subset='both'",
        )


def _targets(numbers: Any, label_mode: str | None, classes: int) -> Any:
    """Labels as the mode wants them: an array with a row for each picture."""
    if label_mode == "binary":
        return numbers.astype(np.float32)[:, None]
    if label_mode == "categorical":
        return np.eye(classes, dtype=np.float32)[numbers]
    return numbers.astype(np.int32)


class _Reader:
    """Reads a picture as an image of one size."""

    def __init__(
        self,
        color_mode: str,
        size: tuple[int, int],
        interpolation: str,
        crop: bool,
        pad: bool,
        data_format: str,
    ) -> None:
        if crop and pad:
            raise ArgumentError("crop to the aspect ratio, or pad to it; not both.")
        if interpolation not in ("bilinear", "nearest", "bicubic"):
            raise ArgumentError(
                f"interpolation is 'bilinear', 'nearest' or 'bicubic', got {interpolation!r}."
            )
        self.mode, self.channels = _COLORS[color_mode]
        self.size, self.interpolation, self.crop, self.pad = size, interpolation, crop, pad
        self.first = data_format == "channels_first"

    def __call__(self, path: str) -> Tensor:
        array = np.asarray(open_image(path, self.mode), dtype=np.float32)
        image = from_numpy(array.reshape(1, *array.shape[:2], self.channels))
        if tuple(array.shape[:2]) != tuple(self.size):
            image = resized(image, *self.size, self.interpolation, crop=self.crop, pad=self.pad)
        image = image.squeeze(0)
        return image.permute(2, 0, 1) if self.first else image


def _pictures(
    paths: list[str],
    targets: Any,
    reader: _Reader,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    names: list[str] | None,
) -> Dataset:
    epochs = iter(range(2**62))

    def samples() -> Iterator[Any]:
        order = np.arange(len(paths))
        if shuffle:
            np.random.default_rng((seed or 0, next(epochs))).shuffle(order)
        for i in order:
            yield (paths[i],) if targets is None else (paths[i], targets[i])

    def read(path: str, target: Any = None) -> Any:
        image = reader(path)
        return image if target is None else (image, tensor(target))

    dataset: Any = Dataset(samples, len(paths)).map(read, num_parallel_calls=-1)
    if batch_size is not None:
        dataset = dataset.batch(batch_size).prefetch(2)
    dataset.file_paths = paths
    dataset.class_names = names
    return dataset


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: Any = None,
) -> tuple[Dataset, Dataset]:
    """Two datasets of the samples of one (arrays, or anything that can be iterated over).

    Args:
        left_size, right_size: shares below 1, or numbers of samples; one may be left out.
        shuffle, seed: put the samples in random order first.

    >>> left, right = split_dataset(np.arange(10.0), left_size=0.8)
    >>> len(left), len(right)
    (8, 2)
    """
    if left_size is None and right_size is None:
        raise ArgumentError("split_dataset: at least one of left_size and right_size is needed.")
    if isinstance(dataset, tuple | list | dict) or is_tensor(dataset) or hasattr(dataset, "dtype"):
        samples = list(Dataset.from_tensor_slices(dataset))
    else:
        samples = list(dataset)
    n = len(samples)
    left, right = (_count(size, n) for size in (left_size, right_size))
    left = n - right if left is None and right is not None else left
    right = n - left if right is None and left is not None else right
    assert left is not None and right is not None
    if left + right > n or left < 0 or right < 0:
        raise ArgumentError(f"split_dataset: {left} and {right} of {n} samples.")
    if shuffle:
        np.random.default_rng(seed).shuffle(samples)
    head, tail = samples[:left], samples[n - right :] if right else []
    return Dataset(lambda: iter(head), left), Dataset(lambda: iter(tail), right)


def _count(size: float | None, n: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, float) and not 0 <= size <= 1:
        raise ArgumentError(f"split_dataset: a share lies between 0 and 1, got {size}.")
    return round(size * n) if isinstance(size, float) else int(size)


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str | None = None,
) -> Dataset:
    """Windows that slide over a series, with the target of each.

    Args:
        data: (time, ...).
        targets: ``targets[i]`` is that of the window that starts at ``i``; None for windows alone.
        sequence_length: steps of a window.
        sequence_stride: steps between starts of windows.
        sampling_rate: steps between items of a window.
        start_index, end_index: the part of the series to use.

    >>> windows = timeseries_dataset_from_array(np.arange(5), None, 3, batch_size=2)
    >>> next(iter(windows)).tolist()
    [[0, 1, 2], [1, 2, 3]]
    """
    for key, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        if value < 1:
            raise ArgumentError(f"{key} must be at least 1, got {value}.")
    first, last = start_index or 0, len(data) if end_index is None else end_index
    if not 0 <= first < last <= len(data):
        raise ArgumentError(f"start_index {first} and end_index {last} of {len(data)} steps.")
    series = np.asarray(data)[first:last]
    goals = None if targets is None else np.asarray(targets)[first:last]
    count = len(series) - (sequence_length - 1) * sampling_rate
    count = count if goals is None else min(count, len(goals))
    starts = np.arange(0, max(count, 0), sequence_stride)
    if shuffle:
        np.random.default_rng(seed).shuffle(starts)
    steps = np.arange(sequence_length) * sampling_rate

    def windows() -> Iterator[Any]:
        for i in starts:
            window = tensor(series[i + steps])
            yield window if goals is None else (window, tensor(goals[i]))

    dataset = Dataset(windows, len(starts))
    return dataset if batch_size is None else dataset.batch(batch_size)
