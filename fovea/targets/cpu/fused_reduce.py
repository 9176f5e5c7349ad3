"""Lowering of `pointwise_reduce`: a region's expression as what a reduction's kernel loads.

Elements are cut into pieces and summed as if they had been stored first. Where the operands do not
lie as the elements would, they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops import reduce as ops
from fovea.ops.fused_pointwise import (
    REDUCTIONS,
    PointwiseReduceAttrs,
    expression_specs,
    pointwise,
    pointwise_reduce,
)
from fovea.ops.op import Op, Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import reduce
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.fused_pointwise import fused, in_place, parameters, strides_of
from fovea.targets.cpu.loops import BROADCAST, CONTIGUOUS, broadcast_strides, collapse, prepare
from fovea.targets.cpu.reduce_form import Prologue
from fovea.targets.cpu.reduce_layout import Apart, Layout, arranged, split
from fovea.targets.cpu.stages import Operand, Stages, same_strides
from fovea.targets.cpu.target import CPU


class _Call:
    """One call to be lowered.

    Attributes:
        value: the spec that the reduced elements would have.
        steps: the strides of each operand, broadcast to them.
    """

    def __init__(
        self, inputs: tuple[Any, ...], a: PointwiseReduceAttrs, specs: Sequence[Spec]
    ) -> None:
        self.inputs, self.a, self.specs = inputs, a, specs
        self.e = fused(a.expression, tuple(t.dtype for t in inputs))
        values = expression_specs(pointwise_reduce.name, inputs, a.expression)
        self.value = values[a.expression.outputs[0]]
        shape = self.value.shape
        self.steps = [broadcast_strides(shape, t.shape, t.strides) for t in inputs]
        self.stages = Stages(inputs, specs)
        self.stages.in_place = in_place(a.expression)
        self.operands = [self.stages.read(i) for i in range(len(inputs))]
        self.stored = [Operand("output", i) for i in range(1, len(specs))]
        count = float(numel([shape[d] for d in a.dims]))
        self.divisor = count if REDUCTIONS[a.reduction] is ops.mean else None

    def layout(self, operands: Sequence[Sequence[int]]) -> Layout | None:
        """How the reduction lies in memory, with these operands."""
        kept, reduced = split(
            self.value.shape,
            strides_of(self.value),
            self.a.dims,
            self.specs[0].shape,
            strides_of(self.specs[0]),
            operands,
        )
        return arranged(kept, reduced) if reduced else None

    def found(self, at: Layout, prologue: Prologue | None) -> list[reduce.Stage]:
        """The calls of the reduction."""
        how = reduce.REDUCTIONS[REDUCTIONS[self.a.reduction]]
        kinds = [element(s.dtype.name) for s in (self.value, self.specs[0])]
        numbers = parameters(self.a.expression) if prologue is not None else ()
        return reduce.stages(how, kinds[0], kinds[1], at, self.divisor, prologue, numbers)

    def at_once(self) -> Plan:
        """Elements are reduced as they are computed.

        Raises:
            Apart: operands or what is stored do not lie as the elements do.
        """
        at = self.layout(self.steps)
        if at is None or not all(self._alike(s) for s in self.specs[1:]):
            raise Apart
        inner = (at.kept if at.columns else at.reduced)[-1]
        if not set(inner.operands) <= {0, 1}:
            raise Apart
        kinds = "".join(CONTIGUOUS if s else BROADCAST for s in inner.operands)
        found = self.found(at, Prologue(self.e, kinds))
        return self.run([*self.operands, *self.stored], found)

    def _alike(self, spec: Spec) -> bool:
        return same_strides(spec.shape, strides_of(spec), strides_of(self.value))

    def in_turn(self) -> Plan:
        """Elements are stored first: as an output, or in scratch memory."""
        at, specs = self.layout(()), list(self.specs[1:])
        places = self.a.expression.outputs
        kept = next((i for i, v in enumerate(places[1:], 1) if v == places[0]), None)
        if kept is not None and self._alike(self.specs[kept]):
            made = Operand("output", kept)
        else:
            nbytes = numel(self.value.shape) * element(self.value.dtype.name).bytes
            made = self.stages.scratch(nbytes)
        outs = [self.value, *specs]
        space = collapse(self.value.shape, [*self.steps, *(strides_of(s) for s in outs)])
        if at is None or space is None:
            return self.apart()
        call = prepare(self.e, space, parameters(self.a.expression))
        self.stages.ready(call, [*self.operands, made, *self.stored])
        return self.run([made], self.found(at, None))

    def run(self, sources: Sequence[Operand], found: Sequence[reduce.Stage]) -> Plan:
        """The calls of a reduction, with scratch memory between them."""
        for n, stage in enumerate(found):
            last = n == len(found) - 1
            to = Operand("output", 0) if last else self.stages.scratch(stage.nbytes)
            self.stages.ready(stage.ready, [*sources, to])
            sources = [to]
        return self.stages.plan()

    def apart(self) -> Plan:
        """As two ops: where there are no elements, or none that lie together."""
        first = CPU.plan(pointwise, self.inputs, self.a.expression, [self.value, *self.specs[1:]])
        op = REDUCTIONS[self.a.reduction]
        second = CPU.plan(op, (self.value,), self.a.attrs, self.specs[:1])

        def run(inputs: tuple[Any, ...]) -> Any:
            made = first(inputs)
            if not self.stored:
                return second((made,))
            return (second(made[:1]), *made[1:])

        return run


@CPU.lower(pointwise_reduce)
def _(op: Op, inputs: tuple[Any, ...], a: PointwiseReduceAttrs, specs: Sequence[Spec]) -> Plan:
    if numel(specs[0].shape) == 0 or 0 in _Call(inputs, a, specs).value.shape:
        return _Call(inputs, a, specs).apart()
    try:
        return _Call(inputs, a, specs).at_once()
    except Apart:
        return _Call(inputs, a, specs).in_turn()
