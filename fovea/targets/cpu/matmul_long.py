"""Matrix products with a long contracted index, such as gradients to a dense layer's weights.

A panel of the right operand would not stay in a second-level cache, nor would the rows of the left
one. A piece of work, a block of rows against a few panels, goes through the contracted index in
blocks: it packs both operands' elements of a block, adds their products to sums that wait in its
thread's scratch memory, and finishes them with the last block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, bf16, bf16_pair, f32, u8
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_rows, fill_line
from fovea.targets.cpu.pair_packing import LINES, copy_pairs
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.tiles import TileCore, core_of
from fovea.targets.cpu.values import Index, Value

if TYPE_CHECKING:
    from fovea.targets.cpu.matmul import Problem

__all__ = ["is_long", "plan_long"]

SIZES = (
    "rows", "run", "columns", "a_row", "a_item", "b_row", "b_column",
    "row_block", "row_blocks", "panels", "panel_block", "panel_blocks", "block",
    "b_start", "sums_start", "scratch_stride",
)  # fmt: skip

LEAST = 4096  # contracted elements
BLOCK = 192  # of them at a time,
AMX_BLOCK = 384  # more in tile registers: to bring sums there and back takes as long as 48
ROWS, PANELS = 96, 6  # of a piece, at most


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for: the orders say how the operands lie; `pairs`: bfloat16 is
    multiplied in pairs.
    """

    kind: Element
    compute: Element
    tile: Tile
    a_order: Order
    b_order: Order
    epilogue: Epilogue
    pairs: bool

    @property
    def operand(self) -> Element:
        return bf16_pair if self.pairs else self.compute

    @property
    def key(self) -> str:
        return (
            f"matmul_long/{self.kind}/{self.compute}/{self.tile.name}/"
            f"{self.a_order.value}/{self.b_order.value}{'-pairs' if self.pairs else ''}/"
            f"{self.epilogue.key}"
        )


def is_long(p: Problem) -> bool:
    """Whether a product's contracted index is gone through in blocks."""
    return p.run >= LEAST and not p.batch and not p.reverse and p.rows > 2


def plan_long(p: Problem, tile: Tile, compute: Element, pairs: bool) -> KernelProgram:
    """The program for a product without batch dimensions."""
    width = tile.columns(active(), compute)
    panels = -(-p.columns // width)
    row_blocks = -(-p.rows // ROWS)
    rows, block = -(-p.rows // row_blocks), BLOCK
    if tile.amx:
        rows, block = -(-rows // tile.rows) * tile.rows, AMX_BLOCK
        row_blocks = -(-p.rows // rows)
    panel_blocks = -(-panels // PANELS)
    some = -(-panels // panel_blocks)
    v = Variant(
        p.a.element, compute, tile, Order.of(p.a_row, p.a_item, p.rows, p.run),
        Order.of(*p.b_strides, p.run, p.columns), p.epilogue, pairs,
    )  # fmt: skip
    item = 2 if pairs else compute.bytes
    b_start = -(-rows * block * item // 64) * 64
    sums_start = b_start + some * block * width * item
    stride = sums_start + some * (rows + tile.rows) * width * compute.bytes
    words = (
        p.rows, p.run, p.columns, p.a_row, p.a_item, *p.b_strides, rows, row_blocks,
        panels, some, panel_blocks, block, b_start, sums_start, stride, *p.epilogue.words,
    )  # fmt: skip
    address = load_cached(v.key, partial(long_kernel, v))
    buffers = (0, 1, *p.extras, p.output, p.external)
    call = KernelCall(address, buffers, words, parallel=row_blocks * panel_blocks > 1)
    return KernelProgram([call], p.external, [], stride)


def long_kernel(v: Variant) -> Kernel:
    """c = a @ b and what the epilogue makes of it, by blocks of the contracted index."""
    buffers = [("a", v.kind), ("b", v.kind), *v.epilogue.buffers, ("c", v.kind), ("scratch", u8)]
    k = Kernel("matmul_long", buffers, SIZES, v.epilogue.scalars)
    named = {b.name: b for b in k.buffers}
    finish = Finish(k, v.epilogue, v.compute)
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = core_of(k, v.tile, v.compute)
    with core.running(), k.parallel(s.row_blocks * s.panel_blocks) as piece:
        lines = k.scratch(f32, LINES * core.width) if v.pairs else None
        if lines is not None:
            fill_line(k, lines, LINES * core.width)
        low = piece % s.panel_blocks * s.panel_block
        panels = (low, k.smaller(low + s.panel_block, s.panels))
        first = piece // s.panel_blocks * s.row_block
        count = k.smaller(s.rows - first, s.row_block)
        own = named["scratch"].at(k.tid * s.scratch_stride)
        sums = own.at(s.sums_start).view(v.compute)
        with k.loop(0, s.run, s.block) as start:
            length = k.index(k.smaller(s.run - start, s.block))
            a = named["a"].at(first * s.a_row + start * s.a_item)
            rows = _pack_rows(k, v, s, a, (count, length), own)
            b = named["b"].at(start * s.b_row)
            packed = own.at(s.b_start).view(v.operand)
            _pack_panels(core, v, s, b, length, panels, packed, lines)
            steps = k.index(length // 2) if v.pairs else length
            place = (start.eq(0), start + length >= s.run)
            with k.loop(*panels) as panel:
                column, number = panel * core.width, panel - low
                target = first * s.columns + column
                _tiles(
                    core, v, s, (rows, packed.at(number * (s.block * core.width // _share(v)))),
                    (count, steps), sums.at(number * ((s.row_block + v.tile.rows) * core.width)),
                    named["c"].at(target), s.columns - column, place, finish.at(column, target),
                )  # fmt: skip
    return k


def _share(v: Variant) -> int:
    """Contracted elements in one of what is multiplied."""
    return 2 if v.pairs else 1


def _pack_rows(
    k: Kernel, v: Variant, s: SimpleNamespace, a: Buffer, shape: tuple[Index, Index], own: Buffer
) -> Buffer:
    """Copy a block of the left operand, row after row."""
    into = own.view(bf16 if v.pairs else v.compute)
    copy_rows(k, v.a_order, a, (s.a_row, s.a_item), shape, into, s.block)
    return own.view(v.operand)


def _pack_panels(
    core: Core, v: Variant, s: SimpleNamespace, b: Buffer, length: Value,
    panels: tuple[Value, Index], packed: Buffer, lines: Buffer | None,
) -> None:  # fmt: skip
    """Copy a block of the right operand, panel after panel, zeros behind the last column."""
    k, width = core.k, core.width
    with k.loop(*panels) as panel:
        into = packed.at((panel - panels[0]) * (s.block * width // _share(v)))
        count = k.smaller(s.columns - panel * width, width)
        source, strides = b.at(panel * width * s.b_column), (s.b_row, s.b_column)
        if lines is None:
            with k.if_(count < width):
                fill_line(k, into, length * width)
            copy_rows(k, v.b_order, source, strides, (length, count), into, width)
        else:
            copy_pairs(k, v.b_order, source, strides, (length, count), into, width, lines)


def _tiles(
    core: Core, v: Variant, s: SimpleNamespace, packed: tuple[Buffer, Buffer],
    size: tuple[Index, Value], sums: Buffer, target: Buffer, columns_left: Index,
    place: tuple[Value, Value], finish: Finish,
) -> None:  # fmt: skip
    """All tiles of a block of rows against one panel, for a block of the contracted index that may
    be the first and may be the last.
    """
    k, (rows, panel), (count, steps), (is_first, is_last) = core.k, packed, size, place
    stride = s.block // _share(v)
    if isinstance(core, TileCore):
        with k.loop(0, count, v.tile.rows) as row:
            left, waiting = k.smaller(count - row, v.tile.rows), sums.at(row * core.width)
            core.multiply((rows.at(row * stride), stride, left), panel, steps, waiting, is_first)
            with k.if_(is_last):
                core.finish_rows(
                    waiting, left, lambda n: (row + n) * s.columns, target, columns_left, finish
                )
        return
    with k.loop(0, count, v.tile.rows) as row:
        at = [k.smaller(row + i, count - 1) for i in range(v.tile.rows)]
        totals, waiting = core.accumulators(finish, columns_left), sums.at(row * core.width)
        flat = [total for line in totals for total in line]
        with k.if_(~is_first):
            for i, total in enumerate(flat):
                total.set(k.load(waiting, i * core.lanes, core.lanes))
        lefts = [rows.at(r * stride) for r in at]
        core.accumulate(totals, lefts, panel, steps, core.width)
        with k.if_else(is_last) as (last, more):
            with last:
                core.finish(totals, target, [r * s.columns for r in at], columns_left, finish)
            with more:
                for i, total in enumerate(flat):
                    k.store(total.get(), waiting, i * core.lanes)
