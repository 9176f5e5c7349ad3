"""Batches for `ImageDataGenerator`: by number or without end, and those of arrays."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator as Batches
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.models.data import PyDataset
from fovea.keras.utils.images import array_to_img

__all__ = ["Iterator", "NumpyArrayIterator", "check_subset"]

Array = np.ndarray[Any, Any]


class Iterator(PyDataset):
    """Batches by number, and one after another without end.

    A subclass gives ``_get_batches_of_transformed_samples(index_array)``.

    Args:
        n: how many samples there are.
        batch_size: samples a batch.
        shuffle: anew for each pass.
        seed: of NumPy's random numbers: those of a batch depend on it and on how many batches were
            made before.
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    def __init__(
        self, n: int, batch_size: int, shuffle: bool, seed: int | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.batch_index = self.total_batches_seen = 0
        self.lock = threading.Lock()
        self.index_array: Array | None = None
        self.index_generator = self._flow_index()

    def _set_index_array(self) -> None:
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _seed_batch(self) -> None:
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)
        self.total_batches_seen += 1

    def __getitem__(self, idx: int) -> Any:
        if idx >= len(self):
            raise ArgumentError(f"batch {idx} was asked for: there are {len(self)}.")
        self._seed_batch()
        if self.index_array is None:
            self._set_index_array()
        assert self.index_array is not None
        start = self.batch_size * idx
        return self._get_batches_of_transformed_samples(
            self.index_array[start : start + self.batch_size]
        )

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def on_epoch_end(self) -> None:
        self._set_index_array()

    def reset(self) -> None:
        """Start the next pass."""
        self.batch_index = 0

    def _flow_index(self) -> Batches[Array]:
        self.reset()
        while True:
            if self.seed is not None:
                np.random.seed(self.seed + self.total_batches_seen)
            if self.batch_index == 0:
                self._set_index_array()
            assert self.index_array is not None
            start = (self.batch_index * self.batch_size) % self.n if self.n else 0
            more = self.n > start + self.batch_size
            self.batch_index = self.batch_index + 1 if more else 0
            self.total_batches_seen += 1
            yield self.index_array[start : start + self.batch_size]

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        with self.lock:
            index_array = next(self.index_generator)
        return self._get_batches_of_transformed_samples(index_array)

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        """The batch of these samples."""
        raise NotImplementedError

    def _save(self, batch: Array, index_array: Array, most: int) -> None:
        """Write what a batch holds to ``save_to_dir``, if there is one."""
        folder = getattr(self, "save_to_dir", None)
        if not folder:
            return
        for image, number in zip(batch, index_array, strict=True):
            name = f"{self.save_prefix}_{number}_{np.random.randint(most)}.{self.save_format}"  # type: ignore[attr-defined]
            picture = array_to_img(image, self.data_format, scale=True)  # type: ignore[attr-defined]
            picture.save(os.path.join(folder, name))


def check_subset(subset: str | None) -> None:
    """ArgumentError for what is no subset."""
    if subset not in (None, "training", "validation"):
        raise ArgumentError(f"subset is 'training' or 'validation', got {subset!r}.")


class NumpyArrayIterator(Iterator):
    """Batches of arrays: x, (x, y) or (x, y, sample_weight).

    Args:
        x: images (N, H, W, C) or (N, C, H, W), or (images, further arrays).
        y, sample_weight: arrays, or None.
        image_data_generator: what changes the images.
        subset: ``"validation"`` for the first share of the samples that its ``validation_split``
            says, ``"training"`` for the rest.
        ignore_class_split: let the two have different classes.

    Raises:
        ShapeError: not four dimensions, or arrays of different lengths. ArgumentError: classes
            that only one of the subsets has.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: Any = None,
    ) -> None:
        self.dtype = config.floatx() if dtype is None else dtype
        further: list[Any] = []
        if isinstance(x, tuple | list):
            x, others = x[0], x[1]
            further = others if isinstance(others, list) else [others]
        arrays = [
            np.asarray(x),
            *(None if a is None else np.asarray(a) for a in (y, sample_weight)),
        ]
        misc = [np.asarray(a) for a in further]
        for other in (*arrays[1:], *misc):
            if other is not None and len(other) != len(arrays[0]):  # type: ignore[arg-type]
                raise ShapeError(
                    f"x, y and sample_weight should have the same length, got {len(arrays[0])} "  # type: ignore[arg-type]
                    f"and {len(other)}."
                )
        check_subset(subset)
        if subset is not None:
            part = self._part(arrays, subset, image_data_generator, ignore_class_split)
            arrays = [None if a is None else a[part] for a in arrays[:2]] + arrays[2:]
            misc = [a[part] for a in misc]
        self.x: Array = np.asarray(arrays[0], dtype=self.dtype)
        self.y, self.sample_weight, self.x_misc = arrays[1], arrays[2], misc
        if self.x.ndim != 4:
            raise ShapeError(f"images have 4 dimensions, got shape {self.x.shape}.")
        self.image_data_generator = image_data_generator
        self.data_format = config.standardize_data_format(data_format)
        channels = self.x.shape[3 if self.data_format == "channels_last" else 1]
        if channels not in (1, 3, 4):
            warnings.warn(
                f"images have 1, 3 or 4 channels, these have {channels} ({self.data_format}).",
                stacklevel=3,
            )
        self.save_to_dir, self.save_prefix = save_to_dir, save_prefix
        self.save_format = save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    @staticmethod
    def _part(arrays: list[Any], subset: str, generator: Any, any_classes: bool) -> slice:
        x, y = arrays[:2]
        at = int(len(x) * generator._validation_split)
        apart = y is not None and not np.array_equal(np.unique(y[:at]), np.unique(y[at:]))
        if apart and not any_classes:
            raise ArgumentError(
                "training and validation subsets have different classes after the split.",
                fix="shuffle the data, or pass ignore_class_split=True",
            )
        return slice(at) if subset == "validation" else slice(at, None)

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        batch = np.zeros((len(index_array), *self.x.shape[1:]), dtype=self.dtype)
        generator = self.image_data_generator
        for place, number in enumerate(index_array):
            image = self.x[number].astype(self.dtype)
            how = generator.get_random_transform(image.shape)
            batch[place] = generator.standardize(generator.apply_transform(image, how))
        self._save(batch, index_array, 10_000)
        x: Any = [batch, *(a[index_array] for a in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return x
        if self.sample_weight is None:
            return x, self.y[index_array]
        return x, self.y[index_array], self.sample_weight[index_array]
