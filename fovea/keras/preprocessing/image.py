"""Pictures from and to files and arrays; see ``keras.utils``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.keras.ops.image import resize
from fovea.keras.preprocessing.file_iterators import DataFrameIterator, DirectoryIterator
from fovea.keras.preprocessing.generator import ImageDataGenerator
from fovea.keras.preprocessing.iterators import Iterator, NumpyArrayIterator
from fovea.keras.preprocessing.warps import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
)
from fovea.keras.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "array_to_img",
    "img_to_array",
    "load_img",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
    "save_img",
    "smart_resize",
]


def smart_resize(
    x: Any, size: Any, interpolation: str = "bilinear", data_format: str = "channels_last"
) -> Any:
    """Images of another size, cut to its ratio of sides first, so that nothing is stretched.

    Args:
        x: an image or a batch of them; an array gives an array.
        size: (height, width).
        interpolation: ``"bilinear"``, ``"nearest"`` or ``"bicubic"``.

    >>> smart_resize(np.zeros((6, 9, 3)), (4, 4)).shape
    (4, 4, 3)
    """
    if len(size) != 2:
        raise ArgumentError(f"smart_resize: size is two numbers, got {size!r}.")
    if len(x.shape) not in (3, 4):
        raise ShapeError(f"smart_resize: images have 3 or 4 dimensions, got {tuple(x.shape)}.")
    found = resize(
        x, tuple(size), interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
    return found.numpy() if isinstance(x, np.ndarray) else found
