"""The gradient of a convolution to its weights: products of the output's gradient with the input,
summed over pixels.

The register tile is the one of matrix products, with pixels as the contracted index: 6 output
channels, broadcast from gy, against vectors of input channels. A piece packs a block of pixels of
both operands (x with its zero border, so that all taps read the same copy at different places), and
adds its products to a partial sum of its own; the kernel of conv_weight_grad_sum.py adds those up.
How many partial sums there are depends on sizes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, u8
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_rows, fill_line
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value

SIZES = (
    "images", "rows", "columns", "height", "width", "channels", "outputs",
    "x_image", "x_row", "x_column", "x_channel", "x_group",
    "g_image", "g_row", "g_column", "g_channel", "g_group",
    "stride_h", "origin_h", "origin_w",
    "taps_h", "taps_w", "tap_h", "tap_w", "run", "step", "line", "channel_blocks", "block_stride",
    "reach_h", "band_columns", "groups", "chunks", "bands", "chunk_bands", "row_blocks",
    "image_block", "row_block", "g_panels", "panel_block", "panel_blocks", "g_panel", "g_start",
    "block_split", "block_splits", "g_lines", "x_lines", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for.

    `layout`: how x is packed. "pixels" keep their (few) channels side by side; "panels" hold as
    many channels as the tile is wide, "strided" ones are read with a stride, "flat" ones from end
    to end (kernels of one pixel). The orders say how x and gy lie in memory. `group`: output
    channels of a panel of gy, a multiple of the register tile's.
    """

    x: Element
    g: Element
    compute: Element
    tile: Tile
    group: int
    layout: str
    x_order: Order
    g_order: Order

    @property
    def key(self) -> str:
        return (
            f"conv_weight_grad/{self.x}/{self.g}/{self.compute}/"
            f"{self.tile.rows}x{self.tile.vectors}/{self.group}/{self.layout}/"
            f"{self.x_order.value}/{self.g_order.value}"
        )


Range = tuple[Value, Index]  # first, and one past last


@dataclass(frozen=True)
class Band:
    """A block of pixels: first image and output row, how many of each, and the rows of x that they
    reach.
    """

    image: Value
    images: Index
    row: Value
    rows: Index
    x_rows: Index


def partial_kernel(v: Variant) -> Kernel:
    """partial[chunk][group][tap][channel block][output][lane]: sums over the chunk's pixels."""
    buffers = (("g", v.g), ("x", v.x), ("partial", v.compute), ("scratch", u8))
    k = Kernel("conv_weight_grad", buffers, SIZES)
    g, x, partial_sums, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, v.tile, v.compute)
    with k.parallel(s.chunks * s.groups * s.panel_blocks * s.block_splits) as piece:
        low = piece % s.panel_blocks * s.panel_block
        panels = (low, k.smaller(low + s.panel_block, s.g_panels))
        low = piece // s.panel_blocks % s.block_splits * s.block_split
        blocks = (low, k.smaller(low + s.block_split, s.channel_blocks))
        rest = piece // s.panel_blocks // s.block_splits
        group, chunk = rest % s.groups, rest // s.groups
        own = scratch.at(k.tid * s.scratch_stride).view(v.compute)
        own_g = own.at(s.g_start)
        taps = s.taps_h * s.taps_w * s.channel_blocks
        sums = partial_sums.at(rest * (taps * s.g_panels * (v.group * core.width)))
        first = chunk * s.chunk_bands
        with k.loop(first, k.smaller(first + s.chunk_bands, s.bands)) as number:
            band = _band(k, s, number)
            _pack_x(core, v, s, band, x.at(group * s.x_group), own, blocks)
            _pack_g(core, v, s, band, g.at(group * s.g_group), own_g, panels)
            following = _band(k, s, k.index(k.smaller(number + 1, s.bands - 1)))
            ahead = _ahead(k, v, s, following, group, (g, x))
            _tiles(core, v, s, band, (own, own_g), sums, (blocks, panels), number.eq(first), ahead)
    return k


def _band(k: Kernel, s: SimpleNamespace, number: Value) -> Band:
    image, row = number // s.row_blocks * s.image_block, number % s.row_blocks * s.row_block
    rows = k.smaller(s.rows - row, s.row_block)
    x_rows = (rows - 1) * s.stride_h + s.reach_h + 1
    return Band(image, k.smaller(s.images - image, s.image_block), row, rows, x_rows)


Ahead = list[tuple[Buffer, Index, int]]  # where to ask for memory, lines each time, a line's length


def _ahead(
    k: Kernel, v: Variant, s: SimpleNamespace, following: Band, group: Value,
    operands: tuple[Buffer, Buffer],
) -> Ahead:  # fmt: skip
    """Where gy and x lie that the following band reads. They are asked for while this one is
    multiplied: waiting for memory would cost as much again where there are few channels.
    """
    g, x = operands
    row = following.row * s.stride_h + s.origin_h
    of_g = group * s.g_group + following.image * s.g_image + following.row * s.g_row
    of_x = group * s.x_group + following.image * s.x_image + row * s.x_row
    return [(g.at(of_g), s.g_lines, 64 // v.g.bytes), (x.at(of_x), s.x_lines, 64 // v.x.bytes)]


def _pack_x(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, x: Buffer, own: Buffer, blocks: Range
) -> None:
    """Copy the rows of x that a band reaches: panels[block][pixel][lane], or pixels as they are."""
    k = core.k
    left = k.smaller(k.larger(-s.origin_w, 0), s.band_columns)
    right = k.larger(k.smaller(s.width - s.origin_w, s.band_columns), left)
    low, high = blocks if v.layout != "pixels" else (k.index(0), 1)
    pitch = core.width if v.layout != "pixels" else s.channels
    with k.loop(low, high) as block, k.loop(0, band.images) as n, k.loop(0, band.x_rows) as r:
        into = own.at((block - low) * s.block_stride + (n * band.x_rows + r) * s.line)
        row = band.row * s.stride_h + s.origin_h + r
        count = k.smaller(s.channels - block * pitch, pitch)
        inside = (row >= 0) & (row < s.height)
        with k.if_(~inside | (count < pitch)):
            fill_line(k, into, s.line)
        with k.if_(inside):
            fill_line(k, into, left * pitch)
            fill_line(k, into.at(right * pitch), s.line - right * pitch)
            at = (band.image + n) * s.x_image + row * s.x_row + (left + s.origin_w) * s.x_column
            start = x.at(at + block * pitch * s.x_channel)
            strides, middle = (s.x_column, s.x_channel), into.at(left * pitch)
            _copy_pixels(core, v.x_order, start, strides, (right - left, count), middle, pitch)


def _copy_pixels(
    core: Core, order: Order, source: Buffer, strides: tuple[Index, Index],
    shape: tuple[Index, Index], target: Buffer, pitch: Index,
) -> None:  # fmt: skip
    """Copy `shape[0]` pixels, `shape[1]` channels of each to places `pitch` apart; as whole vectors
    where channels are neighbors and fill their place.
    """
    k, (pixels, count) = core.k, shape
    if order is not Order.ITEMS or not isinstance(pitch, int) or pitch % core.lanes:
        copy_rows(k, order, source, strides, shape, target, pitch)
        return
    with k.if_else(k.index(count) >= pitch) as (whole, partly):
        with whole, k.loop(0, pixels) as i:
            line, into = source.at(i * strides[0]), target.at(i * pitch)
            for at in range(0, pitch, core.lanes):
                k.store(k.cast(k.load(line, at, core.lanes), core.element), into, at)
        with partly:
            copy_rows(k, order, source, strides, shape, target, pitch)


def _pack_g(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, g: Buffer, own: Buffer, panels: Range
) -> None:
    """panels[panel][pixel][output channel], zeros behind the last."""
    k, wide = core.k, v.group
    with k.loop(*panels) as panel, k.loop(0, band.images) as n, k.loop(0, band.rows) as h:
        into = own.at((panel - panels[0]) * s.g_panel + (n * band.rows + h) * s.columns * wide)
        start = g.at(
            (band.image + n) * s.g_image + (band.row + h) * s.g_row + panel * wide * s.g_channel
        )
        count = k.smaller(s.outputs - panel * wide, wide)
        with k.if_(count < wide):
            fill_line(k, into, s.columns * wide)
        _copy_pixels(
            core, v.g_order, start, (s.g_column, s.g_channel), (s.columns, count), into, wide
        )


def _tiles(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, packed: tuple[Buffer, Buffer],
    sums: Buffer, ranges: tuple[Range, Range], is_first: Value, ahead: Ahead,
) -> None:  # fmt: skip
    """Add the band's products to the partial sums, all taps and some channel blocks against some
    panels of output channels.
    """
    k, (x, g), (blocks, panels) = core.k, packed, ranges
    turn = k.var(0)
    with k.loop(*blocks) as block, k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t:
        columns = x.at((block - blocks[0]) * s.block_stride + r * s.tap_h + t * s.tap_w)
        number = (r * s.taps_w + t) * s.channel_blocks + block
        with k.loop(*panels) as panel:
            of_panel = sums.at((number * s.g_panels + panel) * (v.group * core.width))
            rows = g.at((panel - panels[0]) * s.g_panel)
            count = k.smaller(s.outputs - panel * v.group, v.group)
            with k.loop(0, count, v.tile.rows) as output:
                for memory, lines, line in ahead:
                    with k.loop(0, lines, unroll=1) as i:
                        k.prefetch(memory, (turn.get() * lines + i) * line, locality=2)
                turn.set(turn.get() + 1)
                target, totals = of_panel.at(output * core.width), core.accumulators(None, 0)
                with k.if_(~is_first):
                    _each(core, totals, lambda total, at: total.set(k.load(target, at, core.lanes)))
                _pixels(core, v, s, band, totals, (columns, rows.at(output)))
                _each(core, totals, lambda total, at: k.store(total.get(), target, at))


def _pixels(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, totals: list[list[Var]],
    operands: tuple[Buffer, Buffer],
) -> None:  # fmt: skip
    """Add one tile's products over the band's pixels."""
    k, (columns, rows) = core.k, operands
    step = core.width if v.layout in ("panels", "flat") else s.step
    if v.layout == "flat":
        lefts = [rows.at(i) for i in range(v.tile.rows)]
        pixels = band.images * band.rows * s.columns
        core.accumulate(totals, lefts, columns, pixels, step, v.group)
        return
    with k.loop(0, band.images) as n, k.loop(0, band.rows) as h:
        line = rows.at((n * band.rows + h) * s.columns * v.group)
        lefts = [line.at(i) for i in range(v.tile.rows)]
        panel = columns.at((n * band.x_rows + h * s.stride_h) * s.line)
        core.accumulate(totals, lefts, panel, s.columns, step, v.group)


def _each(core: Core, totals: list[list[Var]], action: object) -> None:
    """Call `action(variable, offset)` for every vector of a tile."""
    for i, line in enumerate(totals):
        for j, total in enumerate(line):
            action(total, i * core.width + j * core.lanes)  # type: ignore[operator]
