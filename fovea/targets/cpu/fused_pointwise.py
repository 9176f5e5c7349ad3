"""Lowering of regions of element-wise ops: the emitters of their ops, composed into one loop.

Each operand is loaded once, and what no output needs stays in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from fovea.dtypes import DType
from fovea.ops.fused_pointwise import MEMBERS, PointwiseAttrs, Step, pointwise
from fovea.ops.op import Op, Spec, contiguous_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.across import turned_strides
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import bf16, element, f16
from fovea.targets.cpu.loops import LANE_BY_LANE, Expression, broadcast_strides, collapse, prepare
from fovea.targets.cpu.pointwise import converted
from fovea.targets.cpu.scalars import SCALARS
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Value

__all__ = ["fused", "in_place", "parameters", "strides_of"]

# An op's cost in a loop of its own is mostly that of loads and stores; beside others it costs less.
_MEMORY = 1.5


@cache
def fused(a: PointwiseAttrs, inputs: tuple[DType, ...]) -> Expression:
    """The expression of a region over operands of these dtypes."""

    def body(k: Kernel, values: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
        return _emit(k, a, values, scalars)

    made = len(inputs) + len(a.constants)
    outputs = tuple(element(a.steps[v - made].dtype.name) for v in a.outputs)
    elements = tuple(element(d.name) for d in inputs)
    return Expression(_key(a), elements, outputs, body, len(parameters(a)), _cost(a))


def parameters(a: PointwiseAttrs) -> list[float]:
    """The numbers that a region's kernel gets when it runs: constants, then attributes of ops."""
    found = [c.value for c in a.constants]
    for step in a.steps:
        how = SCALARS[MEMBERS[step.op]]
        if how.parameters is not None:
            found += how.parameters(step.attrs)
    return found


def _key(a: PointwiseAttrs) -> str:
    """Names everything that the kernel's code depends on."""
    steps = [f"{_named(s)}({','.join(map(str, s.operands))}).{s.dtype.name}" for s in a.steps]
    constants = ",".join(c.dtype.name for c in a.constants)
    return f"pointwise/{a.operands}/{constants}/{';'.join(steps)}/{a.outputs}"


def _named(step: Step) -> str:
    how = SCALARS[MEMBERS[step.op]]
    return step.op if how.variant is None else f"{step.op}.{how.variant(step.attrs)}"


def _cost(a: PointwiseAttrs) -> float:
    """About how many nanoseconds a vector takes."""
    costs = [SCALARS[MEMBERS[step.op]].cost for step in a.steps]
    if max(costs) >= LANE_BY_LANE:
        return sum(costs)
    return min(_MEMORY + sum(max(c - _MEMORY, 0.25) for c in costs), LANE_BY_LANE - 1.0)


def _emit(
    k: Kernel, a: PointwiseAttrs, operands: Sequence[Value], scalars: Sequence[Value]
) -> list[Value]:
    """The outputs, each rounded as its step says, in the element that it is stored from."""
    given = iter(scalars)
    lanes = max((v.lanes for v in operands), default=1)
    values = list(operands)
    for c in a.constants:
        values.append(k.broadcast(k.cast(next(given), element(c.dtype.name).compute), lanes))
    for step in a.steps:
        how = SCALARS[MEMBERS[step.op]]
        inputs = [values[v] for v in step.operands]
        count = len(how.parameters(step.attrs)) if how.parameters is not None else 0
        numbers = [k.cast(next(given), inputs[0].element) for _ in range(count)]
        chosen = {"variant": how.variant(step.attrs)} if how.variant is not None else {}
        kind = element(step.dtype.name)
        y = how.emit(k, *inputs, *numbers, **chosen)
        if kind in (bf16, f16):
            y = k.cast(y, kind)
        values.append(converted(k, y, kind.compute))
    return [values[v] for v in a.outputs]


def in_place(a: PointwiseAttrs) -> tuple[int, ...]:
    """The operands whose memory outputs may take: those that all of them are computed from.

    Kernels are told that buffers do not overlap, so only what a store waits for is loaded before.
    """
    sources: list[set[int]] = [{v} for v in range(a.operands)] + [set() for _ in a.constants]
    for step in a.steps:
        sources.append(set().union(*(sources[v] for v in step.operands)))
    return tuple(sorted(set.intersection(*(sources[v] for v in a.outputs))))


def strides_of(spec: Spec) -> tuple[int, ...]:
    """Distances in elements."""
    return contiguous_strides(spec.shape) if spec.strides is None else spec.strides


@CPU.lower(pointwise)
def _(op: Op, inputs: tuple[Any, ...], a: PointwiseAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    stages.in_place = in_place(a)
    shape = specs[0].shape
    layouts = [turned_strides(t, shape, strides_of(specs[0])) for t in inputs]
    steps = [broadcast_strides(shape, t.shape, s) for t, s in zip(inputs, layouts, strict=True)]
    space = collapse(shape, [*steps, *(strides_of(s) for s in specs)])
    if space is not None:
        e = fused(a, tuple(t.dtype for t in inputs))
        operands = [stages.read(i, layout) for i, layout in enumerate(layouts)]
        operands += [Operand("output", i) for i in range(len(specs))]
        stages.ready(prepare(e, space, parameters(a)), operands)
    return stages.plan()
