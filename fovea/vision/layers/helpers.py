"""Small functions of sizes that the layers share, and that programs import from timm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from fovea.vision import sizes

__all__ = ["make_divisible", "same_size", "to_2tuple", "to_3tuple", "to_ntuple"]


def to_ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    """A function that repeats a value n times, and makes a tuple of what is several already.

    >>> to_ntuple(2)(3), to_ntuple(2)([3, 4])
    ((3, 3), (3, 4))
    """

    def repeated(value: Any) -> tuple[Any, ...]:
        if isinstance(value, Iterable) and not isinstance(value, str):
            return tuple(value)
        return tuple(repeat(value, n))

    return repeated


to_2tuple, to_3tuple = to_ntuple(2), to_ntuple(3)


def make_divisible(
    v: float, divisor: int = 8, min_value: int | None = None, round_limit: float = 0.9
) -> int:
    """The multiple of ``divisor`` nearest to ``v``, but not less than ``round_limit`` of it.

    Source: the width rule of the MobileNets; Sandler et al., "MobileNetV2", 2018.

    >>> make_divisible(33), make_divisible(10), make_divisible(10, round_limit=0.0)
    (32, 16, 8)
    """
    return sizes.make_divisible(v, divisor, min_value or divisor, round_limit)


def same_size(kernel_size: Any, stride: Any = 1, dilation: Any = 1) -> tuple[int, int]:
    """The symmetric padding that keeps (at stride 1) or divides (at others) a size.

    >>> same_size(3), same_size((1, 5), dilation=2)
    ((1, 1), (0, 4))
    """
    sizes = zip(to_2tuple(kernel_size), to_2tuple(stride), to_2tuple(dilation), strict=True)
    first, second = ((s - 1 + d * (k - 1)) // 2 for k, s, d in sizes)
    return first, second
