"""Sliding windows over images: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Shaped

__all__ = ["Padding", "check_pair", "check_window", "image_size", "padded", "taps", "window_count"]

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, bottom, left, right

LARGEST = 2**31 - 1


def window_count(
    size: int,
    kernel: int,
    stride: int,
    before: int,
    after: int,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """How many windows fit along one dimension; less than 1 if none does.

    With ``ceil_mode`` a last window may hang over the end, if it starts inside the image or the
    padding before it.

    >>> window_count(5, 2, 2, 0, 0), window_count(5, 2, 2, 0, 0, ceil_mode=True)
    (2, 3)
    """
    room = size + before + after - dilation * (kernel - 1) - 1
    if not ceil_mode or room < 0:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def check_window(
    name: str, kernel: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> None:
    """ArgumentError unless kernel, stride and dilation are positive and padding is not negative."""
    for what, values, least, length in (
        ("kernel", kernel, 1, 2),
        ("stride", stride, 1, 2),
        ("padding", padding, 0, 4),
        ("dilation", dilation, 1, 2),
    ):
        if len(values) != length:
            raise ArgumentError(f"{name}: {what} needs {length} numbers, got {values}.")
        if not all(isinstance(v, int) and least <= v <= LARGEST for v in values):
            kind = "positive integers" if least else "integers of at least 0"
            raise ArgumentError(f"{name}: {what} must be {kind}, got {values}.")


def check_pair(name: str, key: str, size: Any, least: int = 0) -> None:
    """ArgumentError unless ``size`` is a height and a width of at least ``least``."""
    if len(size) != 2 or not all(isinstance(n, int) and least <= n <= LARGEST for n in size):
        kind = f"integers from {least} to {LARGEST}"
        raise ArgumentError(f"{name}: {key} must be two {kind}, got {size}.")


def image_size(name: str, x: Shaped, key: str = "x") -> Pair:
    """Height and width of an image batch; ShapeError unless it has 4 dimensions."""
    if len(x.shape) != 4:
        raise ShapeError(
            f"{name}: {key} must be an image batch (N, C, H, W), got {describe(x)}.",
            fix="x.unsqueeze(0) adds a batch dimension" if len(x.shape) == 3 else None,
        )
    return x.shape[2], x.shape[3]


def taps(
    kernel: Pair, stride: Pair, dilation: Pair, out: Pair
) -> Iterator[tuple[int, int, slice, slice]]:
    """Each kernel position with the rows and columns of the padded image that it reads."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])
            yield i, j, rows, columns


def padded(x: Array, padding: Padding, value: Any, least: Pair = (0, 0)) -> Array:
    """``x`` with a border of ``value``; bottom and right grow until the size is ``least``."""
    top, bottom, left, right = padding
    bottom = max(bottom, least[0] - x.shape[2] - top)
    right = max(right, least[1] - x.shape[3] - left)
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
