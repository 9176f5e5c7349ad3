"""Batches of pictures in files: in folders, or named by tables."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, MissingFileError
from fovea.keras import config
from fovea.keras.preprocessing.iterators import Iterator, check_subset
from fovea.keras.utils.images import img_to_array, load_img

__all__ = ["DataFrameIterator", "DirectoryIterator"]

Array = np.ndarray[Any, Any]
_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}


class _Files(Iterator):
    """Batches of pictures in files: what folders and tables have in common."""

    filepaths: list[str]
    classes: Any
    class_indices: dict[Any, int]
    class_mode: str | None
    sample_weight: Any = None
    labels: Any = None

    def _take(
        self, generator: Any, target_size: Any, color_mode: str, data_format: str | None,
        save_to_dir: Any, save_prefix: str, save_format: str, subset: str | None,
        interpolation: str, keep_aspect_ratio: bool, dtype: Any,
    ) -> None:  # fmt: skip
        if color_mode not in _CHANNELS:
            raise ArgumentError(f"color_mode is one of {tuple(_CHANNELS)}, got {color_mode!r}.")
        check_subset(subset)
        self.image_data_generator, self.target_size = generator, tuple(target_size)
        self.color_mode, self.interpolation = color_mode, interpolation
        self.keep_aspect_ratio, self.subset = keep_aspect_ratio, subset
        self.data_format = config.standardize_data_format(data_format)
        last, channels = self.data_format == "channels_last", _CHANNELS[color_mode]
        size = self.target_size
        self.image_shape = (*size, channels) if last else (channels, *size)
        self.save_to_dir, self.save_prefix = save_to_dir, save_prefix
        self.save_format = save_format
        self.dtype = config.floatx() if dtype is None else dtype
        share = generator._validation_split if subset is not None else 0
        self.split = (
            None if subset is None else (0, share) if subset == "validation" else (share, 1)
        )

    def _of_split(self, items: Any) -> Any:
        """The share of a sequence that the subset stands for."""
        if self.split is None:
            return items
        count = len(items)
        return items[int(self.split[0] * count) : int(self.split[1] * count)]

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        batch = np.zeros((len(index_array), *self.image_shape), dtype=self.dtype)
        generator = self.image_data_generator
        for place, number in enumerate(index_array):
            picture = load_img(
                self.filepaths[number], color_mode=self.color_mode, target_size=self.target_size,
                interpolation=self.interpolation, keep_aspect_ratio=self.keep_aspect_ratio,
            )  # fmt: skip
            image = np.array(img_to_array(picture, data_format=self.data_format))
            if generator:
                how = generator.get_random_transform(image.shape)
                image = generator.standardize(generator.apply_transform(image, how))
            batch[place] = image
        self._save(batch, index_array, 10_000_000)
        targets = self._targets_of(batch, index_array)
        if targets is None:
            return batch
        if self.sample_weight is None:
            return batch, targets
        return batch, targets, self.sample_weight[index_array]

    def _targets_of(self, batch: Array, index_array: Array) -> Any:
        mode = self.class_mode
        if mode == "input":
            return batch.copy()
        if mode in ("binary", "sparse"):
            return np.array([self.classes[n] for n in index_array], dtype=self.dtype)
        if mode == "categorical":
            found = np.zeros((len(batch), len(self.class_indices)), dtype=self.dtype)
            for place, number in enumerate(index_array):
                found[place, self.classes[number]] = 1.0
            return found
        if mode == "multi_output":
            return [column[index_array] for column in self.labels]
        return self.labels[index_array] if mode == "raw" else None


class DirectoryIterator(_Files):
    """Batches of the pictures in a folder's subfolders, which are the classes.

    Args:
        directory: the folder.
        image_data_generator: what changes the images.
        target_size: (height, width) of the batches.
        color_mode: ``"rgb"``, ``"rgba"`` or ``"grayscale"``.
        classes: names of subfolders, in the order of the classes; all of them by name unless given.
        class_mode: ``"categorical"`` (one-hot), ``"binary"`` or ``"sparse"`` (numbers),
            ``"input"`` (the images), None (no targets).
        follow_links: into folders elsewhere.
        interpolation, keep_aspect_ratio: those of ``load_img``.

    Raises:
        MissingFileError: there is no folder. ArgumentError: an unknown mode.
    """

    allowed_class_modes = ("categorical", "binary", "sparse", "input", None)

    def __init__(
        self,
        directory: Any,
        image_data_generator: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
    ) -> None:
        self._take(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix,
            save_format, subset, interpolation, keep_aspect_ratio, dtype,
        )  # fmt: skip
        if class_mode not in self.allowed_class_modes:
            raise ArgumentError(
                f"class_mode is one of {self.allowed_class_modes}, got {class_mode!r}."
            )
        self.directory, self.class_mode = os.fspath(directory), class_mode
        if not os.path.isdir(self.directory):
            raise MissingFileError(f"flow_from_directory: there is no folder {directory!r}.")
        names = list(classes) if classes else _subfolders(self.directory)
        self.num_classes = len(names)
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.filenames: list[str] = []
        numbers: list[int] = []
        for name, number in self.class_indices.items():
            found = self._of_split(_pictures(self.directory, name, follow_links))
            self.filenames += found
            numbers += [number] * len(found)
        self.samples, self.classes = len(self.filenames), np.array(numbers, dtype="int32")
        self.labels = self.classes
        self.filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)


def _subfolders(directory: str) -> list[str]:
    return sorted(n for n in os.listdir(directory) if os.path.isdir(os.path.join(directory, n)))


def _pictures(directory: str, name: str, follow_links: bool) -> list[str]:
    """The pictures below a subfolder, relative to the folder, in order."""
    found = []
    top = os.path.join(directory, name)
    for root, _, files in sorted(os.walk(top, followlinks=follow_links), key=lambda w: w[0]):
        for file in sorted(files):
            if file.lower().endswith(Iterator.white_list_formats):
                inner = os.path.relpath(os.path.join(root, file), top)
                found.append(os.path.join(name, inner))
    return found


class DataFrameIterator(_Files):
    """Batches of the pictures that a table names.

    Args:
        dataframe: a pandas ``DataFrame``, or a dictionary of columns.
        directory: where the files are, unless the table has whole paths.
        x_col: the column of file names.
        y_col: that of the targets; a list of columns for ``class_mode="multi_output"``.
        weight_col: that of sample weights.
        classes: the classes, in order; all that are there by name unless given.
        class_mode: ``"categorical"`` (labels are strings, or lists of them), ``"binary"`` or
            ``"sparse"`` (strings), ``"raw"`` (values as they are), ``"multi_output"``,
            ``"input"`` or None.
        validate_filenames: leave out what is no picture, with a warning.

    Raises:
        ArgumentError: an unknown mode, or values that it does not go with.
    """

    allowed_class_modes = (
        "binary", "categorical", "input", "multi_output", "raw", "sparse", None,
    )  # fmt: skip

    def __init__(
        self,
        dataframe: Any,
        directory: Any = None,
        image_data_generator: Any = None,
        x_col: str = "filename",
        y_col: Any = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = "channels_last",
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = "float32",
        validate_filenames: bool = True,
    ) -> None:
        self._take(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix,
            save_format, subset, interpolation, keep_aspect_ratio, dtype,
        )  # fmt: skip
        self.directory, self.class_mode = os.fspath(directory or ""), class_mode
        if class_mode not in self.allowed_class_modes:
            raise ArgumentError(
                f"class_mode is one of {self.allowed_class_modes}, got {class_mode!r}."
            )
        columns = self._columns(dataframe, x_col, y_col, weight_col)
        if validate_filenames:
            columns = self._valid(columns, x_col)
        labeled = class_mode in ("binary", "categorical", "sparse")
        if labeled:
            columns = self._classed(columns, y_col, classes)
        columns = {name: self._of_split(values) for name, values in columns.items()}
        self.filenames: list[str] = list(columns[x_col])
        self.samples = len(self.filenames)
        self.filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        if labeled:
            number = self.class_indices
            self.classes = self.labels = [
                [number[one] for one in v] if isinstance(v, list | tuple) else number[v]
                for v in columns[y_col]
            ]
        elif class_mode == "raw":
            self.labels = np.array(columns[y_col])
        elif class_mode == "multi_output":
            self.labels = [np.array(columns[name]) for name in y_col]
        self.sample_weight = np.array(columns[weight_col]) if weight_col else None
        kind = "validated" if validate_filenames else "non-validated"
        ending = f" belonging to {len(self.class_indices)} classes" if labeled else ""
        print(f"Found {self.samples} {kind} image filenames{ending}.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    def _columns(
        self, table: Any, x_col: str, y_col: Any, weight_col: str | None
    ) -> dict[str, list[Any]]:
        """The columns that are used, as lists."""
        wanted = [x_col]
        if self.class_mode == "multi_output":
            if not isinstance(y_col, list | tuple):
                raise ArgumentError(
                    f'class_mode="multi_output": y_col must be a list, got {y_col!r}.'
                )
            wanted += list(y_col)
        elif self.class_mode not in ("input", None):
            wanted.append(y_col)
        columns = {
            name: list(table[name]) for name in (*wanted, *([weight_col] if weight_col else []))
        }
        if not all(isinstance(value, str) for value in columns[x_col]):
            raise ArgumentError(f"all values in the column {x_col!r} must be strings.")
        return columns

    def _valid(self, columns: dict[str, list[Any]], x_col: str) -> dict[str, list[Any]]:
        paths = (os.path.join(self.directory, name) for name in columns[x_col])
        kept = [p.lower().endswith(self.white_list_formats) and os.path.isfile(p) for p in paths]
        missing = len(kept) - sum(kept)
        if missing:
            warnings.warn(
                f"{missing} file names of the column {x_col!r} are no pictures and left out.",
                stacklevel=4,
            )
        return _rows(columns, kept)

    def _classed(
        self, columns: dict[str, list[Any]], y_col: str, classes: Any
    ) -> dict[str, list[Any]]:
        """Rows with labels that are among the classes, which this finds."""
        values = columns[y_col]
        kinds = (str, list, tuple) if self.class_mode == "categorical" else (str,)
        if not all(isinstance(value, kinds) for value in values):
            raise ArgumentError(
                f'class_mode="{self.class_mode}": labels are strings'
                + (" or lists of them." if len(kinds) > 1 else "."),
                fix='class_mode="raw" takes values as they are',
            )
        several = [v if isinstance(v, list | tuple) else [v] for v in values]
        names = list(dict.fromkeys(classes)) if classes else sorted({n for v in several for n in v})
        if self.class_mode == "binary" and len(names) != 2:
            raise ArgumentError(f'class_mode="binary": there must be 2 classes, not {len(names)}.')
        self.class_indices = {name: number for number, name in enumerate(names)}
        if not classes:
            return columns
        left = [[n for n in v if n in self.class_indices] for v in several]
        columns = {**columns, y_col: [
            a if isinstance(v, list | tuple) else v for a, v in zip(left, values, strict=True)
        ]}  # fmt: skip
        return _rows(columns, [bool(v) for v in left])


def _rows(columns: dict[str, list[Any]], kept: list[bool]) -> dict[str, list[Any]]:
    return {
        name: [v for v, keep in zip(values, kept, strict=True) if keep]
        for name, values in columns.items()
    }
