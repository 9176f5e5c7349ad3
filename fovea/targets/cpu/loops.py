"""Fused loops: an expression evaluated over an iteration space, every operand with strides of its
own.

A `Space` is what is left of shape and strides once dimensions of size 1 are dropped and neighbors
that lie together in
every operand are merged: a contiguous call has one dimension, whatever its shape was. A kernel
    exists for each
expression, number of dimensions and kind of innermost stride; sizes and strides are arguments, so a
new shape never
compiles anything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, bf16, f16, u8, u16
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

CONTIGUOUS, BROADCAST, STRIDED = "c", "b", "s"

# Work per piece, in units of about a nanosecond; calls of less than two pieces run on the calling
# thread alone.
PIECE_WORK = 8192
ALONE_BELOW = 24576

# Expressions of such a cost call functions or divide integers for each lane.
LANE_BY_LANE = 20.0

Body = Callable[[Kernel, Sequence[Value], Sequence[Value]], Sequence[Value]]


@dataclass(frozen=True)
class Expression:
    """What a fused loop computes for each point.

    Args:
        key: names it, with everything that `body` depends on.
        inputs: the elements that are loaded.
        outputs: the elements that are stored.
        body: from the kernel, the loaded values and the scalar parameters to the values to store.
            Values come in the
            elements that `inputs` are computed with, and must be returned in those of `outputs`.
        parameters: how many scalars (doubles) the body takes.
        cost: about how many nanoseconds a vector takes; above 4, remainders are done as masked
            vectors.
    """

    key: str
    inputs: tuple[Element, ...]
    outputs: tuple[Element, ...]
    body: Body = field(compare=False)
    parameters: int = 0
    cost: float = 1.0

    @property
    def operands(self) -> tuple[Element, ...]:
        """Inputs, then outputs: the order of a kernel's buffers."""
        return self.inputs + self.outputs

    @property
    def widest(self) -> int:
        """The bytes of the widest operand in a register."""
        return max(e.compute.bytes for e in self.operands)

    def lanes(self, k: Kernel) -> int:
        """How many points go together: a vector of the widest operand, fewer of what goes lane by
        lane anyway.
        """
        lanes = k.isa.lanes(self.widest)
        return min(lanes, 8) if self.cost >= LANE_BY_LANE else lanes


@dataclass(frozen=True)
class Space:
    """Sizes, outermost first, and the strides of each operand, in elements."""

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def pattern(self) -> str:
        """The kind of each operand's innermost stride. Where one is strided, all are taken as
        strided.
        """
        kinds = [_KINDS.get(s[-1], STRIDED) for s in self.strides]
        return STRIDED * len(kinds) if STRIDED in kinds else "".join(kinds)


_KINDS = {0: BROADCAST, 1: CONTIGUOUS}
_BITS = {1: u8, 2: u16}


def collapse(
    shape: Sequence[int], strides: Sequence[Sequence[int]], lead: int = -1
) -> Space | None:
    """The iteration space of operands with these strides; None where there is no point in it.

    Dimensions are ordered by the strides of operand `lead` (the last: the output), so it is written
    in the order of memory.

    >>> collapse((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    Space(sizes=(12, 2), strides=((1, 12), (1, 0)))
    """
    dims = []
    for d, n in enumerate(shape):
        if n == 0:
            return None
        if n != 1:
            dims.append((n, tuple(s[d] for s in strides)))
    if not dims:
        return Space((1,), ((1,),) * len(strides))
    dims.sort(key=lambda dim: -abs(dim[1][lead]))
    merged = [dims[0]]
    for n, steps in dims[1:]:
        outer, outer_steps = merged[-1]
        if all(a == b * n for a, b in zip(outer_steps, steps, strict=True)):
            merged[-1] = (outer * n, steps)
        else:
            merged.append((n, steps))
    return Space(tuple(n for n, _ in merged), tuple(zip(*(s for _, s in merged), strict=True)))


def broadcast_strides(
    shape: Sequence[int], own: Sequence[int], strides: Sequence[int]
) -> tuple[int, ...]:
    """The strides of a tensor of shape `own` as one of `shape`, to which it broadcasts."""
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(own, strides, strict=True))


@dataclass(frozen=True)
class Ready:
    """A fused loop that lacks nothing but addresses: the kernel, the words after them, whether
    threads take part.
    """

    address: int
    words: bytes
    parallel: bool


def prepare(e: Expression, space: Space, parameters: Sequence[float] = ()) -> Ready:
    """The kernel for an expression over a space, compiled or found, and its arguments."""
    rank, pattern = len(space.sizes), space.pattern
    key = f"loop/{e.key}/{rank}{pattern}/{'.'.join(x.name for x in e.operands)}"
    address = load_cached(key, lambda: build(e, rank, pattern))
    sizes, parallel = _cut(e, space)
    words = list(space.sizes) + sizes
    for steps in space.strides:
        words += steps if pattern[0] == STRIDED else steps[:-1]
    packed = struct.pack(f"{len(words)}q{len(parameters)}d", *words, *parameters)
    return Ready(address, packed, parallel)


def _cut(e: Expression, space: Space) -> tuple[list[int], bool]:
    """How the work is cut, by sizes alone: rows and columns of a piece, pieces in a row of pieces,
    pieces in all.
    """
    *outer, columns = space.sizes
    rows = 1
    for n in outer:
        rows *= n
    # A vector of 32 bytes at `cost`; strided access goes element by element.
    unit = e.cost * e.widest / 32 if space.pattern[0] != STRIDED else e.cost + 1
    per_piece = max(1, int(PIECE_WORK / unit))
    if columns > per_piece:
        column_grain = per_piece + 63 & ~63
        row_grain = 1
    else:
        column_grain = columns
        row_grain = max(1, per_piece // columns)
    across = -(-columns // column_grain)
    pieces = across * -(-rows // row_grain)
    return [rows, row_grain, column_grain, across, pieces], rows * columns * unit > ALONE_BELOW


def build(e: Expression, rank: int, pattern: str) -> Kernel:
    """The kernel of an expression over spaces of `rank` dimensions with innermost strides of these
    kinds.
    """
    count = len(e.operands)
    strided = pattern[0] == STRIDED
    inner = rank if strided else rank - 1
    k = Kernel(
        "loop_" + e.key.split("/", 1)[0],
        buffers=[(f"x{i}", x) for i, x in enumerate(e.inputs)]
        + [(f"y{i}", y) for i, y in enumerate(e.outputs)],
        sizes=[f"n{d}" for d in range(rank)]
        + ["rows", "row_grain", "column_grain", "across", "pieces"]
        + [f"s{o}.{d}" for o in range(count) for d in range(inner)],
        scalars=[f"p{i}" for i in range(e.parameters)],
    )
    sizes, rest = k.sizes[:rank], k.sizes[rank:]
    (rows, row_grain, column_grain, across, pieces), flat = rest[:5], rest[5:]
    steps = [flat[o * inner : (o + 1) * inner] for o in range(count)]
    row_steps = [s[: rank - 1] for s in steps]
    column_steps = [s[-1] for s in steps] if strided else None
    with k.parallel(pieces) as piece:
        if rank == 1:
            low = piece * column_grain
            high = k.smaller(low + column_grain, sizes[-1])
            _columns(k, e, pattern, list(k.buffers), column_steps, low, high)
        else:
            low = piece % across * column_grain
            high = k.smaller(low + column_grain, sizes[-1])
            first = piece // across * row_grain
            last = k.smaller(first + row_grain, rows)
            with Rows(k, sizes[:-1], row_steps, first, last) as offsets:
                moved = [b.at(o) for b, o in zip(k.buffers, offsets, strict=True)]
                _columns(k, e, pattern, moved, column_steps, low, high)
    return k


class Rows:
    """A walk over the rows `first` to `last` of the outer dimensions: yields each operand's offset
    of the row.
    """

    def __init__(
        self,
        k: Kernel,
        sizes: Sequence[Index],
        steps: Sequence[Sequence[Index]],
        first: Index,
        last: Index,
    ) -> None:
        self.k, self.sizes, self.steps = k, sizes, steps
        self.places: list[Var] = []
        self.offsets: list[Var] = []
        if len(sizes) > 1:
            self._start(first)
        self.loop = k.loop(first, last)

    def _start(self, first: Index) -> None:
        """The index in each dimension at row `first`, and the offsets there."""
        k, left = self.k, self.k.index(first)
        places: list[Value] = []
        for n in reversed(self.sizes[1:]):
            places.insert(0, left % n)
            left = left // n
        places.insert(0, left)
        self.places = [k.var(p) for p in places]
        for steps in self.steps:
            at = k.index(0)
            for place, step in zip(places, steps, strict=True):
                at = at + place * step
            self.offsets.append(k.var(at))

    def __enter__(self) -> list[Value]:
        row = self.loop.__enter__()
        if len(self.sizes) == 1:
            return [row * steps[0] for steps in self.steps]
        return [o.get() for o in self.offsets]

    def __exit__(self, *error: object) -> None:
        if error[0] is None and len(self.sizes) > 1:
            self._advance(len(self.sizes) - 1)
        self.loop.__exit__(None, None, None)

    def _advance(self, d: int) -> None:
        """One step in dimension d; past its end, back to its start and one step in the next outer
        one.
        """
        place = self.places[d].get() + 1
        self.places[d].set(place)
        for offset, steps in zip(self.offsets, self.steps, strict=True):
            offset.set(offset.get() + steps[d])
        if d == 0:
            return
        size = self.sizes[d]
        with self.k.if_(place >= size):
            self.places[d].set(0)
            for offset, steps in zip(self.offsets, self.steps, strict=True):
                offset.set(offset.get() - self.k.index(steps[d]) * size)
            self._advance(d - 1)


def _columns(
    k: Kernel,
    e: Expression,
    pattern: str,
    buffers: list[Buffer],
    steps: Sequence[Index] | None,
    low: Value,
    high: Index,
) -> None:
    """The innermost dimension, from `low` to `high`."""
    parameters = k.scalars
    if steps is not None:
        _strided_columns(k, e, buffers, steps, low, high)  # type: ignore[arg-type]
        return
    lanes = e.lanes(k)
    ins, outs = buffers[: len(e.inputs)], buffers[len(e.inputs) :]
    kinds = pattern[: len(ins)]
    fixed = [k.load(b) if kind == BROADCAST else None for b, kind in zip(ins, kinds, strict=True)]

    def point(i: Value, width: int) -> None:
        values = [
            k.load(b, i, width) if f is None else k.broadcast(f, width)
            for b, f in zip(ins, fixed, strict=True)
        ]
        for value, b in zip(e.body(k, values, parameters), outs, strict=True):
            k.store(k.broadcast(value, width), b, i)

    full = low + (high - low) // lanes * lanes
    narrow = any(x in (bf16, f16) for x in e.operands)
    with k.loop(low, full, lanes, unroll=4 if e.cost <= 2 and not narrow else 1) as i:
        point(i, lanes)
    if e.cost <= 4 or lanes == 1:
        with k.loop(full, high, unroll=1) as i:
            point(i, 1)
        return
    with k.if_(full < high):
        _rest(k, e, ins, outs, fixed, full, high - full, lanes)


def _rest(
    k: Kernel,
    e: Expression,
    ins: Sequence[Buffer],
    outs: Sequence[Buffer],
    fixed: Sequence[Value | None],
    first: Value,
    count: Value,
    lanes: int,
) -> None:
    """The last `count` points as one vector: masked, or by way of scratch memory where masks are
    slow.
    """
    values = []
    for b, f in zip(ins, fixed, strict=True):
        if f is not None:
            values.append(k.broadcast(f, lanes))
        elif b.element.bytes >= 4:
            values.append(k.load(b, first, lanes, count=count))
        else:
            aside = k.scratch(_BITS[b.element.bytes], lanes)
            with k.loop(0, count, unroll=1) as i:
                k.store(k.load(b.view(aside.element), first + i), aside, i)
            values.append(k.load(aside.view(b.element), 0, lanes))
    for value, b in zip(e.body(k, values, k.scalars), outs, strict=True):
        whole = k.broadcast(value, lanes)
        if b.element.bytes >= 4:
            k.store(whole, b, first, count=count)
            continue
        aside = k.scratch(_BITS[b.element.bytes], lanes)
        k.store(whole, aside.view(b.element))
        with k.loop(0, count, unroll=1) as i:
            k.store(k.load(aside, i), b.view(aside.element), first + i)


def _strided_columns(
    k: Kernel,
    e: Expression,
    buffers: list[Buffer],
    steps: Sequence[Index],
    low: Value,
    high: Value,
) -> None:
    """Element by element; costly expressions collect vectors first."""
    ins, outs = buffers[: len(e.inputs)], buffers[len(e.inputs) :]
    if e.cost <= 4:
        with k.loop(low, high, unroll=1) as i:
            values = [k.load(b, i * s) for b, s in zip(ins, steps, strict=False)]
            results = e.body(k, values, k.scalars)
            for value, b, s in zip(results, outs, steps[len(ins) :], strict=True):
                k.store(value, b, i * s)
        return
    lanes = e.lanes(k)
    with k.loop(low, high, lanes, unroll=1) as i:
        last = high - 1
        places = [k.smaller(i + lane, last) for lane in range(lanes)]
        values = [
            k.gather(b, [k.index(p) * s for p in places]) for b, s in zip(ins, steps, strict=False)
        ]
        results = e.body(k, values, k.scalars)
        for lane in range(lanes):
            with k.if_(i + lane < high):
                for value, b, s in zip(results, outs, steps[len(ins) :], strict=True):
                    whole = k.broadcast(value, lanes)
                    k.store(k.extract(whole, lane), b, (i + lane) * s)
