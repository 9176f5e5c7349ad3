"""The convolution kernel: one correlation of channels-last images with packed weights.

A piece of work is a block of output rows (or of whole small images) against a block of weight
panels. Where images need padding, another element type or another layout, the piece first copies
the rows that it reads into a zero-bordered band in its thread's scratch memory; the copy costs
little beside the products, and leaves no border case to the loops. Pixels of a piece are numbered
through, rows and images alike, and a table holds
where each one starts: tiles of pixels waste nothing at row ends, however narrow the image.

All pixels of a piece meet one panel after the other, which keeps a panel in the first-level cache.
With a residual it is one tile of pixels after the other: lines of the residual that are neighbors
in memory are then read together. Read one here, one there, they took ten times as long.

Tile registers take rows that are evenly spaced: where neighboring pixels do not see neighbors (a
layer of more than one tap, or of images with borders), a piece gathers what some pixels see, tap
after tap, which then meets all panels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, f32, i64, u8
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.moments import WAYS, Moments
from fovea.targets.cpu.packing import Order, copy_line, copy_rows, fill_line
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.tiles import TileCore, core_of
from fovea.targets.cpu.values import Index, Value

SIZES = (
    "images", "rows", "columns", "height", "width", "channels", "outputs",
    "x_image", "x_row", "x_column", "x_channel", "x_group",
    "y_image", "y_row", "y_column", "y_group", "y_offset",
    "stride_h", "stride_w", "origin_h", "origin_w",
    "taps_h", "taps_w", "run", "tap_h", "tap_w", "reach_h", "band_columns",
    "groups", "image_block", "image_blocks", "row_block", "row_blocks",
    "panels", "panel_block", "panel_blocks", "panel_size", "run_block", "gathered",
    "table", "waiting", "scratch_stride",
)  # fmt: skip

PANELS_AHEAD = 2
TABLE_SLACK = 16  # entries behind a table's last, for whole vectors and tiles
LINE = 16  # elements of four bytes in a cache line


class Taps(NamedTuple):
    """The taps of a correlation, as known beforehand: how many down and across, how many values
    are contracted for each, the distances between taps in the images.
    """

    high: int
    wide: int
    run: int
    down: int
    across: int


@dataclass(frozen=True)
class Variant:
    """What a convolution kernel is generated for.

    `source`: "direct" reads images in place, "dense" copies whole rows into a band, an Order's
    value copies pixels. `depthwise`: each channel is a group (or `mixed` of them are), and vectors
    hold channels. `blocked`: the contracted index is gone through in blocks, for panels that are
    large beside a cache. `several`: channels come as elements of several numbers; `border`: what
    such an element is outside the image. `window`: a pixel of y is the largest of several results,
    the first elements of whose input pixels lie that far behind the first one's. `taps`: those of
    which all steps are written out. `gathers`: what pixels see is copied into lines first, for tile
    registers.
    """

    x: Element
    y: Element
    compute: Element
    tile: Tile
    source: str
    epilogue: Epilogue
    depthwise: bool = False
    blocked: bool = False
    several: Element | None = None
    border: int = 0
    window: tuple[int, ...] = (0,)
    taps: Taps | None = None
    mixed: int = 1
    gathers: bool = False
    tail: int = 0

    @property
    def operand(self) -> Element:
        """What is multiplied: images in a band, and weights."""
        return self.several or self.compute

    @property
    def finished(self) -> Element:
        """What the epilogue computes with."""
        return self.compute if self.compute.is_float else f32

    @property
    def key(self) -> str:
        name = "conv-depthwise" if self.depthwise else "conv-blocked" if self.blocked else "conv"
        name += f"-{self.several}-{self.border}" if self.several else ""
        name += f"-max{self.window}" if len(self.window) > 1 else ""
        name += f"-{self.taps}" if self.taps else ""
        name += f"-{self.mixed}" if self.mixed > 1 else ""
        name += "-gathers" if self.gathers else ""
        name += f"-tail{self.tail}" if self.tail else ""
        return (
            f"{name}/{self.x}/{self.y}/{self.compute}/{self.tile.name}/"
            f"{self.source}/{self.epilogue.key}"
        )


@dataclass(frozen=True)
class Piece:
    """Where a piece lies: its group, first image and row, how many of each, its pixels."""

    group: Value
    image: Value
    images: Index
    row: Value
    rows: Index
    pixels: Value


def conv_kernel(v: Variant) -> Kernel:
    """y = x correlated with packed weights, and what the epilogue makes of it."""
    buffers = [("x", v.x), ("weights", v.operand), *v.epilogue.buffers, ("y", v.y)]
    buffers += [("partials", v.compute)] if v.epilogue.moments else []
    k = Kernel("conv", [*buffers, ("scratch", u8)], SIZES, v.epilogue.scalars)
    named = dict(zip(k.buffer_names, k.buffers, strict=True))
    x, weights, y, scratch = (named[n] for n in ("x", "weights", "y", "scratch"))
    finish = Finish(k, v.epilogue, v.finished)
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = core_of(k, v.tile, v.compute)
    pieces = s.groups * s.image_blocks * s.row_blocks * s.panel_blocks
    with core.running(), k.parallel(pieces) as number:
        panel_block = number % s.panel_blocks
        piece = locate(k, s, number // s.panel_blocks)
        own = scratch.at(k.tid * s.scratch_stride)
        images = x.at(piece.group * s.x_group)
        if v.source != "direct":
            band = own.view(v.operand)
            copy_band(k, v.source, s, piece, images, band, v.border)
            images = band
        starts = own.at(s.table).view(i64)
        targets = _tables(k, v, s, piece, starts)
        low = panel_block * s.panel_block
        high = k.smaller(low + s.panel_block, s.panels)
        spans = _spans(core, v, s, piece, (images, starts), own)
        with spans as (span, lines), k.loop(low, high) as panel:
            channel = panel * core.width
            weight = weights.at((piece.group * s.panels + panel) * s.panel_size)
            place = s.y_offset + piece.group * s.y_group + channel
            seen = images.at(channel) if v.depthwise else images
            finishing = finish.at(piece.group * s.outputs + channel, place)
            operands, target, left = (
                (seen, starts, weight),
                (y.at(place), targets),
                s.outputs - channel,
            )
            waiting = own.at(s.waiting).view(v.compute)

            def products(core: Core, left: Index) -> None:
                if isinstance(core, TileCore):
                    _lines_by_panel(core, s, span, (lines, weight), target, left, finishing)
                elif v.blocked:
                    _blocks(core, s, piece.pixels, operands, target, left, finishing, waiting)
                else:
                    _pixel_tiles(core, v, s, span, operands, target, left, finishing)

            if v.tail:
                with k.if_else(panel + 1 < s.panels) as (before, last):
                    with before:
                        products(core, core.width)
                    with last:
                        products(core.narrowed(v.tail), left)
            else:
                products(core, left)
            if v.epilogue.moments:
                part = number // s.panel_blocks % (s.image_blocks * s.row_blocks)
                at = part * 2 * s.groups * s.outputs + piece.group * s.outputs + channel
                partials = named["partials"].at(at)
                with k.if_(span[1] >= piece.pixels) if v.gathers else nullcontext():
                    total = s.groups * s.outputs
                    gather_moments(core, total, piece.pixels, target, partials, left)
    return k


@contextmanager
def _spans(
    core: Core, v: Variant, s: SimpleNamespace, piece: Piece, seen: tuple[Buffer, Buffer],
    own: Buffer,
) -> Iterator[tuple[tuple[Value, Index], tuple[Buffer, Index]]]:  # fmt: skip
    """The pixels of a piece that meet all panels, one after the other: from the first on, to the
    last. For tile registers also what they see, in lines, and how far apart those are.
    """
    k, step = core.k, piece.pixels
    if v.gathers:
        step = s.gathered
    elif v.epilogue.residual is not None and not v.blocked and not v.tile.amx:
        step = k.index(v.tile.rows)
    with k.loop(0, piece.pixels, step) as first:
        last = k.smaller(first + step, piece.pixels)
        lines = (seen[0], s.x_column)
        if v.gathers:
            lines = _gather_lines(k, s, (first, last), seen, own.at(s.waiting).view(v.operand))
        elif v.tile.amx:
            lines = (seen[0].at(k.load(seen[1], first)), s.x_column)
        yield (first, last), lines


def _gather_lines(
    k: Kernel, s: SimpleNamespace, span: tuple[Value, Index], seen: tuple[Buffer, Buffer],
    lines: Buffer,
) -> tuple[Buffer, Index]:  # fmt: skip
    """Copy what some pixels see into a line for each, tap after tap."""
    (images, starts), lanes = seen, k.lanes(lines.element)
    distance = s.taps_h * s.taps_w * s.run
    distance = ((distance + (LINE - 1)) // LINE | 1) * LINE  # as `schedule.spread`
    with k.loop(span[0], span[1]) as pixel:
        start, into = images.at(k.load(starts, pixel)), lines.at((pixel - span[0]) * distance)
        with k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t, k.loop(0, s.run, lanes) as at:
            left = k.smaller(s.run - at, lanes)
            found = k.load(start, r * s.tap_h + t * s.tap_w + at, lanes, count=left)
            k.store(found, into, (r * s.taps_w + t) * s.run + at, count=left)
    return lines, distance


def _lines_by_panel(
    core: TileCore, s: SimpleNamespace, span: tuple[Value, Index],
    operands: tuple[tuple[Buffer, Index], Buffer], target: tuple[Buffer, Buffer],
    channels_left: Index, finish: Finish,
) -> None:  # fmt: skip
    """What a span of pixels sees against one panel, in tile registers."""
    k, ((lines, distance), weight), (out, targets) = core.k, operands, target
    rows = (lines, distance, span[1] - span[0])
    core.blocks(
        (rows, weight, s.taps_h * s.taps_w * s.run),
        lambda row: k.load(targets, span[0] + row), out, channels_left, finish,
    )  # fmt: skip


def locate(k: Kernel, s: SimpleNamespace, number: Value) -> Piece:
    """Where a piece lies, from its number: blocks of rows first, then of images, then groups."""
    row_block, rest = number % s.row_blocks, number // s.row_blocks
    image_block, group = rest % s.image_blocks, rest // s.image_blocks
    image, row = image_block * s.image_block, row_block * s.row_block
    images = k.smaller(s.images - image, s.image_block)
    rows = k.smaller(s.rows - row, s.row_block)
    return Piece(group, image, images, row, rows, k.index(images * rows * s.columns))


def copy_band(
    k: Kernel,
    source: str,
    s: SimpleNamespace,
    piece: Piece,
    x: Buffer,
    band: Buffer,
    border: int = 0,
) -> None:
    """Copy the input rows that a piece reads, with `border` where they reach beyond the image."""
    band_rows = (piece.rows - 1) * s.stride_h + s.reach_h + 1
    line = s.band_columns * s.channels
    left = k.smaller(k.larger(-s.origin_w, 0), s.band_columns)
    right = k.larger(k.smaller(s.width - s.origin_w, s.band_columns), left)
    with k.loop(0, piece.images) as n, k.loop(0, band_rows) as r:
        into = band.at((n * band_rows + r) * line)
        row = piece.row * s.stride_h + s.origin_h + r
        with k.if_else((row >= 0) & (row < s.height)) as (inside, outside):
            with inside:
                fill_line(k, into, left * s.channels, border)
                first = left + s.origin_w
                start = x.at((piece.image + n) * s.x_image + row * s.x_row + first * s.x_column)
                middle = into.at(left * s.channels)
                if source == "dense":
                    copy_line(k, start, (right - left) * s.channels, middle)
                else:
                    strides, shape = (s.x_column, s.x_channel), (right - left, s.channels)
                    copy_rows(k, Order(source), start, strides, shape, middle, s.channels)
                fill_line(k, into.at(right * s.channels), line - right * s.channels, border)
            with outside:
                fill_line(k, into, line, border)


def _tables(k: Kernel, v: Variant, s: SimpleNamespace, piece: Piece, starts: Buffer) -> Buffer:
    """Write where each pixel starts in the band (or image) and in the output; return the second
    table.
    """
    targets = starts.at(s.image_block * s.row_block * s.columns + TABLE_SLACK)
    if v.source == "direct":
        image_step, row_step, column_step = s.x_image, s.stride_h * s.x_row, s.stride_w * s.x_column
        origin = piece.image * s.x_image + (piece.row * s.stride_h + s.origin_h) * s.x_row
        origin = origin + s.origin_w * s.x_column
    else:
        band_rows = (piece.rows - 1) * s.stride_h + s.reach_h + 1
        line = s.band_columns * s.channels
        image_step, row_step = band_rows * line, s.stride_h * line
        column_step, origin = s.stride_w * s.channels, k.index(0)
    target = piece.image * s.y_image + piece.row * s.y_row
    lanes = 4
    counting = k.lane_numbers(lanes, i64)
    with k.loop(0, piece.images) as n, k.loop(0, piece.rows) as h:
        at = (n * piece.rows + h) * s.columns
        from_x = counting * column_step + (origin + n * image_step + h * row_step)
        to_y = counting * s.y_column + (target + n * s.y_image + h * s.y_row)
        with k.loop(0, s.columns, lanes) as w:
            k.store(from_x + w * column_step, starts, at + w)
            k.store(to_y + w * s.y_column, targets, at + w)
    for table in (starts, targets):
        last = k.load(table, piece.pixels - 1)
        for i in range(0 if v.tile.amx else v.tile.rows - 1):
            k.store(last, table, piece.pixels + i)
    return targets


def _pixel_tiles(
    core: Core, v: Variant, s: SimpleNamespace, span: tuple[Value, Index],
    operands: tuple[Buffer, Buffer, Buffer], target: tuple[Buffer, Buffer],
    channels_left: Index, finish: Finish,
) -> None:  # fmt: skip
    """A span of pixels against one panel. The last tile repeats the last pixel to be whole.

    The results of a pixel's window are neighbors in a tile.
    """
    k, (images, starts, weight), (out, targets) = core.k, operands, target
    height = v.tile.rows // len(v.window)
    with k.loop(*span, height) as pixel:
        if v.epilogue.residual is not None:
            for i in range(v.tile.rows):
                later = k.load(targets, pixel + i) + PANELS_AHEAD * core.width
                finish.ahead(later, core.width)
                k.prefetch(out, later, write=True)
        first = [images.at(k.load(starts, pixel + i)) for i in range(height)]
        rows = [row.at(further) if further else row for row in first for further in v.window]
        sums = core.accumulators(finish, channels_left)
        if v.taps is not None:
            _written_taps(core, v.taps, sums, rows, weight)
        else:
            _looped_taps(core, v, s, sums, rows, weight, channels_left)
        places: list[Index] = [k.load(targets, pixel + i) for i in range(height)]
        core.finish(sums, out, places, channels_left, finish)


def _written_taps(
    core: Core, taps: Taps, sums: list[list[Var]], rows: list[Buffer], weight: Buffer
) -> None:
    """Add all products, without loops."""
    for number in range(taps.high * taps.wide):
        r, t = divmod(number, taps.wide)
        seen = [row.at(r * taps.down + t * taps.across) for row in rows]
        panel = weight.at(number * taps.run * core.width)
        core.steps(sums, seen, panel, core.width, 1, taps.run, None)


def _looped_taps(
    core: Core, v: Variant, s: SimpleNamespace, sums: list[list[Var]], rows: list[Buffer],
    weight: Buffer, channels_left: Index,
) -> None:  # fmt: skip
    k = core.k
    with k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t:
        seen = [row.at(r * s.tap_h + t * s.tap_w) for row in rows]
        taps = weight.at((r * s.taps_w + t) * s.run * core.width)
        if v.depthwise:
            left = k.index(channels_left)
            with k.if_else(left >= core.width) as (whole, partly):
                with whole:
                    _add_tap(core, v, sums, seen, taps)
                with partly:
                    _add_tap(core, v, sums, seen, taps, left)
        else:
            core.accumulate(sums, seen, taps, s.run, core.width)


def _add_tap(
    core: Core, v: Variant, sums: list[list[Var]], seen: list[Buffer], taps: Buffer,
    channels: Value | None = None,
) -> None:  # fmt: skip
    """Add the products of one tap, where vectors hold channels."""
    if v.mixed > 1:
        core.accumulate_groups(sums, seen, taps, v.mixed, channels)
    else:
        core.accumulate_lanes(sums, seen, taps, 1, 0, 0, channels)


def gather_moments(
    core: Core, channels: Index, pixels: Value, written: tuple[Buffer, Buffer],
    partials: Buffer, channels_left: Value,
) -> None:  # fmt: skip
    """The moments of a panel of channels, of so many in all, that has been written for all pixels
    of a piece.
    """
    k, (out, targets) = core.k, written

    def gather(count: Value | None) -> None:
        moments = Moments(k, core.element, core.tile.vectors, count, core.lanes)
        moments.start(out.at(k.load(targets, 0)))
        full = pixels // WAYS * WAYS
        with k.loop(0, full, WAYS, unroll=1) as pixel:
            for way in range(WAYS):
                moments.add(out.at(k.load(targets, pixel + way)), way)
        with k.loop(full, pixels, unroll=1) as pixel:
            moments.add(out.at(k.load(targets, pixel)))
        moments.store(pixels, partials, partials.at(channels))

    with k.if_else(channels_left >= core.width) as (whole, partly):
        with whole:
            gather(None)
        with partly:
            gather(channels_left)


def _blocks(
    core: Core, s: SimpleNamespace, pixels: Value, operands: tuple[Buffer, Buffer, Buffer],
    target: tuple[Buffer, Buffer], channels_left: Index, finish: Finish, waiting: Buffer,
) -> None:  # fmt: skip
    """All pixels of a piece against one panel, a block of the contracted index at a time: the block
    stays in the first-level cache, while sums wait in memory. The next block is asked for.
    """
    k, (images, starts, weight), (out, targets), height = core.k, operands, target, core.tile.rows
    tiles = (pixels + (height - 1)) // height
    lines = (4 * core.width + tiles - 1) // tiles
    total = s.taps_h * s.taps_w * s.run
    with k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t, k.loop(0, s.run, s.run_block) as c:
        done = (r * s.taps_w + t) * s.run + c
        count, panel = k.smaller(s.run - c, s.run_block), weight.at(done * core.width)
        from_first = r * s.tap_h + t * s.tap_w + c
        with k.loop(0, pixels, height) as pixel:
            later = panel.at(count * core.width + pixel // height * (count // 4) * lines)
            rows = [images.at(k.load(starts, pixel + i) + from_first) for i in range(height)]
            sums, place = core.accumulators(finish, channels_left), waiting.at(pixel * core.width)
            with k.if_(done > 0):
                for i, total_of in enumerate(v for line in sums for v in line):
                    total_of.set(k.load(place, i * core.lanes, core.lanes))

            def ask(item: Value, later: Buffer = later) -> None:
                k.prefetch(later, (item >> 2) * lines, locality=2)

            core.accumulate(sums, rows, panel, count, core.width, ahead=ask)
            with k.if_else(done + count >= total) as (last, more):
                with last:
                    places: list[Index] = [k.load(targets, pixel + i) for i in range(height)]
                    core.finish(sums, out, places, channels_left, finish)
                with more:
                    for i, total_of in enumerate(v for line in sums for v in line):
                        k.store(total_of.get(), place, i * core.lanes)


ZERO_SIZES = ("images", "rows", "columns", "channels", "y_image", "y_row", "y_column")


def zero_kernel(kind: Element) -> Kernel:
    """y = 0, for images with dense channels."""
    k = Kernel("conv_zeros", (("y", kind),), ZERO_SIZES)
    (y,) = k.buffers
    images, rows, columns, channels, y_image, y_row, y_column = k.sizes
    with k.parallel(images * rows) as piece:
        row = y.at(piece // rows * y_image + piece % rows * y_row)
        with k.loop(0, columns) as column:
            fill_line(k, row.at(column * y_column), channels)
    return k
