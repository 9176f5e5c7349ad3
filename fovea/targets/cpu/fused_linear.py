"""Lowering of the matrix products that finish their results on the way to memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.ops import fused as ops
from fovea.ops.op import Op, Shaped, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import element, f32
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.lowering import run_program, view_of
from fovea.targets.cpu.matmul import PackedForm, packs_right, pairs_suit, plan_product, plannable
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View

__all__ = ["linear_packing", "worth_packing"]


def _epilogue(inputs: Sequence[Any], a: ops.FusedLinearAttrs) -> Epilogue:
    """The epilogue of an op whose last inputs are bias and residual."""
    bias, residual = (None if t is None else element(t.dtype.name) for t in inputs[-2:])
    return Epilogue(bias, None, residual, a.activation, a.residual_after)


def _planned(stages: Stages, program: KernelProgram, operands: Sequence[Operand]) -> Plan:
    """The plan of a program whose first inputs are these operands."""
    extras = [stages.read_dense(i) for i in (2, 3) if stages.inputs[i] is not None]
    stages.embed(program, [*operands, *extras, Operand("output", 0)])
    return stages.plan()


def _rows(t: Any) -> View:
    """An operand with at least two dimensions: a single row has one."""
    v = view_of(t)
    return View((1, *v.shape), (0, *v.strides), v.dtype) if len(v.shape) == 1 else v


@CPU.lower(ops.linear_fused)
def _(op: Op, inputs: tuple[Any, ...], a: ops.FusedLinearAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    x, weight = _rows(inputs[0]), view_of(inputs[1]).flipped()
    first = stages.read(0)
    if not plannable(x, weight):
        x, first = View.dense(x.shape, x.dtype), stages.read_dense(0)
    program = plan_product(x, weight, _epilogue(inputs, a))
    return _planned(stages, program, [first, stages.read(1)])


@CPU.lower(ops.matmul_fused)
def _(op: Op, inputs: tuple[Any, ...], a: ops.FusedLinearAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    left, right = map(view_of, inputs[:2])
    operands = [stages.read(0), stages.read(1)]
    if not plannable(left, right):  # batch dimensions that do not merge
        batch = tuple(specs[0].shape[:-2])
        left, right = (View.dense((*batch, *v.shape[-2:]), v.dtype) for v in (left, right))
        operands = [stages.read_dense(0, left.shape), stages.read_dense(1, right.shape)]
    return _planned(stages, plan_product(left, right, _epilogue(inputs, a)), operands)


# -- packed weights --------------------------------------------------------------------------------


def linear_packing(x: Shaped, weight: Shaped) -> ops.LinearPackAttrs:
    """How to pack weights (out, in) for products with such an x: `linear_pack`'s attributes."""
    form = _form(numel(x.shape[:-1]), weight.shape[1], weight.shape[0], weight.dtype.name)
    return ops.LinearPackAttrs.of(form.rows, form.packing, form.packed)


def worth_packing(x: Shaped, weight: Shaped) -> bool:
    """Whether products with weights (out, in) that never change should have them packed before: the
    kernels for few rows read them as they are.
    """
    strides = weight.strides or contiguous_strides(weight.shape)
    rows = View.dense((numel(x.shape[:-1]), x.shape[-1]), x.dtype.name)
    return packs_right(rows, View(tuple(weight.shape), strides, weight.dtype.name).flipped())


def _form(rows: int, run: int, columns: int, dtype: str) -> PackedForm:
    compute = element(dtype) if dtype == "float64" else f32
    return PackedForm(rows, run, columns, compute, pairs_suit(dtype, rows, run, columns))


def _check_packing(op: Op, form: PackedForm, packing: str, count: int) -> None:
    """ArgumentError unless that is how the form wants its weights (on this machine's vectors)."""
    if (packing, count) != (form.packing, form.packed):
        raise ArgumentError(
            f"{op.name}: weights as {packing} ({count} numbers), the product reads "
            f"{form.packing} ({form.packed}).",
            fix="pack them again, with the attributes that linear_packing gives here",
        )


@CPU.lower(ops.linear_pack)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LinearPackAttrs, specs: Sequence[Spec]) -> Plan:
    weight = view_of(inputs[0])
    form = _form(a.rows, weight.shape[1], weight.shape[0], weight.dtype)
    _check_packing(op, form, a.packing, a.count)
    return run_program(form.pack(weight.flipped()), specs[0])


@CPU.lower(ops.linear_packed)
def _(op: Op, inputs: tuple[Any, ...], a: ops.PackedLinearAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    x, packed = view_of(inputs[0]), view_of(inputs[1])
    form = _form(numel(x.shape[:-1]), x.shape[-1], a.outputs, x.dtype)
    _check_packing(op, form, a.packing, packed.size)
    rows, first = View.dense((form.rows, form.run), x.dtype), stages.read_dense(0)
    if len(x.shape) == 2:
        rows, first = x, stages.read(0)
    program = form.product(rows, _epilogue(inputs, a))
    return _planned(stages, program, [first, stages.read_dense(1)])
