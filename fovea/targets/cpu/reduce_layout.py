"""How a reduction lies in memory: which dimensions stay, which go, which is contiguous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fovea.ops.op import Op, Spec
from fovea.targets.base import Plan
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.target import CPU

Dim = tuple[int, int, int]  # size, stride in x, stride in y (0 for a reduced dimension)


@dataclass(frozen=True)
class Layout:
    """Kept and reduced dimensions, outermost first, merged where they lie together.

    ``columns``: the innermost dimension in memory is a kept one. There is at least one of each
    kind.
    """

    kept: list[Dim]
    reduced: list[Dim]
    columns: bool


def merged(dims: Sequence[Dim]) -> list[Dim]:
    """Dimensions ordered by stride, with those that lie together made one."""
    out: list[Dim] = []
    for n, x, y in sorted(dims, key=lambda d: (-abs(d[2]), -abs(d[1]))):
        if out and out[-1][1] == x * n and out[-1][2] == y * n:
            out[-1] = (out[-1][0] * n, x, y)
        else:
            out.append((n, x, y))
    return out


def split(
    shape: Sequence[int],
    strides: Sequence[int],
    dims: Sequence[int],
    out_shape: Sequence[int],
    out_strides: Sequence[int],
) -> tuple[list[Dim], list[Dim]]:
    """The kept and the reduced dimensions that have more than one element."""
    steps = list(out_strides)
    if len(out_shape) == len(shape):  # keepdim
        steps = [s for d, s in enumerate(steps) if d not in dims]
    rest = iter(steps)
    kept: list[Dim] = []
    reduced: list[Dim] = []
    for d, (n, s) in enumerate(zip(shape, strides, strict=True)):
        step = 0 if d in dims else next(rest)
        if n != 1:
            (reduced if d in dims else kept).append((n, s, step))
    return merged(kept), merged(reduced)


def arranged(kept: list[Dim], reduced: list[Dim]) -> Layout | None:
    """How a reduction lies in memory; None where x must be copied first: no dimension is
    contiguous.
    """
    if reduced[-1][1] == 1:
        return Layout(kept or [(1, 0, 0)], reduced, columns=False)
    if kept and kept[-1][1:] == (1, 1):
        return Layout(kept if len(kept) > 1 else [(1, 0, 0), *kept], reduced, columns=True)
    return None


def after_copy(op: Op, x: Any, attrs: Any, specs: Sequence[Spec], dims: Sequence[int]) -> Plan:
    """Reduce a copy of x in which the reduced dimensions lie together."""
    order = [*(d for d in range(len(x.shape)) if d not in dims), *dims]
    strides, step = [0] * len(x.shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(x.shape[d], 1)
    between = Spec(tuple(x.shape), x.dtype, tuple(strides))
    copy = copied(x, between)
    rest = CPU.lowerings[op](op, (between,), attrs, specs)
    return lambda inputs: rest((copy(inputs),))
