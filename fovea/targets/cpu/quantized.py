"""Lowering of convolutions of bytes: correlations whose channels come four at a time.

An instruction of AVX-512 VNNI adds the products of four unsigned with four signed bytes to an
int32, one of AMX does so for whole tiles; elsewhere shifts do the same. Images are seen as a
quarter of the channels, elements of four bytes, and weights are packed likewise; tiles, bands and
epilogues are those of other convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fovea.ops import quantized as ops
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.conv import DirectForm, forward_correlation, params_of
from fovea.targets.cpu.correlation import Correlation
from fovea.targets.cpu.elements import byte_quad, f32, i8, i32, u8, u32
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.lowering import view_of
from fovea.targets.cpu.packing import PANEL_SIZES, fill_line
from fovea.targets.cpu.pair_packing import tile_of_several
from fovea.targets.cpu.program import Draft, KernelCall
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View
from fovea.targets.reference import reference_plan

__all__ = ["byte_form", "quad_panel_kernel"]

GROUP = 4  # bytes of an element


def byte_form(c: Correlation, border: int) -> DirectForm:
    """The form of a correlation whose channels are a multiple of four."""
    images, channels, *size = c.x.shape
    of_image, _, of_row, of_column = c.x.strides
    strides = (of_image // GROUP, 1, of_row // GROUP, of_column // GROUP)
    x = View((images, channels // GROUP, *size), strides, byte_quad.name)
    c = replace(c, x=x, channels=c.channels // GROUP)
    pattern = border * 0x01010101
    border = pattern - (1 << 32) * (pattern >> 31)
    return DirectForm(c, i32, tile_of_several(c, i32), byte_quad, border)


def quad_panel_kernel(width: int) -> Kernel:
    """As `packing.panel_kernel`, of signed bytes, with four of the inner index as an element."""
    k = Kernel(f"pack_quads_{width}", (("source", i8), ("target", byte_quad)), PANEL_SIZES)
    w, panels = k.buffers
    (groups, group1, group2, stride0, stride1, stride2, columns, column_stride,
     outer, outer_stride, middle, middle_stride, inner, inner_stride, offset) = k.sizes  # fmt: skip
    panel_count = (columns + (width - 1)) // width
    with k.parallel(groups * panel_count) as piece:
        group, panel = piece // panel_count, piece % panel_count
        first = panel * width
        count = k.smaller(columns - first, width)
        at = group // group2 // group1 * stride0 + group // group2 % group1 * stride1
        start = w.at(offset + at + group % group2 * stride2 + first * column_stride)
        quads = inner // GROUP
        into = panels.at(piece * (outer * middle * quads * width))
        with k.if_(count < width):
            fill_line(k, into, outer * middle * quads * width)
        with k.loop(0, outer) as a, k.loop(0, middle) as b, k.loop(0, quads) as quad:
            line = start.at(a * outer_stride + b * middle_stride + quad * GROUP * inner_stride)
            target = into.at(((a * middle + b) * quads + quad) * width)
            with k.loop(0, count) as column:
                bits = k.const(0, u32)
                for i in range(GROUP):
                    one = k.load(line, column * column_stride + i * inner_stride)
                    bits = bits | (k.cast(k.cast(one, u8), u32) << (8 * i))
                k.store(k.cast(bits, byte_quad), target, column)
    return k


@CPU.lower(ops.conv2d_bytes)
def _(op: Any, inputs: tuple[Any, ...], a: ops.ByteConvAttrs, specs: Sequence[Any]) -> Plan:
    weight = view_of(inputs[1])
    if weight.shape[1] % GROUP or not all(specs[0].shape):
        return reference_plan(op, a, specs)
    shape = tuple(inputs[0].shape)
    x, y = View(shape, channels_last_strides(shape), "uint8"), view_of(specs[0])
    form = byte_form(forward_correlation(x, weight, y, params_of(a)), a.border)
    c = form.c
    group, output, channel, row, column = c.weight_strides
    words = (
        c.groups, 1, c.groups, 0, 0, group, c.outputs, output, c.taps[0], row, c.taps[1], column,
        c.channels * GROUP, channel, c.weight_offset,
    )  # fmt: skip
    pack = load_cached(f"pack-quads/{form.width}", partial(quad_panel_kernel, form.width))
    draft = Draft(5)
    packed = draft.scratch(form.packed * byte_quad.bytes)
    draft.add(KernelCall(pack, (1, packed), words, form.packed > 16384, packs=True))
    form.compute_into(draft, (0, packed, 3, 2), (4,), Epilogue(f32, f32))
    stages = Stages(inputs, specs)
    operands = [
        stages.read(0, x.strides), stages.read(1), stages.read_dense(2), stages.read_dense(3),
        Operand("output", 0),
    ]  # fmt: skip
    stages.embed(draft.program(), operands)
    return stages.plan()
