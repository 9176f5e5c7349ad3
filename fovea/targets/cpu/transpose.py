"""Copies between layouts that lie together along different dimensions: transposes, block by block.

A transposing copy touches every cache line of one side many times unless it stays in an area small
enough for a cache, and the processor fetches lines ahead only where runs are long. So the work is
cut into blocks with runs of `RUN_BYTES` and more on both sides. The lines that a block reads are
asked for first, run by run; then square tiles are turned in registers, so that whole cache lines
are read and written at once wherever rows start with one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.loops import Ready, Rows
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["Turn", "transposing"]

LANE_BYTES = 16
LINE_BYTES = 64
RUN_BYTES = 256  # of a block, on both sides
BLOCK_BYTES = 1 << 17  # so that what is read and what is written fit into a second-level cache
ALONE_BELOW = 3 << 17  # bytes
SMALLER = 4  # an element takes 1 + SMALLER / side times as long as in the largest tiles
ASK_FROM = 1 << 22  # bytes; less is in a cache anyway, most likely
STREAM_FROM = 1 << 24  # bytes; so large a result pushes what lies in the caches out of them


@dataclass(frozen=True)
class Turn:
    """A transposing copy.

    Args:
        across: how many elements lie together in the source.
        down: how many lie together in the result.
        x_down: from one to the next of the latter in the source.
        y_across: from one to the next of the former in the result.
        outer: sizes, strides of the source, strides of the result of all other dimensions.
    """

    across: int
    down: int
    x_down: int
    y_across: int
    outer: tuple[tuple[int, int, int], ...]

    @property
    def count(self) -> int:
        """How many elements."""
        n = self.across * self.down
        for size, _, _ in self.outer:
            n *= size
        return n


class _Form(NamedTuple):
    """What kernels differ by.

    Args:
        side: elements along a side of a tile.
        reads_along: whether tiles follow the runs of the source (where the result's lie close to
            each other) or those of the result.
        asks: whether the lines of a block are asked for first.
        streams: whether the result goes past the caches.
    """

    side: int
    reads_along: bool
    asks: bool
    streams: bool


def transposing(e: Element, turn: Turn) -> Ready:
    """The call that makes this copy, with elements of the bytes of ``e``."""
    outer = turn.outer or ((1, 0, 0),)
    wide, deep = _block(e, turn)
    rows = turn.count // (turn.across * turn.down)
    together = max(1, BLOCK_BYTES // (wide * deep * e.bytes))
    if (wide, deep) != (turn.across, turn.down):
        together = 1
    blocks = (-(-turn.across // wide), -(-turn.down // deep))
    pieces = -(-rows // together) * blocks[0] * blocks[1]
    words = [
        *(n for n, _, _ in outer),
        *(turn.across, turn.down, rows, together, wide, deep, *blocks, pieces),
        *(turn.x_down, turn.y_across),
        *(x for _, x, _ in outer),
        *(y for _, _, y in outer),
    ]
    nbytes = turn.count * e.bytes
    side, large = _side(e, turn), nbytes >= ASK_FROM
    form = _Form(
        side=side,
        reads_along=large and deep == turn.down == turn.y_across,
        asks=large,
        streams=nbytes >= STREAM_FROM and side * e.bytes == LINE_BYTES and _in_lines(e, turn),
    )
    rank = len(outer)
    address = load_cached(f"transpose/{e}/{rank}/{form}", lambda: _kernel(e, rank, form))
    return Ready(address, struct.pack(f"{len(words)}q", *words), nbytes > ALONE_BELOW)


def _side(e: Element, turn: Turn) -> int:
    """Elements along a side of a tile: those of a vector or a power of two less, by how many
    elements are copied twice.
    """
    bytes_of_row = active().vector_bytes
    if e.bytes < 4 and turn.count * e.bytes < ASK_FROM:  # 512 bits of those take longer to shuffle
        bytes_of_row = min(bytes_of_row, 32)
    side = bytes_of_row // e.bytes
    best, least = 1, float("inf")
    while side > 1:
        copied = -(-turn.across // side) * -(-turn.down // side) * side * side
        cost = copied * (1 + SMALLER / side)
        if side <= min(turn.across, turn.down) and cost < least:
            best, least = side, cost
        side //= 2
    return best


def _block(e: Element, turn: Turn) -> tuple[int, int]:
    """Elements of a block across and down: square but for sides that are shorter than that."""
    run = RUN_BYTES // e.bytes
    most = BLOCK_BYTES // e.bytes
    line = LINE_BYTES // e.bytes
    wide, deep = min(run, turn.across), min(run, turn.down)
    if wide == turn.across:
        deep = max(deep, most // wide // line * line)
    if deep >= turn.down:
        wide = max(wide, most // turn.down // line * line)
    return min(wide, turn.across), min(deep, turn.down)


def _in_lines(e: Element, turn: Turn) -> bool:
    """Whether the result consists of whole cache lines, if it starts with one."""
    line = LINE_BYTES // e.bytes
    steps = (turn.y_across, turn.down, *(y for _, _, y in turn.outer))
    return all(step % line == 0 for step in steps)


def _kernel(e: Element, outer: int, form: _Form) -> Kernel:
    """y[c] = x[i] over `outer` dimensions, where x lies together along i ("across") and y along c
    ("down").

    Sizes: the outer sizes; across and down, of all and (wide, deep) of a block; outer rows and how
        many of them a piece has; blocks across, blocks down, pieces; the stride of x along down, of
        y along across; strides of x, of y along the outer dimensions.
    """
    k = Kernel(
        "transpose",
        buffers=(("x", e), ("y", e)),
        sizes=[
            *(f"n{d}" for d in range(outer)),
            *("across", "down", "rows", "together", "wide", "deep", "blocks", "levels", "pieces"),
            *("x_down", "y_across"),
            *(f"x{d}" for d in range(outer)),
            *(f"y{d}" for d in range(outer)),
        ],
    )
    (x, y), sizes = k.buffers, k.sizes
    shape, rest = sizes[:outer], sizes[outer:]
    across, down, rows, together, wide, deep, blocks, levels, pieces = rest[:9]
    (x_down, y_across), steps = rest[9:11], rest[11:]
    with k.parallel(pieces) as piece:
        block = piece % (k.index(blocks) * levels)
        first_row = piece // (k.index(blocks) * levels) * together
        last_row = k.smaller(first_row + together, rows)
        left, top = block // levels * wide, block % levels * deep
        area = (left, k.smaller(left + wide, across), top, k.smaller(top + deep, down))
        with Rows(k, shape, (steps[:outer], steps[outer:]), first_row, last_row) as (at_x, at_y):
            b = _Block(k, x.at(at_x), y.at(at_y), k.index(x_down), k.index(y_across), form)
            if form.asks:
                b.ask(area)
            if form.streams:
                with k.if_else(k.is_aligned(y, LINE_BYTES)) as (then, otherwise):
                    with then:
                        b.copy(area, streams=True)
                    with otherwise:
                        b.copy(area)
            else:
                b.copy(area)
    return k


Area = tuple[Index, Index, Index, Index]  # from left to right, from top to bottom


class _Block:
    """A block of one source and one result.

    Its tiles do not end where it does: the last ones lie as far back as they must to fit into the
    whole, so some elements are copied twice (by two threads, perhaps, which write the same bytes).
    """

    def __init__(
        self, k: Kernel, x: Buffer, y: Buffer, x_down: Value, y_across: Value, form: _Form
    ) -> None:
        self.k, self.x, self.y = k, x, y
        self.x_down, self.y_across, self.form = x_down, y_across, form

    def ask(self, area: Area) -> None:
        """Ask for the lines that will be read, in the order of memory."""
        k, (left, right, top, bottom) = self.k, area
        with k.loop(top, bottom, unroll=1) as c:
            line = self.x.at(self.x_down * c)
            with k.loop(left, right, LINE_BYTES // self.x.element.bytes, unroll=1) as i:
                k.prefetch(line, i, locality=2)

    def copy(self, area: Area, streams: bool = False) -> None:
        """Turn the block tile by tile, along the runs of the source or of the result."""
        k, side = self.k, self.form.side
        left, right, top, bottom = (k.index(at) for at in area)
        ranges = [(left, right), (top, bottom)]
        if self.form.reads_along:
            ranges.reverse()
        with k.loop(*ranges[0], side, unroll=1) as a, k.loop(*ranges[1], side, unroll=1) as b:
            i, c = (b, a) if self.form.reads_along else (a, b)
            self._tile(k.smaller(i, right - side), k.smaller(c, bottom - side), streams)

    def _tile(self, i: Index, c: Index, streams: bool) -> None:
        k, side = self.k, self.form.side
        rows = []
        at = self.x.at(self.x_down * c + i)
        for _ in range(side):
            rows.append(k.load(at, 0, side))
            at = at.at(self.x_down)
        at = self.y.at(self.y_across * i + c)
        for vector in turned(k, rows):
            k.store(vector, at, streams=streams)
            at = at.at(self.y_across)


def turned(k: Kernel, rows: Sequence[Value]) -> list[Value]:
    """The transpose of a square tile, one vector a row.

    Squares that are a 16-byte lane wide are turned first, then they change places: shuffles within
    lanes and of whole lanes are cheaper than others.
    """
    side, lane = len(rows), min(len(rows), LANE_BYTES // rows[0].element.bytes)
    groups = [_interleaved(k, rows[g : g + lane], lane, 1) for g in range(0, side, lane)]
    places = [_interleaved(k, [g[n] for g in groups], side, lane) for n in range(lane)]
    return [places[i % lane][i // lane] for i in range(side)]


def _interleaved(k: Kernel, rows: Sequence[Value], span: int, unit: int) -> list[Value]:
    """The transposes of the squares within each `span` lanes, whose elements are `unit` lanes.

    Rows n and n + half interleave, as often as it takes for each to meet all.
    """
    count, lanes = span // unit, rows[0].lanes
    half = count // 2
    low = [
        start + j // 2 * unit + j % 2 * lanes + i
        for start in range(0, lanes, span)
        for j in range(count)
        for i in range(unit)
    ]
    high = [i + half * unit for i in low]
    for _ in range(count.bit_length() - 1):
        pairs = [(rows[n], rows[n + half]) for n in range(half)]
        rows = [k.shuffle(a, b, order) for a, b in pairs for order in (low, high)]
    return list(rows)
