"""Lowering of the convolutions that finish their results on the way to memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.ops import fused as ops
from fovea.targets.base import Plan
from fovea.targets.cpu.conv import form_of, forward_correlation, params_of, plan_epilogue
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.lowering import view_of
from fovea.targets.cpu.moments import merge_kernel
from fovea.targets.cpu.program import double_bits
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU

MERGE_GRAIN = 64  # channels


def _epilogue(inputs: Sequence[Any], a: ops.FusedConvAttrs) -> Epilogue:
    """The epilogue of an op whose last inputs are bias, scale and residual."""
    bias, scale, residual = (None if t is None else element(t.dtype.name) for t in inputs[-3:])
    return Epilogue(bias, scale, residual, a.activation, a.residual_after)


def _extras(stages: Stages, strides: Sequence[int]) -> list[Operand]:
    """What that epilogue reads; the residual with the result's strides."""
    *vectors, residual = range(len(stages.inputs) - 3, len(stages.inputs))
    found = [stages.read_dense(i) for i in vectors if stages.inputs[i] is not None]
    if stages.inputs[residual] is not None:
        found.append(stages.read(residual, strides))
    return found


@CPU.lower(ops.conv2d_fused)
def _(op: Any, inputs: tuple[Any, ...], a: ops.FusedConvAttrs, specs: Sequence[Any]) -> Plan:
    x, weight = map(view_of, inputs[:2])
    y = view_of(specs[0])
    stages = Stages(inputs, specs)
    extras = _extras(stages, y.strides)
    program = plan_epilogue(x, weight, y, params_of(a), _epilogue(inputs, a))
    stages.embed(program, [stages.read(0), stages.read(1), *extras, Operand("output", 0)])
    return stages.plan()


@CPU.lower(ops.conv2d_moments)
def _(op: Any, inputs: tuple[Any, ...], a: ops.ConvMomentsAttrs, specs: Sequence[Any]) -> Plan:
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
