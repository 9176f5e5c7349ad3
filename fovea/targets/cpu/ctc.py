"""Kernels and lowerings of the CTC recursion: a piece is one sequence of the batch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fovea.ops import ctc as ops
from fovea.ops.ctc import NEVER
from fovea.ops.op import Op, Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, boolean, element, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import copy_line, fill_line
from fovea.targets.cpu.stages import Operand, Stages
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value

SIZES = ("steps", "n", "states")
ALONE_BELOW = 4096  # numbers


def _row(k: Kernel, buffer: Buffer, step: Index, sequence: Value) -> Buffer:
    _, n, states = k.sizes
    return buffer.at((step * k.index(n) + sequence) * states)


def rows_kernel(e: Element) -> Kernel:
    """rows[t, s] = log(exp(rows[t - 1, s]) + exp(.. s - 1) + exp(.. s - 2, if allowed)) + seen."""
    buffers = (("seen", e), ("skips", boolean), ("lengths", i64), ("rows", e))
    k = Kernel("ctc_rows", buffers, SIZES)
    seen, skips, lengths, rows = k.buffers
    steps, n, states = k.sizes
    lanes = k.lanes(e)
    with k.parallel(n) as sequence:
        length, skip = k.load(lengths, sequence), skips.at(sequence * states)
        row = _row(k, rows, 0, sequence)
        fill_line(k, row, states, NEVER)  # type: ignore[arg-type]
        copy_line(k, _row(k, seen, 0, sequence), k.smaller(states, 2), row)
        with k.loop(1, steps, unroll=1) as t:
            old, new = _row(k, rows, t - 1, sequence), _row(k, rows, t, sequence)
            now = _row(k, seen, t, sequence)
            with k.if_else(t < length) as (then, otherwise):
                with then:
                    before = k.var(k.const(NEVER, e.compute, lanes))
                    with k.loop(0, states, lanes, unroll=1) as s:
                        left = k.smaller(states - s, lanes)
                        stay, past = k.load(old, s, lanes, left), before.get()
                        one, two = (
                            k.shuffle(past, stay, range(lanes - d, 2 * lanes - d)) for d in (1, 2)
                        )
                        two = k.select(k.load(skip, s, lanes, left), two, NEVER)
                        before.set(stay)
                        top = k.maximum(k.maximum(stay, one), two)
                        total = sum_of(vmath.exp(k, way - top) for way in (stay, one, two))
                        after = top + vmath.log(k, total) + k.load(now, s, lanes, left)
                        k.store(k.fast_max(NEVER, after), new, s, left)
                with otherwise:
                    copy_line(k, old, states, new)
    return k


def sum_of(values: Iterable[Value]) -> Value:
    """Their sum, from the first to the last."""
    return functools.reduce(lambda a, b: a + b, values)


def rows_grad_kernel(e: Element) -> Kernel:
    """What reaches each state of a step is shared out among the states that led there, each by its
    part of the sum. The result's row of a step holds, on the way, what reaches it.
    """
    buffers = (("grows", e), ("seen", e), ("rows", e), ("skips", boolean), ("lengths", i64))
    k = Kernel("ctc_rows_grad", (*buffers, ("gseen", e)), SIZES)
    grows, seen, rows, skips, lengths, gseen = k.buffers
    steps, n, states = k.sizes
    lanes = k.lanes(e)
    with k.parallel(n) as sequence:
        length, skip = k.load(lengths, sequence), skips.at(sequence * states)
        last = k.index(steps) - 1
        ends = [_row(k, b, last, sequence) for b in (grows, rows, gseen)]
        with k.loop(0, states, unroll=1) as s:
            k.store(_reached(k, k.load(ends[0], s), k.load(ends[1], s)), ends[2], s)
        with k.loop(0, last, unroll=1) as i:
            t = last - i
            lines = [_row(k, b, at, sequence) for b, at in (
                (gseen, t), (rows, t), (seen, t), (rows, t - 1), (grows, t - 1), (gseen, t - 1)
            )]  # fmt: skip
            g, _, _, old, more, into = lines
            with k.if_else(t < length) as (then, otherwise):
                with then, k.loop(0, states, lanes, unroll=1) as s:
                    _share(k, lines, skip, s, lanes)
                with otherwise:
                    with k.loop(0, states, unroll=1) as s:
                        both = k.load(g, s) + k.load(more, s)
                        k.store(_reached(k, both, k.load(old, s)), into, s)
                    fill_line(k, g, states)
    return k


def _reached(k: Kernel, g: Value, row: Value) -> Value:
    """The gradient of a state; 0 where no way has reached it."""
    return k.select(row <= 0.5 * NEVER, 0.0, g)


def _share(k: Kernel, lines: list[Buffer], skip: Buffer, s: Value, lanes: int) -> None:
    """The gradient of a vector of states before a step, from those that they led to."""
    states = k.sizes[2]
    g, rows, seen, old, more, into = lines
    left = k.smaller(states - s, lanes)
    own = k.load(old, s, lanes, left)
    total = k.load(more, s, lanes, left)
    for ahead in range(3):
        at, there = s + ahead, k.smaller(states - s - ahead, lanes)
        # A state's ways before its own probability: `rows - seen`.
        ways = k.load(rows, at, lanes, there) - k.load(seen, at, lanes, there)
        part = k.load(g, at, lanes, there) * vmath.exp(k, own - ways)
        allowed = k.prefix_mask(there, lanes)
        if ahead == 2:
            allowed = allowed & k.load(skip, at, lanes, there)
        total = total + k.select(allowed, part, 0.0)
    k.store(_reached(k, total, own), into, s, left)


@CPU.lower(ops.ctc_rows, ops.ctc_rows_grad)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (spec,), stages = specs, Stages(inputs, specs)
    count = numel(spec.shape)
    if count:
        forward = op is ops.ctc_rows
        e = element(spec.dtype.name)
        operands = [stages.read_dense(i) for i in range(len(inputs))] + [Operand("output")]
        build = partial(rows_kernel if forward else rows_grad_kernel, e)
        stages.call(f"{op.name}/{e}", build, operands, spec.shape, count > ALONE_BELOW)
    return stages.plan()
