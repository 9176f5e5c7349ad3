"""Lowering of convolutions of whose results max pooling follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops import fused_conv_pool as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.conv import (
    DirectForm,
    form_of,
    forward_correlation,
    params_of,
    plan_epilogue,
    plan_forms,
)
from fovea.targets.cpu.correlation import Correlation, pooled
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.fused_conv import epilogue_of, extras_of
from fovea.targets.cpu.lowering import view_of
from fovea.targets.cpu.pool import add_max_pool
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View


@CPU.lower(ops.conv2d_max_pool)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ConvPoolAttrs, specs: Sequence[Spec]) -> Plan:
    x, weight, y = view_of(inputs[0]), view_of(inputs[1]), view_of(specs[0])
    params = params_of(a)
    size = params.output_size((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    shape = (x.shape[0], weight.shape[0], *size)
    image = View(shape, channels_last_strides(shape), x.dtype)
    stages = Stages((*inputs[:4], None, inputs[4]), specs)
    if numel(specs[0].shape) == 0:
        return stages.plan()
    epilogue = epilogue_of(stages.inputs, a)
    operands = [stages.read(0), stages.read(1), *extras_of(stages, ())]
    form = _in_one_go(forward_correlation(x, weight, image, params), y, epilogue, a)
    if form is not None:
        stages.embed(plan_forms([form], weight, epilogue), [*operands, Operand("output", 0)])
        return stages.plan()
    between = stages.scratch(numel(shape) * element(x.dtype).bytes)
    stages.embed(plan_epilogue(x, weight, image, params, epilogue), [*operands, between])
    add_max_pool(stages, between, shape, element(x.dtype), a.pool)
    return stages.plan()


def _in_one_go(
    c: Correlation, y: View, epilogue: Epilogue, a: ops.ConvPoolAttrs
) -> DirectForm | None:
    """The form that keeps a convolution's results in registers until they are pooled; None where
    Winograd's or tile registers are faster, or where their activation takes many instructions.
    """
    costly = epilogue.function is not None and epilogue.function.costly
    form = form_of(c)
    if costly or not isinstance(form, DirectForm) or form.tile.amx:
        return None
    return DirectForm.pooled(pooled(c, y, a.pool_kernel, a.pool_stride))
