"""What happens to the results of a contraction on their way to memory.

`Epilogue` says what, as data that plans and kernel keys are made of; `Finish` emits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fovea.ops.elementwise import relu
from fovea.ops.epilogue import NONE, Activation, function_of
from fovea.ops.op import Attrs, Op
from fovea.targets.cpu import pointwise
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.program import double_bits
from fovea.targets.cpu.scalars import SCALARS
from fovea.targets.cpu.values import Index, Value

__all__ = ["Affine", "Epilogue", "Finish", "Function"]

COSTLY_ABOVE = 4.0  # nanoseconds a vector
LINE_BYTES = 64  # of a cache

assert pointwise  # imported for the emitters of activation functions


@dataclass(frozen=True)
class Function:
    """An element-wise op as a part of another kernel, which takes its parameters as scalars."""

    op: Op
    variant: str
    numbers: tuple[float, ...]

    @staticmethod
    def of(found: tuple[Op, Attrs | None] | None) -> Function | None:
        """The function that an op with these attributes is."""
        if found is None:
            return None
        op, attrs = found
        how = SCALARS[op]
        variant = how.variant(attrs) if how.variant is not None else ""
        return Function(op, variant, tuple(how.parameters(attrs) if how.parameters else ()))

    @property
    def key(self) -> str:
        return self.op.name + self.variant

    @property
    def costly(self) -> bool:
        """Whether it is many instructions."""
        return SCALARS[self.op].cost > COSTLY_ABOVE

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names for the parameters."""
        return tuple(f"parameter{i}" for i in range(len(self.numbers)))

    @property
    def words(self) -> tuple[int, ...]:
        """The parameters as a call's words."""
        return tuple(double_bits(n) for n in self.numbers)

    def emit(self, k: Kernel, operands: Sequence[Value], numbers: Sequence[Value]) -> Value:
        """The function of some operands, computed in their element."""
        how = SCALARS[self.op]
        chosen = {"variant": self.variant} if how.variant is not None else {}
        return k.cast(how.emit(k, *operands, *numbers, **chosen), operands[0].element)


@dataclass(frozen=True)
class Epilogue:
    """y = act((value + inner) * scale + bias + residual); what is left out has no element.

    Args:
        bias, scale, inner: the elements of numbers that belong to columns (of a product) or
            channels.
        residual: the element of something that lies in memory as the result does.
        activation: see `fovea.ops.epilogue`.
        residual_after: the residual is added to the activation's result.
        moments: of each part, columns' means and sums of squares about them are results, too.
    """

    bias: Element | None = None
    scale: Element | None = None
    residual: Element | None = None
    activation: Activation = NONE
    residual_after: bool = False
    moments: bool = False
    inner: Element | None = None

    @cached_property
    def function(self) -> Function | None:
        return Function.of(function_of("epilogue", self.activation))

    @property
    def is_more_than_bias(self) -> bool:
        """Whether sums that started from the bias are not yet the results."""
        return bool(self.scale or self.inner or self.residual or self.function)

    @property
    def buffers(self) -> list[tuple[str, Element]]:
        """What it reads: a kernel's buffers of these names, in this order."""
        names = ("bias", "scale", "residual", "inner")
        return [(name, kind) for name in names if (kind := getattr(self, name)) is not None]

    @property
    def scalars(self) -> tuple[str, ...]:
        """The scalars that a kernel takes for it."""
        return self.function.scalars if self.function is not None else ()

    @property
    def words(self) -> tuple[int, ...]:
        """The words that hold those."""
        return self.function.words if self.function is not None else ()

    @property
    def key(self) -> str:
        """Names it within a kernel's key."""
        parts = [f"{name}.{kind}" for name, kind in self.buffers]
        parts += [self.function.key] if self.function is not None else []
        parts += ["after"] * self.residual_after + ["moments"] * self.moments
        return "+".join(parts) or "plain"


class Affine(NamedTuple):
    """What a vector of results is multiplied by, and what is added to it after and before that."""

    scale: Value | None
    shift: Value | None
    inner: Value | None = None


class Finish:
    """Emits an epilogue into a kernel that has its buffers and scalars (the last ones)."""

    def __init__(self, k: Kernel, epilogue: Epilogue, compute: Element) -> None:
        self.k, self.epilogue, self.compute = k, epilogue, compute
        self.function = epilogue.function
        count = len(epilogue.scalars)
        self.numbers = [k.cast(s, compute) for s in k.scalars[len(k.scalars) - count :]]
        wanted = [name for name, _ in epilogue.buffers]
        self.buffers = {b.name: b for b in k.buffers if b.name in wanted}

    @property
    def costly(self) -> bool:
        """Whether it is many instructions, to be written out once in a loop."""
        return self.function is not None and self.function.costly

    def at(self, column: Index, result: Index) -> Finish:
        """The same for columns from this one on, and results from that element on."""
        moved = object.__new__(Finish)
        moved.__dict__.update(self.__dict__)
        steps = {"residual": result}
        moved.buffers = {n: b.at(steps.get(n, column)) for n, b in self.buffers.items()}
        return moved

    def start(self, at: Index, lanes: int, count: Index | None = None) -> Value:
        """What sums start from, a vector of columns: the inner bias, or the bias if there is none
        and the sums are not scaled.
        """
        given = self.epilogue
        if given.inner is not None:
            return self._vector("inner", at, lanes, count)
        if given.scale is not None or given.bias is None:
            return self.k.const(0.0, self.compute, lanes)
        return self._vector("bias", at, lanes, count)

    def affine(
        self, at: Index, lanes: int, count: Index | None = None, started: bool = False
    ) -> Affine:
        """What a vector of columns is scaled with and shifted by.

        `started`: the sums started from what `start` gave.
        """
        given = self.epilogue
        scale = self._vector("scale", at, lanes, count) if given.scale is not None else None
        inner = None
        if given.inner is not None and not started:
            inner = self._vector("inner", at, lanes, count)
        if given.bias is None or (started and scale is None and given.inner is None):
            return Affine(scale, None, inner)
        return Affine(scale, self._vector("bias", at, lanes, count), inner)

    def _vector(self, name: str, at: Index, lanes: int, count: Index | None) -> Value:
        return self.k.cast(self.k.load(self.buffers[name], at, lanes, count=count), self.compute)

    def residual(self, at: Index, lanes: int, count: Index | None = None) -> Value | None:
        """A vector of the residual, `at` counted as in the result; None if there is none."""
        if self.epilogue.residual is None:
            return None
        return self._vector("residual", at, lanes, count)

    def ahead(self, at: Value, columns: int) -> None:
        """Ask for so many columns of the residual that are needed soon."""
        residual = self.buffers["residual"]
        for column in range(0, columns, LINE_BYTES // residual.element.bytes):
            self.k.prefetch(residual, at + column)

    def value(self, value: Value, affine: Affine, residual: Value | None = None) -> Value:
        """The result from a sum."""
        value, after = self.scaled(value, affine), self.epilogue.residual_after
        if residual is not None and not after:
            value = value + residual
        value = self.activated(value)
        return value + residual if residual is not None and after else value

    def scaled(self, value: Value, affine: Affine) -> Value:
        """A sum, shifted, scaled and shifted again."""
        k, (scale, shift, inner) = self.k, affine
        if inner is not None:
            value = value + inner
        if scale is not None:
            return k.fma(value, scale, shift) if shift is not None else value * scale
        return value + shift if shift is not None else value

    def activated(self, value: Value) -> Value:
        """The activation of a value."""
        return value if self.function is None else self.function.emit(self.k, [value], self.numbers)

    @property
    def is_floor(self) -> bool:
        """Whether the activation does nothing but raise what is below a number to it."""
        return self.function is not None and self.function.op is relu
