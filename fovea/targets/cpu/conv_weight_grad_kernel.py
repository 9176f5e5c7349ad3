"""The gradient of a convolution to its weights: products of the output's gradient with the input,
summed over pixels.

The register tile is the one of matrix products, with pixels as the contracted index: 6 output
channels, broadcast from gy, against vectors of input channels. A piece packs a block of pixels of
both operands (x with its zero border, so that all taps read the same copy at different places), and
adds its products to a partial sum of its own; a second kernel adds up the partial sums and lays
them out as the weights are. How many partial sums there are depends on sizes alone.
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
    "image_block", "row_block", "output_tiles", "tile_block", "tile_blocks", "g_panel", "g_start",
    "block_split", "block_splits", "scratch_stride",
)  # fmt: skip

SUM_SIZES = (
    "groups", "outputs", "taps_h", "taps_w", "kernel_w", "channels", "tap_row", "tap_column",
    "vectors", "output_stride", "chunks", "chunk_stride",
    "w_group", "w_output", "w_channel", "w_row", "w_column", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for.

    `layout`: how x is packed. "pixels" keep their (few) channels side by side; "panels" hold as
    many channels as the tile is wide, "strided" ones are read with a stride, "flat" ones from end
    to end (kernels of one pixel). The orders say how x and gy lie in memory.
    """

    x: Element
    g: Element
    compute: Element
    tile: Tile
    layout: str
    x_order: Order
    g_order: Order

    @property
    def key(self) -> str:
        return (
            f"conv_weight_grad/{self.x}/{self.g}/{self.compute}/{self.tile.rows}x{self.tile.vectors}/"
            f"{self.layout}/{self.x_order.value}/{self.g_order.value}"
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
    with k.parallel(s.chunks * s.groups * s.tile_blocks * s.block_splits) as piece:
        low = piece % s.tile_blocks * s.tile_block
        tiles = (low, k.smaller(low + s.tile_block, s.output_tiles))
        low = piece // s.tile_blocks % s.block_splits * s.block_split
        blocks = (low, k.smaller(low + s.block_split, s.channel_blocks))
        rest = piece // s.tile_blocks // s.block_splits
        group, chunk = rest % s.groups, rest // s.groups
        own = scratch.at(k.tid * s.scratch_stride).view(v.compute)
        own_g = own.at(s.g_start)
        taps = s.taps_h * s.taps_w * s.channel_blocks
        sums = partial_sums.at(rest * (taps * s.output_tiles * (v.tile.rows * core.width)))
        first = chunk * s.chunk_bands
        with k.loop(first, k.smaller(first + s.chunk_bands, s.bands)) as number:
            band = _band(k, s, number)
            _pack_x(core, v, s, band, x.at(group * s.x_group), own, blocks)
            _pack_g(core, v, s, band, g.at(group * s.g_group), own_g, tiles)
            _tiles(core, v, s, band, (own, own_g), sums, (blocks, tiles), number.eq(first))
    return k


def _band(k: Kernel, s: SimpleNamespace, number: Value) -> Band:
    image, row = number // s.row_blocks * s.image_block, number % s.row_blocks * s.row_block
    rows = k.smaller(s.rows - row, s.row_block)
    x_rows = (rows - 1) * s.stride_h + s.reach_h + 1
    return Band(image, k.smaller(s.images - image, s.image_block), row, rows, x_rows)


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
            middle = into.at(left * pitch)
            _copy_pixels(core, v, s, start, (right - left, count), middle)


def _copy_pixels(
    core: Core,
    v: Variant,
    s: SimpleNamespace,
    source: Buffer,
    shape: tuple[Index, Index],
    target: Buffer,
) -> None:
    """Copy a row of pixels, `shape[1]` channels of each; as whole vectors where that is a panel's
    width.
    """
    k, (pixels, count) = core.k, shape
    pitch = core.width if v.layout != "pixels" else s.channels
    strides = (s.x_column, s.x_channel)
    if v.layout == "pixels" or v.x_order is not Order.ITEMS:
        copy_rows(k, v.x_order, source, strides, shape, target, pitch)
        return
    with k.if_else(count >= pitch) as (whole, partly):
        with whole, k.loop(0, pixels) as i:
            line, into = source.at(i * s.x_column), target.at(i * core.width)
            for vector in range(core.tile.vectors):
                at = vector * core.lanes
                k.store(k.cast(k.load(line, at, core.lanes), core.element), into, at)
        with partly:
            copy_rows(k, v.x_order, source, strides, shape, target, pitch)


def _pack_g(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, g: Buffer, own: Buffer, tiles: Range
) -> None:
    """panels[tile][pixel][row of the tile], zeros behind the last output channel."""
    k, wide = core.k, v.tile.rows
    with k.loop(*tiles) as tile, k.loop(0, band.images) as n, k.loop(0, band.rows) as h:
        into = own.at((tile - tiles[0]) * s.g_panel + (n * band.rows + h) * s.columns * wide)
        start = g.at(
            (band.image + n) * s.g_image + (band.row + h) * s.g_row + tile * wide * s.g_channel
        )
        left = s.outputs - tile * wide
        count = k.smaller(left, wide)
        with k.if_(count < wide):
            fill_line(k, into, s.columns * wide)
        _copy_narrow(core, v, s, start, left, into)


def _copy_narrow(
    core: Core, v: Variant, s: SimpleNamespace, source: Buffer, left: Value, target: Buffer
) -> None:
    """Copy a tile's channels (of `left` that there are) of a row of pixels."""
    k, wide, lanes = core.k, v.tile.rows, core.lanes
    strides, shape = (s.g_column, s.g_channel), (s.columns, k.smaller(left, wide))
    if v.g_order is not Order.ITEMS or wide > lanes:
        copy_rows(k, v.g_order, source, strides, shape, target, wide)
        return
    with k.if_else(left >= lanes) as (whole, partly):
        with whole, k.loop(0, s.columns, unroll=4) as i:
            # Each vector reaches into the next pixel's place, which is written next.
            line = k.cast(k.load(source, i * s.g_column, lanes), core.element)
            k.store(line, target, i * wide)
        with partly:
            copy_rows(k, v.g_order, source, strides, shape, target, wide)


def _tiles(
    core: Core, v: Variant, s: SimpleNamespace, band: Band, packed: tuple[Buffer, Buffer],
    sums: Buffer, ranges: tuple[Range, Range], is_first: Value,
) -> None:  # fmt: skip
    """Add the band's products to the partial sums, all taps and some channel blocks against some
    output tiles.
    """
    k, (x, g), (blocks, tiles) = core.k, packed, ranges
    tile_size = v.tile.rows * core.width
    with k.loop(*blocks) as block, k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t:
        columns = x.at((block - blocks[0]) * s.block_stride + r * s.tap_h + t * s.tap_w)
        number = (r * s.taps_w + t) * s.channel_blocks + block
        with k.loop(*tiles) as tile:
            target = sums.at((number * s.output_tiles + tile) * tile_size)
            totals = core.accumulators(None, 0)
            with k.if_(~is_first):
                _each(core, totals, lambda total, at: total.set(k.load(target, at, core.lanes)))
            rows = g.at((tile - tiles[0]) * s.g_panel)
            _pixels(core, v, s, band, totals, (columns, rows))
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
        core.accumulate(totals, lefts, columns, pixels, step, v.tile.rows)
        return
    with k.loop(0, band.images) as n, k.loop(0, band.rows) as h:
        line = rows.at((n * band.rows + h) * s.columns * v.tile.rows)
        lefts = [line.at(i) for i in range(v.tile.rows)]
        panel = columns.at((n * band.x_rows + h * s.stride_h) * s.line)
        core.accumulate(totals, lefts, panel, s.columns, step, v.tile.rows)


def _each(core: Core, totals: list[list[Var]], action: object) -> None:
    """Call `action(variable, offset)` for every vector of a tile."""
    for i, line in enumerate(totals):
        for j, total in enumerate(line):
            action(total, i * core.width + j * core.lanes)  # type: ignore[operator]


def sum_kernel(kind: Element, compute: Element, width: int) -> Kernel:
    """The weights' gradient: partial sums added up in order, from [tap][channel][output][lane] to
    the weights' strides.
    """
    k = Kernel(
        "conv_weight_grad_sum",
        (("partial", compute), ("w", kind), ("scratch", u8)),
        SUM_SIZES,
    )
    partial_sums, w, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SUM_SIZES, k.sizes, strict=True)))
    lanes = min(k.isa.lanes(compute.bytes), width)
    with k.parallel(s.groups * s.outputs) as piece:
        group, output = piece // s.outputs, piece % s.outputs
        own = scratch.at(k.tid * s.scratch_stride).view(compute)
        of_group = partial_sums.at(group * (s.vectors * s.output_stride) + output * width)
        with k.loop(0, s.vectors) as number:
            source = of_group.at(number * s.output_stride)
            for v in range(0, width, lanes):
                total = k.var(k.const(0.0, compute, lanes))
                with k.loop(0, s.chunks) as chunk:
                    total.set(total.get() + k.load(source, chunk * s.chunk_stride + v, lanes))
                k.store(total.get(), own, number * width + v)
        target = w.at(group * s.w_group + output * s.w_output)
        with k.loop(0, s.channels) as c, k.loop(0, s.taps_h) as r, k.loop(0, s.kernel_w) as t:
            value = k.load(own, r * s.tap_row + t * s.tap_column + c)
            k.store(value, target, c * s.w_channel + r * s.w_row + t * s.w_column)
    return k
