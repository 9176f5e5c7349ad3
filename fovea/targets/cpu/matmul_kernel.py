"""The kernels of matrix products: the register-tiled one, and a plain loop for integers."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, bf16, bf16_pair, u8
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_rows
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.tiles import TileCore, core_of
from fovea.targets.cpu.values import Index, Value

SIZES = (
    "batch", "batch1", "batch2", "a0", "a1", "a2", "b0", "b1", "b2",
    "rows", "run", "columns", "a_row", "a_item", "panel_stride", "step",
    "row_block", "row_blocks", "panels", "panel_block", "panel_blocks", "c_batch", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a `panels` kernel is generated for.

    `left`: "direct" and "strided" read the left operand in place, an Order's value copies it.
    `right`: "packed" into panels, "rows" in place, "ragged" in place with a last panel that is not
    whole. `pairs`: the contracted index runs through pairs of bfloat16; a left operand that is read
    in place is one of pairs.
    """

    a: Element
    c: Element
    compute: Element
    tile: Tile
    left: str
    right: str
    epilogue: Epilogue
    pairs: bool = False

    @property
    def order(self) -> Order | None:
        return None if self.left in ("direct", "strided") else Order(self.left)

    @property
    def key(self) -> str:
        return (
            f"matmul/{self.a}/{self.c}/{self.compute}/{self.tile.name}/"
            f"{self.left}/{self.right}{'-pairs' if self.pairs else ''}/{self.epilogue.key}"
        )


def panels_kernel(v: Variant) -> Kernel:
    """c = a @ b and what the epilogue makes of it, by tiles; a piece is a block of rows against a
    block of panels.
    """
    buffers = [
        ("a", v.a),
        ("b", bf16_pair if v.pairs else v.compute),
        *v.epilogue.buffers,
        ("c", v.c),
    ]
    buffers += [("scratch", u8)] if v.order is not None else []
    k = Kernel("matmul", buffers, SIZES, v.epilogue.scalars)
    named = {b.name: b for b in k.buffers}
    finish = Finish(k, v.epilogue, v.compute)
    a, b, c = named["a"], named["b"], named["c"]
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = core_of(k, v.tile, v.compute)
    with core.running(), k.parallel(s.batch * s.row_blocks * s.panel_blocks) as piece:
        panel_block = piece % s.panel_blocks
        row_block = piece // s.panel_blocks % s.row_blocks
        batch = piece // s.panel_blocks // s.row_blocks
        a_at, b_at = _batch_offsets(s, batch)
        first = row_block * s.row_block
        count = k.smaller(s.rows - first, s.row_block)
        block = a.at(a_at + first * s.a_row)
        row_stride = s.a_row
        if v.order is not None:
            own = named["scratch"].at(k.tid * s.scratch_stride)
            own, run = (own.view(bf16), s.run * 2) if v.pairs else (own.view(v.compute), s.run)
            copy_rows(k, v.order, block, (s.a_row, s.a_item), (count, run), own, run)
            block, row_stride = own.view(bf16_pair) if v.pairs else own, s.run
        target = batch * s.c_batch + first * s.columns
        low = panel_block * s.panel_block
        with k.loop(low, k.smaller(low + s.panel_block, s.panels)) as panel:
            column = panel * core.width
            _row_tiles(
                core, v, s, count, (block, row_stride), b.at(b_at + panel * s.panel_stride),
                c.at(target + column), s.columns - column, finish.at(column, target + column),
            )  # fmt: skip
    return k


def _batch_offsets(s: SimpleNamespace, batch: Value) -> tuple[Value, Value]:
    """Where the operands of one product of the batch start."""
    i2, rest = batch % s.batch2, batch // s.batch2
    i1, i0 = rest % s.batch1, rest // s.batch1
    a = i0 * s.a0 + i1 * s.a1 + i2 * s.a2
    b = i0 * s.b0 + i1 * s.b1 + i2 * s.b2
    return a, b


def _row_tiles(
    core: Core, v: Variant, s: SimpleNamespace, count: Index, block: tuple[Buffer, Index],
    panel: Buffer, target: Buffer, columns_left: Index, finish: Finish,
) -> None:  # fmt: skip
    """All tiles of a block of rows against one panel. The last tile repeats the last row to be
    whole.
    """
    k = core.k
    rows, row_stride = block
    if isinstance(core, TileCore):
        operands = (rows, row_stride, count), panel, s.run
        core.blocks(operands, lambda row: row * s.columns, target, columns_left, finish)
        return
    with k.loop(0, count, v.tile.rows) as row:
        at = [k.smaller(row + i, count - 1) for i in range(v.tile.rows)]
        sums = core.accumulators(finish, columns_left)
        lefts = [rows.at(r * row_stride) for r in at]
        step = core.width if v.right == "packed" else s.step
        item = s.a_item if v.left == "strided" else 1
        if v.right == "ragged":
            with k.if_else(columns_left >= core.width) as (then, otherwise):
                with then:
                    core.accumulate(sums, lefts, panel, s.run, step, item)
                with otherwise:
                    core.accumulate(sums, lefts, panel, s.run, step, item, columns_left)
        else:
            core.accumulate(sums, lefts, panel, s.run, step, item)
        core.finish(sums, target, [r * s.columns for r in at], columns_left, finish)


def loop_kernel(kind: Element) -> Kernel:
    """c = a @ b by the definition, for integers and bools."""
    names = (*SIZES[:12], "a_row", "a_item", "b_row", "b_column")
    k = Kernel("matmul_loop", (("a", kind), ("b", kind), ("c", kind)), names)
    a, b, c = k.buffers
    s = SimpleNamespace(**dict(zip(names, k.sizes, strict=True)))
    with k.parallel(s.batch * s.rows) as piece:
        row, batch = piece % s.rows, piece // s.rows
        a_at, b_at = _batch_offsets(s, batch)
        line, into = a.at(a_at + row * s.a_row), c.at(piece * s.columns)
        with k.loop(0, s.columns) as column:
            total = k.var(k.const(0, kind))
            with k.loop(0, s.run) as i:
                x = k.load(line, i * s.a_item)
                y = k.load(b, b_at + i * s.b_row + column * s.b_column)
                total.set(total.get() | (x & y) if kind.kind == "b" else total.get() + x * y)
            k.store(total.get(), into, column)
    return k
