"""The register-tiled core that matrix products and convolutions share.

A piece of work has rows (matrix rows, or pixels), each known by the address of its first element,
and panels of columns, in which a contracted index's values for neighboring columns are neighbors.
For a tile of rows and a panel, the core walks the contracted index; each step broadcasts one
element a row and multiplies it with the panel's vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value

_UNROLL = 4


@dataclass(frozen=True)
class Epilogue:
    """What happens to a result on its way to memory."""

    bias: bool = False
    activation: str = "none"  # or "relu"

    @property
    def key(self) -> str:
        return f"{'bias' if self.bias else 'plain'}-{self.activation}"


class Core:
    """Emits tiles of a contraction into a kernel.

    Args:
        k: the kernel.
        tile: rows and vectors of the register tile.
        element: what is computed with, float32 or float64.
    """

    def __init__(self, k: Kernel, tile: Tile, element: Element) -> None:
        self.k, self.tile, self.element = k, tile, element
        self.lanes = k.isa.lanes(element.bytes)
        self.width = tile.vectors * self.lanes

    def accumulators(self, bias: Buffer | None, count: Index) -> list[list[Var]]:
        """A variable for each row and vector, zero or the bias (of which `count` columns exist)."""
        k, start = self.k, []
        for v in range(self.tile.vectors):
            if bias is None:
                start.append(k.const(0.0, self.element, self.lanes))
                continue
            left = k.smaller(k.larger(count - v * self.lanes, 0), self.lanes)
            start.append(k.cast(k.load(bias, v * self.lanes, self.lanes, count=left), self.element))
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
                self._steps(sums, at, panel.at(c * step), step, item, unroll, None)
        else:
            full = 0
        with k.loop(full, run, unroll=1) as c:
            at = [r.at(c * item) for r in rows]
            self._steps(sums, at, panel.at(c * step), step, item, 1, columns)

    def _steps(
        self, sums: list[list[Var]], rows: list[Buffer], panel: Buffer,
        step: Index, item: Index, count: int, columns: Index | None,
    ) -> None:  # fmt: skip
        k = self.k
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
                    total.set(k.fma(x, vector, total.get()))

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

    def finish(
        self, sums: list[list[Var]], rows: list[Buffer], count: Index, epilogue: Epilogue
    ) -> None:
        """Store the first `count` columns of a tile, a row of it at each of `rows`."""
        k = self.k
        whole = k.index(count) >= self.width
        with k.if_else(whole) as (then, otherwise):
            with then:
                self._store(sums, rows, None, epilogue)
            with otherwise:
                self._store(sums, rows, count, epilogue)

    def _store(
        self, sums: list[list[Var]], rows: list[Buffer], count: Index | None, epilogue: Epilogue
    ) -> None:
        k = self.k
        for row, of_row in zip(rows, sums, strict=True):
            for v, total in enumerate(of_row):
                value = total.get()
                if epilogue.activation == "relu":
                    value = k.fast_max(0.0, value)
                at, left = v * self.lanes, None
                if count is not None:
                    left = k.smaller(k.larger(count - at, 0), self.lanes)
                k.store(value, row, at, count=left)
