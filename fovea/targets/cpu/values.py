"""`Value`: what a kernel computes with, an element type, a number of lanes and the name LLVM knows
it by.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Union

from fovea.targets.cpu.elements import Element, i64

if TYPE_CHECKING:
    from fovea.targets.cpu.flow import Code

Operand = Union["Value", int, float, bool]
Index = Union["Value", int]

_FLOAT_OPS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv", "%": "frem"}
_INT_OPS = {
    "+": ("add", "add"),
    "-": ("sub", "sub"),
    "*": ("mul", "mul"),
    "/": ("sdiv", "udiv"),
    "%": ("srem", "urem"),
    "&": ("and", "and"),
    "|": ("or", "or"),
    "^": ("xor", "xor"),
    "<<": ("shl", "shl"),
    ">>": ("ashr", "lshr"),
}
_COMPARE = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


def literal(value: Operand, element: Element) -> str:
    """LLVM's spelling of a scalar constant."""
    if element.kind == "b":
        return "true" if value else "false"
    if not element.is_float:
        bits = element.bytes * 8
        wrapped = int(value) & ((1 << bits) - 1)  # type: ignore[arg-type]
        return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)
    number = float(value)  # type: ignore[arg-type]
    if element.bytes == 4:
        try:
            (number,) = struct.unpack("f", struct.pack("f", number))
        except OverflowError:
            number = float("inf") if number > 0 else float("-inf")
    (bits,) = struct.unpack("Q", struct.pack("d", number))
    return f"0x{bits:016X}"


def ir_type(element: Element, lanes: int) -> str:
    """The LLVM type of a value in a register."""
    return element.ir if lanes == 1 else f"<{lanes} x {element.ir}>"


class Value:
    """A value in a register; operators emit instructions. `//` and `%` suit non-negative operands.

    A Python number beside a Value becomes a constant of its type, and a scalar beside a vector is
    broadcast.
    """

    __slots__ = ("code", "element", "lanes", "name")
    __hash__ = object.__hash__

    def __init__(self, code: Code, element: Element, lanes: int, name: str) -> None:
        self.code = code
        self.element = element
        self.lanes = lanes
        self.name = name

    @property
    def ir(self) -> str:
        return ir_type(self.element, self.lanes)

    @property
    def typed(self) -> str:
        """Type and name, as LLVM's argument lists want them."""
        return f"{self.ir} {self.name}"

    def __repr__(self) -> str:
        return f"<{self.element.name}x{self.lanes} {self.name}>"

    def __bool__(self) -> bool:
        raise TypeError("a kernel's Value has no truth in Python: use k.if_ or k.select")

    def _binary(self, op: str, other: Operand, swap: bool = False) -> Value:
        left, right = self.code.match(self, other)
        if swap:
            left, right = right, left
        floats = left.element.is_float
        name = _FLOAT_OPS[op] if floats else _INT_OPS[op][left.element.kind != "i"]
        if left.element is i64 and op in "+-*":
            name += " nsw"
        return self.code.assign(
            left.element, left.lanes, f"{name} {left.ir} {left.name}, {right.name}"
        )

    def __add__(self, other: Operand) -> Value:
        return self if _is_int(other, 0, self) else self._binary("+", other)

    def __radd__(self, other: Operand) -> Value:
        return self if _is_int(other, 0, self) else self._binary("+", other, swap=True)

    def __sub__(self, other: Operand) -> Value:
        return self if _is_int(other, 0, self) else self._binary("-", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._binary("-", other, swap=True)

    def __mul__(self, other: Operand) -> Value:
        return self if _is_int(other, 1, self) else self._binary("*", other)

    def __rmul__(self, other: Operand) -> Value:
        return self if _is_int(other, 1, self) else self._binary("*", other, swap=True)

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("/", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._binary("/", other, swap=True)

    def __floordiv__(self, other: Operand) -> Value:
        if self.element.is_float:
            raise TypeError("// is for integers: divide with / and use k.floor")
        return self if _is_int(other, 1, self) else self._binary("/", other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return self._binary("/", other, swap=True)

    def __mod__(self, other: Operand) -> Value:
        return self._binary("%", other)

    def __and__(self, other: Operand) -> Value:
        return self._binary("&", other)

    def __or__(self, other: Operand) -> Value:
        return self._binary("|", other)

    def __xor__(self, other: Operand) -> Value:
        return self._binary("^", other)

    def __lshift__(self, other: Operand) -> Value:
        return self._binary("<<", other)

    def __rshift__(self, other: Operand) -> Value:
        return self._binary(">>", other)

    def __neg__(self) -> Value:
        if self.element.is_float:
            return self.code.assign(self.element, self.lanes, f"fneg {self.typed}")
        return self._binary("-", 0, swap=True)

    def __invert__(self) -> Value:
        return self._binary("^", True if self.element.kind == "b" else -1)

    def compare(self, op: str, other: Operand) -> Value:
        """A bool for each lane; `op` as Python spells it. Comparisons with NaN are false, `!=`
        true.
        """
        from fovea.targets.cpu.elements import boolean

        left, right = self.code.match(self, other)
        name = _COMPARE[op]
        if left.element.is_float:
            text = f"fcmp {'u' if op == '!=' else 'o'}{name}"
        elif op in ("==", "!="):
            text = f"icmp {name}"
        else:
            text = f"icmp {'s' if left.element.kind == 'i' else 'u'}{name}"
        return self.code.assign(boolean, left.lanes, f"{text} {left.ir} {left.name}, {right.name}")

    def __lt__(self, other: Operand) -> Value:
        return self.compare("<", other)

    def __le__(self, other: Operand) -> Value:
        return self.compare("<=", other)

    def __gt__(self, other: Operand) -> Value:
        return self.compare(">", other)

    def __ge__(self, other: Operand) -> Value:
        return self.compare(">=", other)

    def eq(self, other: Operand) -> Value:
        """Equal, lane by lane (`==` is left to Python's identity)."""
        return self.compare("==", other)

    def ne(self, other: Operand) -> Value:
        """Not equal, lane by lane."""
        return self.compare("!=", other)


def _is_int(other: Operand, number: int, value: Value) -> bool:
    """Whether `other` is that Python integer beside an integer value, so that the operation can be
    left out.
    """
    return type(other) is int and other == number and value.element.kind in "iu"
