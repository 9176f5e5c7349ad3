"""What transforms do to tensors, in tensor functions.

For transforms within a model that is compiled or saved, and for images that gradients are wanted
of. (Else they work on plain arrays, which is quicker.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea import dtypes, watching
from fovea.functions.creation import tensor
from fovea.functions.pointwise import clamp
from fovea.nn import functional as nn
from fovea.tensor import Tensor

__all__ = ["convert_dtype", "crop", "flip", "normalize", "pad", "resize", "to_gray", "wanted"]

_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
_GRAY = (0.2989, 0.587, 0.114)


def wanted(image: Tensor) -> bool:
    """Whether an image is part of a program that is being made, or requires a gradient."""
    watcher = watching.watcher
    return image.requires_grad or (watcher is not None and watcher.captures)


def _batched(image: Tensor) -> Tensor:
    """(N, channels, height, width)."""
    channels = image.shape[-3] if image.ndim > 2 else 1
    return image.reshape(-1, channels, *image.shape[-2:])


def _as_before(made: Tensor, image: Tensor) -> Tensor:
    return made.reshape(*image.shape[:-2], *made.shape[-2:])


def _as_float(image: Tensor) -> Tensor:
    return image if image.dtype.is_floating_point else image.to(dtypes.float32)


def _constant(values: Any) -> Tensor:
    """An array as a number of the program, which it is the same for each time."""
    return tensor(values.tolist(), dtype=dtypes.as_dtype(values.dtype))


def resize(image: Tensor, size: tuple[int, int], mode: str, antialias: bool) -> Tensor:
    """To (height, width); integers are rounded, and cut off where bicubic leaves their range."""
    smooth = mode in ("bilinear", "bicubic")
    batch = _batched(image)
    if not smooth:
        picked = nn.interpolate(_as_float(batch), size, mode=mode).to(image.dtype)
        return _as_before(picked, image)
    made = nn.interpolate(
        _as_float(batch), size, mode=mode, align_corners=False, antialias=antialias
    )
    if not image.dtype.is_floating_point:
        info = np.iinfo(image.dtype.numpy)
        made = clamp(made.round(), int(info.min), int(info.max)).to(image.dtype)
    return _as_before(made, image)


def pad(image: Tensor, sides: Sequence[int], mode: str, fill: Any) -> Tensor:
    """By (left, top, right, bottom); negative amounts cut off."""
    left, top, right, bottom = sides
    values = [float(v) for v in fill] if isinstance(fill, Sequence) else [float(fill)]
    if mode == "symmetric":
        return _symmetric(image, sides)
    batch, amounts = _batched(image), (left, right, top, bottom)
    if mode != "constant" or len(set(values)) == 1:
        value = values[0] if mode == "constant" else None
        made = nn.pad(_as_float(batch), amounts, _MODES[mode], value)
        return _as_before(made.to(image.dtype), image)
    shift = _constant(np.array(values, np.float32).reshape(-1, 1, 1))
    made = nn.pad(_as_float(batch) - shift, amounts) + shift  # the border is 0, and then the fill
    return _as_before(made.to(image.dtype), image)


def _symmetric(image: Tensor, sides: Sequence[int]) -> Tensor:
    """Edges mirrored with their pixels: rows and columns picked by number."""
    height, width = image.shape[-2:]
    left, top, right, bottom = sides

    def places(before: int, count: int, after: int) -> Tensor:
        period = np.arange(-before, count + after) % (2 * count)
        return _constant(np.where(period < count, period, 2 * count - 1 - period))

    rows, columns = places(top, height, bottom), places(left, width, right)
    return image.index_select(-2, rows).index_select(-1, columns)


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A box; what lies outside the image is 0."""
    h, w = image.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= h and left + width <= w:
        return image[..., top : top + height, left : left + width]
    return pad(image, [-left, -top, left + width - w, top + height - h], "constant", 0)


def flip(image: Tensor, dim: int) -> Tensor:
    """Along a dimension."""
    return image.flip(dim)


def convert_dtype(image: Tensor, dtype: Any) -> Tensor:
    """Another element type with values scaled, as the kernel of this name does it."""
    old, new = image.dtype, dtype
    if old.is_floating_point:
        if new.is_floating_point:
            return image.to(new)
        info = np.iinfo(new.numpy)
        scaled = image.to(dtypes.float64 if old == dtypes.float64 else dtypes.float32)
        scaled = clamp(scaled * (info.max + 1.0 - 1e-3), float(info.min), float(info.max))
        return scaled.to(new)
    most = np.iinfo(old.numpy).max
    if new.is_floating_point:
        wide = dtypes.float64 if new == dtypes.float64 else dtypes.float32
        return (image.to(wide) / float(most)).to(new)
    target = np.iinfo(new.numpy).max
    if target < most:
        return image.div((most + 1) // (target + 1), rounding_mode="floor").to(new)
    return image.to(new) * ((target + 1) // (most + 1))


def normalize(image: Tensor, shift: Any, width: Any) -> Tensor:
    """``(image - shift) / width`` with arrays (channels, 1, 1)."""
    return (image - _constant(shift)) / _constant(width)


def to_gray(image: Tensor) -> Tensor:
    """The luminance of three channels; integers are cut off."""
    weights = _constant(np.array(_GRAY, np.float32).reshape(3, 1, 1))
    made = (_as_float(image) * weights.to(_as_float(image).dtype)).sum(-3, keepdim=True)
    return made.to(image.dtype)
