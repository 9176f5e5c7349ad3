"""What a reduction kernel is made for: how values are combined, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, boolean, f64, i64, u8
from fovea.targets.cpu.loops import BROADCAST, Expression
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

Combine = Callable[[Kernel, Value, Value], Value]


@dataclass(frozen=True)
class Reduction:
    """How values are combined.

    Args:
        name: names the functions below.
        combine: two accumulators.
        identity: what an accumulator starts as, for its element.
        held: the element that vectors accumulate in, for that of the values.
        total: the element that blocks are combined in, for the same.
        lift: a loaded value as an accumulator.
    """

    name: str
    combine: Combine = field(compare=False)
    identity: Callable[[Element], float] = field(compare=False)
    held: Callable[[Element], Element] = field(compare=False)
    total: Callable[[Element], Element] = field(compare=False)
    lift: Callable[[Kernel, Value, Element], Value] = field(compare=False)


def _same(e: Element) -> Element:
    return e.compute


def _summed(e: Element) -> Element:
    """Integers are summed as int64, which wraps around as any narrower sum does."""
    return e.compute if e.is_float else i64


def _precise(e: Element) -> Element:
    return f64 if e.is_float else i64


def _as_number(e: Element) -> Element:
    return u8 if e is boolean else e.compute


def _cast(k: Kernel, x: Value, e: Element) -> Value:
    return k.cast(x, e)


def _truth(k: Kernel, x: Value, e: Element) -> Value:
    return k.cast(x if x.element is boolean else x.ne(0), e)


def _lowest(e: Element) -> float:
    if e.is_float:
        return float("-inf")
    return 0 if e.kind == "u" else -(1 << 8 * e.bytes - 1)


def _highest(e: Element) -> float:
    if e.is_float:
        return float("inf")
    return (1 << 8 * e.bytes - (e.kind != "u")) - 1


def _plus(k: Kernel, a: Value, b: Value) -> Value:
    from fovea.targets.cpu.integers import wrapping

    return wrapping(k, lambda x, y: x + y, a, b)


def _times(k: Kernel, a: Value, b: Value) -> Value:
    from fovea.targets.cpu.integers import wrapping

    return wrapping(k, lambda x, y: x * y, a, b)


def _one(e: Element) -> float:
    return 1


def _zero(e: Element) -> float:
    return 0


def _byte(e: Element) -> Element:
    return u8


SUM = Reduction("sum", _plus, _zero, _summed, _precise, _cast)
PROD = Reduction("prod", _times, _one, _summed, _precise, _cast)
AMAX = Reduction("amax", lambda k, a, b: k.maximum(a, b), _lowest, _as_number, _as_number, _cast)
AMIN = Reduction("amin", lambda k, a, b: k.minimum(a, b), _highest, _as_number, _as_number, _cast)
ANY = Reduction("any", lambda k, a, b: a | b, _zero, _byte, _byte, _truth)
ALL = Reduction("all", lambda k, a, b: a & b, _one, _byte, _byte, _truth)


@dataclass(frozen=True)
class Prologue:
    """What is computed of each element before it is reduced.

    Args:
        expression: its first output is reduced, the others are stored.
        kinds: of each operand's stride along the innermost dimension: contiguous or broadcast.
    """

    expression: Expression
    kinds: str

    @property
    def key(self) -> str:
        names = ".".join(e.name for e in self.expression.operands)
        return f"{self.expression.key}/{names}/{self.kinds}"


@dataclass(frozen=True)
class Form:
    """A reduction kernel's variant.

    Args:
        source, result: the elements reduced and written.
        kept: dimensions that stay: the outer ones only, for columns.
        reduced: dimensions that go: the outer ones only, for rows.
        divided: whether the result is divided by a scalar (a mean).
        prologue: what computes the elements, where they are not simply loaded.
    """

    reduction: Reduction
    source: Element
    result: Element
    kept: int
    reduced: int
    divided: bool
    prologue: Prologue | None = None

    @property
    def key(self) -> str:
        r = self.reduction.name + ("/mean" if self.divided else "")
        before = f"/{self.prologue.key}" if self.prologue is not None else ""
        return f"{r}/{self.source}.{self.result}/{self.kept}.{self.reduced}{before}"

    @property
    def buffers(self) -> list[tuple[str, Element]]:
        """What is read, and what a prologue stores; all but the result."""
        if self.prologue is None:
            return [("x", self.source)]
        e = self.prologue.expression
        read = [(f"x{i}", x) for i, x in enumerate(e.inputs)]
        return [*read, *((f"z{i}", z) for i, z in enumerate(e.outputs[1:]))]

    @property
    def scalars(self) -> list[str]:
        """The count that totals are divided by, then the prologue's parameters."""
        count = ["count"] if self.divided else []
        parameters = self.prologue.expression.parameters if self.prologue is not None else 0
        return [*count, *(f"p{i}" for i in range(parameters))]

    @property
    def held(self) -> Element:
        return self.reduction.held(self.source)

    @property
    def total(self) -> Element:
        return self.reduction.total(self.source)


class Source:
    """The elements that are reduced: loaded, or computed from what is.

    Args:
        buffers: what is read, then what is stored on the way.
    """

    def __init__(self, k: Kernel, form: Form, buffers: Sequence[Buffer]) -> None:
        self.k, self.form, self.buffers = k, form, buffers

    def at(self, offsets: Sequence[Index]) -> Source:
        """The same from some elements on, which each buffer counts for itself."""
        moved = [b.at(o) for b, o in zip(self.buffers, offsets, strict=True)]
        return Source(self.k, self.form, moved)

    def along(self, i: Index) -> Source:
        """The same from element `i` of the innermost dimension on."""
        kinds = self.form.prologue.kinds if self.form.prologue is not None else ""
        steps = [0 if kind == BROADCAST else i for kind in kinds.ljust(len(self.buffers))]
        return self.at(steps)

    def load(self, i: Index, lanes: int = 1) -> Value:
        """Elements of the innermost dimension from `i` on, as accumulators."""
        k, form = self.k, self.form
        if form.prologue is None:
            return form.reduction.lift(k, k.load(self.buffers[0], i, lanes), form.held)
        e, kinds = form.prologue.expression, form.prologue.kinds
        values = [
            k.load_broadcast(b, 0, lanes) if kind == BROADCAST else k.load(b, i, lanes)
            for b, kind in zip(self.buffers, kinds, strict=False)
        ]
        first, *others = e.body(k, values, k.scalars[form.divided :])
        for value, b in zip(others, self.buffers[len(kinds) :], strict=True):
            k.store(k.broadcast(value, lanes), b, i)
        return form.reduction.lift(k, k.broadcast(first, lanes), form.held)
