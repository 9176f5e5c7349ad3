"""What transforms share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.nn.module import Module

__all__ = ["AsModule", "Transform", "own_values", "pair", "span"]


class AsModule(Module):
    """A module whose subclasses need not call ``__init__``: it is one from the start."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = cls.__dict__.get("__init__")
        if own is None:
            return

        @functools.wraps(own)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            if "_modules" not in vars(self):
                Module.__init__(self)
            own(self, *args, **kwargs)

        cls.__init__ = init  # type: ignore[method-assign]


class Transform(AsModule):
    """Base of transforms: subclasses define ``forward``; calling one runs it.

    A transform is a module, so that it can be a model's first layer.

    >>> class Double(Transform):
    ...     def forward(self, img): return img * 2
    >>> Double()(21)
    42
    """

    def forward(self, img: Any) -> Any:
        """The transformed image."""
        raise NotImplementedError(f"{type(self).__name__} should define forward(self, img).")

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in own_values(self))
        return f"{type(self).__name__}({shown})"


def own_values(transform: Any) -> list[tuple[str, Any]]:
    """The arguments of a transform by name, without what modules have."""
    found = vars(transform).items()
    return [(k, v) for k, v in found if not k.startswith("_") and k != "training"]


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
