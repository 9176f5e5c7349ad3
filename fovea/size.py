"""The shape of a tensor: a tuple that knows how many elements it spans."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fovea.errors import ShapeError

__all__ = ["Size", "check_size", "contiguous_strides", "numel"]

MOST_ELEMENTS = 1 << 56  # their addresses still fit 64 bits, whatever the element type


def check_size(name: str, shape: Sequence[int]) -> None:
    """ShapeError for a size below zero, or for more elements than there are addresses.

    >>> check_size("zeros", (2, 3))
    """
    n = 1
    for s in shape:
        n *= s or 1  # the strides of a tensor without elements must be numbers, too
    if n > MOST_ELEMENTS or min(shape, default=0) < 0:
        raise ShapeError(f"{name}: no tensor can have the shape {tuple(shape)}.")


class Size(tuple[int, ...]):
    """A tuple of dimensions.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """The product of the dimensions."""
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"fovea.Size({list(self)})"

    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Size, (tuple(self),))


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    return _contiguous_strides(tuple(shape))


@lru_cache(maxsize=4096)
def _contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)


def numel(shape: Sequence[int]) -> int:
    """Number of elements.

    >>> numel((2, 3))
    6
    """
    n = 1
    for s in shape:
        n *= s
    return n
