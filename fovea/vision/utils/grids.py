"""Images side by side, as one tensor or as a file."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.interop.atomic import atomic_write
from fovea.tensorbase import is_tensor
from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["make_grid", "save_image"]

Array = np.ndarray[Any, Any]


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images side by side in rows.

    Args:
        tensor: images (N, C, H, W), a list of images of one size, or one image (C, H, W) or (H, W);
            gray ones become RGB.
        nrow: images in a row.
        padding: pixels between them and around.
        normalize: bring values into [0, 1].
        value_range: what becomes 0 and 1; None for the least and the greatest value.
        scale_each: by the values of each image instead of all.
        pad_value: of the pixels in between.

    Returns:
        (C, height, width) in the dtype of the images; one image comes back without a border.

    Raises:
        ArgumentError: no tensors.
        ShapeError: images of several sizes, or other dimensions.

    >>> import fovea
    >>> make_grid(fovea.zeros(10, 3, 4, 6), nrow=5).shape
    fovea.Size([3, 14, 42])
    """
    images = _as_batch(tensor)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise ArgumentError("make_grid: value_range is a tuple (min, max).")
        parts = [_normalized(x, value_range) for x in (images if scale_each else [images])]
        images = np.stack(parts) if scale_each else parts[0]
    if len(images) == 1:
        return from_numpy(np.ascontiguousarray(images[0]))
    columns = min(nrow, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[2] + padding, images.shape[3] + padding
    size = (images.shape[1], height * rows + padding, width * columns + padding)
    grid = np.full(size, pad_value, images.dtype)
    for number, image in enumerate(images):
        y, x = (n * side for n, side in zip(divmod(number, columns), (height, width), strict=True))
        grid[:, y + padding : y + height, x + padding : x + width] = image
    return from_numpy(grid)


def _as_batch(tensor: Any) -> Array:
    """Images (N, C, H, W), gray ones as RGB."""
    several = isinstance(tensor, list | tuple)
    if not all(is_tensor(t) for t in (tensor if several else [tensor])):
        raise ArgumentError(
            f"make_grid: a tensor or a list of tensors is needed, got {type(tensor).__name__}."
        )
    if several:
        shapes = {tuple(t.shape) for t in tensor}
        if len(shapes) != 1:
            raise ShapeError(f"make_grid: images must be of one size, got {sorted(shapes)}.")
        images = np.stack([t.detach().numpy() for t in tensor])
    else:
        images = tensor.detach().numpy()
    if images.ndim == 2:
        images = images[None, None]
    elif images.ndim == 3:
        images = images[:, None] if several else images[None]
    if images.ndim != 4 or not len(images):
        raise ShapeError(f"make_grid: images are (N, C, H, W), got {describe(tensor)}.")
    return np.repeat(images, 3, 1) if images.shape[1] == 1 else images


def _normalized(x: Array, value_range: tuple[float, float] | None) -> Array:
    low, high = value_range or (float(x.min()), float(x.max()))
    return (np.clip(x, low, high) - low) / max(high - low, 1e-5)


def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Write an image, or several as a grid, into a file.

    Args:
        tensor: values in [0, 1], as of `make_grid`.
        fp: a path, which ends in the format's name, or a file.
        format: the format's name, such as ``"PNG"``; needed for a file.
        **kwargs: of `make_grid`.

    Raises:
        ArgumentError: a format that is not known.
        MissingExtraError: Pillow is not installed.

    >>> import fovea, io
    >>> save_image(fovea.rand(3, 3, 8, 8), file := io.BytesIO(), format="png")
    >>> file.getvalue()[1:4]
    b'PNG'
    """
    pil = require_pillow("save_image")
    grid = make_grid(tensor, **kwargs).numpy().astype(np.float32)
    pixels = np.clip(grid * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    image = pil.fromarray(np.ascontiguousarray(pixels))
    if not isinstance(fp, str | os.PathLike):
        image.save(fp, format=format)
        return
    kinds = pil.registered_extensions()
    ending = os.path.splitext(fp)[1].lower()
    if format is None and ending not in kinds:
        raise ArgumentError(
            f"save_image: the name {os.fspath(fp)} does not say a format.", fix="format='PNG'"
        )
    with atomic_write(fp) as file:
        image.save(file, format=format or kinds[ending])
