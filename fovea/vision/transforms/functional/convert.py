"""Between PIL images, arrays and tensors; element types; normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.vision.pillow import is_pil_image, require_pillow
from fovea.vision.transforms.functional import traced
from fovea.vision.transforms.functional.images import from_array, is_tensor, pil_kernels, to_array
from fovea.vision.transforms.kernels import color
from fovea.vision.transforms.kernels.values import Array

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.tensor import Tensor

__all__ = [
    "convert_image_dtype",
    "normalize",
    "pil_to_tensor",
    "to_dtype",
    "to_pil_image",
    "to_tensor",
]

_PIL_TYPES = {"I": np.int32, "F": np.float32}


def _pil_array(image: Image, scale_bits: bool) -> Array:
    """(height, width, channels); 16-bit gray as int32, since fovea has no unsigned 16-bit type."""
    array = np.array(image)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255 if scale_bits else 1)
    elif array.dtype != np.uint8:
        array = array.astype(_PIL_TYPES.get(image.mode, np.int32))
    return array[:, :, None] if array.ndim == 2 else array


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array (height, width, channels) as a tensor (channels, height, width).

    8-bit values become floats in [0, 1]; other types keep their values. A tensor of floats is
    returned as it is.

    Raises:
        TypeError: ``pic`` is something else.
        ShapeError: an array without 2 or 3 dimensions.

    >>> import numpy as np
    >>> to_tensor(np.full((2, 2, 3), 255, np.uint8)).max().item()
    1.0
    """
    if is_tensor(pic) and pic.is_floating_point():
        return pic
    if is_pil_image(pic):
        if dtypes.get_default_dtype() == dtypes.float32:
            floats = pil_kernels().to_floats(pic)
            if floats is not None:
                return from_numpy(floats.transpose(2, 0, 1))
        array = _pil_array(pic, scale_bits=True)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ShapeError(
                f"to_tensor: an image array has 2 or 3 dimensions, got shape {pic.shape}."
            )
        array = pic[:, :, None] if pic.ndim == 2 else pic
    else:
        raise TypeError(
            f"to_tensor: pic should be a PIL image or an array, got {type(pic).__name__}."
        )
    planes = array.transpose(2, 0, 1)
    if planes.dtype == np.uint8:
        return from_array(color.convert_dtype(planes, dtypes.get_default_dtype().numpy))
    return from_array(planes)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (channels, height, width) of the same values (16-bit gray as int32).

    Raises:
        TypeError: ``pic`` is no PIL image.
    """
    if not is_pil_image(pic):
        raise TypeError(f"pil_to_tensor: pic should be a PIL image, got {type(pic).__name__}.")
    return from_array(_pil_array(pic, scale_bits=False).transpose(2, 0, 1))


def to_pil_image(pic: Any, mode: str | None = None) -> Image:
    """A tensor (channels, height, width) or an array (height, width, channels) as a PIL image.

    Floats in [0, 1] become 8-bit values (cut off, as in torchvision).

    Args:
        pic: 1 to 4 channels, or two dimensions.
        mode: the PIL mode (default L, LA, RGB, RGBA by channels; I or F for int32 and, when asked
            for, float32).

    Raises:
        ShapeError: other dimensions or channels.
        ArgumentError: a mode that does not fit.
        MissingExtraError: Pillow is not installed.
    """
    pil = require_pillow("to_pil_image")
    if is_tensor(pic):
        array = to_array(pic.detach())
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(pic, np.ndarray):
        array = pic
    else:
        raise TypeError(
            f"to_pil_image: pic should be a tensor or an array, got {type(pic).__name__}."
        )
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
        raise ShapeError(
            "to_pil_image: pic should have 2 or 3 dimensions and 1 to 4 channels.",
            {"pic": describe(pic)},
        )
    if array.dtype.kind not in "iub" and mode != "F":
        array = (array.astype(np.float32) * 255).astype(np.uint8)
    values = np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)
    plain = pil.fromarray(values)
    allowed = {
        1: (plain.mode,),
        2: ("LA",),
        3: ("RGB", "YCbCr", "HSV"),
        4: ("RGBA", "CMYK", "RGBX"),
    }
    fitting = allowed[array.shape[2]]
    if mode is None or mode == plain.mode:
        return plain
    if mode not in fitting:
        raise ArgumentError(
            f"to_pil_image: mode {mode!r} does not fit; {', '.join(fitting)} would."
        )
    size = (values.shape[1], values.shape[0])
    return pil.frombytes(mode, size, values.tobytes())


def convert_image_dtype(image: Tensor, dtype: Any = None) -> Tensor:
    """Another element type with values scaled: floats span [0, 1], integers from 0 to their
    greatest.

    Args:
        image: a tensor.
        dtype: the new type (default float32).

    Raises:
        TypeError: ``image`` is no tensor.
        DTypeError: a float to an integer type too wide for it to number exactly (float32 to int32
            or int64).

    >>> import fovea
    >>> convert_image_dtype(fovea.tensor([0, 51, 255], dtype=fovea.uint8)).tolist()[2]
    1.0
    """
    if not is_tensor(image):
        raise TypeError(
            f"convert_image_dtype: image should be a tensor, got {type(image).__name__}."
        )
    wanted = dtypes.as_dtype(dtypes.float32 if dtype is None else dtype)
    if image.dtype == wanted:
        return image
    try:
        if traced.wanted(image):
            color.convert_dtype(np.empty(0, image.dtype.numpy), wanted.numpy)  # or raises
            return traced.convert_dtype(image, wanted)
        return from_array(color.convert_dtype(to_array(image), wanted.numpy))
    except ValueError as error:
        raise DTypeError(f"convert_image_dtype: {error}.") from None


def to_dtype(inpt: Tensor, dtype: Any = None, scale: bool = False) -> Tensor:
    """Another element type, values scaled as ``convert_image_dtype`` does or kept."""
    wanted = dtypes.float32 if dtype is None else dtype
    return convert_image_dtype(inpt, wanted) if scale else inpt.to(wanted)


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """``(tensor - mean) / std``, channel by channel.

    Args:
        tensor: floats (..., channels, height, width).
        mean: one value, or one a channel.
        std: one value, or one a channel; none may be 0.
        inplace: write into ``tensor``.

    Raises:
        TypeError: ``tensor`` is no tensor.
        DTypeError: ``tensor`` holds no floats.
        ShapeError: too few dimensions, or ``mean`` or ``std`` of another length.
        ArgumentError: a ``std`` of 0.

    >>> import fovea
    >>> normalize(fovea.ones(1, 2, 2), [0.5], [0.25]).max().item()
    2.0
    """
    _check_normalize(tensor, mean, std)
    dtype = tensor.dtype.numpy
    shift, width = (np.asarray(v).astype(dtype).reshape(-1, 1, 1) for v in (mean, std))
    if inplace:
        return tensor.sub_(from_numpy(shift)).div_(from_numpy(width))
    if traced.wanted(tensor):
        return traced.normalize(tensor, shift, width)
    array = to_array(tensor)
    last = np.moveaxis(array, -3, -1)
    if last.flags.c_contiguous:  # whole rows at once: three channels are too short a loop
        return from_numpy(np.moveaxis(_normalize_pixels(last, shift, width), -1, -3))
    out = array - shift
    out /= width
    return from_array(out)


def _normalize_pixels(pixels: Array, shift: Array, width: Array) -> Array:
    """The same of contiguous pixels (..., height, width, channels)."""
    *lead, columns, channels = pixels.shape
    rows = pixels.reshape(-1, columns * channels)
    mean, deviation = (
        np.tile(np.broadcast_to(v.ravel(), channels), columns) for v in (shift, width)
    )
    out = rows - mean
    out /= deviation
    return out.reshape(*lead, columns, channels)


def _check_normalize(tensor: Any, mean: Sequence[float], std: Sequence[float]) -> None:
    if not is_tensor(tensor):
        raise TypeError(
            f"normalize: a tensor is needed, got {type(tensor).__name__}; put ToTensor() before"
            " Normalize."
        )
    if not tensor.is_floating_point():
        raise DTypeError(
            f"normalize: floats are needed, got {tensor.dtype}.",
            fix="put ConvertImageDtype() before Normalize",
        )
    if tensor.dim() < 3:
        raise ShapeError(
            "normalize: an image tensor is (..., channels, height, width).",
            {"tensor": describe(tensor)},
        )
    for name, values in (("mean", mean), ("std", std)):
        length = int(np.size(values))
        if length not in (1, tensor.shape[-3]):
            raise ShapeError(
                f"normalize: {name} has {length} values, the image {tensor.shape[-3]} channels."
            )
    if not np.all(np.asarray(std)):
        raise ArgumentError("normalize: std evaluated to zero, leading to division by zero.")
