"""Lowering of batch normalization with an activation and a residual, and of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.ops import fused_norm as ops
from fovea.ops.op import Op, Spec
from fovea.targets.base import Plan
from fovea.targets.cpu import fused_norm_kernels as kernels
from fovea.targets.cpu import norm_kernels as plain
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.epilogue import Epilogue, Function
from fovea.targets.cpu.norm import BatchNorm, element_of, given_of
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU


def _epilogue(residual: Any | None, a: ops.FusedNormAttrs) -> Epilogue:
    kind = element_of(residual)
    return Epilogue(residual=kind, activation=a.activation, residual_after=a.residual_after)


def _apply(
    b: BatchNorm, residual: int, columns: Operand, a: ops.FusedNormAttrs, centered: bool = True
) -> None:
    """Add the pass from x, the first input, to y, the first output. `residual`: which input is."""
    e = _epilogue(b.stages.inputs[residual], a)
    matrices = [0, residual] if e.residual is not None else [0]
    y = b.stages.write(0, b.m.strides)
    operands = [*[b.operands[i] for i in matrices], columns, y]
    build = partial(kernels.apply_kernel, epilogue=e, centered=centered)
    name = f"finish/{e.key}" if centered else f"finish_scaled/{e.key}"
    b.row_pass(name, build, operands, matrices, out=True, scalars=e.words)


def _matrices(inputs: Sequence[Any], *numbers: int) -> list[int]:
    return [i for i in numbers if inputs[i] is not None]


@CPU.lower(ops.batch_norm_apply)
def _(op: Op, inputs: tuple[Any, ...], a: ops.NormApplyAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    b = BatchNorm(stages, 0, _matrices(inputs, 0, 5), a.axis)
    columns = b.columns_scratch(2 if a.variance else 3)
    places = {"mean": 1, "var" if a.variance else "rstd": 2, "weight": 3, "bias": 4}
    _columns(b, columns, places, a.eps if a.variance else None)
    _apply(b, 5, columns, a, centered=not a.variance)
    return stages.plan()


def _columns(
    b: BatchNorm, columns: Operand, places: dict[str, int], eps: float | None = None
) -> None:
    """Add the call that makes columns' center, scale and shift from the inputs at these places.

    With `eps`, which belongs to a variance, it makes scale and shift alone.
    """
    given = given_of(b.stages.inputs, **places)
    elements = tuple((n, kind) for n, (_, kind) in given.items())
    operands = [*[b.vector(i) for i, _ in given.values()], columns]
    name, build = "affine", kernels.affine_columns_kernel
    if eps is not None:
        name, build = "infer", plain.infer_columns_kernel
    key = f"{name}_columns/{b.kind}/{elements}"
    b.column_pass(key, partial(build, b.kind, elements), operands, eps)


@CPU.lower(ops.batch_norm_train_fused)
def _(op: Op, inputs: tuple[Any, ...], a: ops.FusedNormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    b = BatchNorm(stages, 0, _matrices(inputs, 0, 3), a.axis)
    partials, columns = b.partials(), b.columns_scratch(3)
    b.row_pass("moments", plain.moments_kernel, [b.operands[0], partials], [0], out=False)
    given = given_of(inputs, weight=1, bias=2)
    weight, bias = element_of(inputs[1]), element_of(inputs[2])
    statistic = element(specs[1].dtype.name)
    build = partial(plain.train_columns_kernel, b.kind, weight, bias, statistic)
    outs = [Operand("output", i) for i in (1, 2, 3)]
    operands = [partials, *[b.vector(i) for i, _ in given.values()], *outs, columns]
    b.column_pass(f"train_columns/{b.kind}/{weight}/{bias}", build, operands, a.eps)
    _apply(b, 3, columns, a)
    return stages.plan()


@CPU.lower(ops.batch_norm_grad_fused)
def _(op: Op, inputs: tuple[Any, ...], a: ops.NormGradAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    function = Function.of(ops.slope_of(op.name, a.activation))
    slope = kernels.Slope(function, from_result=inputs[6] is not None)
    sources: Sequence[int | None] = (0, 1, 6)[: len(slope.sources)]
    b = BatchNorm(stages, 1, (0, 1, 6)[: len(sources)], a.axis)
    read = list(b.operands.values())
    affine, partials = b.columns_scratch(3), b.partials()
    _columns(b, affine, {"mean": 4, "rstd": 5, "weight": 2, "bias": 3})
    kept = [stages.write(3, b.m.strides)] if a.residual else []
    build = partial(kernels.grad_sums_kernel, slope=slope, keep=a.residual)
    name, operands = f"finish_sums/{slope.key}/{a.residual}", [*read, affine, partials, *kept]
    b.row_pass(name, build, operands, sources, out=a.residual, scalars=slope.words)
    columns = _grad_columns(b, partials, specs)
    if kept:  # behind the slope already
        slope, read, sources = kernels.Slope(), [kept[0], read[1]], (None, 1)
    build = partial(kernels.grad_apply_kernel, slope=slope)
    operands = [*read, columns, affine, stages.write(0, b.m.strides)]
    name = f"finish_grad/{slope.key}"
    b.row_pass(name, build, operands, sources, out=True, scalars=slope.words)
    return stages.plan()


def _grad_columns(b: BatchNorm, partials: Operand, specs: Sequence[Spec]) -> Operand:
    """Add the call that makes gw, gb, and the columns' factors in gx."""
    inputs, columns = b.stages.inputs, b.columns_scratch(4)
    given = given_of(inputs, weight=2, mean=4, rstd=5)
    weight, (_, mean), (_, rstd) = element_of(inputs[2]), given["mean"], given["rstd"]
    statistic = element(specs[1].dtype.name)
    build = partial(plain.grad_columns_kernel, b.kind, weight, mean, rstd, statistic)
    outs = [Operand("output", 1), Operand("output", 2)]
    operands = [partials, *[b.vector(i) for i, _ in given.values()], *outs, columns]
    b.column_pass(f"grad_columns/{b.kind}/{weight}/{mean}/{rstd}", build, operands)
    return columns
