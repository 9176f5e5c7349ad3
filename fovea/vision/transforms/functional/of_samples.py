"""Functions on images that are written for parts of samples, in `fovea.vision.transforms.v2`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fovea.tensor import Tensor
from fovea.vision.transforms.interpolation import InterpolationMode

__all__ = [
    "adjust_gamma",
    "adjust_sharpness",
    "autocontrast",
    "elastic_transform",
    "equalize",
    "five_crop",
    "invert",
    "perspective",
    "posterize",
    "solarize",
    "ten_crop",
]
Points = Sequence[Sequence[int]]


def _samples() -> Any:
    """Loaded when first called: what is for samples builds on what is for images."""
    return importlib.import_module("fovea.vision.transforms.v2.functional")


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * img ** gamma``, of values from 0 to 1."""
    return _samples().adjust_gamma(img, gamma, gain)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Between a blurred image (0), the image (1) and a sharper one (2)."""
    return _samples().adjust_sharpness(img, sharpness_factor)


def autocontrast(img: Any) -> Any:
    """Stretch each channel so that its darkest value is black and its brightest white."""
    return _samples().autocontrast(img)


def elastic_transform(
    img: Any,
    displacement: Tensor,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Bend: each pixel comes from beside its place, by ``displacement`` (1, height, width, 2)."""
    return _samples().elastic_transform(img, displacement, interpolation, fill)


def equalize(img: Any) -> Any:
    """Spread each channel's values evenly; bytes."""
    return _samples().equalize(img)


def five_crop(img: Any, size: int | Sequence[int]) -> tuple[Any, ...]:
    """The corners (top left, top right, bottom left, bottom right) and the middle.

    >>> import fovea
    >>> len(five_crop(fovea.zeros(3, 8, 8), 4))
    5
    """
    return _samples().five_crop(img, size)


def invert(img: Any) -> Any:
    """The negative.

    >>> import fovea
    >>> invert(fovea.tensor([[[0.25]]]))
    tensor([[[0.7500]]])
    """
    return _samples().invert(img)


def perspective(
    img: Any,
    startpoints: Points,
    endpoints: Points,
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Look at an image from another side: four points (x, y), and where they go."""
    return _samples().perspective(img, startpoints, endpoints, interpolation, fill)


def posterize(img: Any, bits: int) -> Any:
    """Keep the highest ``bits`` of each byte."""
    return _samples().posterize(img, bits)


def solarize(img: Any, threshold: float) -> Any:
    """Invert values from ``threshold`` up."""
    return _samples().solarize(img, threshold)


def ten_crop(img: Any, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[Any, ...]:
    """``five_crop`` of the image, and of it flipped from left to right (or upside down)."""
    return _samples().ten_crop(img, size, vertical_flip)
