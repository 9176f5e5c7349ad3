"""Lowerings of recurrent layers: the weight is packed, then one kernel walks through all steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.ops import recurrent as ops
from fovea.ops.op import Op, Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.packing import Order
from fovea.targets.cpu.recurrent_kernels import (
    GATES,
    Variant,
    backward_kernel,
    forward_kernel,
    pack_kernel,
    vectors_of,
)
from fovea.targets.cpu.schedule import PIECE_FLOPS
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU

PIECES = 16  # enough for a few threads; each reads the whole weight at every step
MOST_ROWS = 6


def tile_rows(rows: int, registers: int) -> int:
    """Sequences of a tile: as many as registers hold, or fewer where that wastes less.

    >>> [tile_rows(n, 32) for n in (1, 6, 8, 20, 100)]
    [1, 6, 4, 5, 6]
    """
    most = MOST_ROWS if registers >= 32 else MOST_ROWS // 2
    return min(range(most, 0, -1), key=lambda r: -(-rows // r) * (r + 1))


class _Layer:
    """One call: sizes, the packed weight, the kernel's words."""

    def __init__(
        self, op: Op, inputs: Sequence[Any], specs: Sequence[Spec], attrs: Any, backward: bool
    ) -> None:
        self.op, self.backward, self.attrs = op, backward, attrs
        self.names = dict(zip(op.inputs, range(len(inputs)), strict=True))
        self.inputs = inputs
        self.stages = Stages(inputs, specs)
        name = op.name.removesuffix("_grad")
        self.mode = name if name != "rnn" else f"rnn_{'relu' if attrs.relu else 'tanh'}"
        gates = inputs[0]
        self.e = element(gates.dtype.name)
        self.steps = gates.shape[0] - backward
        self.rows = gates.shape[1]
        self.hidden = inputs[self.names["weight"]].shape[1]
        self.lanes = active().lanes(self.e.compute.bytes)
        self.vectors = vectors_of(self.mode, backward)
        width = self.vectors * self.lanes if backward or GATES[self.mode] == 1 else self.lanes
        self.panels = -(-self.hidden // width)
        self.run = self.hidden * (GATES[self.mode] if backward else 1)

    def has(self, name: str) -> bool:
        number = self.names.get(name)
        return number is not None and self.inputs[number] is not None

    def pack(self) -> Operand:
        """The weight in panels."""
        stages, number = self.stages, self.names["weight"]
        weight, gates = self.inputs[number], GATES[self.mode]
        target = stages.scratch(
            self.panels * self.run * self.vectors * self.lanes * self.e.compute.bytes
        )
        rows, columns = weight.strides
        # Units of a panel are columns of the weight on the way back, and rows of it before.
        unit, item = (columns, rows) if self.backward else (rows, columns)
        order = Order.of(item, unit, self.run, self.hidden)
        source = stages.read(number)
        if order is Order.NEITHER:
            source = stages.read_dense(number)
            unit, item = (1, self.hidden) if self.backward else (self.hidden, 1)
            order = Order.ITEMS if self.backward else Order.ROWS
        apart = gates > 1 and not self.backward  # each vector is another gate of the same units
        unit_p = self.lanes if apart else self.vectors * self.lanes
        unit_v = 0 if apart else self.lanes
        gate = self.hidden * unit if apart else 0
        words = (self.panels, self.run, self.hidden, unit_p, unit_v, gate, unit, item)
        key = f"recurrent/pack/{self.e}/{self.vectors}/{order.value}"
        build = partial(pack_kernel, self.e, self.vectors, order)
        parallel = self.run * self.hidden > PIECE_FLOPS // 8
        stages.call(key, build, (source, target), words, parallel, packs=True)
        return target

    def run_kernel(self, before: Sequence[str], after: Sequence[str]) -> Plan:
        """The plan: inputs before and after the packed weight, then all outputs."""
        stages = self.stages
        extras = [n for n in ("bias", "gcells", "gactivated") if self.has(n)]
        masked = self.has("mask")
        rows = tile_rows(self.rows, active().registers)
        v = Variant(
            self.mode,
            self.e,
            rows,
            self.hidden % self.lanes == 0,
            masked,
            tuple(extras),
            getattr(self.attrs, "update_first", False),
        )
        reads = {
            n: stages.read_dense(i) for n, i in self.names.items() if self.has(n) and n != "weight"
        }
        operands = [reads[n] for n in before if n in reads]
        operands.append(self.pack())
        operands += [reads[n] for n in after if n in reads]
        operands += [Operand("output", i) for i in range(len(stages.specs))]
        grain = rows * max(1, -(-self.rows // rows // PIECES))
        pieces = -(-self.rows // grain)
        reverse = self.attrs.reverse
        first = self.steps - 1 if reverse != self.backward else 0
        words = (
            pieces, grain, self.rows, self.hidden, self.panels, self.steps, first,
            -1 if reverse else 1, 0 if reverse else 1, self.run,
        )  # fmt: skip
        kernel = backward_kernel if self.backward else forward_kernel
        way = "backward" if self.backward else "forward"
        flops = 2 * self.rows * self.hidden * self.hidden * GATES[self.mode] * self.steps
        parallel = pieces > 1 and flops > PIECE_FLOPS
        stages.call(f"recurrent/{way}/{v.key}", partial(kernel, v), operands, words, parallel)
        return stages.plan()


@CPU.lower(ops.lstm, ops.gru, ops.rnn)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    if all(numel(s.shape) == 0 for s in specs):
        return Stages(inputs, specs).plan()
    layer = _Layer(op, inputs, specs, attrs, backward=False)
    return layer.run_kernel(("gates", "hidden", "cell"), ("bias", "mask"))


@CPU.lower(ops.lstm_grad, ops.gru_grad, ops.rnn_grad)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    if all(numel(s.shape) == 0 for s in specs):
        return Stages(inputs, specs).plan()
    layer = _Layer(op, inputs, specs, attrs, backward=True)
    before = ("gstates", "gcells", "gactivated", "cells", "states", "activated")
    return layer.run_kernel(before, ("mask",))
