"""What an image is: a PIL image, or a tensor (..., channels, height, width)."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

from fovea.errors import ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms.kernels.values import Array

__all__ = [
    "check_image",
    "from_array",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "is_tensor",
    "pil_kernels",
    "to_array",
]


def is_tensor(image: object) -> TypeGuard[Tensor]:
    """Whether ``image`` is a tensor."""
    return isinstance(image, Tensor)


def check_image(name: str, image: Any) -> None:
    """Raise unless ``image`` is a PIL image or a tensor with at least two dimensions."""
    if is_pil_image(image):
        return
    if not is_tensor(image):
        kind = f"{type(image).__module__}.{type(image).__qualname__}"
        raise TypeError(
            f"{name}: an image is a PIL image or a tensor, got {kind} (ToTensor() makes a tensor"
            " of an array)."
        )
    if image.dim() < 2:
        raise ShapeError(
            f"{name}: an image tensor is (..., channels, height, width).",
            {"image": describe(image)},
        )


def pil_kernels() -> ModuleType:
    """The operations on PIL images (imported only once a PIL image has been met)."""
    from fovea.vision.transforms import pil_kernels as module

    return module


def to_array(image: Tensor) -> Array:
    """A tensor's values, without a copy."""
    array: Array = image.numpy()
    return array


def from_array(array: Array) -> Tensor:
    """A tensor of values that no other tensor shares."""
    if array.base is not None or not array.flags.writeable:
        array = array.copy(order="K")
    return from_numpy(array)


def get_dimensions(img: Any) -> list[int]:
    """Channels, height and width.

    >>> import fovea
    >>> get_dimensions(fovea.zeros(3, 4, 5))
    [3, 4, 5]
    """
    check_image("get_dimensions", img)
    if is_tensor(img):
        channels = 1 if img.dim() == 2 else int(img.shape[-3])
        return [channels, int(img.shape[-2]), int(img.shape[-1])]
    return [len(img.getbands()), img.height, img.width]


def get_image_size(img: Any) -> list[int]:
    """Width and height.

    >>> import fovea
    >>> get_image_size(fovea.zeros(3, 4, 5))
    [5, 4]
    """
    _, height, width = get_dimensions(img)
    return [width, height]


def get_image_num_channels(img: Any) -> int:
    """How many channels.

    >>> import fovea
    >>> get_image_num_channels(fovea.zeros(3, 4, 5))
    3
    """
    return get_dimensions(img)[0]


def as_channels(image: Tensor, name: str, allowed: tuple[int, ...]) -> Array:
    """A tensor's values, after a check of its channels."""
    array = to_array(image)
    if array.ndim < 3 or array.shape[-3] not in allowed:
        raise ShapeError(
            f"{name}: an image tensor with {' or '.join(map(str, allowed))} channels is needed.",
            {"image": describe(image)},
        )
    return array


def number_pair(value: Any, name: str) -> list[Any]:
    """A number as two, or a sequence of one or two numbers as two."""
    values = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
    if len(values) not in (1, 2):
        raise ValueError(f"{name} must be a number or a sequence of 1 or 2 numbers, got {value!r}.")
    return values * 2 if len(values) == 1 else values
