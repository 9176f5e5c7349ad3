"""Regions of tensors, found by form and key; those of tensors without gradients are views that no
op makes.

An op would have to plan for, and keep a plan of, every place that a loop over rows or columns asks
for. If the base gets a gradient later, by a change in place, the view is derived from it again,
through the ops. While a call is captured, ops make all views but rows: they are what a program is
made of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import watching
from fovea.form import Form
from fovea.size import Size

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Again", "Region", "is_plain", "place_of", "region_at"]


class Again:
    """Stands for a view op in a view's history.

    Args:
        function: makes the view of a base, given its place.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function

    def bind(self, inputs: tuple[Any, ...], place: tuple[Any, ...]) -> Tensor:
        """The view again."""
        return self.function(inputs[0], *place)


def is_plain(input: Tensor) -> bool:
    """Whether views of a tensor can do without an op."""
    return watching.watcher is None and not (input.requires_grad or input._level)


class Region(NamedTuple):
    """What a key selects of tensors of a form: a slice (``start``, ``length`` and ``step`` in each
    dimension), and the layout of the view that shows it, which begins so many elements ``behind``
    the tensor's first.
    """

    shape: Size
    strides: tuple[int, ...]
    behind: int
    start: tuple[int, ...]
    length: tuple[int, ...]
    step: tuple[int, ...]


def place_of(key: Any) -> tuple[Any, ...] | None:
    """A key of ints, slices, ``None`` and ``...`` as a value to look up by; None for other keys."""
    place: list[Any] = []
    for item in key if key.__class__ is tuple else (key,):
        kind = item.__class__
        if kind is int or item is None or item is Ellipsis:
            place.append(item)
        elif kind is not slice:
            return None
        elif item.start is None and item.stop is None and item.step is None:
            place.append(_WHOLE)
        else:
            bounds = item.start, item.stop, item.step
            for bound in bounds:
                if bound is not None and bound.__class__ is not int:
                    return None
            place.append(bounds)
    return tuple(place)


_WHOLE = (None, None, None)  # the bounds of ":"


@lru_cache(maxsize=16384)
def region_at(form: Form, place: tuple[Any, ...]) -> Region | None:
    """The region at a place; None for one that is out of range, or that has two ``...``."""
    sizes, steps = form.shape, form.strides
    left = len(sizes) - sum(item is not None and item is not Ellipsis for item in place)
    if left < 0 or place.count(Ellipsis) > 1:
        return None
    shape: list[int] = []
    strides: list[int] = []
    cuts: list[tuple[int, int, int]] = []  # first index, count and step
    for item in place if Ellipsis in place else (*place, Ellipsis):
        d = len(cuts)
        if item is None:
            shape.append(1)
            strides.append(sizes[d] * steps[d] if d < len(sizes) else 1)
        elif item is Ellipsis:
            shape += sizes[d : d + left]
            strides += steps[d : d + left]
            cuts += [(0, size, 1) for size in sizes[d : d + left]]
        elif item.__class__ is int:
            if not -sizes[d] <= item < sizes[d]:
                return None
            cuts.append((item % sizes[d], 1, 1))
        else:
            if item[2] is not None and item[2] <= 0:
                return None
            first, stop, by = slice(*item).indices(sizes[d])
            count = max(0, -(-(stop - first) // by))
            cuts.append((first if count else 0, count, by))
            shape.append(count)
            strides.append(steps[d] * by)
    start, length, step = zip(*cuts, strict=True) if cuts else ((), (), ())
    behind = sum(i * by for i, by in zip(start, steps, strict=True))
    return Region(Size(shape), tuple(strides), behind, start, length, step)
