"""What passes need to make `pointwise` nodes: which nodes go together, and their expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from fovea.dtypes import DType
from fovea.graph.graph import Graph, Node, Source, Value
from fovea.ops.fused_pointwise import MEMBERS, Number, PointwiseAttrs, Step, pointwise
from fovea.ops.op import Attrs

__all__ = [
    "Region",
    "Space",
    "cheap",
    "costly_steps",
    "crosses",
    "is_member",
    "numbers_of",
    "reads_along",
    "space_of",
    "steps_of",
]

Space = tuple[tuple[int, ...], tuple[int, ...]]

# Ops that take no longer than the loads and stores around them.
_CHEAP = {
    "add", "sub", "mul", "neg", "abs", "sign", "square", "relu", "relu_grad", "cast", "where",
    "maximum", "minimum", "clamp_min", "clamp_max", "eq", "ne", "lt", "le", "gt", "ge", "isnan",
    "isinf", "isfinite", "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and",
    "bitwise_or", "bitwise_xor", "bitwise_not", "left_shift", "right_shift", "floor", "ceil",
    "trunc", "round", "leaky_relu", "leaky_relu_grad", "hardtanh", "hardtanh_grad",
    "hardsigmoid_grad",
}  # fmt: skip
_EXACT = 1 << 53  # integers up to which float64 holds all of them


def is_member(node: Node) -> bool:
    """Whether a node can be part of a region."""
    known = node.op is pointwise or MEMBERS.get(node.op.name) is node.op
    return known and not node.mutated and prod(node.outputs[0].shape) > 0


def steps_of(node: Node) -> int:
    """How many steps a node is."""
    return len(node.attrs.steps) if isinstance(node.attrs, PointwiseAttrs) else 1


def costly_steps(node: Node) -> int:
    """How many steps of a node call functions or divide."""
    names = [node.op.name]
    if isinstance(node.attrs, PointwiseAttrs):
        names = [s.op for s in node.attrs.steps]
    return sum(name not in _CHEAP for name in names)


def cheap(node: Node) -> bool:
    """Whether a node may as well be computed twice as its result stored and loaded."""
    return costly_steps(node) == 0


def space_of(v: Value) -> Space:
    """The shape of a value and how it lies in memory: what two members of a region share."""
    strides = tuple(s if n > 1 else 0 for n, s in zip(v.shape, v.strides, strict=True))
    return tuple(v.shape), strides


def reads_along(node: Node) -> bool:
    """Whether a node's results lie alike, and its operands along them or are broadcast there."""
    space = space_of(node.outputs[0])
    return all(space_of(v) == space for v in node.outputs) and not any(
        crosses(v, node.outputs[0]) for v in node.operands()
    )


def crosses(v: Value, result: Value) -> bool:
    """Whether an operand lies in steps along the innermost dimension of an element-wise result."""
    lead = result.ndim - v.ndim
    for d, (n, s) in enumerate(zip(result.shape, result.strides, strict=True)):
        innermost = n > 1 and s == 1 and d >= lead
        if innermost and v.shape[d - lead] > 1 and v.strides[d - lead] not in (0, 1):
            return True
    return False


def numbers_of(graph: Graph) -> dict[Value, Number]:
    """Constants without dimensions, as expressions hold them."""
    found = {}
    for c in graph.constants:
        if c.value.shape == () and not c.value.dtype.is_complex:
            item = c.array.item()
            if isinstance(item, float) or abs(item) <= _EXACT:
                found[c.value] = Number(float(item), c.value.dtype)
    return found


class Region:
    """An expression in the making.

    Args:
        numbers: the values that are constants.
    """

    def __init__(self, numbers: Mapping[Value, Number]) -> None:
        self.numbers = numbers
        self.operands: dict[Value, int] = {}
        self.constants: dict[str, tuple[int, Number]] = {}
        self.steps: list[tuple[str, Attrs | None, tuple[_Place, ...], DType]] = []
        self.places: dict[Value, _Place] = {}
        self._known: dict[object, _Place] = {}

    def add(self, node: Node) -> None:
        """Take over what a node computes; its operands were added or are operands of the region."""
        inputs = [self._place(v) for v in node.operands()]
        if node.op is not pointwise:
            made = self._step(node.op.name, node.attrs, tuple(inputs), node.outputs[0].dtype)
            self.places[node.outputs[0]] = made
            return
        a = node.attrs
        assert isinstance(a, PointwiseAttrs)
        inputs += [self._constant(c) for c in a.constants]
        for step in a.steps:
            operands = tuple(inputs[v] for v in step.operands)
            inputs.append(self._step(step.op, step.attrs, operands, step.dtype))
        for v, number in zip(node.outputs, a.outputs, strict=True):
            self.places[v] = inputs[number]

    def _place(self, v: Value) -> _Place:
        if v in self.places:
            return self.places[v]
        if v in self.numbers:
            return self._constant(self.numbers[v])
        return "operand", self.operands.setdefault(v, len(self.operands))

    def _constant(self, c: Number) -> _Place:
        return "constant", self.constants.setdefault(repr(c), (len(self.constants), c))[0]

    def _step(
        self, op: str, attrs: Attrs | None, operands: tuple[_Place, ...], dtype: DType
    ) -> _Place:
        """The place of a result; that of the same step where there is one already."""
        key = (op, attrs, operands, dtype)
        if key not in self._known:
            self._known[key] = "step", len(self.steps)
            self.steps.append(key)
        return self._known[key]

    def attrs(self, outputs: Iterable[Value]) -> PointwiseAttrs:
        """The expression that makes these values."""
        first = {"operand": 0, "constant": len(self.operands)}
        first["step"] = first["constant"] + len(self.constants)

        def number(place: _Place) -> int:
            kind, n = place
            return first[kind] + n

        steps = tuple(
            Step(op, attrs, tuple(map(number, operands)), dtype)
            for op, attrs, operands, dtype in self.steps
        )
        constants = tuple(c for _, c in self.constants.values())
        made = tuple(number(self.places[v]) for v in outputs)
        found: PointwiseAttrs = PointwiseAttrs.of(len(self.operands), constants, steps, made)
        return found

    def node(self, outputs: Sequence[Value], source: Source) -> Node:
        """The `pointwise` node that makes these values."""
        return Node(
            pointwise, tuple(self.operands), self.attrs(outputs), tuple(outputs), source=source
        )


_Place = tuple[str, int]
