"""The register-tiled core that matrix products and convolutions share.

A piece of work has rows (matrix rows, or pixels), each known by the address of its first element,
and panels of columns, in which a contracted index's values for neighboring columns are neighbors.
For a tile of rows and a panel, the core walks the contracted index; each step broadcasts one
element a row and multiplies it with the panel's vectors. Elements may be pairs of bfloat16 or quads
of bytes, whose products are added at once; sums of bytes are integers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import replace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, bf16_pair, byte_quad, f32, i64
from fovea.targets.cpu.epilogue import Affine, Finish
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value

_UNROLL = 4


class Core:
    """Emits tiles of a contraction into a kernel.

    Args:
        k: the kernel.
        tile: rows and vectors of the register tile.
        element: what is computed with, float32 or float64.
    """

    def __init__(self, k: Kernel, tile: Tile, element: Element) -> None:
        self.k, self.tile, self.element = k, tile, element
        self.lanes = tile.lanes(k.isa, element)
        self.width = tile.vectors * self.lanes

    def running(self) -> AbstractContextManager[None]:
        """Where tiles may be used: around what each thread does."""
        return nullcontext()

    def narrowed(self, vectors: int) -> Core:
        """The core for a panel of which only the first `vectors` hold columns; it lies in memory as
        others do.
        """
        narrow = copy(self)
        narrow.tile = replace(self.tile, vectors=vectors)
        return narrow

    @property
    def columns(self) -> int:
        """How many are computed."""
        return self.tile.vectors * self.lanes

    def accumulators(self, finish: Finish | None = None, count: Index = 0) -> list[list[Var]]:
        """A variable for each row and vector: zero, or what results start from (of which `count`
        columns exist).
        """
        k, start = self.k, []
        for v in range(self.tile.vectors):
            if finish is None or not self.element.is_float:
                start.append(k.const(0, self.element, self.lanes))
                continue
            at = v * self.lanes
            left = k.smaller(k.larger(count - at, 0), self.lanes)
            start.append(finish.start(at, self.lanes, left))
        return [[k.var(s) for s in start] for _ in range(self.tile.rows)]

    def accumulate(
        self,
        sums: list[list[Var]],
        rows: list[Buffer],
        panel: Buffer,
        run: Index,
        step: Index,
        item: Index = 1,
        columns: Index | None = None,
        ahead: Callable[[Value], None] | None = None,
    ) -> None:
        """Add the products over `run` values of the contracted index.

        Args:
            rows: the elements of each row, `item` apart.
            panel: the first column's elements, `step` apart; only the first `columns` may be read
                where given.
            ahead: called at every fourth value (or so) of the contracted index, to ask for memory
                that is needed later.
        """
        k = self.k
        unroll = _UNROLL if columns is None else 1
        full = (run // unroll) * unroll
        if unroll > 1:
            with k.loop(0, full, unroll, unroll=1) as c:
                if ahead is not None:
                    ahead(c)
                at = [r.at(c * item) for r in rows]
                self.steps(sums, at, panel.at(c * step), step, item, unroll, None)
        else:
            full = 0
        with k.loop(full, run, unroll=1) as c:
            at = [r.at(c * item) for r in rows]
            self.steps(sums, at, panel.at(c * step), step, item, 1, columns)

    def steps(
        self, sums: list[list[Var]], rows: list[Buffer], panel: Buffer,
        step: Index, item: Index, count: int, columns: Index | None,
    ) -> None:  # fmt: skip
        """As `accumulate`, over `count` values, written out."""
        k = self.k
        multiply = {bf16_pair: k.dot_pairs, byte_quad: k.dot_quads}.get(panel.element, k.fma)
        for u in range(count):
            line = panel.at(step * u) if u else panel
            vectors = []
            for v in range(self.tile.vectors):
                at, left = v * self.lanes, None
                if columns is not None:
                    left = k.smaller(k.larger(columns - at, 0), self.lanes)
                vectors.append(k.load(line, at, self.lanes, count=left))
            for row, of_row in zip(rows, sums, strict=True):
                x = k.load_broadcast(row, item * u if u else 0, self.lanes)
                for vector, total in zip(vectors, of_row, strict=True):
                    total.set(multiply(x, vector, total.get()))

    def accumulate_lanes(
        self,
        sums: list[list[Var]],
        rows: list[Buffer],
        panel: Buffer,
        run: Index,
        step: Index,
        item: Index,
        columns: Index | None = None,
    ) -> None:
        """Add products lane by lane (each column has elements of its own in the rows) over `run`
        steps.

        Args:
            rows: vectors as wide as the panel, `item` apart.
            panel: vectors, `step` apart.
            columns: only the first of these are read where given.
        """
        k = self.k
        with k.loop(0, run, unroll=1) as c:
            line = panel.at(c * step)
            for v in range(self.tile.vectors):
                at, left = v * self.lanes, None
                if columns is not None:
                    left = k.smaller(k.larger(columns - at, 0), self.lanes)
                vector = k.load(line, at, self.lanes, count=left)
                for row, of_row in zip(rows, sums, strict=True):
                    x = k.load(row.at(c * item), at, self.lanes, count=left)
                    of_row[v].set(k.fma(x, vector, of_row[v].get()))

    def accumulate_groups(
        self, sums: list[list[Var]], rows: list[Buffer], panel: Buffer, group: int,
        columns: Index | None = None,
    ) -> None:  # fmt: skip
        """Add the products of groups of `group` neighboring columns, which all see the elements of
        their group; arguments as of `accumulate_lanes`, a vector of the panel for each element.
        """
        k = self.k
        picks = [[lane // group * group + n for lane in range(self.lanes)] for n in range(group)]
        for v in range(self.tile.vectors):
            at, left = v * self.lanes, None
            if columns is not None:
                left = k.smaller(k.larger(columns - at, 0), self.lanes)
            seen = [k.load(row, at, self.lanes, count=left) for row in rows]
            for n, pick in enumerate(picks):
                vector = k.load(panel, n * self.width + at, self.lanes, count=left)
                for x, of_row in zip(seen, sums, strict=True):
                    of_row[v].set(k.fma(k.shuffle(x, None, pick), vector, of_row[v].get()))

    def finish(
        self, sums: list[list[Var]], target: Buffer, places: list[Index], count: Index,
        finish: Finish,
    ) -> None:  # fmt: skip
        """Store the first `count` columns of a tile, whose rows go to these places in `target`;
        where these are fewer, the largest of as many rows as there are for each.
        """
        k = self.k
        whole, narrow = k.index(count) >= self.columns, target.element.bytes < 4
        with k.if_else(whole) as (then, otherwise):
            for arm, left, rolled in ((then, None, False), (otherwise, count, narrow)):
                store = self._store_rolled if rolled or finish.costly else self._store
                store = store if len(places) == len(sums) else self._store_largest
                with arm:
                    store(sums, target, places, left, finish)

    def _store(
        self, sums: list[list[Var]], target: Buffer, places: list[Index], count: Index | None,
        finish: Finish,
    ) -> None:  # fmt: skip
        vectors = self._vectors(count, finish)
        for place, of_row in zip(places, sums, strict=True):
            row = [total.get() for total in of_row]
            self._store_row(row, target, place, vectors, finish)

    def _store_largest(
        self, sums: list[list[Var]], target: Buffer, places: list[Index], count: Index | None,
        finish: Finish,
    ) -> None:  # fmt: skip
        k, window = self.k, len(sums) // len(places)
        vectors = self._vectors(count, finish)
        for n, place in enumerate(places):
            rows, line = sums[n * window : (n + 1) * window], target.at(place)
            for v, (at, left, affine) in enumerate(vectors):
                best: Value | None = None
                for of_row in rows:
                    value = finish.scaled(of_row[v].get(), affine)
                    if best is None or not finish.is_floor:  # one of them brings a floor in
                        value = finish.activated(value)
                    best = value if best is None else k.maximum(value, best)
                assert best is not None
                k.store(best, line, at, count=left)

    def _store_rolled(
        self, sums: list[list[Var]], target: Buffer, places: list[Index], count: Index | None,
        finish: Finish,
    ) -> None:  # fmt: skip
        """The same in a loop over rows, by way of the stack: where a row takes much code."""
        k, rows, vectors = self.k, self.tile.rows, range(self.tile.vectors)
        tile, table = k.scratch(self.element, rows * self.width), k.scratch(i64, rows)
        for i, (place, of_row) in enumerate(zip(places, sums, strict=True)):
            k.store(k.index(place), table, i)
            for v in vectors:
                k.store(of_row[v].get(), tile, i * self.width + v * self.lanes)
        finishing = self._vectors(count, finish)
        with k.loop(0, rows, unroll=1) as number:
            line, place = tile.at(number * self.width), k.load(table, number)
            for v in vectors:
                left, value = finishing[v][1], k.load(line, v * self.lanes, self.lanes)
                with nullcontext() if left is None or v == 0 else k.if_(k.index(left) > 0):
                    self._store_row([value], target, place, finishing[v : v + 1], finish)

    def _vectors(
        self, count: Index | None, finish: Finish, started: bool = True
    ) -> list[tuple[int, Index | None, Affine]]:
        """Of each vector of a row: where it begins, how many of its columns exist if not all, what
        they are scaled with and shifted by (`started`: sums started from what `Finish.start` gave).
        """
        k, found = self.k, []
        for at in range(0, self.columns, self.lanes):
            left = None if count is None else k.smaller(k.larger(count - at, 0), self.lanes)
            found.append((at, left, finish.affine(at, self.lanes, left, started)))
        return found

    def _store_row(
        self, row: list[Value], target: Buffer, place: Index,
        vectors: list[tuple[int, Index | None, Affine]], finish: Finish,
    ) -> None:  # fmt: skip
        k, line = self.k, target.at(place)
        for total, (at, left, affine) in zip(row, vectors, strict=True):
            value = total if self.element.is_float else k.cast(total, f32)
            residual = finish.residual(k.index(place) + at, self.lanes, left)
            k.store(finish.value(value, affine, residual), line, at, count=left)
