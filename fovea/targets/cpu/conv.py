"""Planning and lowering of convolution and of its gradient to the data.

A correlation has one of three forms: direct (conv_kernel.py), Winograd's (winograd.py), or in
planes of a channel each (conv_planes.py). A form says how weights are packed, and makes the calls
that read them packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fovea.ops import conv as ops
from fovea.ops.epilogue import NONE, Activation
from fovea.targets.base import Plan
from fovea.targets.cpu import conv_planes, depthwise, schedule, winograd
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.conv_kernel import TABLE_SLACK, Taps, Variant, conv_kernel, zero_kernel
from fovea.targets.cpu.conv_planes import PlanesForm
from fovea.targets.cpu.correlation import (
    ConvParams,
    Correlation,
    forward_correlation,
    input_grad_correlations,
    source_of,
)
from fovea.targets.cpu.elements import Element, bf16_pair, f32, f64
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.lowering import dense_copy, run_program, view_of
from fovea.targets.cpu.moments import Parts
from fovea.targets.cpu.packing import Order, panel_builder
from fovea.targets.cpu.pair_packing import in_pairs, pair_panel_builder, pairs_suit, tile_of_several
from fovea.targets.cpu.program import Draft, KernelCall, KernelProgram
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View
from fovea.targets.cpu.winograd import WinogradForm

__all__ = [
    "ConvParams",
    "DirectForm",
    "Form",
    "form_of",
    "forward_correlation",
    "input_grad_correlations",
    "params_of",
    "plan_conv2d",
    "plan_conv2d_input_grad",
    "plan_epilogue",
    "plan_forms",
    "plan_packed",
]


Pair = tuple[int, int]

MOST_STEPS = 32  # of the contracted index that are written out


@dataclass(frozen=True)
class DirectForm:
    """A correlation as tiles of pixels against panels of packed weights."""

    c: Correlation
    compute: Element
    tile: Tile
    several: Element | None = None
    border: int = 0

    @staticmethod
    def pooled(c: Correlation) -> DirectForm | None:
        """Of a correlation of whose results y has the largest of each window; None where that is
        not done in one go: windows are too large for a tile, or panels for the cache. Windows of
        one result only leave some out.
        """
        if c.window == (1, 1):
            return DirectForm.of(c)
        c, compute = c.widened(), f64 if c.x.element is f64 else f32
        pairs = pairs_suit(c)
        tile = schedule.window_tile(active(), compute, c.window[0] * c.window[1], c.outputs)
        if tile is None:
            return None
        form = DirectForm(in_pairs(c) if pairs else c, compute, tile, bf16_pair if pairs else None)
        return None if form.blocked else form

    @staticmethod
    def of(c: Correlation) -> DirectForm:
        c, compute = c.widened(), f64 if c.x.element is f64 else f32
        if pairs_suit(c):
            c = in_pairs(c)
            return DirectForm(c, compute, tile_of_several(c, compute), bf16_pair)
        pixels = c.x.shape[0] * c.grid[0] * c.grid[1]
        c = c.interleaved(active().lanes(compute.bytes))
        if c.mixed > 1:
            return DirectForm(c, compute, schedule.group_tile(active(), pixels))
        if depthwise.suits(c):
            return DirectForm(c, compute, depthwise.tile(active(), compute, c.grid[1], c.outputs))
        tile = schedule.tile(active(), compute, pixels, c.outputs, halves=True, tails=True)
        return DirectForm(c, compute, tile)._fitted()

    def _fitted(self) -> DirectForm:
        """The same with a tile that wastes few rows of pieces."""
        if self.c.depthwise or not self.c.y.size:
            return self
        blocks, _, _ = self._cut(source_of(self.c, self.operand) == "direct")
        images, rows = self.c.x.shape[0], self.c.grid[0]
        pieces = [
            (n * m, image * row * self.c.grid[1])
            for n, image in _parts(images, blocks.images)
            for m, row in _parts(rows, blocks.rows)
        ]
        return replace(self, tile=schedule.fitted(self.tile, pieces))

    @property
    def width(self) -> int:
        return self.tile.columns(active(), self.compute)

    @property
    def panels(self) -> int:
        """Of one group."""
        return -(-self.c.outputs // self.width)

    @property
    def tail(self) -> int:
        """How many vectors of a group's last panel hold columns; 0 if all of them do."""
        lanes = self.tile.lanes(active(), self.compute)
        vectors = -(-(self.c.outputs - (self.panels - 1) * self.width) // lanes)
        plain = self.c.window == (1, 1) and not self.c.depthwise and not self.tile.amx
        return vectors if plain and vectors < self.tile.vectors else 0

    @property
    def panel_size(self) -> int:
        return self.c.taps[0] * self.c.taps[1] * self.c.contracted * self.width

    @property
    def blocked(self) -> bool:
        """Whether a panel is so large that the contracted index is gone through in blocks."""
        large = self.panel_size * self.compute.bytes > schedule.panel_limit(active())
        return large and not self.c.depthwise and not self.tile.amx

    @property
    def gathers(self) -> bool:
        """Whether what pixels see is gathered for tile registers: those of one tap that is where
        its pixel is, in images without gaps, lie as they should.
        """
        c = self.c
        of_image, _, of_row, of_column = c.x.strides
        images, _, high, wide = c.x.shape
        dense = high == 1 or of_row == wide * of_column
        dense = dense and (images == 1 or of_image == high * wide * of_column)
        one = c.taps == (1, 1) and c.grid == (high, wide) and c.inside
        direct = source_of(c, self.operand) == "direct"
        return self.tile.amx and not (direct and dense and one)

    @property
    def packed(self) -> int:
        """How many numbers the packed weights are."""
        return self.c.groups * self.panels * self.panel_size

    @property
    def pairs(self) -> bool:
        """Whether pairs of bfloat16 are multiplied."""
        return self.several is bf16_pair

    @property
    def numbers(self) -> int:
        """How many float32 hold them between ops: no fewer than there are weights."""
        return self.packed * (2 if self.pairs else 1)

    @property
    def operand(self) -> Element:
        """What is multiplied."""
        return self.several or self.compute

    @property
    def parts(self) -> Parts:
        """How moments are gathered: a piece of work at a time."""
        direct = self._by_channels or source_of(self.c, self.operand) == "direct"
        blocks, _, _ = self._cut(direct)
        return Parts((self.c.x.shape[0], *self.c.grid), blocks.images, blocks.rows)

    @property
    def packing(self) -> str:
        """Names how they lie."""
        return f"{'pairs' if self.pairs else 'panels'}{self.width}"

    def pack(self, weight: View, buffers: tuple[int, int]) -> KernelCall:
        """The call that packs the weights into panels."""
        c = self.c
        group, output, channel, row, column = c.weight_strides
        contracted = c.contracted * (2 if self.pairs else 1)
        order = Order.of(channel, output, contracted, c.outputs)
        if self.pairs:
            key, build = pair_panel_builder(weight.element, self.width, order)
        else:
            key, build = panel_builder(weight.element, self.compute, self.width, order)
        words = (
            c.groups, 1, c.groups, 0, 0, group, c.outputs, output,
            c.taps[0], row, c.taps[1], column, contracted, channel, c.weight_offset,
        )  # fmt: skip
        address = load_cached(key, build)
        return KernelCall(address, buffers, words, self.packed > 16384, packs=True)

    def compute_into(
        self, draft: Draft, operands: Sequence[int], results: Sequence[int], epilogue: Epilogue
    ) -> None:
        """Add the call that computes the results (y, and partial moments if asked for) from images,
        packed weights and what the epilogue reads.
        """
        c = self.c
        if self._by_channels:
            draft.add(self._depthwise_call((*operands, *results), epilogue))
            return
        v = Variant(
            c.x.element, c.y.element, self.compute, self.tile, source_of(c, self.operand), epilogue,
            c.depthwise, self.blocked, self.several, self.border, *self._written_out(),
            mixed=c.mixed, gathers=self.gathers, tail=self.tail,
        )  # fmt: skip
        blocks, sizes, band = self._cut(v.source == "direct")
        entries = blocks.images * blocks.rows * c.grid[1] + TABLE_SLACK
        waiting = -(-(band + 16 * entries) // 64) * 64
        sums = entries * self.width * self.compute.bytes if self.blocked else 0
        line = schedule.spread(c.taps[0] * c.taps[1] * c.contracted) * self.operand.bytes
        gathered = schedule.gathered_rows(entries, line) if self.gathers else 0
        own = draft.thread_scratch(waiting + sums + gathered * line)
        run_block = schedule.RUN_BLOCK_BYTES // (self.width * self.compute.bytes)
        words = (*sizes, run_block, gathered, band, waiting, own.stride, *epilogue.words)
        buffers = (*operands, *results, own.number)
        address = load_cached(v.key, partial(conv_kernel, v))
        draft.add(KernelCall(address, buffers, words, blocks.worth_sharing))

    @property
    def _by_channels(self) -> bool:
        """Whether the kernel of depthwise convolutions computes it."""
        return depthwise.suits(self.c) and depthwise.readable(self.c)

    def _depthwise_call(self, buffers: Sequence[int], epilogue: Epilogue) -> KernelCall:
        blocks, _, _ = self._cut(direct=True)
        return depthwise.call(
            self.c, self.compute, self.tile, self.width, self.panel_size, blocks, buffers, epilogue
        )

    @property
    def _band_columns(self) -> int:
        return (self.c.grid[1] - 1) * self.c.stride[1] + self.c.reach[1] + 1

    def _steps(self, direct: bool) -> Pair:
        """From a row, and from a column, to the next, in the images or in a band of them."""
        c = self.c
        if direct:
            return c.x.strides[2], c.x.strides[3]
        return self._band_columns * c.channels, c.channels

    def _taps(self, direct: bool) -> Taps:
        c, (of_row, of_column) = self.c, self._steps(direct)
        (high, wide), run = c.taps, c.contracted
        if wide and c.step[1] == 1 and of_column == c.contracted:
            # Neighboring taps are neighbors in memory.
            wide, run = 1, wide * c.channels
        return Taps(high, wide, run, c.step[0] * of_row, c.step[1] * of_column)

    def _written_out(self) -> tuple[tuple[int, ...], Taps | None]:
        """What a kernel knows beforehand: where the results of a window come from, and taps that
        are few. Only kernels with windows do: they belong to programs, which keep to their shapes.
        """
        if self.c.window == (1, 1):
            return (0,), None
        direct = source_of(self.c, self.operand) == "direct"
        steps = [n * m for n, m in zip(self._steps(direct), self.c.window_step, strict=True)]
        high, wide = self.c.window
        window = tuple(i * steps[0] + j * steps[1] for i in range(high) for j in range(wide))
        taps = self._taps(direct)
        few = taps.high * taps.wide * taps.run <= MOST_STEPS and not self.c.depthwise
        return window, taps if few else None

    def _cut(self, direct: bool) -> tuple[schedule.ImageBlocks, tuple[int, ...], int]:
        """How the work is cut, the kernel's first sizes, and the bytes of a band."""
        c = self.c
        x_image, x_channel, x_row, x_column = c.x.strides
        y_image, y_channel, y_row, y_column = c.y.strides
        (of_row, _), band_columns, taps = (
            self._steps(direct),
            self._band_columns,
            self._taps(direct),
        )
        pixels = c.grid[1] * c.window[1]
        line = (of_row if not direct else pixels * c.channels) * self.compute.bytes
        halo = max(c.reach[0] + 1 - c.stride[0], 0) * line
        blocks = schedule.image_blocks(
            c.x.shape[0], *c.grid, c.groups, self.panels, c.flops // self.tile.speed,
            c.stride[0] * line, halo, self.blocked,
        )  # fmt: skip
        band = 0
        if not direct:
            band_rows = (blocks.rows - 1) * c.stride[0] + c.reach[0] + 1
            band = -(-blocks.images * band_rows * line // 64) * 64
        sizes = (
            c.x.shape[0], *c.grid, *c.x.shape[2:], c.channels, c.outputs,
            x_image, x_row, x_column, x_channel, c.channels * x_channel,
            y_image, y_row * c.spacing[0], y_column * c.spacing[1], c.outputs * y_channel,
            c.y_offset, *c.stride, *c.origin, *taps, c.reach[0], band_columns,
            c.groups, blocks.images, -(-c.x.shape[0] // blocks.images),
            blocks.rows, -(-c.grid[0] // blocks.rows),
            self.panels, blocks.panels, -(-self.panels // blocks.panels), self.panel_size,
        )  # fmt: skip
        return blocks, sizes, band


def _parts(total: int, block: int) -> list[Pair]:
    """How many blocks there are, of which sizes."""
    return [(total // block, block), *([(1, total % block)] if total % block else [])]


Form = DirectForm | PlanesForm | WinogradForm


def form_of(c: Correlation) -> Form:
    """The form that suits a correlation; it depends on shapes, element types and the vector unit,
    and on strides only for pairs of bfloat16. Tile registers are faster than Winograd's form.
    """
    direct = DirectForm.of(c)
    if winograd.suits(c) and not direct.tile.amx:
        return WinogradForm.of(c)
    return PlanesForm.of(c) if conv_planes.suits(c) else direct


# -- planning --------------------------------------------------------------------------------------


def plan_conv2d(
    x: View,
    weight: View,
    y: View,
    params: ConvParams,
    bias: View | None = None,
    activation: Activation = NONE,
) -> KernelProgram:
    """The program for a convolution: inputs x, weight (and bias), output y.

    Args:
        x: (N, C, H, W), any strides; y: (N, O, OH, OW) with dense channels.
        weight: (O, C / groups, kh, kw), any strides; bias: (O,), dense, or None.
    """
    epilogue = Epilogue(None if bias is None else bias.element, activation=activation)
    return plan_epilogue(x, weight, y, params, epilogue)


def plan_epilogue(
    x: View, weight: View, y: View, params: ConvParams, epilogue: Epilogue
) -> KernelProgram:
    """The program for a convolution with an epilogue: inputs x, weight and what the epilogue reads
    (vectors dense, the residual with y's strides), output y, then partial moments (see
    `moments.merge_kernel`) if they are asked for.
    """
    return _plan([forward_correlation(x, weight, y, params)], weight, epilogue)


def plan_forms(
    forms: Sequence[Form],
    weight: View,
    epilogue: Epilogue,
    first: Sequence[KernelCall] = (),
) -> KernelProgram:
    """The program for correlations in these forms: inputs and outputs as of `plan_epilogue`."""
    extras = range(2, 2 + len(epilogue.buffers))
    results = range(extras.stop, extras.stop + 1 + epilogue.moments)
    draft = Draft(results.stop, first)
    if len(forms) == 1 and isinstance(forms[0], WinogradForm) and forms[0].in_slabs:
        operands = (0, 1, *extras)
        forms[0].compute_by_slabs(draft, weight, operands, results, epilogue)
        return draft.program()
    packed = [draft.scratch(form.packed * form.compute.bytes) for form in forms]
    for form, number in zip(forms, packed, strict=True):
        draft.add(form.pack(weight, (1, number)))
    for form, number in zip(forms, packed, strict=True):
        form.compute_into(draft, (0, number, *extras), results, epilogue)
    return draft.program()


def plan_packed(form: Form, epilogue: Epilogue) -> KernelProgram:
    """The program for a convolution with packed weights: inputs x, the weights and what the
    epilogue reads, output y.
    """
    extras = range(2, 2 + len(epilogue.buffers))
    draft = Draft(extras.stop + 1)
    if form.c.y.size:
        form.compute_into(draft, (0, 1, *extras), (extras.stop,), epilogue)
    return draft.program()


def plan_conv2d_input_grad(gy: View, weight: View, gx: View, params: ConvParams) -> KernelProgram:
    """The program for the gradient to the data: inputs gy, weight, output gx (dense channels)."""
    correlations = input_grad_correlations(gy, weight, gx, params)
    reached = sum(c.grid[0] * c.grid[1] for c in correlations)
    first = [] if reached == gx.shape[2] * gx.shape[3] else [_zeros(gx, 2)]
    return _plan(correlations, weight, Epilogue(), first)


def _zeros(images: View, number: int) -> KernelCall:
    """The call that fills images with zeros."""
    image, _, row, column = images.strides
    count, channels, rows, columns = images.shape
    address = load_cached(f"conv/zeros/{images.element}", partial(zero_kernel, images.element))
    words = (count, rows, columns, channels, image, row, column)
    return KernelCall(address, (number,), words, images.size > 65536)


def _plan(
    correlations: Sequence[Correlation],
    weight: View,
    epilogue: Epilogue,
    first: Sequence[KernelCall] = (),
) -> KernelProgram:
    """Pack the weights of all correlations, then compute them."""
    forms = [
        form_of(c) for c in correlations if c.x.shape[0] * c.grid[0] * c.grid[1] * c.y.shape[1]
    ]
    return plan_forms(forms, weight, epilogue, first)


# -- lowerings -------------------------------------------------------------------------------------


def params_of(a: ops.AnyConvAttrs) -> ConvParams:
    """An op's attributes as planners take them."""
    return ConvParams(a.stride, a.padding, a.dilation, a.groups)


@CPU.lower(ops.conv2d)
def _(op: Any, inputs: tuple[Any, ...], attrs: ops.ConvAttrs, specs: Sequence[Any]) -> Plan:
    x, weight, bias = (None if t is None else view_of(t) for t in inputs)
    assert x is not None and weight is not None
    params, y = params_of(attrs), view_of(specs[0])
    if bias is not None and bias.strides != (1,) and bias.shape != (1,):
        copied = View.dense(bias.shape, bias.dtype)
        plan = run_program(plan_conv2d(x, weight, y, params, copied), specs[0])
        return prepared(plan, {2: dense_copy(bias, bias.shape, inputs[2].dtype)})
    return run_program(plan_conv2d(x, weight, y, params, bias), specs[0])


@CPU.lower(ops.conv2d_input_grad)
def _(
    op: Any, inputs: tuple[Any, ...], attrs: ops.ConvInputGradAttrs, specs: Sequence[Any]
) -> Plan:
    gy, weight = map(view_of, inputs)
    program = plan_conv2d_input_grad(gy, weight, view_of(specs[0]), params_of(attrs))
    return run_program(program, specs[0])


@CPU.lower(ops.conv2d_weight_grad)
def _(
    op: Any, inputs: tuple[Any, ...], attrs: ops.ConvWeightGradAttrs, specs: Sequence[Any]
) -> Plan:
    from fovea.targets.cpu.conv_weight_grad import plan_conv2d_weight_grad

    gy, x = map(view_of, inputs)
    gw = View.dense(tuple(specs[0].shape), specs[0].dtype.name)
    return run_program(plan_conv2d_weight_grad(gy, x, gw, params_of(attrs)), specs[0])
