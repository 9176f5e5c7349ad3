"""Lowering of the convolutions that finish their results on the way to memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.errors import ArgumentError
from fovea.ops import fused as ops
from fovea.ops.conv import ConvAttrs
from fovea.ops.op import Op, Shaped
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.conv import (
    DirectForm,
    Form,
    form_of,
    forward_correlation,
    params_of,
    plan_epilogue,
    plan_packed,
)
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.lowering import run_program, view_of
from fovea.targets.cpu.moments import merge_kernel
from fovea.targets.cpu.program import KernelProgram, double_bits
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View

__all__ = ["conv2d_packing", "epilogue_of", "extras_of"]

MERGE_GRAIN = 64  # channels


def epilogue_of(inputs: Sequence[Any], a: ops.FusedConvAttrs) -> Epilogue:
    """The epilogue of an op whose last inputs are bias, scale, residual and inner bias."""
    bias, scale, residual, inner = (
        None if t is None else element(t.dtype.name) for t in inputs[-4:]
    )
    return Epilogue(bias, scale, residual, a.activation, a.residual_after, inner=inner)


def extras_of(stages: Stages, strides: Sequence[int]) -> list[Operand]:
    """What that epilogue reads; the residual with the result's strides."""
    residual = len(stages.inputs) - 2
    return [
        stages.read(i, strides) if i == residual else stages.read_dense(i)
        for i in range(residual - 2, residual + 2)
        if stages.inputs[i] is not None
    ]


@CPU.lower(ops.conv2d_fused)
def _(op: Op, inputs: tuple[Any, ...], a: ops.FusedConvAttrs, specs: Sequence[Any]) -> Plan:
    x, weight = map(view_of, inputs[:2])
    y = view_of(specs[0])
    stages = Stages(inputs, specs)
    extras = extras_of(stages, y.strides)
    program = plan_epilogue(x, weight, y, params_of(a), epilogue_of(inputs, a))
    stages.embed(program, [stages.read(0), stages.read(1), *extras, Operand("output", 0)])
    return stages.plan()


@CPU.lower(ops.conv2d_moments)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ConvMomentsAttrs, specs: Sequence[Any]) -> Plan:
    x, weight = map(view_of, inputs[:2])
    y, channels, statistic = view_of(specs[0]), specs[0].shape[1], element(specs[1].dtype.name)
    stages = Stages(inputs, specs)
    bias = [] if inputs[2] is None else [stages.read_dense(2)]
    kind = None if inputs[2] is None else element(inputs[2].dtype.name)
    form = form_of(forward_correlation(x, weight, y, params_of(a)))
    parts, compute = form.parts, form.compute
    partials = stages.scratch(2 * parts.count * channels * compute.bytes)
    program = plan_epilogue(x, weight, y, params_of(a), Epilogue(kind, moments=True))
    operands = [stages.read(0), stages.read(1), *bias, Operand("output", 0), partials]
    stages.embed(program, operands)
    pieces = -(-channels // MERGE_GRAIN)
    words = (channels, MERGE_GRAIN, pieces, *parts.words, double_bits(a.eps))
    shared = pieces > 1 and worth_sharing(2 * parts.count * channels * compute.bytes)
    results = [partials, *(Operand("output", i) for i in (1, 2, 3))]
    build = partial(merge_kernel, compute, statistic)
    stages.call(f"moments/{compute}/{statistic}", build, results, words, shared)
    return stages.plan()


# -- packed weights --------------------------------------------------------------------------------


def conv2d_packing(x: Shaped, weight: Shaped, a: ConvAttrs) -> ops.ConvPackAttrs:
    """How to pack weights for convolutions of images like x: the attributes of `conv2d_pack`."""
    form = _form(tuple(x.shape), tuple(weight.shape), weight.dtype.name, a)
    return ops.ConvPackAttrs.of(
        a.stride, a.padding, a.dilation, a.groups, tuple(x.shape), form.packing, form.numbers
    )


def _form(
    image: tuple[int, ...],
    weight: tuple[int, ...],
    dtype: str,
    a: ConvAttrs,
    w: View | None = None,
    x: View | None = None,
) -> Form:
    """The form of a convolution of these shapes; of these views, where they matter."""
    x = x or View(image, channels_last_strides(image), dtype)
    w = w or View.dense(weight, dtype)
    params = params_of(a)
    size = params.output_size((image[2], image[3]), (weight[2], weight[3]))
    shape = (image[0], weight[0], *size)
    y = View(shape, channels_last_strides(shape), dtype)
    return form_of(forward_correlation(x, w, y, params))


def _check_packing(op: Op, form: Form, packing: str, count: int) -> None:
    """ArgumentError unless that is how the form wants its weights (on this machine's vectors)."""
    if (packing, count) != (form.packing, form.numbers):
        raise ArgumentError(
            f"{op.name}: weights as {packing} ({count} numbers), the convolution reads "
            f"{form.packing} ({form.numbers}).",
            fix="pack them again, with the attributes that conv2d_packing gives here",
        )


@CPU.lower(ops.conv2d_pack)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ConvPackAttrs, specs: Sequence[Any]) -> Plan:
    weight = view_of(inputs[0])
    form = _form(a.image, weight.shape, weight.dtype, a, w=weight)
    _check_packing(op, form, a.packing, a.count)
    return run_program(KernelProgram([form.pack(weight, (0, 1))], external=2), specs[0])


@CPU.lower(ops.conv2d_packed)
def _(op: Op, inputs: tuple[Any, ...], a: ops.PackedConvAttrs, specs: Sequence[Any]) -> Plan:
    x, packed = map(view_of, inputs[:2])
    form = _form(x.shape, a.weight, x.dtype, a)
    stages = Stages(inputs, specs)
    if (
        isinstance(form, DirectForm) and form.pairs
    ):  # packed for images whose channels are neighbors
        images = stages.read(0, channels_last_strides(x.shape))
    else:
        images = stages.read(0)
        form = _form(x.shape, a.weight, x.dtype, a, x=x)
    _check_packing(op, form, a.packing, packed.size)
    operands = [images, stages.read_dense(1), *extras_of(stages, view_of(specs[0]).strides)]
    program = plan_packed(form, epilogue_of(inputs, a))
    stages.embed(program, [*operands, Operand("output", 0)])
    return stages.plan()
