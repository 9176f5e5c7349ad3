"""Images of several sizes, for each of which a MobileNet has published weights."""

from __future__ import annotations

import warnings
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.applications.options import Options
from fovea.keras.keras_tensor import KerasTensor

__all__ = ["default_size", "match_input", "sides", "trained_size"]

Side = int | None


def sides(shape: Any) -> tuple[Side, Side]:
    """Rows and columns of one image's shape in the default data format.

    >>> sides((96, 128, 3))
    (96, 128)
    """
    rows, columns = shape[1:3] if config.image_data_format() == "channels_first" else shape[:2]
    return rows, columns


def default_size(shape: Any, sizes: tuple[int, ...]) -> int:
    """The side of a square image if there are weights for it, else 224.

    >>> default_size((96, 96, 3), (96, 224)), default_size((96, 64, 3), (96, 224))
    (96, 224)
    """
    rows, columns = sides(shape) if shape is not None and len(shape) == 3 else (None, None)
    return rows if rows is not None and rows == columns and rows in sizes else 224


def trained_size(options: Options, shape: tuple[Side, ...], sizes: tuple[int, ...]) -> Side:
    """The rows of the images that published weights are for; without these, of the model's own.

    Warns if there are none for this size, and those for 224 are taken.
    """
    rows, columns = sides(shape)
    if options.pretrained and (rows != columns or rows not in sizes):
        warnings.warn(
            "`input_shape` is undefined or not square, or its side is not among "
            f"{list(sizes)}. Weights for images of 224x224 are loaded.",
            stacklevel=3,
        )
        return 224
    return rows


def match_input(input_tensor: Any, input_shape: Any) -> None:
    """Check that an input's sides are those of the shape, where both are given.

    Raises:
        ArgumentError: they are not.
    """
    if not isinstance(input_tensor, KerasTensor) or input_shape is None:
        return
    if sides(input_tensor.shape[1:]) != sides(input_shape):
        raise ArgumentError(
            "`input_tensor` and `input_shape` are images of different sizes: "
            f"`input_tensor.shape={input_tensor.shape}`, `input_shape={tuple(input_shape)}`.",
            fix="pass one of them",
        )
