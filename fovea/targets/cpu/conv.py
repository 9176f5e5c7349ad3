"""Convolution and its gradient to the data, planned as correlations (conv_kernel.py runs them).

The gradient to the data is itself a correlation, of the output's gradient with the weights turned
around. Where the convolution strides, input pixels fall into phases (even and odd rows and columns
for stride 2), each of which meets only some of the taps, at stride 1: one kernel call a phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import gcd
from typing import Any

from fovea.ops import conv as ops
from fovea.targets.base import Plan
from fovea.targets.cpu import schedule, winograd
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.contraction import Epilogue
from fovea.targets.cpu.conv_kernel import TABLE_SLACK, Variant, conv_kernel, zero_kernel
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.lowering import dense_copy, run_program, view_of
from fovea.targets.cpu.packing import Order, panel_builder
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvParams:
    """A convolution's parameters: padding is (top, bottom, left, right)."""

    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_size(self, size: Pair, kernel: Pair) -> Pair:
        """Height and width of the result.

        >>> ConvParams(stride=(2, 2), padding=(1, 1, 1, 1)).output_size((56, 56), (3, 3))
        (28, 28)
        """
        top, bottom, left, right = self.padding
        (height, width), (r, s) = size, kernel
        reach = self.dilation[0] * (r - 1) + 1, self.dilation[1] * (s - 1) + 1
        return (
            (height + top + bottom - reach[0]) // self.stride[0] + 1,
            (width + left + right - reach[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True)
class Correlation:
    """y[n, h, w, g, o] = sum over r, s, c of x[n, i, j, g, c] * w[g, o, c, r, s].

    There i = h * stride + origin + r * step, and j likewise. `x` and `y` are (N, C, H, W) views
    over all groups; x is zero outside its image. `grid` is the part of y that is written: every
    `spacing`-th pixel from `y_offset` on. Weight strides are by group, output, channel, row and
    column. `depthwise`: see `widened`.
    """

    x: View
    y: View
    groups: int
    channels: int
    outputs: int
    grid: Pair
    spacing: Pair
    y_offset: int
    taps: Pair
    stride: Pair
    step: Pair
    origin: Pair
    weight_strides: tuple[int, int, int, int, int]
    weight_offset: int
    depthwise: bool = False

    @property
    def contracted(self) -> int:
        """How many channels each output channel sees."""
        return 1 if self.depthwise else self.channels

    @property
    def flops(self) -> int:
        pixels = self.x.shape[0] * self.grid[0] * self.grid[1]
        products = self.groups * self.outputs * self.contracted * self.taps[0] * self.taps[1]
        return 2 * pixels * products

    def widened(self) -> Correlation:
        """Many groups of one channel as one group, computed channel by channel."""
        if self.groups == 1 or self.channels > 1 or self.outputs > 1:
            return self
        of_group, _, _, of_row, of_column = self.weight_strides
        return replace(
            self, groups=1, channels=self.groups, outputs=self.groups, depthwise=True,
            weight_strides=(0, of_group, 0, of_row, of_column),
        )  # fmt: skip

    @property
    def reach(self) -> Pair:
        return (max(self.taps[0] - 1, 0) * self.step[0], max(self.taps[1] - 1, 0) * self.step[1])

    @property
    def inside(self) -> bool:
        """Whether no tap ever falls outside the image."""
        return all(
            origin >= 0 and (n - 1) * stride + origin + reach < size
            for origin, n, stride, reach, size in zip(
                self.origin, self.grid, self.stride, self.reach, self.x.shape[2:], strict=True
            )
        )


def forward_correlation(x: View, weight: View, y: View, p: ConvParams) -> Correlation:
    """The correlation that a convolution is."""
    outputs, channels, *taps = weight.shape
    of_output, of_channel, of_row, of_column = weight.strides
    per_group = outputs // p.groups
    return Correlation(
        x, y, p.groups, channels, per_group, (y.shape[2], y.shape[3]), (1, 1), 0,
        (taps[0], taps[1]), p.stride, p.dilation, (-p.padding[0], -p.padding[2]),
        (per_group * of_output, of_output, of_channel, of_row, of_column), 0,
    )  # fmt: skip


@dataclass(frozen=True)
class _Phase:
    """Of input positions start, start + stride, ... (one dimension): the taps that reach them, and
    from where.
    """

    start: int
    count: int
    taps: int
    first_tap: int
    tap_step: int
    origin: int
    step: int


def _phases(size: int, taps: int, stride: int, padding: int, dilation: int) -> list[_Phase]:
    """The phases that any tap reaches.

    Input position i meets tap r from output (i + padding - r * dilation) / stride, where that is
    whole.
    """
    meeting: dict[int, list[int]] = {}
    for r in range(taps):
        meeting.setdefault((r * dilation - padding) % stride, []).append(r)
    tap_step = stride // gcd(stride, dilation)
    step = max(tap_step * dilation // stride, 1)
    phases = []
    for start, met in sorted(meeting.items()):
        if start < size:
            # Later taps come from earlier outputs: go through them backwards.
            origin = (start + padding - met[-1] * dilation) // stride
            count = -(-(size - start) // stride)
            phases.append(_Phase(start, count, len(met), met[-1], tap_step, origin, step))
    return phases


def input_grad_correlations(gy: View, weight: View, gx: View, p: ConvParams) -> list[Correlation]:
    """The correlations, one a phase, that make up the gradient to the data (elsewhere it is 0)."""
    outputs, channels, r, s = weight.shape
    of_output, of_channel, of_row, of_column = weight.strides
    per_group = outputs // p.groups
    down = _phases(gx.shape[2], r, p.stride[0], p.padding[0], p.dilation[0])
    across = _phases(gx.shape[3], s, p.stride[1], p.padding[2], p.dilation[1])
    return [
        Correlation(
            gy, gx, p.groups, per_group, channels, (v.count, h.count), p.stride,
            v.start * gx.strides[2] + h.start * gx.strides[3], (v.taps, h.taps),
            (1, 1), (v.step, h.step), (v.origin, h.origin),
            (
                per_group * of_output, of_channel, of_output,
                -v.tap_step * of_row, -h.tap_step * of_column,
            ),
            v.first_tap * of_row + h.first_tap * of_column,
        )
        for v in down
        for h in across
    ]  # fmt: skip


# -- planning --------------------------------------------------------------------------------------


def plan_conv2d(
    x: View,
    weight: View,
    y: View,
    params: ConvParams,
    bias: View | None = None,
    activation: str = "none",
) -> KernelProgram:
    """The program for a convolution: inputs x, weight (and bias), output y.

    Args:
        x: (N, C, H, W), any strides; y: (N, O, OH, OW) with dense channels.
        weight: (O, C / groups, kh, kw), any strides; bias: (O,), dense, or None.
    """
    numbers = (0, 1, 2 if bias is not None else None, 2 if bias is None else 3)
    c = forward_correlation(x, weight, y, params)
    return _plan([c], weight, Epilogue(bias is not None, activation), numbers)


def plan_conv2d_input_grad(gy: View, weight: View, gx: View, params: ConvParams) -> KernelProgram:
    """The program for the gradient to the data: inputs gy, weight, output gx (dense channels)."""
    correlations = input_grad_correlations(gy, weight, gx, params)
    reached = sum(c.grid[0] * c.grid[1] for c in correlations)
    first = [] if reached == gx.shape[2] * gx.shape[3] else [_zeros(gx, 2)]
    return _plan(correlations, weight, Epilogue(), (0, 1, None, 2), first)


def _zeros(images: View, number: int) -> KernelCall:
    """The call that fills images with zeros."""
    image, _, row, column = images.strides
    count, channels, rows, columns = images.shape
    address = load_cached(f"conv/zeros/{images.element}", partial(zero_kernel, images.element))
    words = (count, rows, columns, channels, image, row, column)
    return KernelCall(address, (number,), words, images.size > 65536)


def _plan(
    correlations: list[Correlation], weight: View, epilogue: Epilogue,
    numbers: tuple[int, int, int | None, int], first: Sequence[KernelCall] = (),
) -> KernelProgram:  # fmt: skip
    external = 4 if epilogue.bias else 3
    if len(correlations) == 1 and winograd.suits(correlations[0]):
        c = correlations[0]
        source = _source(replace(c, origin=(-1, -1)), f32)  # a band is needed in any case
        return winograd.plan_winograd(c, weight, epilogue, numbers, source)
    todo = [
        c.widened() for c in correlations if c.x.shape[0] * c.grid[0] * c.grid[1] * c.y.shape[1]
    ]
    packing, computing, scratch, per_thread = [], [], [], 0
    for n, c in enumerate(todo):
        compute = f64 if c.x.element is f64 else f32
        pixels = c.x.shape[0] * c.grid[0] * c.grid[1]
        tile = schedule.tile(active(), compute, pixels, c.outputs)
        pack, size = _pack_weights(c, weight, compute, tile, (numbers[1], external + n))
        own = (external + n, external + len(todo))
        call, needed = _correlate(c, compute, tile, epilogue, numbers, own)
        packing.append(pack)
        computing.append(call)
        scratch.append(size)
        per_thread = max(per_thread, needed)
    stride = -(-per_thread // 64) * 64
    computing = [replace(c, words=(*c.words[:-1], stride)) for c in computing]
    return KernelProgram([*first, *packing, *computing], external, scratch, stride)


def _pack_weights(
    c: Correlation, weight: View, compute: Element, tile: Tile, buffers: Pair
) -> tuple[KernelCall, int]:
    """The call that packs the weights into panels, and the bytes that they take."""
    width = tile.columns(active(), compute)
    group, output, channel, row, column = c.weight_strides
    order = Order.of(channel, output, c.contracted, c.outputs)
    key, build = panel_builder(weight.element, compute, width, order)
    panels = c.groups * -(-c.outputs // width)
    size = panels * width * c.taps[0] * c.taps[1] * c.contracted
    words = (
        c.groups, 1, c.groups, 0, 0, group, c.outputs, output,
        c.taps[0], row, c.taps[1], column, c.contracted, channel, c.weight_offset,
    )  # fmt: skip
    return KernelCall(load_cached(key, build), buffers, words, size > 16384), size * compute.bytes


def _correlate(
    c: Correlation, compute: Element, tile: Tile, epilogue: Epilogue,
    numbers: tuple[int, int, int | None, int], scratch: Pair,
) -> tuple[KernelCall, int]:  # fmt: skip
    """The call of the convolution kernel, and the scratch bytes that each thread needs for it.

    The last word, the distance between threads' scratch, is set when all calls of the program are
    known.
    """
    x_image, x_channel, x_row, x_column = c.x.strides
    y_image, y_channel, y_row, y_column = c.y.strides
    source = _source(c, compute)
    direct = source == "direct"
    of_row, of_column = (x_row, x_column) if direct else (0, c.channels)
    band_columns = (c.grid[1] - 1) * c.stride[1] + c.reach[1] + 1
    if not direct:
        of_row = band_columns * c.channels
    taps, run = c.taps, c.contracted
    if taps[1] and c.step[1] == 1 and of_column == c.contracted:
        # Neighboring taps are neighbors in memory.
        taps, run = (taps[0], 1), taps[1] * c.channels
    width = tile.columns(active(), compute)
    panels = -(-c.outputs // width)
    line = of_row * compute.bytes if not direct else c.grid[1] * c.channels * compute.bytes
    halo = max(c.reach[0] + 1 - c.stride[0], 0) * line
    blocks = schedule.image_blocks(
        c.x.shape[0], *c.grid, c.groups, panels, c.flops, c.stride[0] * line, halo
    )
    band = 0
    if not direct:
        band_rows = (blocks.rows - 1) * c.stride[0] + c.reach[0] + 1
        band = -(-blocks.images * band_rows * line // 64) * 64
    entries = blocks.images * blocks.rows * c.grid[1] + TABLE_SLACK
    words = (
        c.x.shape[0], *c.grid, *c.x.shape[2:], c.channels, c.outputs,
        x_image, x_row, x_column, x_channel, c.channels * x_channel,
        y_image, y_row * c.spacing[0], y_column * c.spacing[1], c.outputs * y_channel, c.y_offset,
        *c.stride, *c.origin, *taps, run, c.step[0] * of_row, c.step[1] * of_column,
        c.reach[0], band_columns,
        c.groups, blocks.images, -(-c.x.shape[0] // blocks.images),
        blocks.rows, -(-c.grid[0] // blocks.rows),
        panels, blocks.panels, -(-panels // blocks.panels),
        c.taps[0] * c.taps[1] * c.contracted * width, band, 0,
    )  # fmt: skip
    v = Variant(c.x.element, c.y.element, compute, tile, source, epilogue, c.depthwise)
    bias = () if numbers[2] is None else (numbers[2],)
    buffers = (numbers[0], scratch[0], *bias, numbers[3], scratch[1])
    address = load_cached(v.key, partial(conv_kernel, v))
    return KernelCall(address, buffers, words, blocks.worth_sharing), band + 16 * entries


def _source(c: Correlation, compute: Element) -> str:
    """How the kernel reads the images: in place where nothing needs changing."""
    _, channel, _, column = c.x.strides
    dense = channel == 1 or c.channels == 1
    if c.x.element is compute and dense and c.inside:
        return "direct"
    if dense and c.groups == 1 and column == c.channels:
        return "dense"
    return Order.of(column, channel, c.x.shape[3], c.channels).value


# -- lowerings -------------------------------------------------------------------------------------


def _params(a: ops.ConvAttrs | ops.ConvInputGradAttrs | ops.ConvWeightGradAttrs) -> ConvParams:
    return ConvParams(a.stride, a.padding, a.dilation, a.groups)


@CPU.lower(ops.conv2d)
def _(op: Any, inputs: tuple[Any, ...], attrs: ops.ConvAttrs, specs: Sequence[Any]) -> Plan:
    x, weight, bias = (None if t is None else view_of(t) for t in inputs)
    assert x is not None and weight is not None
    if bias is not None and bias.strides != (1,) and bias.shape != (1,):
        copied = View.dense(bias.shape, bias.dtype)
        program = plan_conv2d(x, weight, view_of(specs[0]), _params(attrs), copied)
        return prepared(
            run_program(program, specs[0]), {2: dense_copy(bias, bias.shape, inputs[2].dtype)}
        )
    return run_program(plan_conv2d(x, weight, view_of(specs[0]), _params(attrs), bias), specs[0])


@CPU.lower(ops.conv2d_input_grad)
def _(
    op: Any, inputs: tuple[Any, ...], attrs: ops.ConvInputGradAttrs, specs: Sequence[Any]
) -> Plan:
    gy, weight = map(view_of, inputs)
    program = plan_conv2d_input_grad(gy, weight, view_of(specs[0]), _params(attrs))
    return run_program(program, specs[0])


@CPU.lower(ops.conv2d_weight_grad)
def _(
    op: Any, inputs: tuple[Any, ...], attrs: ops.ConvWeightGradAttrs, specs: Sequence[Any]
) -> Plan:
    from fovea.targets.cpu.conv_weight_grad import plan_conv2d_weight_grad

    gy, x = map(view_of, inputs)
    gw = View.dense(tuple(specs[0].shape), specs[0].dtype.name)
    return run_program(plan_conv2d_weight_grad(gy, x, gw, _params(attrs)), specs[0])
