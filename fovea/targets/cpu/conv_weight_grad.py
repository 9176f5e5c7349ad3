"""Planning of a convolution's gradient to its weights: how it is cut into pieces and packed.

The kernels are those of conv_weight_grad_kernel.py, and with few input channels those of
conv_weight_grad_few.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import lcm

from fovea.targets.cpu import conv_weight_grad_winograd, schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.conv import ConvParams
from fovea.targets.cpu.conv_weight_grad_few import plan_few, suits
from fovea.targets.cpu.conv_weight_grad_kernel import Variant, partial_kernel
from fovea.targets.cpu.conv_weight_grad_sum import Sums
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.packing import Order
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.views import View


def plan_conv2d_weight_grad(gy: View, x: View, gw: View, p: ConvParams) -> KernelProgram:
    """The program for the gradient to the weights: inputs gy, x, output gw, all of any strides."""
    outputs, channels, _, taps_w = gw.shape
    if gw.size == 0:
        return KernelProgram((), external=3)
    per_group = outputs // p.groups
    if suits(channels, per_group, p.groups):
        return plan_few(gy, x, gw, p)
    if conv_weight_grad_winograd.suits(gy, x, gw, p):
        return conv_weight_grad_winograd.plan_winograd_weight_grad(gy, x, gw, p)
    compute = f64 if x.element is f64 else f32
    merged = p.dilation[1] == 1 and channels < active().lanes(compute.bytes)
    run = channels * taps_w if merged else channels
    tile = schedule.tile(active(), compute, max(per_group, 3), run)
    if gw.shape[2:] == (1, 1) and not any(p.padding):
        # A kernel of one pixel: look at the pixels that it stops at, and at no others.
        image, channel, row, column = x.strides
        strides = (image, channel, row * p.stride[0], column * p.stride[1])
        x = View((*x.shape[:2], *gy.shape[2:]), strides, x.dtype)
        p = ConvParams(groups=p.groups)
    return _Layout(gy, x, gw, p, tile, compute, merged, run).program()


@dataclass(frozen=True)
class _Layout:
    """How the operands of one weight gradient are blocked and packed."""

    gy: View
    x: View
    gw: View
    p: ConvParams
    tile: Tile
    compute: Element
    merged: bool  # neighboring taps of few channels count as channels
    run: int

    @property
    def width(self) -> int:
        return self.tile.columns(active(), self.compute)

    @property
    def group(self) -> int:
        """Output channels of a panel of gy: whole vectors, where there are so many."""
        whole = lcm(self.tile.rows, active().lanes(self.compute.bytes))
        return whole if self.gw.shape[0] // self.p.groups >= whole else self.tile.rows

    @property
    def layout(self) -> str:
        """See `Variant`."""
        if self.merged or self.run < active().lanes(self.compute.bytes):
            return "pixels"
        if self.p.stride[1] > 1:
            return "strided"
        single = self.gw.shape[2:] == (1, 1) and not any(self.p.padding)
        return "flat" if single and self.p.stride == (1, 1) else "panels"

    def program(self) -> KernelProgram:
        """The two calls: partial sums, and their sum."""
        outputs, *_, taps_w = self.gw.shape
        groups, per_group = self.p.groups, outputs // self.p.groups
        blocks, panels = -(-self.run // self.width), -(-per_group // self.group)
        images, size = self.x.shape[0], (self.gy.shape[2], self.gy.shape[3])
        sums = Sums(
            self.gw, self.compute, groups, self.width, blocks, panels * self.group, 1, self.merged
        )
        cut = schedule.weight_blocks(
            images, size, groups, (panels, blocks if self.layout != "pixels" else 1),
            2 * images * size[0] * size[1] * self.gw.size, schedule.BAND_PIXELS,
            sums.size * self.compute.bytes, blocks * self.width >= per_group,
        )  # fmt: skip
        call, own = self._partial_call(cut, blocks, panels, 1 if self.merged else taps_w)
        empty = images * size[0] * size[1] == 0
        sums = replace(sums, chunks=0 if empty else cut.chunks)
        stride = -(-max(own, sums.thread_bytes) // 64) * 64
        calls = [] if empty else [replace(call, words=(*call.words, stride))]
        calls.append(sums.call((3, 2, 4), stride))
        return KernelProgram(calls, 3, [cut.chunks * sums.size * self.compute.bytes], stride)

    def _partial_call(
        self, cut: schedule.WeightBlocks, blocks: int, g_panels: int, tap_columns: int
    ) -> tuple[KernelCall, int]:
        outputs, channels, taps_h, taps_w = self.gw.shape
        images, _, height, width = self.x.shape
        rows, columns = self.gy.shape[2:]
        per_group, stride, dilation = outputs // self.p.groups, self.p.stride, self.p.dilation
        panels = self.layout != "pixels"
        pitch = self.width if panels else channels
        band_columns = (columns - 1) * stride[1] + (taps_w - 1) * dilation[1] + 1
        line, reach = band_columns * pitch, (taps_h - 1) * dilation[0]
        x_rows = (cut.rows - 1) * stride[0] + reach + 1
        band = cut.images * x_rows * line
        block_stride = band if panels else self.width
        split = cut.blocks if panels else blocks
        # Tiles may read a little further than the packed pixels.
        g_start = band * (split if panels else 1) + 2 * self.width
        g_panel = cut.images * cut.rows * columns * self.group
        x_image, x_channel, x_row, x_column = self.x.strides
        g_image, g_channel, g_row, g_column = self.gy.strides
        row_blocks = -(-rows // cut.rows)
        words = (
            images, rows, columns, height, width, channels, per_group,
            x_image, x_row, x_column, x_channel, channels * x_channel,
            g_image, g_row, g_column, g_channel, per_group * g_channel,
            stride[0], -self.p.padding[0], -self.p.padding[2],
            taps_h, tap_columns, dilation[0] * line, dilation[1] * pitch,
            self.run, stride[1] * pitch, line, blocks, block_stride, reach, band_columns,
            self.p.groups, cut.chunks, cut.bands, -(-cut.bands // cut.chunks), row_blocks,
            cut.images, cut.rows, g_panels, cut.panels, -(-g_panels // cut.panels), g_panel,
            g_start, split, -(-blocks // split), *self._lines(cut, taps_h * tap_columns * split),
        )  # fmt: skip
        v = Variant(
            self.x.element, self.gy.element, self.compute, self.tile, self.group,
            self.layout, Order.of(x_column, x_channel, width, channels),
            Order.of(g_column, g_channel, columns, per_group),
        )  # fmt: skip
        address = load_cached(v.key, partial(partial_kernel, v))
        own = (g_start + cut.panels * g_panel) * self.compute.bytes
        return KernelCall(address, (0, 1, 3, 4), words, cut.worth_sharing), own

    def _lines(self, cut: schedule.WeightBlocks, vectors: int) -> tuple[int, int]:
        """Cache lines of the following band's gy and x to ask for at each register tile."""
        tiles = cut.panels * (self.group // self.tile.rows) * vectors
        rows = cut.rows, (cut.rows - 1) * self.p.stride[0] + 1
        lines = []
        for images, count in zip((self.gy, self.x), rows, strict=True):
            _, channels, _, columns = images.shape
            dense = images.strides[1] == 1 and images.strides[3] == channels
            length = cut.images * count * columns * channels * images.element.bytes
            lines.append(-(-length // (64 * tiles)) if dense else 0)
        return lines[0], lines[1]
