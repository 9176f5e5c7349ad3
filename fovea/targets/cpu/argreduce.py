"""Kernels and lowering of argmax and argmin: the first place of the extremum; a NaN counts as the
most extreme.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fovea.ops import reduce as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import isa
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element, i32, i64, u8
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.launch import launch
from fovea.targets.cpu.loops import Ready, Rows
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.reduce_layout import Dim, after_copy, split
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value

PIECE = 16384  # elements
ALONE_BELOW = 65536
# Rows of up to so many vectors are taken a row a lane: putting a vector together element by element
# costs less than finding the best of its lanes, and rows of three would not fill one.
SHORT = 3


class Best:
    """The best values so far and where they were found, lane by lane."""

    def __init__(self, k: Kernel, largest: bool, value: Value, place: Value) -> None:
        self.k, self.largest = k, largest
        self.value: Var = k.var(value)
        self.place: Var = k.var(place)

    def offer(self, value: Value, place: Value) -> None:
        """Take a value that is better, or as good and found earlier in the order of offers."""
        better = self.beats(value, self.value.get())
        self.value.set(self.k.select(better, value, self.value.get()))
        self.place.set(self.k.select(better, place, self.place.get()))

    def beats(self, value: Value, other: Value) -> Value:
        better = value > other if self.largest else value < other
        if value.element.is_float:
            better = better | (value.ne(value) & other.eq(other))
        return better

    def merge(self, value: Value, place: Value) -> None:
        """Take a value that is better, or as good with a smaller place."""
        mine, mine_at = self.value.get(), self.place.get()
        equal = ~self.beats(mine, value) & (place < mine_at)
        better = self.beats(value, mine) | equal
        self.value.set(self.k.select(better, value, mine))
        self.place.set(self.k.select(better, place, mine_at))


def _comparable(e: Element) -> Element:
    """What values are compared as: narrow integers as int32, so that places have as many lanes."""
    return e.compute if e.compute.bytes >= 4 else i32


def _load(k: Kernel, x: Buffer, at: Index, lanes: int, apart: Index = 1) -> Value:
    """Elements that lie ``apart``, one a lane."""
    if x.element.kind == "b":
        x = x.view(u8)
    together = lanes == 1 or (isinstance(apart, int) and apart == 1)
    found = k.load(x, at, lanes) if together else _gathered(k, x, at, lanes, apart)
    return k.cast(found, _comparable(x.element))


def _gathered(k: Kernel, x: Buffer, at: Index, lanes: int, apart: Index) -> Value:
    return k.gather(x, [k.index(at) + k.index(apart) * lane for lane in range(lanes)])


def arg_kernel(e: Element, largest: bool, outer: int, how: str, index: Element) -> Kernel:
    """Places (counted in `index`) along one dimension.

    Args:
        how: "rows" whose elements lie together, each by itself; down "columns" that lie side by
            side, one a lane; or down columns that lie "apart".

    Sizes: the outer kept sizes; how many elements are compared and their stride; columns, and how
    far apart they lie; outer rows, and how many in a piece; strides of x and of y along the outer
    dimensions.
    """
    k = Kernel(
        f"arg{'max' if largest else 'min'}_{how}",
        buffers=(("x", e), ("y", i64)),
        sizes=[
            *(f"n{d}" for d in range(outer)),
            *("count", "step", "columns", "apart", "rows", "grain"),
            *(f"x{d}" for d in range(outer)),
            *(f"y{d}" for d in range(outer)),
        ],
    )
    (x, y), sizes = k.buffers, k.sizes
    shape, rest = sizes[:outer], sizes[outer:]
    (count, step, wide, between, rows, grain), steps = rest[:6], rest[6:]
    apart: Index = between if how == "apart" else 1
    lanes = k.isa.lanes(max(_comparable(e).bytes, index.bytes))
    with k.parallel((rows + grain - 1) // grain) as piece:
        first = piece * grain
        last = k.smaller(first + grain, rows)
        with Rows(k, shape, (steps[:outer], steps[outer:]), first, last) as (at_x, at_y):
            if how == "rows":
                k.store(_along(k, x.at(at_x), count, largest, lanes, index), y, at_y)
            else:
                full = wide // lanes * lanes
                for low, high, width in ((0, full, lanes), (full, wide, 1)):
                    with k.loop(low, high, width, unroll=1) as c:
                        down = x.at(at_x + c * apart)
                        place = _down(k, down, count, step, largest, width, index, apart)
                        k.store(place, y, at_y + c)
    return k


def _down(
    k: Kernel,
    x: Buffer,
    count: Index,
    step: Index,
    largest: bool,
    width: int,
    index: Element,
    apart: Index,
) -> Value:
    """The places of the best of `count` rows, for `width` columns."""
    start = _load(k, x, 0, width, apart)
    best = Best(k, largest, start, k.const(0, index, width))
    with k.loop(1, count, unroll=1) as i:
        best.offer(_load(k, x, i * step, width, apart), k.broadcast(k.cast(i, index), width))
    return k.cast(best.place.get(), i64)


def _along(k: Kernel, x: Buffer, count: Index, largest: bool, lanes: int, index: Element) -> Value:
    """The place of the best of `count` elements that lie together."""
    start = _load(k, x, 0, 1)
    zero = k.const(0, index)
    best = Best(k, largest, start, zero)
    numbers = k.lane_numbers(lanes, index)
    each = Best(k, largest, k.broadcast(start, lanes), k.broadcast(zero, lanes))
    full = k.index(count) // lanes * lanes
    with k.loop(0, full, lanes, unroll=1) as i:
        places = numbers + k.broadcast(k.cast(i, index), lanes)
        each.offer(_load(k, x, i, lanes), places)
    values, places = each.value.get(), each.place.get()
    for lane in range(lanes):
        best.merge(k.extract(values, lane), k.extract(places, lane))
    with k.loop(full, count, unroll=1) as i:
        best.offer(_load(k, x, i, 1), k.cast(i, index))
    return k.cast(best.place.get(), i64)


@CPU.lower(ops.argmax, ops.argmin)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    if numel(spec.shape) == 0:
        return launch(None, [x.dtype], spec)
    dims = (attrs.dim,) if x.shape else ()
    kept, reduced = split(x.shape, x.strides, dims, spec.shape, contiguous_strides(spec.shape))
    count, step = reduced[0][:2] if reduced else (1, 1)
    e, largest = element(x.dtype.name), op is ops.argmax
    index = i32 if _comparable(e).bytes == 4 and count < 1 << 31 else i64
    lanes = isa.active().lanes(max(_comparable(e).bytes, index.bytes))
    how = _how(kept, count, step, lanes)
    if how is None:
        return after_copy(op, x, attrs, specs, dims)
    across = Dim(1, 0, 0) if how == "rows" else kept.pop()
    if how == "apart" and not kept:
        across, *kept = _cut(across, max(lanes, PIECE // count))
    outer = kept or [Dim(1, 0, 0)]
    rows = numel([d.size for d in outer])
    grain = max(1, PIECE // (count * across.size))
    alone = rows * across.size * count <= ALONE_BELOW
    words = [
        *(d.size for d in outer),
        *(count, step, across.size, across.x, rows, rows if alone else grain),
        *(d.x for d in outer),
        *(d.y for d in outer),
    ]
    address = load_cached(
        f"arg/{e}/{largest}/{len(outer)}/{how}/{index}",
        lambda: arg_kernel(e, largest, len(outer), how, index),
    )
    ready = Ready(address, struct.pack(f"{len(words)}q", *words), not alone)
    return launch(ready, [x.dtype], spec)


def _how(kept: Sequence[Dim], count: int, step: int, lanes: int) -> str | None:
    """Which kernel: see there. None where x must be copied first."""
    inner = kept[-1] if kept else Dim(1, 0, 0)
    if inner[1:3] == (1, 1) and step != 1:
        return "columns"
    if inner.y == 1 and inner.size >= lanes and (step != 1 or count <= SHORT * lanes):
        return "apart"
    return "rows" if step == 1 else None


def _cut(dim: Dim, most: int) -> tuple[Dim, ...]:
    """A dimension in pieces of at most ``most``, where its size has such a divisor: the piece, then
    how many there are.
    """
    piece = next((n for n in range(min(most, dim.size), most // 4, -1) if dim.size % n == 0), 0)
    if not piece or piece == dim.size:
        return (dim,)
    return dim._replace(size=piece), Dim(dim.size // piece, dim.x * piece, dim.y * piece)
