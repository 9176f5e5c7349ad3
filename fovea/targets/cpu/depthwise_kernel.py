"""The kernel of depthwise convolutions, whose vectors hold channels.

A tile is a few neighboring results of a row, by a panel of channels. For each row of the window its
weights wait in registers while the tile's input pixels pass by, one after the other: each is loaded
once and meets all taps that it has in the tile. Images are read where they lie: rows and pixels
outside of them add nothing, and so are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.moments import WAYS, Moments
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value

__all__ = ["SIZES", "Variant", "depthwise_kernel"]

SIZES = (
    "images", "rows", "columns", "height", "width", "channels",
    "x_image", "x_row", "x_column", "y_image", "y_row", "y_column", "y_offset",
    "stride_h", "origin_h", "origin_w", "taps_h",
    "image_block", "image_blocks", "row_block", "row_blocks",
    "panels", "panel_block", "panel_blocks", "panel_size",
)  # fmt: skip


Span = tuple[Value, Value]


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for; `taps` and `stride` are those across, a tile's rows its
    results.
    """

    x: Element
    y: Element
    compute: Element
    tile: Tile
    taps: int
    stride: int
    epilogue: Epilogue

    @property
    def pixels(self) -> int:
        """How many input pixels of a row a tile sees."""
        return (self.tile.rows - 1) * self.stride + self.taps

    @property
    def key(self) -> str:
        return (
            f"depthwise/{self.x}/{self.y}/{self.compute}/{self.tile.name}/"
            f"{self.taps}.{self.stride}/{self.epilogue.key}"
        )


def depthwise_kernel(v: Variant) -> Kernel:
    """y = x correlated with packed weights by channels, and what the epilogue makes of it."""
    buffers = [("x", v.x), ("weights", v.compute), *v.epilogue.buffers, ("y", v.y)]
    buffers += [("partials", v.compute)] if v.epilogue.moments else []
    k = Kernel("depthwise", buffers, SIZES, v.epilogue.scalars)
    named = dict(zip(k.buffer_names, k.buffers, strict=True))
    x, weights, y = (named[n] for n in ("x", "weights", "y"))
    finish = Finish(k, v.epilogue, v.compute)
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, v.tile, v.compute)
    with k.parallel(s.image_blocks * s.row_blocks * s.panel_blocks) as number:
        panel_block, rest = number % s.panel_blocks, number // s.panel_blocks
        images = _span(k, rest // s.row_blocks, s.image_block, s.images)
        rows = _span(k, rest % s.row_blocks, s.row_block, s.rows)
        panels = _span(k, panel_block, s.panel_block, s.panels)
        with (
            k.loop(*images) as image,
            k.loop(*rows) as row,
            k.loop(0, s.columns, v.tile.rows) as at,
            k.loop(*panels) as panel,
        ):
            # The last tile repeats what it shares with the one before.
            column = k.index(k.smaller(at, s.columns - v.tile.rows))
            channel = panel * core.width
            seen, weight = x.at(image * s.x_image + channel), weights.at(panel * s.panel_size)
            first = image * s.y_image + row * s.y_row + column * s.y_column + s.y_offset
            places = [first + i * s.y_column for i in range(v.tile.rows)]
            finishing, left = finish.at(channel, channel), s.channels - channel
            sums = core.accumulators(finishing, left)
            _add_window(core, v, s, sums, (seen, weight), (row, column), left)
            core.finish(sums, y.at(channel), list(places), left, finishing)
        if v.epilogue.moments:
            with k.loop(*panels) as panel:
                channel = panel * core.width
                partials = named["partials"].at(rest * 2 * s.channels + channel)
                _gather_moments(core, s, (images, rows), y.at(s.y_offset), channel, partials)
    return k


def _gather_moments(
    core: Core, s: SimpleNamespace, piece: tuple[Span, Span], y: Buffer, channel: Value,
    partials: Buffer,
) -> None:  # fmt: skip
    """The moments of a panel of channels, over the images and rows of a piece that were written."""
    k, (images, rows) = core.k, piece

    def line(image: Value, row: Value) -> Buffer:
        return y.at(image * s.y_image + row * s.y_row + channel)

    def gather(count: Value | None) -> None:
        moments = Moments(k, core.element, core.tile.vectors, count, core.lanes)
        moments.start(line(images[0], rows[0]))
        full = s.columns // WAYS * WAYS
        with k.loop(*images) as image, k.loop(*rows) as row:
            written = line(image, row)
            with k.loop(0, full, WAYS, unroll=1) as column:
                for way in range(WAYS):
                    moments.add(written.at((column + way) * s.y_column), way)
            with k.loop(full, s.columns, unroll=1) as column:
                moments.add(written.at(column * s.y_column))
        pixels = (images[1] - images[0]) * (rows[1] - rows[0]) * s.columns
        moments.store(pixels, partials, partials.at(s.channels))

    left = s.channels - channel
    with k.if_else(left >= core.width) as (whole, partly):
        with whole:
            gather(None)
        with partly:
            gather(left)


def _span(k: Kernel, number: Value, block: Index, size: Index) -> Span:
    """The first and the end of a block."""
    first = number * block
    return first, k.index(k.smaller(first + block, size))


def _add_window(
    core: Core, v: Variant, s: SimpleNamespace, sums: list[list[Var]],
    operands: tuple[Buffer, Buffer], place: tuple[Value, Value], channels_left: Value,
) -> None:  # fmt: skip
    """Add all products for the tile that begins at this row and column."""
    k, (images, weight) = core.k, operands
    top, left = place[0] * s.stride_h + s.origin_h, place[1] * v.stride + s.origin_w
    low, high = k.larger(-top, 0), k.smaller(s.height - top, s.taps_h)
    start = images.at(left * s.x_column)
    inside = (left >= 0) & (left + v.pixels <= s.width)

    def is_inside(pixel: int) -> Value:
        return (left + pixel >= 0) & (left + pixel < s.width)

    def add(vectors: Sequence[int], count: Value | None) -> None:
        with k.if_else(inside) as (then, otherwise):
            for arm, condition in ((then, None), (otherwise, is_inside)):
                with arm, k.loop(low, high, unroll=1) as r:
                    line, taps = start.at((top + r) * s.x_row), weight.at(r * v.taps * core.width)
                    _add_row(core, v, sums, (line, s.x_column, taps), condition, vectors, count)

    with k.if_else(channels_left >= core.width) as (whole, partly):
        with whole:
            add(range(v.tile.vectors), None)
        with partly:
            for i in range(v.tile.vectors):
                rest = channels_left - i * core.lanes
                with k.if_(rest > 0):
                    add([i], k.index(k.smaller(rest, core.lanes)))


def _add_row(
    core: Core, v: Variant, sums: list[list[Var]], operands: tuple[Buffer, Value, Buffer],
    condition: Callable[[int], Value] | None, vectors: Sequence[int], count: Value | None,
) -> None:  # fmt: skip
    """Add the products of a row of the window for some vectors of the panel.

    Args:
        operands: the first pixel, how far it is to the next one, the weights.
        condition: which pixels there are, if not all.
        count: how many channels of a vector, if not all.
    """
    k, lanes, (line, step, taps) = core.k, core.lanes, operands
    weights = {
        (t, i): k.load(taps, t * core.width + i * lanes, lanes)
        for t in range(v.taps)
        for i in vectors
    }
    for pixel in range(v.pixels):
        with nullcontext() if condition is None else k.if_(condition(pixel)):
            for i in vectors:
                x = k.cast(k.load(line, i * lanes, lanes, count=count), core.element)
                for n, of_result in enumerate(sums):
                    tap = pixel - n * v.stride
                    if 0 <= tap < v.taps:
                        of_result[i].set(k.fma(x, weights[tap, i], of_result[i].get()))
        line = line.at(step)
