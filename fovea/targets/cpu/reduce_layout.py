"""How a reduction lies in memory: which dimensions stay, which go, which is contiguous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fovea.ops.op import Op, Spec
from fovea.targets.base import Plan
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.target import CPU


class Dim(NamedTuple):
    """A dimension of a reduction.

    Args:
        size: how many elements it has.
        x, y: its strides in what is reduced and in the result (0 where it is reduced).
        operands: its strides in the operands that x is computed from, if it is.
    """

    size: int
    x: int
    y: int
    operands: tuple[int, ...] = ()

    def follows(self, inner: Dim) -> bool:
        """Whether it begins where the dimension inside it ends."""
        return self.x == inner.x * inner.size and self.y == inner.y * inner.size


class Apart(Exception):  # noqa: N818 (it is no error: another plan is taken)
    """Operands do not lie as what is computed from them does."""


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
    """Dimensions ordered by stride, with those that lie together made one.

    Raises:
        Apart: some lie together in x but not in its operands.
    """
    out: list[Dim] = []
    for d in sorted(dims, key=lambda d: (-abs(d.y), -abs(d.x))):
        if out and out[-1].follows(d):
            if out[-1].operands != tuple(s * d.size for s in d.operands):
                raise Apart
            out[-1] = d._replace(size=out[-1].size * d.size)
        else:
            out.append(d)
    return out


def split(
    shape: Sequence[int],
    strides: Sequence[int],
    dims: Sequence[int],
    out_shape: Sequence[int],
    out_strides: Sequence[int],
    operands: Sequence[Sequence[int]] = (),
) -> tuple[list[Dim], list[Dim]]:
    """The kept and the reduced dimensions that have more than one element.

    Args:
        shape, strides: of what is reduced.
        dims: over which.
        out_shape, out_strides: of the result.
        operands: the strides, in this shape, of what it is computed from.

    Raises:
        Apart: see ``merged``.
    """
    steps = list(out_strides)
    if len(out_shape) == len(shape):  # keepdim
        steps = [s for d, s in enumerate(steps) if d not in dims]
    rest = iter(steps)
    kept: list[Dim] = []
    reduced: list[Dim] = []
    for d, (n, s) in enumerate(zip(shape, strides, strict=True)):
        step = 0 if d in dims else next(rest)
        if n != 1:
            found = Dim(n, s, step, tuple(o[d] for o in operands))
            (reduced if d in dims else kept).append(found)
    return merged(kept), merged(reduced)


def arranged(kept: list[Dim], reduced: list[Dim]) -> Layout | None:
    """How a reduction lies in memory; None where x must be copied first: no dimension is
    contiguous.
    """
    one = Dim(1, 0, 0, (0,) * len(reduced[-1].operands))
    if reduced[-1].x == 1:
        return Layout(kept or [one], reduced, columns=False)
    if kept and (kept[-1].x, kept[-1].y) == (1, 1):
        return Layout(kept if len(kept) > 1 else [one, *kept], reduced, columns=True)
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
    return prepared(rest, {0: copy})
