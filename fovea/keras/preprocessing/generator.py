"""``ImageDataGenerator``: batches of randomly changed images, as notebooks of many years use it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.preprocessing.file_iterators import DataFrameIterator, DirectoryIterator
from fovea.keras.preprocessing.iterators import NumpyArrayIterator
from fovea.keras.preprocessing.warps import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
)

__all__ = ["ImageDataGenerator"]

Array = np.ndarray[Any, Any]


class ImageDataGenerator:
    """Images from arrays or folders, changed at random and normalized, batch by batch.

    Random numbers are NumPy's, in Keras's order: the same seed gives the same batches. New programs
    do better with layers such as ``RandomFlip``, which are part of the model and compiled with it.

    Args:
        featurewise_center: subtract the mean of the data that ``fit`` has seen.
        samplewise_center: subtract each image's own mean.
        featurewise_std_normalization, samplewise_std_normalization: divide by the deviation.
        zca_whitening, zca_epsilon: decorrelate pixels, as ``fit`` found.
        rotation_range: degrees, either way.
        width_shift_range, height_shift_range: a share of the side (below 1), pixels, or a list of
            pixels to choose from.
        brightness_range: two factors.
        shear_range: degrees, either way.
        zoom_range: (least, largest), or z for (1 - z, 1 + z).
        channel_shift_range: what is added to all values, at most.
        fill_mode, cval, interpolation_order: those of `apply_affine_transform`.
        horizontal_flip, vertical_flip: for half of the images.
        rescale: a factor of all values, after everything else.
        preprocessing_function: of one image, before ``rescale``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        validation_split: the share that ``subset="validation"`` stands for.
        dtype: of the batches.

    Raises:
        ArgumentError: ranges that are none.

    >>> generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True)
    >>> batch, labels = next(generator.flow(np.ones((8, 4, 4, 3)), np.arange(8), batch_size=2))
    >>> batch.shape, labels.shape
    ((2, 4, 4, 3), (2,))
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Any = None,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Any = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
    ) -> None:
        self.featurewise_center, self.samplewise_center = featurewise_center, samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        self.zoom_range = _zoom(zoom_range)
        self.channel_shift_range, self.brightness_range = channel_shift_range, brightness_range
        self.fill_mode, self.cval = fill_mode, cval
        self.interpolation_order = interpolation_order
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.dtype = config.floatx() if dtype is None else dtype
        self.data_format = config.standardize_data_format(data_format)
        last = self.data_format == "channels_last"
        self.row_axis, self.col_axis, self.channel_axis = (1, 2, 3) if last else (2, 3, 1)
        if validation_split and not 0 < validation_split < 1:
            raise ArgumentError(
                f"ImageDataGenerator: validation_split lies in (0, 1), got {validation_split}."
            )
        self._validation_split = validation_split
        if brightness_range is not None and (
            not isinstance(brightness_range, tuple | list) or len(brightness_range) != 2
        ):
            raise ArgumentError(
                f"ImageDataGenerator: brightness_range is two numbers, got {brightness_range!r}."
            )
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None
        self._complete()

    def _complete(self) -> None:
        """Turn on what other options need, and say so."""
        if self.zca_whitening and self.featurewise_std_normalization:
            self.featurewise_std_normalization = False
            warnings.warn(
                "ImageDataGenerator: zca_whitening turns featurewise_std_normalization off.",
                stacklevel=3,
            )
        for kind, needs in (
            ("zca_whitening", "featurewise_center"),
            ("featurewise_std_normalization", "featurewise_center"),
            ("samplewise_std_normalization", "samplewise_center"),
        ):
            if getattr(self, kind) and not getattr(self, needs):
                setattr(self, needs, True)
                warnings.warn(f"ImageDataGenerator: {kind} turns {needs} on.", stacklevel=3)

    # -- batches ----------------------------------------------------------------------------------

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Batches of arrays, without end; see `NumpyArrayIterator`."""
        return NumpyArrayIterator(
            x, y, self, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight,
            seed=seed, data_format=self.data_format, save_to_dir=save_to_dir,
            save_prefix=save_prefix, save_format=save_format, subset=subset,
            ignore_class_split=ignore_class_split, dtype=self.dtype,
        )  # fmt: skip

    def flow_from_directory(
        self,
        directory: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> DirectoryIterator:
        """Batches of the pictures in a folder's subfolders; see `DirectoryIterator`."""
        return DirectoryIterator(
            directory, self, target_size=target_size, color_mode=color_mode, classes=classes,
            class_mode=class_mode, batch_size=batch_size, shuffle=shuffle, seed=seed,
            data_format=self.data_format, save_to_dir=save_to_dir, save_prefix=save_prefix,
            save_format=save_format, follow_links=follow_links, subset=subset,
            interpolation=interpolation, keep_aspect_ratio=keep_aspect_ratio, dtype=self.dtype,
        )  # fmt: skip

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: Any = None,
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
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        **kwargs: Any,
    ) -> DataFrameIterator:
        """Batches of the pictures that a table names; see `DataFrameIterator`. ``has_ext``,
        ``sort`` and ``drop_duplicates`` are accepted and have no effect.
        """
        unknown = set(kwargs) - {"has_ext", "sort", "drop_duplicates"}
        if unknown:
            raise ArgumentError(f"flow_from_dataframe: unknown arguments {sorted(unknown)}.")
        return DataFrameIterator(
            dataframe, directory, self, x_col=x_col, y_col=y_col, weight_col=weight_col,
            target_size=target_size, color_mode=color_mode, classes=classes,
            class_mode="raw" if class_mode == "other" else class_mode, batch_size=batch_size,
            shuffle=shuffle, seed=seed, data_format=self.data_format, save_to_dir=save_to_dir,
            save_prefix=save_prefix, save_format=save_format, subset=subset,
            interpolation=interpolation, dtype=self.dtype, validate_filenames=validate_filenames,
        )  # fmt: skip

    # -- one image --------------------------------------------------------------------------------

    def standardize(self, x: Array) -> Array:
        """An image normalized as the arguments say; changed in place where it can be."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.featurewise_center and self._fitted(self.mean, "featurewise_center"):
            x -= self.mean
        if self.featurewise_std_normalization and self._fitted(
            self.std, "featurewise_std_normalization"
        ):
            x /= self.std + 1e-6
        if self.zca_whitening and self._fitted(self.zca_whitening_matrix, "zca_whitening"):
            flat = x.reshape(-1, int(np.prod(x.shape[-3:])))
            x = (flat @ self.zca_whitening_matrix).reshape(x.shape)
        return x

    @staticmethod
    def _fitted(found: Any, option: str) -> bool:
        if found is None:
            warnings.warn(
                f"ImageDataGenerator: {option} has no effect before fit(data) was called.",
                stacklevel=3,
            )
        return found is not None

    def get_random_transform(
        self, img_shape: tuple[int, ...], seed: int | None = None
    ) -> dict[str, Any]:
        """What happens to an image of this shape: parameters for ``apply_transform``."""
        if seed is not None:
            np.random.seed(seed)
        theta = _either_way(self.rotation_range)
        tx = _shift(self.height_shift_range, img_shape[self.row_axis - 1])
        ty = _shift(self.width_shift_range, img_shape[self.col_axis - 1])
        shear = _either_way(self.shear_range)
        zx, zy = 1.0, 1.0
        if tuple(self.zoom_range) != (1, 1):
            zx, zy = np.random.uniform(self.zoom_range[0], self.zoom_range[1], 2)
        flip_horizontal = (np.random.random() < 0.5) * self.horizontal_flip
        flip_vertical = (np.random.random() < 0.5) * self.vertical_flip
        intensity = _either_way(self.channel_shift_range) if self.channel_shift_range else None
        brightness = None
        if self.brightness_range is not None:
            brightness = np.random.uniform(self.brightness_range[0], self.brightness_range[1])
        return {
            "theta": theta,
            "tx": tx,
            "ty": ty,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": flip_horizontal,
            "flip_vertical": flip_vertical,
            "channel_shift_intensity": intensity,
            "brightness": brightness,
        }

    def apply_transform(self, x: Array, transform_parameters: dict[str, Any]) -> Array:
        """An image changed as ``get_random_transform`` says; what is not said stays."""
        how = transform_parameters
        row, column, channel = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        x = apply_affine_transform(
            x, how.get("theta", 0), how.get("tx", 0), how.get("ty", 0), how.get("shear", 0),
            how.get("zx", 1), how.get("zy", 1), row_axis=row, col_axis=column,
            channel_axis=channel, fill_mode=self.fill_mode, cval=self.cval,
            order=self.interpolation_order,
        )  # fmt: skip
        if how.get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, how["channel_shift_intensity"], channel)
        if how.get("flip_horizontal", False):
            x = np.flip(x, column)
        if how.get("flip_vertical", False):
            x = np.flip(x, row)
        if how.get("brightness") is not None:
            x = apply_brightness_shift(x, how["brightness"], False)
        return x

    def random_transform(self, x: Array, seed: int | None = None) -> Array:
        """An image changed at random, not normalized."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find out the means, deviations and correlations of the featurewise options.

        Args:
            x: images (N, H, W, C), or (N, C, H, W).
            augment: of randomly changed images, ``rounds`` of each.
            seed: of NumPy's random numbers.

        Raises:
            ShapeError: not four dimensions.
        """
        x = np.array(x, dtype=self.dtype)
        if x.ndim != 4:
            raise ShapeError(f"ImageDataGenerator.fit: images have 4 dimensions, got {x.shape}.")
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            x *= self.rescale
        if augment:
            changed = [self.random_transform(image) for _ in range(rounds) for image in x]
            x = np.stack(changed).astype(self.dtype)
        axes = (0, self.row_axis, self.col_axis)
        if self.featurewise_center:
            self.mean = np.mean(x, axis=axes, keepdims=True)[0]
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(x, axis=axes, keepdims=True)[0]
            x /= self.std + 1e-6
        if self.zca_whitening:
            u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(x)) / (s + self.zca_epsilon))) @ u.T


def _zoom(given: Any) -> list[float]:
    if isinstance(given, float | int):
        return [1 - given, 1 + given]
    if len(given) == 2 and all(isinstance(v, float | int) for v in given):
        return [given[0], given[1]]
    raise ArgumentError(f"ImageDataGenerator: zoom_range is one or two numbers, got {given!r}.")


def _either_way(most: float) -> float:
    return float(np.random.uniform(-most, most)) if most else 0


def _shift(most: Any, side: int) -> float:
    """How far to move along a side: one of some numbers of pixels, or up to a number of them, or
    of sides.
    """
    if np.ndim(most) == 0 and not most:
        return 0
    try:  # a list to choose from, or a whole number: one below it
        found = np.random.choice(most)
        found *= np.random.choice([-1, 1])
    except ValueError:
        found = np.random.uniform(-most, most)
    return float(found * side if np.max(most) < 1 else found)
