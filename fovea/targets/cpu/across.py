"""Operands of fused loops that lie across the result are copied into its order first.

A loop follows the result's memory. An operand whose elements lie together along another dimension
(`x + x.t()`, NCHW beside NHWC) would make it go element by element, a cache line for each; a
transposing copy goes by blocks, and what follows by vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fovea.ops.op import Spec, numel
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.recipe import prepared

__all__ = ["turned_first", "turned_into", "turned_strides", "with_turned"]

FEWEST = 4096  # elements; fewer fit into the caches


def turned_strides(t: Any, shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The strides that a loop should find operand ``t`` with, whose result has this shape and these
    strides: the operand's own, or those of a copy if it lies across the result.
    """
    own = tuple(t.strides)
    if numel(t.shape) < FEWEST:
        return own
    lead = len(shape) - len(t.shape)
    order = sorted(range(len(shape)), key=lambda d: -abs(strides[d]))
    inner = [d for d in order if shape[d] > 1][-1] - lead
    steps = [s for n, s in zip(t.shape, own, strict=True) if n > 1]
    if inner < 0 or t.shape[inner] == 1 or own[inner] in (0, 1) or 1 not in steps or 0 in steps:
        return own
    return _dense(t.shape, [d - lead for d in order if d >= lead])


def turned_first(
    inputs: Sequence[Any], shape: Sequence[int], strides: Sequence[int]
) -> tuple[list[Any], dict[int, Plan]]:
    """The inputs as a loop should see them, and by number the plans that make those of them that
    lie across the result.
    """
    seen, plans = list(inputs), {}
    for number, t in enumerate(inputs):
        layout = turned_strides(t, shape, strides)
        if layout != tuple(t.strides):
            spec = Spec(tuple(t.shape), t.dtype, layout)
            seen[number], plans[number] = spec, copied(t, spec)
    return seen, plans


def _dense(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides without gaps for dimensions in this order of memory."""
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= shape[d]
    return tuple(strides)


def with_turned(plan: Plan, plans: Mapping[int, Plan]) -> Plan:
    """A plan on inputs some of which have plans of their own."""
    return prepared(plan, plans) if plans else plan


def turned_into(plan: PlanInto, plans: Mapping[int, Plan]) -> PlanInto:
    """The same for a plan that writes into an output that is there."""
    if not plans:
        return plan

    def run(inputs: tuple[Any, ...], out: Any) -> None:
        given = list(inputs)
        for number, first in plans.items():
            given[number] = first((given[number],))
        plan(tuple(given), out)

    return run
