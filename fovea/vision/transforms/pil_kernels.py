"""Image operations on PIL images, by Pillow's own code."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from fovea.errors import ArgumentError
from fovea.vision.transforms import pil_pixels
from fovea.vision.transforms.interpolation import InterpolationMode, pil_filter
from fovea.vision.transforms.kernels import spatial

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "channels",
    "crop",
    "equalize",
    "gaussian_blur",
    "hflip",
    "invert",
    "jpeg",
    "pad",
    "permute_channels",
    "perspective",
    "posterize",
    "resize",
    "resized_crop",
    "rotate",
    "solarize",
    "to_floats",
    "to_gray",
    "vflip",
]

Fill = float | Sequence[float] | None


def channels(image: PILImage) -> int:
    """How many bands an image has."""
    return len(image.getbands())


def _color(image: PILImage, fill: Fill) -> Any:
    """A fill value as Pillow wants it: a number for one band, a tuple for several."""
    count = channels(image)
    values = [0.0 if fill is None else fill] if not isinstance(fill, Sequence) else list(fill)
    if len(values) == 1:
        values *= count
    if len(values) != count:
        raise ArgumentError(f"fill has {len(values)} values, the image has {count} channels.")
    numbers = [float(v) if image.mode == "F" else int(v) for v in values]
    return tuple(numbers) if count > 1 else numbers[0]


def resize(
    image: PILImage,
    size: tuple[int, int],
    mode: InterpolationMode,
    window: tuple[int, int, int, int] | None = None,
) -> PILImage:
    """Resize to (height, width), and cut out a window (top, left, height, width)."""
    if mode is InterpolationMode.BILINEAR:
        whole = (0, 0, image.height, image.width)
        found = pil_pixels.crop_and_resize(image, whole, size, window)
        if found is not None:
            return found
    resized = image.resize((size[1], size[0]), Image.Resampling(pil_filter(mode)))
    return resized if window is None else crop(resized, *window)


def crop(image: PILImage, top: int, left: int, height: int, width: int) -> PILImage:
    """Cut out a box; what lies outside the image is black."""
    return image.crop((left, top, left + width, top + height))


def resized_crop(
    image: PILImage,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    mode: InterpolationMode,
) -> PILImage:
    """Cut out a box (top, left, height, width) and resize it to (height, width)."""
    if mode is InterpolationMode.BILINEAR:
        found = pil_pixels.crop_and_resize(image, box, size)
        if found is not None:
            return found
    return resize(crop(image, *box), size, mode)


def hflip(image: PILImage) -> PILImage:
    """Left to right."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(image: PILImage) -> PILImage:
    """Top to bottom."""
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def pad(image: PILImage, sides: Sequence[int], mode: str, fill: Fill = 0) -> PILImage:
    """Widen by (left, top, right, bottom)."""
    if mode == "constant":
        wide = ImageOps.expand(image, tuple(sides), fill=_color(image, fill))
    else:
        array = np.asarray(image)
        planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        padded = spatial.pad(planes, sides, mode)
        wide = Image.fromarray(padded[0] if array.ndim == 2 else padded.transpose(1, 2, 0).copy())
    palette = image.getpalette() if image.mode == "P" else None
    if palette is not None:
        wide.putpalette(palette)
    return wide


def to_floats(
    image: PILImage, mean: Sequence[float] | None = None, std: Sequence[float] = ()
) -> np.ndarray[Any, Any] | None:
    """An RGB image as float32 (height, width, 3) in [0, 1], with a mean normalized; None for other
    modes.
    """
    return pil_pixels.to_floats(image, mean, std)


def rotate(
    image: PILImage,
    angle: float,
    mode: InterpolationMode,
    expand: bool,
    center: Sequence[float] | None,
    fill: Fill,
) -> PILImage:
    """Turn counter-clockwise by degrees."""
    return image.rotate(
        angle,
        Image.Resampling(pil_filter(mode)),
        expand,
        tuple(center) if center is not None else None,  # type: ignore[arg-type]
        fillcolor=_color(image, fill),
    )


def affine(
    image: PILImage, matrix: Sequence[float], mode: InterpolationMode, fill: Fill
) -> PILImage:
    """Map by a matrix from output to input coordinates."""
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        tuple(matrix),
        Image.Resampling(pil_filter(mode)),
        fillcolor=_color(image, fill),
    )


def perspective(
    image: PILImage, coefficients: Sequence[float], mode: InterpolationMode, fill: Fill
) -> PILImage:
    """Map by the eight coefficients from output to input coordinates."""
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        tuple(coefficients),
        Image.Resampling(pil_filter(mode)),
        fillcolor=_color(image, fill),
    )


def adjust_brightness(image: PILImage, factor: float) -> PILImage:
    """Towards black (0) or away from it."""
    return ImageEnhance.Brightness(image).enhance(factor)


def adjust_contrast(image: PILImage, factor: float) -> PILImage:
    """Towards (0) or away from the mean gray."""
    return ImageEnhance.Contrast(image).enhance(factor)


def adjust_saturation(image: PILImage, factor: float) -> PILImage:
    """Towards (0) or away from gray."""
    return ImageEnhance.Color(image).enhance(factor)


def adjust_hue(image: PILImage, factor: float) -> PILImage:
    """Turn the color circle by ``factor`` of a whole turn."""
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    shift = int(factor * 255) % 256
    turned = hue.point([(i + shift) % 256 for i in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert(image.mode)


def to_gray(image: PILImage, num_output_channels: int) -> PILImage:
    """Gray with one channel, or three equal ones."""
    gray = image.convert("L")
    return gray if num_output_channels == 1 else Image.merge("RGB", (gray, gray, gray))


def gaussian_blur(image: PILImage, kernel_size: Sequence[int], sigma: Sequence[float]) -> PILImage:
    """Convolve with a Gaussian, computed as for tensors."""
    array = np.asarray(image)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    blurred = spatial.gaussian_blur(planes, kernel_size, sigma)
    return Image.fromarray(blurred[0] if array.ndim == 2 else blurred.transpose(1, 2, 0).copy())


def adjust_gamma(image: PILImage, gamma: float, gain: float) -> PILImage:
    """``gain * value ** gamma``, where values are from 0 to 1."""
    mode = image.mode
    table = [int(255.999 * gain * (i / 255) ** gamma) for i in range(256)]
    return image.convert("RGB").point(table * 3).convert(mode)


def adjust_sharpness(image: PILImage, factor: float) -> PILImage:
    """Towards (0) or away from a smoothed image."""
    return ImageEnhance.Sharpness(image).enhance(factor)


def invert(image: PILImage) -> PILImage:
    """Bright is dark."""
    return ImageOps.invert(image)


def posterize(image: PILImage, bits: int) -> PILImage:
    """Fewer levels."""
    return ImageOps.posterize(image, bits)


def solarize(image: PILImage, threshold: float) -> PILImage:
    """What is as bright as a threshold is inverted."""
    return ImageOps.solarize(image, int(threshold))


def autocontrast(image: PILImage) -> PILImage:
    """Values spread from 0 to 255."""
    return ImageOps.autocontrast(image)


def equalize(image: PILImage) -> PILImage:
    """Levels about as frequent."""
    return ImageOps.equalize(image)


def permute_channels(image: PILImage, permutation: Sequence[int]) -> PILImage:
    """Bands in another order."""
    bands = image.split()
    return Image.merge(image.mode, [bands[i] for i in permutation])


def jpeg(image: PILImage, quality: int) -> PILImage:
    """An image after it was stored as JPEG."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    stored.seek(0)
    with Image.open(stored) as again:
        again.load()
        return again.copy()
