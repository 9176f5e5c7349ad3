"""Pictures from and to files and arrays, as Keras's helpers read and write them."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.interop.atomic import atomic_write
from fovea.keras import config
from fovea.tensorbase import is_tensor
from fovea.vision.io import open_image
from fovea.vision.pillow import require_pillow

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """A picture as a PIL image, turned as its camera says.

    Args:
        path: of a file, its bytes, or a ``BytesIO``.
        color_mode: ``"rgb"``, ``"rgba"`` or ``"grayscale"``.
        target_size: (height, width) to resize to.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos"``, ``"box"`` or
            ``"hamming"``.
        keep_aspect_ratio: cut the middle out first, so that nothing is stretched.

    Raises:
        FileFormatError: no picture, or a broken one; names the file.
    """
    if color_mode not in _MODES:
        raise ArgumentError(f"load_img: color_mode is one of {tuple(_MODES)}, got {color_mode!r}.")
    source = path.getvalue() if isinstance(path, io.BytesIO) else path
    image = open_image(source, _MODES[color_mode])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    if interpolation not in _FILTERS:
        raise ArgumentError(f"load_img: interpolation is one of {_FILTERS}, got {interpolation!r}.")
    pil = require_pillow("load_img")
    height, width = target_size
    box = _middle(image.size, width, height) if keep_aspect_ratio else None
    return image.resize((width, height), pil.Resampling[interpolation.upper()], box=box)


def _middle(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The largest box in the middle with this ratio of sides: left, top, right, bottom."""
    w, h = size
    tall, wide = min(h, w * height // width), min(w, h * width // height)
    left, top = (w - wide) // 2, (h - tall) // 2
    return left, top, left + wide, top + tall


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> Any:
    """A PIL image as an array (H, W, C), or (C, H, W); floats unless ``dtype`` says otherwise.

    >>> import numpy as np
    >>> img_to_array(array_to_img(np.zeros((2, 3, 1)))).shape
    (2, 3, 1)
    """
    first = config.standardize_data_format(data_format) == "channels_first"
    array = np.asarray(img, dtype=config.as_dtype(dtype).numpy)
    if array.ndim not in (2, 3):
        raise ShapeError(f"img_to_array: an image has 2 or 3 dimensions, got {array.shape}.")
    if array.ndim == 2:
        array = array[..., None]
    return array.transpose(2, 0, 1) if first else array


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Any:
    """An array or a tensor (H, W, C) or (C, H, W) as a PIL image.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.
        scale: stretch the values over 0 to 255.
        dtype: to compute in; ``floatx()`` unless given.

    Raises:
        ShapeError: not 3 dimensions, or not 1, 3 or 4 channels.
    """
    pil = require_pillow("array_to_img")
    first = config.standardize_data_format(data_format) == "channels_first"
    values = x.detach().float().numpy() if is_tensor(x) else np.asarray(x)
    if values.ndim != 3:
        raise ShapeError(f"array_to_img: an image has 3 dimensions, got {values.shape}.")
    values = values.astype(config.as_dtype(dtype).numpy)
    values = values.transpose(1, 2, 0) if first else values
    if scale and values.size:
        values = values - values.min()
        top = values.max()
        values = values / top * 255 if top else values
    channels = values.shape[-1]
    if channels not in (1, 3, 4):
        raise ShapeError(f"array_to_img: an image has 1, 3 or 4 channels, got {channels}.")
    if channels == 1 and values.size and values.max() > 255:
        return pil.fromarray(values[..., 0].astype(np.int32))
    pixels = values.astype(np.uint8)
    return pil.fromarray(pixels[..., 0] if channels == 1 else pixels)


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture; the file is there in whole or not at all.

    Args:
        path: its ending names the format, unless ``file_format`` does.
        x, data_format, scale: those of `array_to_img`.
        kwargs: passed to PIL's ``save``.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    name = str(path) if isinstance(path, str | os.PathLike) else ""
    kind = file_format or os.path.splitext(name)[1].lstrip(".") or "png"
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(kind.lower(), kind.lower())
    if image.mode == "RGBA" and kind == "jpeg":
        image = image.convert("RGB")
    if not name:
        image.save(path, format=kind, **kwargs)
        return
    with atomic_write(name) as file:
        image.save(file, format=kind, **kwargs)
