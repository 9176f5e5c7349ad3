"""A kernel of non-maximum suppression: each box that stays strikes out others of its group.

A piece is a group. Its boxes are taken one after the other, from the best; one that is still there
is compared with a vector of those behind it at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, boolean, i64
from fovea.targets.cpu.values import Index, Value

__all__ = ["SuppressKernel", "suppress_kernel"]


@dataclass(frozen=True)
class SuppressKernel:
    """Boxes of this type."""

    element: Element

    @property
    def key(self) -> str:
        return f"suppress/{self.element}"


def suppress_kernel(v: SuppressKernel) -> Kernel:
    """The kernel of `v`."""
    return _Suppress(v).k


class _Suppress:
    """Builds a `SuppressKernel`."""

    def __init__(self, v: SuppressKernel) -> None:
        element = v.element
        self.k = k = Kernel(
            "suppress",
            [("boxes", element), ("starts", i64), ("limits", element.compute), ("kept", boolean)],
            ("groups", "count"),
        )
        boxes, starts, limits, self.kept = k.buffers
        groups, count = k.sizes
        self.lanes = k.lanes(element)
        self.corners = [boxes.at(number * count) for number in range(4)]
        with k.parallel(groups) as group:
            self.threshold, self.least = (
                k.load_broadcast(limits, number, self.lanes) for number in (0, 1)
            )
            first, end = (
                k.index(k.larger(k.smaller(k.load(starts, group + number), count), 0))
                for number in (0, 1)
            )
            with k.loop(first, end, unroll=1) as i:
                k.store(k.const(True, boolean), self.kept, i)
            with k.loop(first, end, unroll=1) as i, k.if_(k.load(self.kept, i)):
                self._strike(i, end)

    def _strike(self, i: Value, end: Value) -> None:
        """Strike out boxes behind number `i` that overlap it."""
        k, lanes = self.k, self.lanes
        box = [k.load_broadcast(corner, i, lanes) for corner in self.corners]
        area = _area(box)
        whole = end - (end - i - 1) % lanes
        with k.loop(i + 1, whole, lanes, unroll=1) as j:
            self._compare(box, area, j, None)
        with k.if_(whole < end):
            self._compare(box, area, whole, end - whole)

    def _compare(self, box: list[Value], area: Value, j: Value, count: Index | None) -> None:
        """Compare a box with a vector of others, of which `count` are there."""
        k, lanes = self.k, self.lanes
        other = [k.load(corner, j, lanes, count) for corner in self.corners]
        width = k.fast_min(box[2], other[2]) - k.fast_max(box[0], other[0])
        height = k.fast_min(box[3], other[3]) - k.fast_max(box[1], other[1])
        common = k.fast_max(width, 0.0) * k.fast_max(height, 0.0)
        union = area + _area(other) - common
        # A branch that few vectors take spares most of them a division and a store.
        with k.if_(k.any(~(common < union * self.least))):
            overlap = common / union
            still = k.load(self.kept, j, lanes, count)
            k.store(still & ~(overlap > self.threshold), self.kept, j, count)


def _area(box: list[Value]) -> Value:
    return (box[2] - box[0]) * (box[3] - box[1])
