"""Kernels of softmax across rows: vectors hold one number of each of several neighbors.

That is how it goes where the dimension is not the innermost in memory ("planes"), and where rows
are too short to fill vectors ("few"; these are turned around in scratch first).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, fill_zero
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.softmax_kernels import INF, ROW_WORDS, exp_below, grad_of, grad_term
from fovea.targets.cpu.values import Index, Value

__all__ = [
    "MOST_FEW",
    "MOST_WIDE",
    "Tile",
    "each_rows",
    "few_kernel",
    "gather_rows",
    "planes_kernel",
    "scatter_rows",
]

VECTORS = 4
MOST_FEW = 32  # numbers in a row; longer ones are worked on as rows
MOST_WIDE = 512  # neighbors in a run of planes


# -- the dimension is not the innermost -------------------------------------------------------


class _Planes:
    """Runs of neighbors in (size, inner) arrays, line after line: memory is read in order.

    What belongs to a neighbor is in scratch (`highest`, `total`) meanwhile.
    """

    def __init__(self, element: Element, names: Sequence[str]) -> None:
        words = ("size", "inner", "grain", "splits", "pieces", "width")
        self.k = k = Kernel("softmax_planes", [(n, element) for n in names], words)
        self.size, self.inner, self.grain, self.splits, self.pieces, self.width = k.sizes
        self.kind, self.lanes = element.compute, k.lanes(element)
        self.keeps = element is element.compute  # half types would round exponentials twice
        self.highest, self.total = k.scratch(self.kind, MOST_WIDE), k.scratch(self.kind, MOST_WIDE)

    def each_run(self, work: Callable[[Sequence[Buffer], Value], None]) -> Kernel:
        """`work(arrays, count)` for each run: the arrays there, and how many neighbors it has."""
        k = self.k
        with k.parallel(self.pieces) as piece:
            start = piece // self.splits * self.size * self.inner
            low = piece % self.splits * self.grain
            high = k.index(k.smaller(low + self.grain, self.inner))
            with k.loop(low, high, self.width, unroll=1) as first:
                arrays = [b.at(start + first) for b in k.buffers]
                work(arrays, k.index(k.smaller(high - first, self.width)))
        return k

    def each(self, count: Value, body: Callable[[Value, int], None]) -> None:
        """`body(c, lanes)` for each vector of neighbors."""

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                body(c + n * lanes, lanes)

        channel_blocks(self.k, 0, count, self.lanes, VECTORS, block)

    def each_line(
        self,
        arrays: Sequence[Buffer],
        count: Value,
        body: Callable[[Sequence[Buffer], Value, int], None],
    ) -> None:
        """`body(lines, c, lanes)` for each vector of each line."""
        with self.k.loop(0, self.size, unroll=1) as i:
            lines = [a.at(i * self.inner) for a in arrays]
            self.each(count, lambda c, lanes: body(lines, c, lanes))

    def forward(self, arrays: Sequence[Buffer], count: Value, log: bool) -> None:
        """Softmax, or its logarithm."""
        k, highest, total = self.k, self.highest, self.total

        def start(c: Value, lanes: int) -> None:
            k.store(k.const(-INF, self.kind, lanes), highest, c)
            k.store(k.const(0.0, self.kind, lanes), total, c)

        def rise(lines: Sequence[Buffer], c: Value, lanes: int) -> None:
            x = k.load(lines[0], c, lanes)
            k.store(k.fast_max(k.load(highest, c, lanes), x), highest, c)

        def exponential(lines: Sequence[Buffer], c: Value, lanes: int) -> Value:
            return exp_below(k, k.load(lines[0], c, lanes) - k.load(highest, c, lanes))

        def add(lines: Sequence[Buffer], c: Value, lanes: int) -> None:
            e = exponential(lines, c, lanes)
            k.store(k.load(total, c, lanes) + e, total, c)
            if self.keeps and not log:
                k.store(e, lines[1], c)

        def settle(c: Value, lanes: int) -> None:
            sums = k.load(total, c, lanes)
            k.store(vmath.log(k, sums) if log else 1.0 / sums, total, c)

        def finish(lines: Sequence[Buffer], c: Value, lanes: int) -> None:
            own = k.load(total, c, lanes)
            if log:
                y = k.load(lines[0], c, lanes) - k.load(highest, c, lanes) - own
            elif self.keeps:
                y = k.load(lines[1], c, lanes) * own
            else:
                y = exponential(lines, c, lanes) * own
            k.store(y, lines[1], c)

        self.each(count, start)
        self.each_line(arrays, count, rise)
        self.each_line(arrays, count, add)
        self.each(count, settle)
        self.each_line(arrays, count, finish)

    def backward(self, arrays: Sequence[Buffer], count: Value, log: bool) -> None:
        """gx from gy and y."""
        k, total = self.k, self.total

        def add(lines: Sequence[Buffer], c: Value, lanes: int) -> None:
            term = grad_term(k.load(lines[0], c, lanes), k.load(lines[1], c, lanes), log)
            k.store(k.load(total, c, lanes) + term, total, c)

        def finish(lines: Sequence[Buffer], c: Value, lanes: int) -> None:
            gy, y = k.load(lines[0], c, lanes), k.load(lines[1], c, lanes)
            k.store(grad_of(k, gy, y, k.load(total, c, lanes), log), lines[2], c)

        fill_zero(k, total, 0, count)
        self.each_line(arrays, count, add)
        self.each_line(arrays, count, finish)


def planes_kernel(element: Element, log: bool, sources: int) -> Kernel:
    """Along the middle dimension of dense (outer, size, inner) arrays, from x or from gy and y.

    A piece is `grain` inner elements of one outer one, in runs of `width`.
    """
    p = _Planes(element, ("x", "y") if sources == 1 else ("gy", "y", "gx"))
    work = p.forward if sources == 1 else p.backward
    return p.each_run(lambda arrays, count: work(arrays, count, log))


# -- short rows -------------------------------------------------------------------------------


class Tile:
    """A vector of neighbors in scratch, where number `i` of all of them is at `i * lanes`."""

    def __init__(self, k: Kernel, kind: Element, size: Index, lanes: int) -> None:
        self.k, self.kind, self.size, self.lanes = k, kind, size, lanes

    def load(self, buffer: Buffer, i: Value) -> Value:
        """Number `i` of the neighbors."""
        return self.k.load(buffer, i * self.lanes, self.lanes)

    def store(self, value: Value, buffer: Buffer, i: Value) -> None:
        self.k.store(value, buffer, i * self.lanes)

    def exponentials(self, x: Buffer, keep: bool) -> tuple[Value, Value]:
        """The maxima and the sums of exp(x - maximum), which take the place of x if kept."""
        k = self.k
        highest, total = (k.var(k.const(v, self.kind, self.lanes)) for v in (-INF, 0.0))
        with k.loop(0, self.size, unroll=1) as i:
            highest.set(k.fast_max(highest.get(), self.load(x, i)))
        with k.loop(0, self.size, unroll=1) as i:
            e = exp_below(k, self.load(x, i) - highest.get())
            total.set(total.get() + e)
            if keep:
                self.store(e, x, i)
        return highest.get(), total.get()

    def forward(self, x: Buffer, log: bool) -> None:
        """Softmax, or its logarithm, in place."""
        k = self.k
        highest, total = self.exponentials(x, keep=not log)
        own = vmath.log(k, total) if log else 1.0 / total
        with k.loop(0, self.size, unroll=1) as i:
            value = self.load(x, i)
            self.store(value - highest - own if log else value * own, x, i)

    def backward(self, gy: Buffer, y: Buffer, log: bool) -> None:
        """The gradient takes the place of gy."""
        k, total = self.k, self.k.var(self.k.const(0.0, self.kind, self.lanes))
        with k.loop(0, self.size, unroll=1) as i:
            total.set(total.get() + grad_term(self.load(gy, i), self.load(y, i), log))
        with k.loop(0, self.size, unroll=1) as i:
            result = grad_of(k, self.load(gy, i), self.load(y, i), total.get(), log)
            self.store(result, gy, i)


def gather_rows(k: Kernel, x: Buffer, row: Index, size: Index, tile: Buffer, lanes: int) -> None:
    """`lanes` rows of x, `row` elements apart, as the neighbors of a tile."""
    with k.loop(0, size, unroll=1) as i:
        places = [i + k.index(row) * lane for lane in range(lanes)]
        values = k.gather(x, places) if lanes > 1 else k.load(x, i)
        k.store(values, tile, i * lanes)


def scatter_rows(k: Kernel, tile: Buffer, size: Index, y: Buffer, lanes: int) -> None:
    """The neighbors of a tile as dense rows of y."""
    with k.loop(0, size, unroll=1) as i:
        values = k.load(tile, i * lanes, lanes)
        for lane in range(lanes):
            value = k.extract(values, lane) if lanes > 1 else values
            k.store(value, y, i + k.index(size) * lane)


def few_kernel(element: Element, log: bool, sources: int) -> Kernel:
    """Along dense rows of at most `MOST_FEW` numbers, as many at a time as vectors have lanes."""
    names = ("x", "y") if sources == 1 else ("gy", "y", "gx")
    k = Kernel("softmax_few", [(n, element) for n in names], ROW_WORDS)
    columns = k.sizes[3]
    kind, most = element.compute, k.lanes(element)
    tiles = [k.scratch(kind, MOST_FEW * most) for _ in range(sources)]

    def rows(at: Value, lanes: int) -> None:
        arrays = [b.at(at * columns) for b in k.buffers]
        for array, scratch in zip(arrays, tiles, strict=False):
            gather_rows(k, array, columns, columns, scratch, lanes)
        tile = Tile(k, kind, columns, lanes)
        if sources == 1:
            tile.forward(tiles[0], log)
        else:
            tile.backward(tiles[0], tiles[1], log)
        scatter_rows(k, tiles[0], columns, arrays[-1], lanes)

    each_rows(k, most, rows)
    return k


def each_rows(k: Kernel, most: int, body: Callable[[Value, int], None]) -> None:
    """`body(row, lanes)` for all rows of a kernel with `ROW_WORDS`, `most` at a time."""
    rows, grain, pieces = k.sizes[:3]

    def block(at: Value, vectors: int, lanes: int) -> None:
        body(at, lanes)

    with k.parallel(pieces) as piece:
        low = piece * grain
        channel_blocks(k, low, k.smaller(low + grain, rows), most, 1, block)
