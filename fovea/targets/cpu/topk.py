"""Kernel and lowering of the largest or smallest few of rows.

A row is read once. Those found so far stand in order where the result goes; a vector of elements is
looked at one by one only if one of them is better than the last of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.ops.topk import TopkAttrs, topk
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, element, i32, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.stages import Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value
from fovea.targets.reference import reference_plan

__all__: list[str] = []

MOST = 128  # of more, NumPy's sort of all is as fast as putting each in its place
PIECE = 16384  # elements


def _comparable(e: Element) -> Element:
    """What values are compared as."""
    return e.compute if e.compute.bytes >= 4 else i32


class _Rows:
    """Builds the kernel."""

    def __init__(self, e: Element, largest: bool) -> None:
        self.largest, self.kind = largest, _comparable(e)
        self.k = k = Kernel(
            f"top_{'largest' if largest else 'smallest'}",
            [("x", e), ("values", e), ("places", i64)],
            ("rows", "length", "wanted", "grain"),
        )
        rows, self.length, self.wanted, grain = k.sizes
        x, values, places = k.buffers
        with k.parallel((rows + grain - 1) // grain) as piece:
            first = piece * grain
            with k.loop(first, k.smaller(first + grain, rows), unroll=1) as row:
                to = row * self.wanted
                self._row(x.at(row * self.length), values.at(to), places.at(to))

    def _beats(self, value: Value, other: Value) -> Value:
        better = value > other if self.largest else value < other
        if self.kind.is_float:
            first, second = (value, other) if self.largest else (other, value)
            better = better | (first.ne(first) & second.eq(second))
        return better

    def _load(self, x: Buffer, at: Index, lanes: int = 1, count: Index | None = None) -> Value:
        return self.k.cast(self.k.load(x, at, lanes, count), self.kind)

    def _row(self, x: Buffer, values: Buffer, places: Buffer) -> None:
        k, lanes = self.k, self.k.lanes(self.kind)
        held = k.var(k.index(0))
        least = k.var(self._load(x, 0), self.kind)
        with k.loop(0, self.length, lanes, unroll=1) as start:
            count = k.index(k.smaller(self.length - start, lanes))
            found = self._load(x, start, lanes, count)
            better = k.any(self._beats(found, k.broadcast(least.get(), lanes)))
            some = better | (held.get() < self.wanted)
            with k.if_(some), k.loop(start, start + count, unroll=1) as i:
                value = self._load(x, i)
                fits = (held.get() < self.wanted) | self._beats(value, least.get())
                with k.if_(fits):
                    self._insert(values, places, held.get(), value, i)
                    held.set(k.smaller(held.get() + 1, self.wanted))
                    least.set(self._load(values, held.get() - 1))

    def _insert(
        self, values: Buffer, places: Buffer, held: Value, value: Value, place: Value
    ) -> None:
        """Move those that are worse by one, and put the value before them."""
        k = self.k
        at = k.var(k.smaller(held, self.wanted - 1))
        with k.repeat() as turn:
            turn.leave_if(at.get() < 1)
            before = at.get() - 1
            other = self._load(values, before)
            turn.leave_if(~self._beats(value, other))
            k.store(k.cast(other, values.element), values, at.get())
            k.store(k.load(places, before), places, at.get())
            at.set(before)
        k.store(k.cast(value, values.element), values, at.get())
        k.store(place, places, at.get())


def topk_kernel(e: Element, largest: bool) -> Kernel:
    """The kernel for rows of a type of elements."""
    return _Rows(e, largest).k


@CPU.lower(topk)
def _(op: Op, inputs: tuple[Any, ...], a: TopkAttrs, specs: Sequence[Spec]) -> Plan:
    (x,), (values, places) = inputs, specs
    if a.count > MOST or x.dtype.name == "bool":
        return reference_plan(op, a, specs)
    stages = Stages(inputs, specs)
    if not numel(values.shape):  # nothing to run
        for number, spec in enumerate(specs):
            stages.write(number, contiguous_strides(spec.shape))
        return stages.plan()
    kind, length = element(x.dtype.name), x.shape[-1]
    rows = numel(x.shape) // length
    operands = [
        stages.read_dense(0),
        stages.write(0, contiguous_strides(values.shape)),
        stages.write(1, contiguous_strides(places.shape)),
    ]
    words = (rows, length, a.count, max(1, PIECE // length))
    build = partial(topk_kernel, kind, a.largest)
    stages.call(
        f"topk/{kind}/{a.largest}",
        build,
        operands,
        words,
        worth_sharing(rows * length * kind.bytes),
    )
    return stages.plan()
