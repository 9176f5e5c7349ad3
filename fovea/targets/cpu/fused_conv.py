"""Lowering of the convolutions that finish their results on the way to memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops import fused as ops
from fovea.targets.base import Plan
from fovea.targets.cpu.conv import params_of, plan_epilogue
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.lowering import view_of
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU


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
