"""The kernel of convolutions whose groups are a few channels, with vectors of pixels.

A few channels do not fill a vector, and each product would ask for a broadcast element of its own.
So a piece of work takes as many channels as vectors have lanes, several groups, and turns the rows
that it reads into planes, one a channel. Vectors of neighboring pixels then meet broadcast weights,
each of which serves several vectors. The results are planes again, which are turned back, and
finished, on the way to memory.

Where the convolution strides, a plane is cut into phases (even and odd rows and columns, for stride
2), in which what neighboring results see are neighbors. Pixels of a plane are numbered through its
rows, which are as long as results reach: those behind a row's last are computed for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.conv_kernel import Piece, copy_band, gather_moments, locate
from fovea.targets.cpu.elements import Element, i64, u8
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import transpose
from fovea.targets.cpu.schedule import Tile

__all__ = ["SIZES", "Variant", "planes_kernel"]

SIZES = (
    "images", "rows", "columns", "height", "width", "all_channels",
    "x_image", "x_row", "x_column", "x_channel",
    "y_image", "y_row", "y_column", "y_offset",
    "stride_h", "stride_w", "origin_h", "origin_w",
    "taps_h", "taps_w", "step_h", "step_w", "reach_h", "band_columns",
    "image_block", "image_blocks", "row_block", "row_blocks", "channel_blocks",
    "pitch", "phase", "plane", "result",
    "planes", "results", "table", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What such a kernel is generated for.

    `tile`: as many outputs as it has rows, vectors of pixels; `group`: channels of a group, seen
    and made; `source`: an Order's value, of pixels that are copied.
    """

    x: Element
    y: Element
    compute: Element
    tile: Tile
    group: int
    source: str
    epilogue: Epilogue

    @property
    def key(self) -> str:
        return (
            f"conv-planes/{self.x}/{self.y}/{self.compute}/{self.tile.name}/{self.group}/"
            f"{self.source}/{self.epilogue.key}"
        )


def planes_kernel(v: Variant) -> Kernel:
    """y = x correlated with packed weights, and what the epilogue makes of it."""
    buffers = [("x", v.x), ("weights", v.compute), *v.epilogue.buffers, ("y", v.y)]
    buffers += [("partials", v.compute)] if v.epilogue.moments else []
    k = Kernel("conv_planes", [*buffers, ("scratch", u8)], SIZES, v.epilogue.scalars)
    named = dict(zip(k.buffer_names, k.buffers, strict=True))
    x, weights, y, scratch = (named[n] for n in ("x", "weights", "y", "scratch"))
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core, lanes = Core(k, v.tile, v.compute), k.lanes(v.compute)
    with k.parallel(s.channel_blocks * s.image_blocks * s.row_blocks) as number:
        piece = locate(k, s, number)
        first = piece.group * lanes
        s.channels = k.smaller(s.all_channels - first, lanes)
        own = scratch.at(k.tid * s.scratch_stride)
        band, planes, results = (own.at(n).view(v.compute) for n in (0, s.planes, s.results))
        taps = own.at(s.table).view(i64)
        _write_taps(k, s, taps)
        finish = Finish(k, v.epilogue, v.compute).at(first, s.y_offset + first)
        images, out = x.at(first * s.x_channel), y.at(s.y_offset + first)
        weight = weights.at(first * (s.taps_h * s.taps_w * v.group))
        with k.loop(0, piece.images, unroll=1) as n:
            one = replace(piece, image=piece.image + n, images=1)
            copy_band(k, v.source, s, one, images, band)
            _into_planes(k, s, one, band, planes)
            _products(core, v, s, one, (planes, taps, weight), results, finish)
            _into_memory(k, s, one, results, out, finish)
        if v.epilogue.moments:
            part = number % (s.image_blocks * s.row_blocks)
            partials = named["partials"].at(part * 2 * s.all_channels + first)
            vectors = Core(k, Tile(1, 1), v.compute)
            _gather(vectors, s, piece, out, taps, partials)
    return k


def _write_taps(k: Kernel, s: SimpleNamespace, table: Buffer) -> None:
    """Write how far from a plane's first element each tap's first one lies."""
    with k.loop(0, s.taps_h, unroll=1) as r, k.loop(0, s.taps_w, unroll=1) as t:
        row, column = r * s.step_h, t * s.step_w
        phase = row % s.stride_h * s.stride_w + column % s.stride_w
        at = phase * s.phase + row // s.stride_h * s.pitch + column // s.stride_w
        k.store(at, table, r * s.taps_w + t)


def _into_planes(k: Kernel, s: SimpleNamespace, piece: Piece, band: Buffer, planes: Buffer) -> None:
    """Turn the rows of a band, which has channels as neighbors, into planes.

    A row's last vector goes on into the next row, which is written later.
    """
    lanes = k.lanes(planes.element)
    rows, step = (piece.rows - 1) * s.stride_h + s.reach_h + 1, s.stride_w * s.channels
    with k.loop(0, rows, unroll=1) as r, k.loop(0, s.stride_w, unroll=1) as phase:
        line = band.at((r * s.band_columns + phase) * s.channels)
        number = r % s.stride_h * s.stride_w + phase
        into = planes.at(number * s.phase + r // s.stride_h * s.pitch)
        with k.loop(0, s.pitch, lanes, unroll=1) as w:
            block = [k.load(line, (w + i) * step, lanes) for i in range(lanes)]
            for channel, pixels in enumerate(transpose(k, block)):
                k.store(pixels, into, w + channel * s.plane)


def _products(
    core: Core, v: Variant, s: SimpleNamespace, piece: Piece,
    operands: tuple[Buffer, Buffer, Buffer], results: Buffer, finish: Finish,
) -> None:  # fmt: skip
    """The planes of results: some outputs of a group at a time, for all pixels."""
    k, (planes, taps, weights), outputs = core.k, operands, range(v.tile.rows)
    pixels, count = (piece.rows - 1) * s.pitch + s.columns, s.taps_h * s.taps_w
    with (
        k.loop(0, s.channels, v.group, unroll=1) as group,
        k.loop(0, v.group, v.tile.rows, unroll=1) as output,
    ):
        first = group + output
        start = [k.broadcast(finish.start(first + i, 1), core.lanes) for i in outputs]
        weight, images = weights.at(first * count * v.group), planes.at(group * s.plane)
        with k.loop(0, pixels, core.width, unroll=1) as pixel:
            sums = [[k.var(value) for _ in range(v.tile.vectors)] for value in start]
            with k.loop(0, count, unroll=1) as tap:
                seen = images.at(pixel + k.load(taps, tap))
                of_tap = weight.at(tap * (v.group * v.tile.rows))
                lines = [of_tap.at(i) for i in outputs]
                core.accumulate(sums, lines, seen, v.group, s.plane, v.tile.rows)
            for i, of_output in enumerate(sums):
                line = results.at((first + i) * s.result + pixel)
                for at, total in enumerate(of_output):
                    k.store(total.get(), line, at * core.lanes)


def _into_memory(
    k: Kernel, s: SimpleNamespace, piece: Piece, results: Buffer, out: Buffer, finish: Finish
) -> None:
    """Turn planes of results back, a vector of pixels at a time, and finish them."""
    lanes = k.lanes(results.element)
    tile = k.scratch(results.element, lanes * lanes)
    with k.loop(0, piece.rows, unroll=1) as h, k.loop(0, s.columns, lanes, unroll=1) as w:
        line = results.at(h * s.pitch + w)
        block = [k.load(line, channel * s.result, lanes) for channel in range(lanes)]
        for number, pixel in enumerate(transpose(k, block)):
            k.store(pixel, tile, number * lanes)
        place = piece.image * s.y_image + (piece.row + h) * s.y_row + w * s.y_column
        count = k.smaller(s.columns - w, lanes)
        with k.if_else(s.channels >= lanes) as (whole, partly):
            for arm, left in ((whole, None), (partly, s.channels)):
                with arm:
                    affine = finish.affine(0, lanes, left, started=True)
                    with k.loop(0, count, unroll=1) as i:
                        at = place + i * s.y_column
                        value = k.load(tile, i * lanes, lanes)
                        value = finish.value(value, affine, finish.residual(at, lanes, left))
                        k.store(value, out, at, count=left)


def _gather(
    core: Core, s: SimpleNamespace, piece: Piece, out: Buffer, table: Buffer, partials: Buffer
) -> None:
    """The moments of a piece's channels."""
    k = core.k
    with k.loop(0, piece.images) as n, k.loop(0, piece.rows) as h, k.loop(0, s.columns) as w:
        at = (n * piece.rows + h) * s.columns + w
        place = (piece.image + n) * s.y_image + (piece.row + h) * s.y_row + w * s.y_column
        k.store(place, table, at)
    written = (out, table)
    gather_moments(core, s.all_channels, piece.pixels, written, partials, s.channels)
