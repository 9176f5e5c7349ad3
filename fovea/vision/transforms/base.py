"""What transforms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["Transform", "pair", "span"]


class Transform:
    """Base of transforms: subclasses define ``forward``; calling one runs it.

    >>> class Double(Transform):
    ...     def forward(self, img): return img * 2
    >>> Double()(21)
    42
    """

    def forward(self, img: Any) -> Any:
        """The transformed image."""
        raise NotImplementedError(f"{type(self).__name__} should define forward(self, img).")

    def __call__(self, img: Any) -> Any:
        return self.forward(img)

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({shown})"


def pair(owner: str, name: str, value: Any) -> tuple[int, int]:
    """A size as (height, width): one number for both, or a sequence of one or two."""
    values = [int(n) for n in value] if isinstance(value, Sequence) else [int(value)]
    if len(values) not in (1, 2):
        raise ArgumentError(f"{owner}: {name} must be one number or two (h, w), got {value!r}.")
    return values[0], values[-1]


def span(owner: str, name: str, value: Any, sizes: tuple[int, ...] = (2,)) -> tuple[float, ...]:
    """A range of angles: ``a`` as (-a, a), or a sequence of as many numbers as ``sizes`` allows."""
    if isinstance(value, Sequence):
        if len(value) not in sizes:
            raise ArgumentError(
                f"{owner}: {name} must have {' or '.join(map(str, sizes))} values, got {value!r}."
            )
        return tuple(float(v) for v in value)
    if value < 0:
        raise ArgumentError(f"{owner}: a single {name} must not be negative, got {value}.")
    return -float(value), float(value)


def check_probability(owner: str, p: float) -> float:
    """``p`` itself, after a check that it lies in [0, 1]."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"{owner}: p must lie in [0, 1], got {p}.")
    return p
