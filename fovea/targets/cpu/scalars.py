"""What each element-wise op computes for one point (or a vector of points): the parts that fused
loops are made of.

An emitter takes the kernel, the op's operands in the elements they are computed with, then its
parameters (attributes
that are numbers, passed at run time), and returns the result in whatever element suits; the loop
casts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fovea.ops.op import Op
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.values import Value

__all__ = ["SCALARS", "Scalar", "scalar"]

Emitter = Callable[..., Value]


@dataclass(frozen=True)
class Scalar:
    """How one op computes a point.

    Args:
        emit: ``emit(k, *operands, *parameters)``, and ``variant=`` where there are variants.
        cost: about how many nanoseconds a vector takes.
        parameters: the numbers that vary without a new kernel, from the op's attributes.
        variant: what needs a kernel of its own, from the attributes.
    """

    emit: Emitter
    cost: float
    parameters: Callable[[Any], Sequence[float]] | None
    variant: Callable[[Any], str] | None


SCALARS: dict[Op, Scalar] = {}


def scalar(
    *ops: Op,
    cost: float = 2.0,
    parameters: Callable[[Any], Sequence[float]] | None = None,
    variant: Callable[[Any], str] | None = None,
) -> Callable[[Emitter], Emitter]:
    """Register an emitter for ``ops``."""

    def declare(emit: Emitter) -> Emitter:
        for op in ops:
            SCALARS[op] = Scalar(emit, cost, parameters, variant)
        return emit

    return declare


def is_float(x: Value) -> bool:
    return x.element.is_float


def true(k: Kernel, x: Value) -> Value:
    """Whether each lane is not zero, as a mask."""
    return x if x.element.kind == "b" else x.ne(0)
