"""Lowering of element-wise ops: one fused loop a call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from fovea.dtypes import DType
from fovea.ops.op import Attrs, Op, Spec, contiguous_strides
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu import activation, elementwise
from fovea.targets.cpu.across import turned_first, turned_into, with_turned
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, bf16, element, f16, i32
from fovea.targets.cpu.launch import launch, launch_into
from fovea.targets.cpu.loops import Expression, Ready, broadcast_strides, collapse, prepare
from fovea.targets.cpu.scalars import SCALARS
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Value

__all__ = ["converted", "expression", "ready"]

assert activation and elementwise  # imported for the emitters that they register


@cache
def expression(
    op: Op, variant: str, parameters: int, inputs: tuple[DType, ...], result: DType, stored: DType
) -> Expression:
    """The expression of one op on operands of these dtypes: a result rounded to `result`, stored as
    `stored`.
    """
    how = SCALARS[op]
    out, rounded = element(stored.name), element(result.name)
    chosen = {"variant": variant} if how.variant is not None else {}

    def body(k: Kernel, values: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
        numbers = [k.cast(s, values[0].element) for s in scalars]
        y = how.emit(k, *values, *numbers, **chosen)
        if rounded is not out:
            y = converted(k, y, rounded)
        return [converted(k, y, out.compute)]

    key = op.name + variant
    if rounded is not out:
        key += f".{rounded.name}" if rounded in (bf16, f16) or op.name == "cast" else ""
    elements = tuple(element(d.name) for d in inputs)
    return Expression(key, elements, (out,), body, parameters, how.cost)


def converted(k: Kernel, y: Value, target: Element) -> Value:
    """A cast as C does it: floats become narrow integers by way of int32, so they wrap around."""
    if y.element.is_float and not target.is_float and target.bytes < 4 and target.kind != "b":
        y = k.cast(y, i32)
    return k.cast(y, target)


def ready(
    op: Op,
    attrs: Attrs | None,
    inputs: Sequence[Any],
    result: DType,
    stored: DType,
    strides: Sequence[int],
    shape: Sequence[int],
) -> Ready | None:
    """The kernel call for `op` on inputs like these into an output of this layout; None if it has
    no elements.
    """
    how = SCALARS[op]
    variant = how.variant(attrs) if how.variant is not None else ""
    numbers = how.parameters(attrs) if how.parameters is not None else ()
    steps = [broadcast_strides(shape, t.shape, t.strides) for t in inputs]
    space = collapse(shape, [*steps, tuple(strides)])
    if space is None:
        return None
    kinds = tuple(t.dtype for t in inputs)
    return prepare(expression(op, variant, len(numbers), kinds, result, stored), space, numbers)


@CPU.lower(*SCALARS)
def _(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    seen, first = turned_first(inputs, spec.shape, strides)
    call = ready(op, attrs, seen, spec.dtype, spec.dtype, strides, spec.shape)
    plan = launch(call, [t.dtype for t in inputs], spec, range(len(inputs)))
    return with_turned(plan, first)


@CPU.lower_into(*SCALARS)
def _(
    op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec], out: Any
) -> PlanInto:
    seen, first = turned_first(inputs, out.shape, out.strides)
    call = ready(op, attrs, seen, specs[0].dtype, out.dtype, out.strides, out.shape)
    return turned_into(launch_into(call, len(inputs)), first)
