"""Regions of tensors without gradients, as views that no op makes.

An op would have to plan for, and keep a plan of, every place that a loop over rows or columns asks
for. If the base gets a gradient later, by a change in place, the view is derived from it again,
through the ops. While a call is captured, ops make all views but rows: they are what a program is
made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea import watching
from fovea.size import Size

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Again", "is_plain", "region_of"]


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


def region_of(input: Tensor, key: Any) -> tuple[Size, tuple[int, ...], int] | None:
    """Shape, strides and offset of the view that ints, slices, ``None`` and ``...`` give; None for
    other keys, and for those that are out of range.
    """
    keys = key if key.__class__ is tuple else (key,)
    sizes, steps, offset = input.shape, input.strides, input.offset
    left = len(sizes)  # dimensions that "..." stands for
    for item in keys:
        kind = item.__class__
        if kind is int or kind is slice:
            left -= 1
        elif item is not None and item is not Ellipsis:
            return None
    if left < 0:
        return None
    shape: list[int] = []
    strides: list[int] = []
    d = 0
    for item in keys:
        if item is None:
            shape.append(1)
            strides.append(sizes[d] * steps[d] if d < len(sizes) else 1)
            continue
        if item is Ellipsis:
            if left < 0:  # a second one
                return None
            shape += sizes[d : d + left]
            strides += steps[d : d + left]
            d, left = d + left, -1
            continue
        size, step = sizes[d], steps[d]
        d += 1
        if item.__class__ is int:
            if not -size <= item < size:
                return None
            offset += (item + size if item < 0 else item) * step
            continue
        if item.start is None and item.stop is None and item.step is None:
            shape.append(size)
            strides.append(step)
            continue
        if item.step is not None and not item.step > 0:
            return None
        start, stop, by = item.indices(size)
        count = max(0, -(-(stop - start) // by))
        offset += start * step if count else 0
        shape.append(count)
        strides.append(step * by)
    return Size((*shape, *sizes[d:])), (*strides, *steps[d:]), offset
