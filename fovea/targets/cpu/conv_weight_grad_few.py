"""The gradient to the weights where there are few input channels, as in a network's first layer.

Vectors of input channels would be mostly empty there, so the operands change places: the elements
under the kernel's window (a few channels times its taps) are broadcast from x, against vectors of
output channels, which lie together in gy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

from fovea.targets.cpu import schedule
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.conv import ConvParams
from fovea.targets.cpu.elements import Element, f32, f64, u8
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_rows, fill_line
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.views import View

SIZES = (
    "images", "rows", "columns", "height", "width", "channels", "outputs",
    "x_image", "x_row", "x_column", "x_channel", "x_group",
    "g_image", "g_row", "g_column", "g_channel", "g_group",
    "stride_h", "origin_h", "origin_w", "taps_w", "tap_h", "tap_w", "window", "line",
    "reach_h", "band_columns",
    "groups", "chunks", "bands", "chunk_bands", "row_blocks", "image_block", "row_block",
    "panels", "g_start", "scratch_stride",
)  # fmt: skip

SUM_SIZES = (
    "groups", "outputs", "taps_h", "taps_w", "channels", "window_rows", "panels", "chunks",
    "w_group", "w_output", "w_channel", "w_row", "w_column",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for.

    `g_order`: how gy is copied into panels; None reads it in place. `depthwise`: each channel is a
    group; a window's elements are then its taps, of as many channels as a panel is wide.
    `distances`: of neighboring pixels in x and gy. Addresses fit the registers if code knows them.
    """

    x: Element
    g: Element
    compute: Element
    tile: Tile
    x_order: Order
    g_order: Order | None
    distances: tuple[int, int]
    depthwise: bool = False

    @property
    def key(self) -> str:
        order = self.g_order.value if self.g_order else "direct"
        name = "conv_weight_grad_" + ("depthwise" if self.depthwise else "few")
        return (
            f"{name}/{self.x}/{self.g}/{self.compute}/"
            f"{self.tile.name}/{self.x_order.value}/{order}/"
            f"{self.distances}"
        )


def partial_kernel(v: Variant) -> Kernel:
    """partial[chunk][group][panel][window element][lane]: sums over the chunk's pixels."""
    buffers = (("g", v.g), ("x", v.x), ("partial", v.compute), ("scratch", u8))
    k = Kernel("conv_weight_grad_few", buffers, SIZES)
    g, x, partial_sums, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, v.tile, v.compute)
    with k.parallel(s.chunks * s.groups) as piece:
        group, first = piece % s.groups, piece // s.groups * s.chunk_bands
        own = scratch.at(k.tid * s.scratch_stride).view(v.compute)
        with k.loop(first, k.smaller(first + s.chunk_bands, s.bands)) as number:
            image, row = number // s.row_blocks * s.image_block, number % s.row_blocks * s.row_block
            count = (
                k.smaller(s.images - image, s.image_block),
                k.smaller(s.rows - row, s.row_block),
            )
            _copy_band(k, v, s, (image, row), count, x.at(group * s.x_group), own)
            gradient = g.at(group * s.g_group + image * s.g_image + row * s.g_row)
            with k.loop(0, s.panels) as panel:
                columns = _columns(core, v, s, count, gradient, own, panel)
                target = partial_sums.at((piece * s.panels + panel) * _padded(s, v) * core.width)
                seen = own.at(panel * core.width) if v.depthwise else own
                _window_tiles(core, v, s, count, seen, columns, target, number.eq(first))
    return k


def _padded(s: SimpleNamespace, v: Variant) -> Value:
    """Window elements, rounded up to whole tiles."""
    rows: Value = (s.window + (v.tile.rows - 1)) // v.tile.rows * v.tile.rows
    return rows


def _copy_band(
    k: Kernel, v: Variant, s: SimpleNamespace, at: tuple[Value, Value], count: tuple[Index, Index],
    x: Buffer, own: Buffer,
) -> None:  # fmt: skip
    """Copy the rows of x that a band of pixels reaches, with zeros around the image."""
    (image, row), (images, rows) = at, count
    band_rows = (rows - 1) * s.stride_h + s.reach_h + 1
    left = k.smaller(k.larger(-s.origin_w, 0), s.band_columns)
    right = k.larger(k.smaller(s.width - s.origin_w, s.band_columns), left)
    with k.loop(0, images) as n, k.loop(0, band_rows) as r:
        into = own.at((n * band_rows + r) * s.line)
        source_row = row * s.stride_h + s.origin_h + r
        with k.if_else((source_row >= 0) & (source_row < s.height)) as (inside, outside):
            with inside:
                fill_line(k, into, left * s.channels)
                fill_line(k, into.at(right * s.channels), s.line - right * s.channels)
                start = x.at(
                    (image + n) * s.x_image + source_row * s.x_row
                    + (left + s.origin_w) * s.x_column
                )  # fmt: skip
                strides, shape = (s.x_column, s.x_channel), (right - left, s.channels)
                copy_rows(
                    k, v.x_order, start, strides, shape, into.at(left * s.channels), s.channels
                )
            with outside:
                fill_line(k, into, s.line)


@dataclass(frozen=True)
class _Columns:
    """Where a panel of output channels starts, and its distances: images and rows."""

    start: Buffer
    image: Index
    row: Index
    left: Value


def _columns(
    core: Core, v: Variant, s: SimpleNamespace, count: tuple[Index, Index],
    g: Buffer, own: Buffer, panel: Value,
) -> _Columns:  # fmt: skip
    """A panel of gy, in place or copied."""
    k, (images, rows) = core.k, count
    left = s.outputs - panel * core.width
    start = g.at(panel * core.width * s.g_channel)
    if v.g_order is None:
        return _Columns(start, s.g_image, s.g_row, left)
    packed = own.at(s.g_start)
    row = s.columns * core.width
    with k.loop(0, images) as n, k.loop(0, rows) as h:
        into = packed.at((n * rows + h) * row)
        with k.if_(left < core.width):
            fill_line(k, into, row)
        copy_rows(
            k, v.g_order, start.at(n * s.g_image + h * s.g_row), (s.g_column, s.g_channel),
            (s.columns, k.smaller(left, core.width)), into, core.width,
        )  # fmt: skip
    return _Columns(packed, rows * row, row, left)


def _window_tiles(
    core: Core, v: Variant, s: SimpleNamespace, count: tuple[Index, Index], x: Buffer,
    columns: _Columns, target: Buffer, is_first: Value,
) -> None:  # fmt: skip
    """Add the band's products to the partial sums of one panel, for all elements of the window."""
    k, (images, rows) = core.k, count
    band_rows = (rows - 1) * s.stride_h + s.reach_h + 1
    with k.loop(0, s.window, v.tile.rows) as element:
        # The last tile repeats the window's last element to be whole.
        elements = [k.smaller(element + i, s.window - 1) for i in range(v.tile.rows)]
        offsets = [_offset(v, s, e) for e in elements]
        sums = core.accumulators(None, 0)
        out = target.at(element * core.width)
        places = [
            (total, i * core.width + j * core.lanes)
            for i, line in enumerate(sums)
            for j, total in enumerate(line)
        ]
        with k.if_(~is_first):
            for total, at in places:
                total.set(k.load(out, at, core.lanes))
        with k.loop(0, images) as n, k.loop(0, rows) as h:
            line = x.at((n * band_rows + h * s.stride_h) * s.line)
            panel = columns.start.at(n * columns.image + h * columns.row)
            lefts = [line.at(o) for o in offsets]
            accumulate = core.accumulate_lanes if v.depthwise else core.accumulate
            accumulate(sums, lefts, panel, s.columns, v.distances[1], v.distances[0])
        for total, at in places:
            k.store(total.get(), out, at)


def _offset(v: Variant, s: SimpleNamespace, element: Index) -> Value:
    """Where an element of the window (kernel row, kernel column, channel) lies behind its first."""
    channel, tap = (0, element) if v.depthwise else (element % s.channels, element // s.channels)
    offset: Value = tap // s.taps_w * s.tap_h + tap % s.taps_w * s.tap_w + channel
    return offset


def sum_kernel(kind: Element, compute: Element, width: int) -> Kernel:
    """The weights' gradient: partial sums added up in order, from [panel][window element][lane] to
    the weights' strides.
    """
    buffers = (("partial", compute), ("w", kind))
    k = Kernel("conv_weight_grad_few_sum", buffers, SUM_SIZES)
    partial_sums, w = k.buffers
    s = SimpleNamespace(**dict(zip(SUM_SIZES, k.sizes, strict=True)))
    panel_size = s.window_rows * width
    chunk_size = s.groups * s.panels * panel_size
    with k.parallel(s.groups * s.outputs) as piece:
        group, output = piece // s.outputs, piece % s.outputs
        source = partial_sums.at((group * s.panels + output // width) * panel_size + output % width)
        target = w.at(group * s.w_group + output * s.w_output)
        with k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t, k.loop(0, s.channels) as c:
            element = (r * s.taps_w + t) * s.channels + c
            total = k.var(k.const(0.0, compute))
            with k.loop(0, s.chunks) as chunk:
                at = chunk * chunk_size + element * width
                total.set(total.get() + k.load(source, at))
            k.store(total.get(), target, c * s.w_channel + r * s.w_row + t * s.w_column)
    return k


# -- planning --------------------------------------------------------------------------------------


def suits(channels: int, outputs: int, groups: int) -> bool:
    """Whether a group has so few input channels (and more output channels, or so few that they fill
    half a vector) that this form is the faster one, or is one channel altogether.
    """
    if channels == 1 and outputs == 1:
        return groups > 1
    lanes = active().lanes(4)
    return channels < lanes and (channels < outputs or outputs <= lanes // 2)


def plan_few(gy: View, x: View, gw: View, p: ConvParams) -> KernelProgram:
    """The program for the gradient to the weights: inputs gy, x, output gw (with at least one
    element).
    """
    outputs, channels, taps_h, taps_w = gw.shape
    images, _, rows, columns = gy.shape
    groups, per_group, window = p.groups, outputs // p.groups, taps_h * taps_w * channels
    depthwise = channels == 1 and per_group == 1
    if depthwise:
        groups, per_group, channels = 1, outputs, outputs
    compute, isa = f64 if x.element is f64 else f32, active()
    tile = schedule.tile(isa, compute, window, per_group, halves=True)
    width = tile.columns(isa, compute)
    panels, window_rows = -(-per_group // width), -(-window // tile.rows) * tile.rows
    size = groups * panels * window_rows * width
    pixel_bytes = (channels * p.stride[0] * p.stride[1] + per_group) * compute.bytes
    cut = schedule.weight_blocks(
        images, (rows, columns), groups, (1, 1), 2 * images * rows * columns * gw.size,
        max(schedule.L2_BYTES * 3 // 2 // pixel_bytes, 384), size * compute.bytes,
    )  # fmt: skip
    line = ((columns - 1) * p.stride[1] + (taps_w - 1) * p.dilation[1] + 1) * channels
    reach = (taps_h - 1) * p.dilation[0]
    band = cut.images * ((cut.rows - 1) * p.stride[0] + reach + 1) * line
    whole = gy.element is compute and gy.strides[1] == 1 and per_group % width == 0
    g_order = None if whole else Order.of(gy.strides[3], gy.strides[1], columns, per_group)
    packed = 0 if whole else cut.images * cut.rows * columns * width
    stride = -(-(band + packed + width) * compute.bytes // 64) * 64  # lanes may reach further
    x_order = Order.of(x.strides[3], x.strides[1], x.shape[3], channels)
    distances = (p.stride[1] * channels, gy.strides[3] if whole else width)
    v = Variant(x.element, gy.element, compute, tile, x_order, g_order, distances, depthwise)
    row_blocks = -(-rows // max(cut.rows, 1))
    words = (
        images, rows, columns, *x.shape[2:], channels, per_group,
        *_image_strides(x, channels), *_image_strides(gy, per_group),
        p.stride[0], -p.padding[0], -p.padding[2],
        taps_w, p.dilation[0] * line, p.dilation[1] * channels, window,
        line, reach, line // channels,
        groups, cut.chunks, cut.bands, -(-cut.bands // cut.chunks), row_blocks,
        cut.images, cut.rows, panels, band, stride,
    )  # fmt: skip
    call = KernelCall(
        load_cached(v.key, partial(partial_kernel, v)), (0, 1, 3, 4), words, cut.worth_sharing
    )
    chunks = cut.chunks if cut.bands else 0
    sum_words = (
        groups, per_group, taps_h, taps_w, 1 if depthwise else channels, window_rows, panels,
        chunks, per_group * gw.strides[0], *gw.strides,
    )  # fmt: skip
    key = f"conv_weight_grad_few_sum/{gw.element}/{compute}/{width}"
    address = load_cached(key, partial(sum_kernel, gw.element, compute, width))
    total = KernelCall(address, (3, 2), sum_words, gw.size > 16384)
    calls = [call, total] if chunks else [total]
    return KernelProgram(calls, 3, [cut.chunks * size * compute.bytes], stride)


def _image_strides(v: View, channels: int) -> Sequence[int]:
    """Strides of image, row, column, channel and group."""
    image, channel, row, column = v.strides
    return image, row, column, channel, channels * channel
