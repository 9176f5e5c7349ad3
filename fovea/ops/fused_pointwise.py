"""A region of element-wise ops as one op, with its expression as data.

Passes over a graph make it, after differentiation. The values of an expression are numbered: first
the operands, then the constants, then what each step makes. A step's result is rounded to the dtype
of that step, so a region has the bits that its ops have one by one (bfloat16 and float16
intermediates are rounded, too): results do not tell whether a graph was fused.

A region's outputs have one shape, that of its iteration space; everything else broadcasts to it.
`pointwise_reduce` is a region whose first output is reduced, and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import ArgumentError, ShapeError
from fovea.ops import activation, elementwise, reduce
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import broadcast_shapes

__all__ = [
    "MADE_LATER",
    "MEMBERS",
    "REDUCTIONS",
    "Number",
    "PointwiseAttrs",
    "PointwiseReduceAttrs",
    "Step",
    "evaluate",
    "expression_specs",
    "pointwise",
    "pointwise_reduce",
]

Array = np.ndarray[Any, Any]

MADE_LATER = "made by passes over a graph, after differentiation"
_HALVES = (dtypes.float16, dtypes.bfloat16)

# The ops that regions are made of.
MEMBERS: dict[str, Op] = {
    op.name: op
    for module in (elementwise, activation)
    for op in vars(module).values()
    if isinstance(op, Op)
}


class Number(NamedTuple):
    """A constant without dimensions; its dtype holds the value exactly."""

    value: float
    dtype: DType


class Step(NamedTuple):
    """One op of an expression.

    Args:
        op: its name.
        attrs: its attributes.
        operands: the numbers of the values that it takes.
        dtype: what its result is rounded to.
    """

    op: str
    attrs: Attrs | None
    operands: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True, eq=False)
class PointwiseAttrs(Attrs, floats=True):
    """What a region computes: ``outputs`` are the numbers of the values that it returns.

    >>> twice = Step("mul", None, (0, 1), dtypes.float32)
    >>> print(PointwiseAttrs.of(1, (Number(2.0, dtypes.float32),), (twice,), (2,)))
    mul(x0, 2)
    """

    operands: int
    constants: tuple[Number, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def __str__(self) -> str:
        made = self.operands + len(self.constants)
        uses = [*self.outputs, *(v for step in self.steps for v in step.operands)]
        names = [f"x{i}" for i in range(self.operands)]
        names += [f"{c.value:g}" for c in self.constants]
        parts = []
        for n, step in enumerate(self.steps):
            name = step.dtype.name if step.op == "cast" else step.op
            text = f"{name}({', '.join(names[v] for v in step.operands)})"
            if uses.count(made + n) > 1:
                parts.append(f"t{n} = {text}")
                text = f"t{n}"
            names.append(text)
        return "; ".join([*parts, ", ".join(names[v] for v in self.outputs)])


def _checked(name: str, a: PointwiseAttrs, operands: int) -> None:
    """ArgumentError unless every step names an op and values that are there before it."""
    if not all(isinstance(c, Number) for c in a.constants):
        raise ArgumentError(f"{name}: the constants {a.constants} are no numbers with types.")
    if a.operands != operands:
        raise ArgumentError(f"{name}: the expression takes {a.operands} operands, got {operands}.")
    known = operands + len(a.constants)
    for number, step in enumerate(a.steps):
        op = MEMBERS.get(step.op) if isinstance(step, Step) else None
        if op is None or len(step.operands) != len(op.inputs):
            raise ArgumentError(f"{name}: step {number}, {step}, is no element-wise op.")
        if op.attrs_class is not (None if step.attrs is None else type(step.attrs)):
            raise ArgumentError(f"{name}: step {number}, {step.op}, has other attributes.")
        if not all(isinstance(v, int) and 0 <= v < known + number for v in step.operands):
            raise ArgumentError(f"{name}: step {number}, {step.op}, takes what comes after it.")
    last = known + len(a.steps)
    if not a.outputs or not all(isinstance(v, int) and known <= v < last for v in a.outputs):
        raise ArgumentError(f"{name}: outputs {a.outputs} are not results of the expression.")


def expression_specs(name: str, operands: Sequence[Shaped], a: PointwiseAttrs) -> list[Spec]:
    """The specs of all values of an expression, as the ops' own rules have them.

    Raises:
        ArgumentError: it is no expression over so many operands.
        ShapeError, DTypeError: what the rules of its ops raise; an output is smaller than others.
    """
    _checked(name, a, len(operands))
    specs = [Spec(tuple(t.shape), t.dtype, t.strides) for t in operands]
    specs += [Spec((), c.dtype) for c in a.constants]
    for step in a.steps:
        (spec,) = MEMBERS[step.op].specs([specs[v] for v in step.operands], step.attrs)
        if spec.dtype is not step.dtype:
            raise ArgumentError(f"{name}: {step.op} makes {spec.dtype}, the step {step.dtype}.")
        specs.append(spec)
    shape = broadcast_shapes(name, *(t.shape for t in operands))
    for v in a.outputs:
        if specs[v].shape != shape:
            raise ShapeError(
                f"{name}: an output has shape {specs[v].shape}, its operands broadcast to {shape}."
            )
    return specs


def evaluate(operands: Sequence[Array], a: PointwiseAttrs) -> list[Array]:
    """All values of an expression in NumPy, by the references of its ops.

    Half types are computed in float32 and rounded after each step.
    """
    values: list[Array] = [*operands, *(_wide(np.asarray(c.value), c.dtype) for c in a.constants)]
    for step in a.steps:
        op = MEMBERS[step.op]
        assert op.reference_rule is not None
        given = [values[v] for v in step.operands]
        made = (
            op.reference_rule(*given, step.attrs) if op.attrs_class else op.reference_rule(*given)
        )
        values.append(_wide(np.asarray(made), step.dtype))
    return values


def _wide(array: Array, dtype: DType) -> Array:
    """An array rounded to a dtype; half types are widened again."""
    rounded = array.astype(dtype.numpy)
    return rounded.astype(np.float32) if dtype in _HALVES else rounded


pointwise = Op("pointwise", ("*operands",), PointwiseAttrs, nondifferentiable=MADE_LATER)


@pointwise.shape
def _(*args: Any) -> tuple[Spec, ...]:
    *operands, a = args
    specs = expression_specs("pointwise", operands, a)
    return tuple(specs[v] for v in a.outputs)


@pointwise.reference
def _(*args: Any) -> tuple[Array, ...]:
    *operands, a = args
    values = evaluate(operands, a)
    return tuple(values[v] for v in a.outputs)


_REDUCTIONS = (
    reduce.sum_, reduce.mean, reduce.prod, reduce.amax, reduce.amin, reduce.any_, reduce.all_,
)  # fmt: skip
REDUCTIONS: dict[str, Op] = {op.name: op for op in _REDUCTIONS}


@dataclass(frozen=True, eq=False)
class PointwiseReduceAttrs(Attrs):
    """A region whose first output is reduced by an op over ``dims``; the others are returned."""

    expression: PointwiseAttrs
    reduction: str
    dims: tuple[int, ...]
    keepdim: bool

    @property
    def attrs(self) -> reduce.ReduceAttrs:
        """Those of the reduction."""
        found: reduce.ReduceAttrs = reduce.ReduceAttrs.of(self.dims, self.keepdim)
        return found

    def __str__(self) -> str:
        keepdim = ", keepdim" if self.keepdim else ""
        return f"{self.reduction} over {self.dims}{keepdim}: {self.expression}"


pointwise_reduce = Op(
    "pointwise_reduce", ("*operands",), PointwiseReduceAttrs, nondifferentiable=MADE_LATER
)


@pointwise_reduce.shape
def _(*args: Any) -> tuple[Spec, ...]:
    *operands, a = args
    if a.reduction not in REDUCTIONS:
        raise ArgumentError(f"pointwise_reduce: {a.reduction} is no reduction.")
    specs = expression_specs("pointwise_reduce", operands, a.expression)
    first, *others = (specs[v] for v in a.expression.outputs)
    return (*REDUCTIONS[a.reduction].specs([first], a.attrs), *others)


@pointwise_reduce.reference
def _(*args: Any) -> tuple[Array, ...]:
    *operands, a = args
    values = evaluate(operands, a.expression)
    first, *others = (values[v] for v in a.expression.outputs)
    rule = REDUCTIONS[a.reduction].reference_rule
    assert rule is not None
    return (rule(first, a.attrs), *others)
