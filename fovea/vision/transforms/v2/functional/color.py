"""Colors and values of images. Masks, boxes and points stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, DTypeError, describe
from fovea.functions.random import randn
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.functional.images import (
    check_image,
    from_array,
    is_tensor,
    pil_kernels,
    to_array,
)
from fovea.vision.transforms.kernels import levels
from fovea.vision.transforms.kernels.values import is_float, max_value
from fovea.vision.transforms.v2.functional.kinds import by_kind, leaves_places

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "erase",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale_to_rgb",
    "invert",
    "jpeg",
    "normalize",
    "permute_channels",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_grayscale",
]


@leaves_places
@by_kind
def adjust_brightness(inpt: Any, brightness_factor: float) -> Any:
    """Scale brightness: 0 gives black, 1 the image, 2 twice its brightness.

    >>> import fovea
    >>> adjust_brightness(fovea.full((1, 1, 1), 0.25), 2.0).item()
    0.5
    """
    return F.adjust_brightness(inpt, brightness_factor)


@leaves_places
@by_kind
def adjust_contrast(inpt: Any, contrast_factor: float) -> Any:
    """Scale contrast: 0 gives the mean gray, 1 the image.

    >>> import fovea
    >>> adjust_contrast(fovea.tensor([[[0.0, 1.0]]]), 0.5).tolist()
    [[[0.25, 0.75]]]
    """
    return F.adjust_contrast(inpt, contrast_factor)


@leaves_places
@by_kind
def adjust_saturation(inpt: Any, saturation_factor: float) -> Any:
    """Scale saturation: 0 gives gray, 1 the image."""
    return F.adjust_saturation(inpt, saturation_factor)


@leaves_places
@by_kind
def adjust_hue(inpt: Any, hue_factor: float) -> Any:
    """Turn the color circle by ``hue_factor`` of a whole turn, -0.5 to 0.5."""
    return F.adjust_hue(inpt, hue_factor)


@leaves_places
@by_kind
def adjust_gamma(inpt: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * value ** gamma``, where values are from 0 to 1.

    Raises:
        ArgumentError: a negative gamma.

    >>> import fovea
    >>> adjust_gamma(fovea.full((1, 1, 1), 0.5), 2.0).item()
    0.25
    """
    if gamma < 0:
        raise ArgumentError(f"adjust_gamma: gamma must not be negative, got {gamma}.")
    if is_tensor(inpt):
        return from_array(levels.adjust_gamma(to_array(inpt), gamma, gain))
    return pil_kernels().adjust_gamma(inpt, gamma, gain)


@leaves_places
@by_kind
def adjust_sharpness(inpt: Any, sharpness_factor: float) -> Any:
    """Scale sharpness: 0 gives a smoothed image, 1 the image, 2 twice its sharpness.

    Raises:
        ArgumentError: a negative factor.

    >>> import fovea
    >>> adjust_sharpness(fovea.ones(3, 4, 4), 2.0).max().item()
    1.0
    """
    if sharpness_factor < 0:
        raise ArgumentError(
            f"adjust_sharpness: the factor must not be negative, got {sharpness_factor}."
        )
    return _leveled("adjust_sharpness", inpt, sharpness_factor)


@leaves_places
@by_kind
def invert(inpt: Any) -> Any:
    """Bright is dark.

    >>> import fovea
    >>> invert(fovea.tensor([[[0, 255]]], dtype=fovea.uint8)).tolist()
    [[[255, 0]]]
    """
    return _leveled("invert", inpt)


@leaves_places
@by_kind
def posterize(inpt: Any, bits: int) -> Any:
    """As many levels as so many bits name.

    >>> import fovea
    >>> posterize(fovea.tensor([[[255, 100]]], dtype=fovea.uint8), 1).tolist()
    [[[128, 0]]]
    """
    return _leveled("posterize", inpt, bits)


@leaves_places
@by_kind
def solarize(inpt: Any, threshold: float) -> Any:
    """What is as bright as a threshold is inverted.

    Raises:
        ArgumentError: a threshold above full brightness.

    >>> import fovea
    >>> solarize(fovea.tensor([[[200, 100]]], dtype=fovea.uint8), 128).tolist()
    [[[55, 100]]]
    """
    if is_tensor(inpt) and threshold > max_value(to_array(inpt).dtype):
        raise ArgumentError(f"solarize: threshold {threshold} is above an image's brightest value.")
    return _leveled("solarize", inpt, threshold)


@leaves_places
@by_kind
def autocontrast(inpt: Any) -> Any:
    """Each channel's values spread from 0 to full brightness.

    >>> import fovea
    >>> autocontrast(fovea.tensor([[[0.25, 0.5]]])).tolist()
    [[[0.0, 1.0]]]
    """
    return _leveled("autocontrast", inpt)


@leaves_places
@by_kind
def equalize(inpt: Any) -> Any:
    """Each channel's levels spread so that all are about as frequent.

    >>> import fovea
    >>> equalize(fovea.zeros(3, 4, 4, dtype=fovea.uint8)).max().item()
    0
    """
    return _leveled("equalize", inpt)


def _leveled(name: str, inpt: Any, *args: Any) -> Any:
    check_image(name, inpt)
    if is_tensor(inpt):
        return from_array(getattr(levels, name)(to_array(inpt), *args))
    return getattr(pil_kernels(), name)(inpt, *args)


@leaves_places
@by_kind
def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """An image in gray, with one channel or three equal ones."""
    return F.rgb_to_grayscale(inpt, num_output_channels)


to_grayscale = rgb_to_grayscale


@leaves_places
@by_kind
def grayscale_to_rgb(inpt: Any) -> Any:
    """A gray image with three equal channels; others stay.

    >>> import fovea
    >>> grayscale_to_rgb(fovea.zeros(1, 2, 2)).shape
    fovea.Size([3, 2, 2])
    """
    check_image("grayscale_to_rgb", inpt)
    if not is_tensor(inpt):
        return inpt.convert("RGB")
    if F.get_image_num_channels(inpt) >= 3:
        return inpt
    return F.rgb_to_grayscale(inpt[..., :1, :, :], 3)


@leaves_places
@by_kind
def permute_channels(inpt: Any, permutation: Sequence[int]) -> Any:
    """Channels in another order: new channel ``i`` is ``permutation[i]``.

    Raises:
        ArgumentError: no order of the image's channels.

    >>> import fovea
    >>> permute_channels(fovea.arange(3).reshape(3, 1, 1), [2, 0, 1]).flatten().tolist()
    [2, 0, 1]
    """
    channels = F.get_image_num_channels(inpt)
    if sorted(permutation) != list(range(channels)):
        raise ArgumentError(
            f"permute_channels: an order of {channels} channels, got {list(permutation)}."
        )
    if is_tensor(inpt):
        return from_array(to_array(inpt)[..., list(permutation), :, :])
    return pil_kernels().permute_channels(inpt, permutation)


@leaves_places
@by_kind
def gaussian_blur(
    inpt: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None
) -> Any:
    """Blur with a Gaussian, the image reflected at its edges."""
    return F.gaussian_blur(inpt, kernel_size, sigma)


@leaves_places
@by_kind
def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Add normal noise, in parts of full brightness.

    Args:
        inpt: an image: a tensor of floats or uint8.
        mean, sigma: of the noise.
        clip: cut floats off to [0, 1] (uint8 always are cut off).

    Raises:
        ArgumentError: a negative sigma.
        DTypeError: another type of values.

    >>> import fovea
    >>> gaussian_noise(fovea.ones(1, 4, 4)).max().item() <= 1
    True
    """
    if not is_tensor(inpt):
        raise TypeError("gaussian_noise: an image tensor is needed, got a PIL image.")
    if sigma < 0:
        raise ArgumentError(f"gaussian_noise: sigma must not be negative, got {sigma}.")
    array = to_array(inpt)
    if not is_float(array.dtype) and array.dtype != np.uint8:
        raise DTypeError(f"gaussian_noise: floats or uint8 are needed, got {describe(inpt)}.")
    noise = randn(inpt.shape).numpy()
    return from_array(levels.gaussian_noise(array, noise, mean, sigma, clip))


@leaves_places
@by_kind
def jpeg(inpt: Any, quality: int) -> Any:
    """An image after it was stored as JPEG.

    Args:
        inpt: a PIL image, or a uint8 tensor (..., 1 or 3, height, width).
        quality: 1 (worst) to 100.

    Raises:
        ArgumentError: another quality.
        DTypeError: values that are not uint8.
    """
    if not 1 <= quality <= 100:
        raise ArgumentError(f"jpeg: quality must be from 1 to 100, got {quality}.")
    check_image("jpeg", inpt)
    if not is_tensor(inpt):
        return pil_kernels().jpeg(inpt, quality)
    array = to_array(inpt)
    if array.dtype != np.uint8:
        raise DTypeError(
            f"jpeg: uint8 is needed, got {describe(inpt)}.", fix="ToDtype(uint8, scale=True)"
        )
    planes = array.reshape(-1, *array.shape[-3:])
    stored = [
        F.pil_to_tensor(pil_kernels().jpeg(F.to_pil_image(from_array(p)), quality)) for p in planes
    ]
    return from_array(np.stack([to_array(t) for t in stored]).reshape(array.shape))


@leaves_places
@by_kind
def erase(inpt: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """Overwrite a box of an image: rows from ``i`` on, columns from ``j`` on.

    >>> import fovea
    >>> erase(fovea.ones(1, 4, 4), 0, 0, 2, 2, fovea.tensor(0.0)).sum().item()
    12.0
    """
    if is_tensor(inpt):
        return F.erase(inpt, i, j, h, w, v, inplace)
    return F.to_pil_image(F.erase(F.pil_to_tensor(inpt), i, j, h, w, v), inpt.mode)


@leaves_places
@by_kind
def normalize(inpt: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """``(image - mean) / std``, channel by channel, for tensors of floats."""
    return F.normalize(inpt, mean, std, inplace)
