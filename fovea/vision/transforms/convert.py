"""Images to tensors and back, element types, normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea import dtypes
from fovea.functions.creation import from_numpy
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.base import Transform
from fovea.vision.transforms.functional.images import pil_kernels

__all__ = ["ConvertImageDtype", "Normalize", "PILToTensor", "ToDtype", "ToPILImage", "ToTensor"]


class ToTensor(Transform):
    """A PIL image or an array (height, width, channels) as a tensor (channels, height, width).

    8-bit values become floats in [0, 1]; other types keep their values; a tensor of floats is
    passed on.

    >>> import numpy as np
    >>> ToTensor()(np.zeros((4, 6, 3), np.uint8)).shape
    fovea.Size([3, 4, 6])
    """

    def forward(self, img: Any) -> Any:
        return F.to_tensor(img)


def to_normalized(img: Any, normalize: Normalize) -> Any:
    """``ToTensor`` and then ``normalize``, for 8-bit RGB in one pass over the pixels."""
    mean, std = normalize.mean, normalize.std
    fits = all(isinstance(v, Sequence) and len(v) in (1, 3) for v in (mean, std)) and all(std)
    plain = not normalize.inplace and dtypes.get_default_dtype() == dtypes.float32
    if fits and plain and is_pil_image(img):
        floats = pil_kernels().to_floats(img, mean, std)
        if floats is not None:
            return from_numpy(floats.transpose(2, 0, 1))
    return normalize(F.to_tensor(img))


class PILToTensor(Transform):
    """A PIL image as a tensor (channels, height, width) of the same values."""

    def forward(self, img: Any) -> Any:
        return F.pil_to_tensor(img)


class ToPILImage(Transform):
    """A tensor (channels, height, width) or an array (height, width, channels) as a PIL image.

    Args:
        mode: the PIL mode (default: by channels and type).
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def forward(self, img: Any) -> Any:
        return F.to_pil_image(img, self.mode)


class ConvertImageDtype(Transform):
    """Another element type with values scaled: floats span [0, 1], integers from 0 to their
    greatest.

    Args:
        dtype: the new type.

    >>> import fovea
    >>> ConvertImageDtype(fovea.float32)(fovea.tensor([255], dtype=fovea.uint8)).item()
    1.0
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, img: Any) -> Any:
        return F.convert_image_dtype(img, self.dtype)


class ToDtype(Transform):
    """Another element type.

    Args:
        dtype: the new type.
        scale: scale values as ``ConvertImageDtype`` does.

    >>> import fovea
    >>> ToDtype(fovea.float32)(fovea.tensor([255], dtype=fovea.uint8)).item()
    255.0
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        self.dtype = dtype
        self.scale = scale

    def forward(self, img: Any) -> Any:
        return F.to_dtype(img, self.dtype, self.scale)


class Normalize(Transform):
    """``(image - mean) / std``, channel by channel, for tensors of floats.

    Args:
        mean: one value, or one a channel.
        std: one value, or one a channel.
        inplace: write into the image.

    >>> import fovea
    >>> Normalize([0.5], [0.5])(fovea.ones(1, 2, 2)).max().item()
    1.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, img: Any) -> Any:
        return F.normalize(img, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"
