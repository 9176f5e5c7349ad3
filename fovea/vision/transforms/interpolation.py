"""How values between pixels are found."""

from __future__ import annotations

from enum import Enum
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["InterpolationMode", "as_mode", "pil_filter"]


class InterpolationMode(Enum):
    """Interpolation modes; tensors know ``NEAREST``, ``NEAREST_EXACT``, ``BILINEAR`` and
    ``BICUBIC``, PIL images all.

    ``NEAREST_EXACT`` on tensors is what ``NEAREST`` is on PIL images.
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PIL_NUMBERS = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.NEAREST_EXACT: 0,
}
_BY_NUMBER = {0: InterpolationMode.NEAREST} | {n: m for m, n in _PIL_NUMBERS.items() if n}


def as_mode(value: Any) -> InterpolationMode:
    """The mode that an ``InterpolationMode``, its name or Pillow's number for it stands for.

    >>> as_mode("bilinear") is as_mode(2) is InterpolationMode.BILINEAR
    True
    """
    if isinstance(value, int) and value in _BY_NUMBER:
        return _BY_NUMBER[value]
    try:
        return InterpolationMode(value)
    except ValueError:
        names = ", ".join(mode.name for mode in InterpolationMode)
        raise ArgumentError(
            f"interpolation must be an InterpolationMode ({names}), got {value!r}."
        ) from None


def pil_filter(mode: InterpolationMode) -> int:
    """Pillow's number for a mode."""
    return _PIL_NUMBERS[mode]
