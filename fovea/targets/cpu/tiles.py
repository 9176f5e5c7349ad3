"""Contractions in tile registers: Intel AMX, and the same in memory where that is missing.

A tile has 16 rows of 64 bytes. One instruction multiplies two: 16 rows of 16 elements (pairs of
bfloat16, or quads of bytes) by 16 elements of 16 columns, and adds the products to a third, whose
rows are 16 float32 or int32. That takes 16 cycles, in which AVX-512 does a sixteenth as much in
float32. `Tiles` emits such instructions, `TileCore` the loops of contractions around them.

Tiles are named by numbers, and LLVM gets the instructions that take these. Those whose tiles are
values (`llvm.x86.tdpbf16ps.internal`) leave register allocation to LLVM, which keeps tiles in
memory where it need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, bf16_pair, byte_quad, f32, i32, i64, u32
from fovea.targets.cpu.epilogue import Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.schedule import TILE_ROWS, Tile
from fovea.targets.cpu.values import Index, Value

__all__ = ["TileCore", "Tiles", "core_of"]

COUNT = 8  # tile registers
WORDS = 16  # elements of four bytes in a row
# Palette 1; the bytes of a row of each tile (two bytes each); the rows of each tile (a byte each).
CONFIGURATION = (1, 0, *[0x0040_0040_0040_0040] * 2, 0, 0, 0x1010_1010_1010_1010, 0)


class Tiles:
    """Emits instructions on tile registers into a kernel, or what they do on memory.

    Args:
        k: the kernel.
    """

    def __init__(self, k: Kernel) -> None:
        self.k, self.real = k, k.isa.real_tiles
        self._aside = k.scratch(u32, TILE_ROWS * WORDS)
        self._memory: list[Buffer] = []
        if not self.real:
            self._memory = [k.scratch(u32, TILE_ROWS * WORDS) for _ in range(COUNT)]

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Run the body with all tiles at their full size. Each thread does so for itself, and gives
        them up in the end, so that the system need not keep them.
        """
        if not self.real:
            yield
            return
        k, words = self.k, self.k.scratch(i64, len(CONFIGURATION))
        for at, word in enumerate(CONFIGURATION):
            k.store(word, words, at)
        self._call("ldtilecfg", "ptr", f"ptr {words.pointer}")
        yield
        self._call("tilerelease", "", "")

    def _call(self, name: str, kinds: str, arguments: str) -> None:
        full = f"llvm.x86.{name}"
        self.k.declare(full, f"declare void {{name}}({kinds})")
        self.k.emit(f"call void @{full}({arguments})")

    def zero(self, t: int) -> None:
        """Tile t = 0."""
        if self.real:
            self._call("tilezero", "i8", f"i8 {t}")
            return
        with self.k.loop(0, TILE_ROWS, unroll=1) as row:
            self.k.store(self.k.const(0, u32, WORDS), self._memory[t], row * WORDS)

    def load(
        self, t: int, source: Buffer, stride: Index, rows: Index | None = None,
        words: Index | None = None,
    ) -> None:  # fmt: skip
        """Tile t from elements of four bytes, whose rows are `stride` of them apart; only so many
        `rows`, and `words` of each, where given: the others are 0 and not read.
        """
        k, source = self.k, source.view(u32)
        if not self.real:
            self._copy(source, stride, rows, words, self._memory[t])
            return
        # Row by row where only a part is there, and where each access is checked.
        if rows is not None or words is not None or k.checked:
            self._copy(source, stride, rows, words, self._aside)
            source, stride = self._aside, WORDS
        bytes_apart = k.index(stride) * 4
        arguments = f"i8 {t}, ptr {source.pointer}, {bytes_apart.typed}"
        self._call("tileloadd64", "i8, ptr, i64", arguments)

    def _copy(
        self, source: Buffer, stride: Index, rows: Index | None, words: Index | None, target: Buffer
    ) -> None:
        k, there = self.k, TILE_ROWS if rows is None else rows
        with k.loop(0, there, unroll=1) as row:
            line = k.load(source, row * stride, WORDS, count=words)
            k.store(line, target, row * WORDS)
        if rows is not None:
            with k.loop(k.larger(there, 0), TILE_ROWS, unroll=1) as row:
                k.store(k.const(0, u32, WORDS), target, row * WORDS)

    def store(self, t: int, target: Buffer, stride: int) -> None:
        """Tile t to memory, its rows `stride` elements of four bytes apart."""
        if self.real:
            arguments = f"i8 {t}, ptr {target.pointer}, i64 {stride * 4}"
            self._call("tilestored64", "i8, ptr, i64", arguments)
            return
        k, into = self.k, target.view(u32)
        with k.loop(0, TILE_ROWS, unroll=1) as row:
            k.store(k.load(self._memory[t], row * WORDS, WORDS), into, row * stride)

    def dot(self, element: Element, c: int, a: int, b: int) -> None:
        """Tile c += a @ b, where each row of b holds one element of 16 columns: pairs of bfloat16
        in float32, or unsigned bytes (a) with signed ones in int32.
        """
        if self.real:
            name = {bf16_pair: "tdpbf16ps", byte_quad: "tdpbusd"}[element]
            self._call(name, "i8, i8, i8", f"i8 {c}, i8 {a}, i8 {b}")
            return
        row_of = {bf16_pair: self._pairs, byte_quad: self._quads}[element]
        total, left, right = (self._memory[t] for t in (c, a, b))
        with self.k.loop(0, TILE_ROWS, unroll=1) as row:
            row_of(total.at(row * WORDS), left.at(row * WORDS), right)

    def _pairs(self, total: Buffer, left: Buffer, right: Buffer) -> None:
        """A row of tdpbf16ps, in the order of Intel's manual: the products of first and of second
        halves are two sums from 0, which are added to each other, then to what was there. (Numbers
        too small for a normal float32, which the instruction takes as 0, are kept.)
        """
        k = self.k
        sums = [k.var(k.const(0.0, f32, WORDS)) for _ in range(2)]
        with k.loop(0, WORDS, unroll=1) as item:
            x, y = k.load_broadcast(left, item, WORDS), k.load(right, item * WORDS, WORDS)
            for half, one in enumerate(sums):
                a, b = (k.bitcast(v & 0xFFFF0000 if half else v << 16, f32) for v in (x, y))
                one.set(k.fma(a, b, one.get()))
        place = total.view(f32)
        k.store(k.load(place, 0, WORDS) + (sums[0].get() + sums[1].get()), place)

    def _quads(self, total: Buffer, left: Buffer, right: Buffer) -> None:
        """A row of tdpbusd."""
        k, place = self.k, total.view(i32)
        one = k.var(k.load(place, 0, WORDS))
        with k.loop(0, WORDS, unroll=1) as item:
            x, y = k.load_broadcast(left, item, WORDS), k.load(right, item * WORDS, WORDS)
            one.set(k.dot_quads(x, y, one.get()))
        k.store(one.get(), place)


class TileCore(Core):
    """Emits contractions in tile registers into a kernel: of up to 32 rows with a panel of 16 or 32
    columns at a time, four tiles of sums.
    """

    def __init__(self, k: Kernel, tile: Tile, element: Element) -> None:
        super().__init__(k, tile, element)
        self.tiles = Tiles(k)
        self._sums = k.scratch(element, tile.rows * self.width)
        # Numbers of tiles: sums, then rows, then columns.
        self._across = tile.vectors
        self._left = [4, 5]
        self._right = [6, 7][: self._across]

    def running(self) -> AbstractContextManager[None]:
        return self.tiles.configured()

    def blocks(
        self, operands: tuple[tuple[Buffer, Index, Index], Buffer, Index],
        place: Callable[[Value], Index], target: Buffer, columns: Index, finish: Finish,
    ) -> None:  # fmt: skip
        """Any number of rows against one panel: what `multiply` takes, and where in `target` the
        first `columns` of each row's results go.
        """
        k, ((rows, stride, count), panel, run) = self.k, operands
        with k.loop(0, count, self.tile.rows) as first:
            left = k.smaller(count - first, self.tile.rows)
            sums = self.multiply((rows.at(first * stride), stride, left), panel, run)
            self.finish_rows(sums, left, lambda n: place(first + n), target, columns, finish)

    def multiply(
        self, rows: tuple[Buffer, Index, Index], panel: Buffer, run: Index,
        sums: Buffer | None = None, fresh: Value | None = None,
    ) -> Buffer:  # fmt: skip
        """The products of some rows with a panel over `run` elements of the contracted index: where
        they are, row after row as wide as the panel.

        Args:
            rows: the first one's elements, how far apart rows are, how many there are (32 or more
                count as 32).
            panel: the columns' first elements, the next ones a width further.
            sums: where to put them; where `fresh` does not hold they are added to what is there.
        """
        k, into = self.k, self._sums if sums is None else sums
        numbers = [(i, j, i * self._across + j) for i in range(2) for j in range(self._across)]
        places = [into.at(i * TILE_ROWS * self.width + j * WORDS) for i, j, _ in numbers]
        for _, _, t in numbers:
            self.tiles.zero(t)
        if fresh is not None:
            with k.if_(~fresh):
                for (_, _, t), place in zip(numbers, places, strict=True):
                    self.tiles.load(t, place, self.width)
        left, stride, count = rows
        with k.if_else(k.index(count) >= self.tile.rows) as (whole, partly):
            for arm, some in ((whole, None), (partly, count)):
                with arm:
                    self._add(left, stride, some, panel, run)
        for (_, _, t), place in zip(numbers, places, strict=True):
            self.tiles.store(t, place, self.width)
        return into

    def _add(
        self, rows: Buffer, stride: Index, count: Index | None, panel: Buffer, run: Index
    ) -> None:
        k = self.k
        full = run // WORDS * WORDS
        with k.loop(0, full, WORDS, unroll=1) as item:
            self._step(rows.at(item), stride, count, panel.at(item * self.width), None)
        with k.if_(k.index(full) < run):
            rest = k.index(run) - full
            self._step(rows.at(full), stride, count, panel.at(full * self.width), rest)

    def _step(
        self, rows: Buffer, stride: Index, count: Index | None, panel: Buffer, items: Index | None
    ) -> None:
        """Add the products over 16 elements of the contracted index, or fewer."""
        k, tiles = self.k, self.tiles
        for j, t in enumerate(self._right):
            tiles.load(t, panel.at(j * WORDS), self.width, rows=items)
        for i, t in enumerate(self._left):
            first = i * TILE_ROWS
            left = None if count is None else k.smaller(k.larger(count - first, 0), TILE_ROWS)
            tiles.load(t, rows.at(k.index(stride) * first), stride, left, items)
            for j, other in enumerate(self._right):
                tiles.dot(panel.element, i * self._across + j, t, other)

    def finish_rows(
        self, sums: Buffer, rows: Index, place: Callable[[Value], Index], target: Buffer,
        columns: Index, finish: Finish,
    ) -> None:  # fmt: skip
        """Store the first `columns` of so many rows of sums at their places in `target`."""
        k = self.k
        with k.if_else(k.index(columns) >= self.width) as (whole, partly):
            for arm, some in ((whole, None), (partly, columns)):
                with arm:
                    vectors = self._vectors(some, finish, started=False)
                    with k.loop(0, rows, unroll=1) as row:
                        line = sums.at(row * self.width)
                        found = [k.load(line, at, self.lanes) for at, _, _ in vectors]
                        self._store_row(found, target, place(row), vectors, finish)


def core_of(k: Kernel, tile: Tile, element: Element) -> Core:
    """What emits contractions with such tiles into a kernel."""
    return TileCore(k, tile, element) if tile.amx else Core(k, tile, element)
