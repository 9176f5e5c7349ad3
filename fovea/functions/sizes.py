"""How sizes are given: ``f(2, 3)`` or ``f((2, 3))``, as in PyTorch."""

from __future__ import annotations

import operator
from typing import Any

from fovea.errors import ShapeError
from fovea.size import Size

__all__ = ["parse_size"]


def parse_size(*size: Any) -> Size:
    """Ints, or one sequence of ints, as a ``Size``.

    >>> parse_size(2, 3) == parse_size((2, 3))
    True
    """
    if len(size) == 1:
        if size[0].__class__ is Size and min(size[0], default=0) >= 0:
            return size[0]
        if size[0].__class__ is not int and not hasattr(size[0], "__index__"):
            size = tuple(size[0])
    for n in size:  # the usual sizes, quickly
        if n.__class__ is not int or n < 0:
            break
    else:
        return Size(size)
    try:
        out = Size(operator.index(n) for n in size)
    except TypeError:
        raise TypeError(f"a size is made of integers, got {size}.") from None
    if any(n < 0 for n in out):
        raise ShapeError(f"a size cannot be negative, got {tuple(out)}.")
    return out
