"""Images from and to files: every mode of file comes out right, and what is no image is a clear
error.
"""

from __future__ import annotations

import io
import os
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, MissingFileError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.tensor import Tensor

__all__ = [
    "ImageReadMode",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "encode_jpeg",
    "encode_png",
    "open_image",
    "read_file",
    "read_image",
    "write_file",
    "write_jpeg",
    "write_png",
]


class ImageReadMode(Enum):
    """Which channels an image is read as: as they are in the file, or converted."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_PIL_MODE = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}
_ORIENTATION = 0x0112  # the EXIF tag
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def open_image(
    source: str | os.PathLike[str] | bytes, mode: str | None = "RGB", *, exif: bool = True
) -> Image:
    """Read a picture as a PIL image, the way a viewer shows it.

    Palettes and CMYK become RGB, transparency is dropped or kept as ``mode`` says, 16-bit gray is
    scaled to 8 bits when another mode is asked for, and a camera's orientation mark is applied.

    Args:
        source: a path, or a file's bytes.
        mode: a PIL mode (``"RGB"``, ``"L"``, ``"RGBA"`` ...), or None for L, LA, RGB, RGBA or I;16,
            whichever the file is.
        exif: turn the picture as its EXIF orientation says.

    Raises:
        FileFormatError: the file is missing, is no image, is cut short, or would decode to an
            absurd size.
        MissingExtraError: Pillow is not installed.
    """
    pil = require_pillow("reading an image")
    name = "the image" if isinstance(source, bytes) else os.fspath(source)
    try:
        with pil.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            return _settle(image, mode, exif)
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {name}.") from error
    except pil.DecompressionBombError as error:
        raise FileFormatError(
            f"{name} claims a size that no real picture has ({error}).",
            fix="if it is genuine, raise PIL.Image.MAX_IMAGE_PIXELS",
        ) from error
    except pil.UnidentifiedImageError as error:
        raise FileFormatError(
            f"{name} is not an image (or of a kind Pillow cannot read)."
        ) from error
    except FileFormatError:
        raise
    except (
        Exception
    ) as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ... on damage
        raise FileFormatError(f"{name} cannot be read: {error}") from error


def _settle(image: Any, mode: str | None, exif: bool) -> Image:
    """Orientation and channels."""
    if exif and image.getexif().get(_ORIENTATION, 1) != 1:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    if mode is None:
        mode = _plain_mode(image)
    if image.mode in _DEEP_MODES and mode not in _DEEP_MODES:
        image = _to_eight_bits(image)
    if image.mode == mode or (mode == "I;16" and image.mode in _DEEP_MODES):
        return image
    if image.mode == "P" and "transparency" in image.info and mode != "RGBA":
        image = image.convert("RGBA")  # Pillow's own detour for palettes with a transparent entry
    return image.convert(mode)


def _plain_mode(image: Any) -> str:
    """The nearest mode with whole bytes and no palette."""
    mode: str = image.mode
    if mode in _DEEP_MODES:
        return "I;16"
    if mode in ("P", "PA"):
        return "RGBA" if mode == "PA" or "transparency" in image.info else "RGB"
    simple = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA", "F": "L"}
    return simple.get(mode, "RGB")


def _to_eight_bits(image: Any) -> Any:
    """16-bit gray by its upper byte (``convert`` would cut everything above 255 off)."""
    pil = require_pillow("reading an image")
    values = np.asarray(image).astype(np.int64)
    return pil.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))


def read_image(
    path: str | os.PathLike[str],
    mode: ImageReadMode = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """Read an image file as a tensor.

    Args:
        path: the file (any format Pillow reads).
        mode: which channels to give. ``UNCHANGED`` keeps gray, alpha and 16-bit gray; palettes and
            CMYK become RGB(A).
        apply_exif_orientation: turn the picture as a camera's orientation mark says.

    Returns:
        uint8 (channels, height, width); int32 with values to 65535 for 16-bit gray under
        ``UNCHANGED``.

    Raises:
        FileFormatError: missing, no image, cut short, or of an absurd size; the message names the
            file.
        MissingExtraError: Pillow is not installed.
    """
    image = open_image(path, _PIL_MODE.get(mode), exif=apply_exif_orientation)
    return _to_tensor(image)


def decode_image(
    input: Tensor | bytes | str | os.PathLike[str],
    mode: ImageReadMode = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """Decode an image file's bytes (bytes, or a uint8 tensor with one dimension), or read it from a
    path.

    Arguments, result and errors are those of ``read_image``.
    """
    if isinstance(input, str | os.PathLike):
        return read_image(input, mode, apply_exif_orientation)
    if not isinstance(input, bytes):
        if input.dim() != 1 or input.dtype.name != "uint8":
            raise ShapeError(
                "decode_image: a file's bytes are a uint8 tensor with one dimension.",
                {"input": describe(input)},
            )
        input = input.numpy().tobytes()
    image = open_image(input, _PIL_MODE.get(mode), exif=apply_exif_orientation)
    return _to_tensor(image)


def decode_jpeg(
    input: Tensor,
    mode: ImageReadMode = ImageReadMode.UNCHANGED,
    device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Tensor:
    """``decode_image`` of a JPEG file's bytes."""
    return decode_image(input, mode, apply_exif_orientation)


def decode_png(
    input: Tensor,
    mode: ImageReadMode = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """``decode_image`` of a PNG file's bytes."""
    return decode_image(input, mode, apply_exif_orientation)


def read_file(path: str | os.PathLike[str]) -> Tensor:
    """A file's bytes as a uint8 tensor with one dimension."""
    return from_numpy(np.fromfile(path, np.uint8))


def write_file(filename: str | os.PathLike[str], data: Tensor) -> None:
    """Write a uint8 tensor with one dimension as a file's bytes."""
    if data.dim() != 1 or data.dtype.name != "uint8":
        raise ShapeError(
            "write_file: a file's bytes are a uint8 tensor with one dimension.",
            {"data": describe(data)},
        )
    with open(filename, "wb") as file:
        file.write(data.numpy().tobytes())


def _to_tensor(image: Image) -> Tensor:
    array = np.array(image)
    if array.dtype != np.uint8:
        array = array.astype(np.int32)
    if array.ndim == 2:
        array = array[:, :, None]
    return from_numpy(array.transpose(2, 0, 1))


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """A PNG file's bytes from a uint8 (1 or 3, height, width) tensor.

    Args:
        input: the image, gray or RGB.
        compression_level: 0 (fast) to 9 (small).

    Raises:
        ShapeError: another shape or dtype.
        ArgumentError: a compression level outside 0 ... 9.

    >>> import fovea
    >>> png = encode_png(fovea.zeros(3, 4, 5, dtype=fovea.uint8))
    >>> decode_image(png).shape
    fovea.Size([3, 4, 5])
    """
    if not 0 <= compression_level <= 9:
        raise ArgumentError(
            f"encode_png: compression_level must be 0 to 9, got {compression_level}."
        )
    return _encoded("encode_png", input, "PNG", compress_level=compression_level)


def _encoded(name: str, input: Tensor, kind: str, **options: Any) -> Tensor:
    """A file's bytes, of a uint8 (1 or 3, height, width) tensor."""
    pil = require_pillow("writing an image")
    if input.dim() != 3 or input.shape[0] not in (1, 3) or input.dtype.name != "uint8":
        raise ShapeError(
            f"{name}: an image is a uint8 tensor of shape (1 or 3, height, width).",
            {"input": describe(input)},
            fix="transforms.ConvertImageDtype(fovea.uint8) makes one from floats in [0, 1]",
        )
    array = np.ascontiguousarray(input.numpy().transpose(1, 2, 0))
    image = pil.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return from_numpy(np.frombuffer(file.getvalue(), np.uint8).copy())


def encode_jpeg(input: Tensor, quality: int = 75) -> Tensor:
    """A JPEG file's bytes from a uint8 (1 or 3, height, width) tensor.

    Args:
        input: the image, gray or RGB.
        quality: 1 (small) to 100 (true).

    Raises:
        ShapeError: another shape or dtype.
        ArgumentError: a quality outside 1 ... 100.

    >>> import fovea
    >>> jpeg = encode_jpeg(fovea.zeros(3, 4, 5, dtype=fovea.uint8), quality=90)
    >>> decode_jpeg(jpeg).shape
    fovea.Size([3, 4, 5])
    """
    if not 1 <= quality <= 100:
        raise ArgumentError(f"encode_jpeg: quality must be 1 to 100, got {quality}.")
    return _encoded("encode_jpeg", input, "JPEG", quality=quality)


def write_jpeg(input: Tensor, filename: str | os.PathLike[str], quality: int = 75) -> None:
    """Write a uint8 (1 or 3, height, width) tensor as a JPEG file; arguments and errors as
    ``encode_jpeg``.
    """
    write_file(filename, encode_jpeg(input, quality))


def write_png(
    input: Tensor,
    filename: str | os.PathLike[str],
    compression_level: int = 6,
) -> None:
    """Write a uint8 (1 or 3, height, width) tensor as a PNG file; arguments and errors as
    ``encode_png``.
    """
    data = encode_png(input, compression_level).numpy().tobytes()
    with open(filename, "wb") as file:
        file.write(data)
