"""`Code`: one function under construction. Names, variables and structured control flow; no phi
node is ever seen.

Loops and branches are context managers, so generated control flow nests as Python does. Mutable
locals live in stack slots that LLVM turns into registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fovea.targets.cpu.elements import Element, boolean, f64, i64
from fovea.targets.cpu.isa import Isa, active
from fovea.targets.cpu.values import Index, Operand, Value, ir_type, literal


class Var:
    """A mutable local: `get` reads it, `set` writes it."""

    __slots__ = ("code", "element", "lanes", "slot")

    def __init__(self, code: Code, element: Element, lanes: int, slot: str) -> None:
        self.code = code
        self.element = element
        self.lanes = lanes
        self.slot = slot

    def get(self) -> Value:
        text = f"load {ir_type(self.element, self.lanes)}, ptr {self.slot}"
        return self.code.assign(self.element, self.lanes, text)

    def set(self, value: Operand) -> None:
        if not isinstance(value, Value):
            value = self.code.const(value, self.element, self.lanes)
        if (value.element, value.lanes) != (self.element, self.lanes):
            raise TypeError(f"variable of {self.element}x{self.lanes} set to {value!r}")
        self.code.emit(f"store {value.typed}, ptr {self.slot}")


class Loop:
    """A loop being emitted by `Code.repeat`: leave it or start its next turn on a condition."""

    def __init__(self, code: Code, head: str, after: str) -> None:
        self._code, self._head, self._after = code, head, after

    def leave_if(self, condition: Value) -> None:
        """Go on after the loop where the condition holds."""
        self._code.branch(condition, self._after)

    def again_if(self, condition: Value) -> None:
        """Start the next turn where the condition holds."""
        self._code.branch(condition, self._head)


class Code:
    """Emits the body of one LLVM function; `Kernel` and `Routine` give it a signature."""

    def __init__(self, isa: Isa | None = None) -> None:
        self.isa = isa or active()
        self._lines: list[str] = []
        self._slots: list[str] = []
        self._declared: dict[str, str] = {}
        self._metadata: list[str] = []
        self._count = 0

    # -- raw emission ------------------------------------------------------------------------------

    def emit(self, text: str) -> None:
        """Append one instruction."""
        self._lines.append(" " + text)

    def fresh(self, prefix: str = "%v") -> str:
        """A name not used before."""
        self._count += 1
        return f"{prefix}{self._count}"

    def assign(self, element: Element, lanes: int, text: str) -> Value:
        """Append one instruction that yields a value."""
        name = self.fresh()
        self._lines.append(f" {name} = {text}")
        return Value(self, element, lanes, name)

    def declare(self, name: str, signature: str) -> None:
        """Declare an intrinsic or an outside function; `signature` holds `{name}` where the name
        goes.
        """
        self._declared[name] = signature.format(name=f"@{name}")

    def label(self, name: str) -> None:
        """Start the basic block called `name` (with its %)."""
        self._lines.append(f"{name[1:]}:")

    def jump(self, target: str) -> None:
        self.emit(f"br label {target}")

    def branch(self, condition: Value, target: str) -> None:
        """Go to `target` where the condition holds, else on."""
        onward = self.fresh("%b")
        self.emit(f"br {condition.typed}, label {target}, label {onward}")
        self.label(onward)

    def slot(self, ir: str, align: int = 0) -> str:
        """A stack slot of LLVM type `ir`, made once at the function's start."""
        name = self.fresh("%s")
        self._slots.append(f" {name} = alloca {ir}" + (f", align {align}" if align else ""))
        return name

    def metadata(self, content: str) -> int:
        """The number of a metadata node with this content."""
        self._metadata.append(f"!{len(self._metadata)} = !{{{content}}}")
        return len(self._metadata) - 1

    # -- constants and variables -------------------------------------------------------------------

    def const(self, value: Operand, element: Element, lanes: int = 1) -> Value:
        """A constant, or a Value broadcast to `lanes`."""
        if isinstance(value, Value):
            return self.broadcast(value, lanes)
        text = literal(value, element)
        if lanes > 1:
            text = "<" + ", ".join([f"{element.ir} {text}"] * lanes) + ">"
        return Value(self, element, lanes, text)

    def vector(self, values: Sequence[Operand], element: Element) -> Value:
        """A constant vector."""
        text = "<" + ", ".join(f"{element.ir} {literal(v, element)}" for v in values) + ">"
        return Value(self, element, len(values), text)

    def index(self, value: Index) -> Value:
        """A Python int or a Value as an i64 Value."""
        return value if isinstance(value, Value) else self.const(value, i64)

    def broadcast(self, value: Value, lanes: int) -> Value:
        """A scalar in every lane; a vector of `lanes` stays itself."""
        if value.lanes == lanes:
            return value
        if value.lanes != 1:
            raise TypeError(f"cannot broadcast {value!r} to {lanes} lanes")
        kind = ir_type(value.element, lanes)
        one = self.assign(
            value.element, lanes, f"insertelement {kind} poison, {value.typed}, i32 0"
        )
        mask = f"<{lanes} x i32> zeroinitializer"
        return self.assign(
            value.element, lanes, f"shufflevector {one.typed}, {kind} poison, {mask}"
        )

    def match(self, left: Operand, right: Operand) -> tuple[Value, Value]:
        """Both operands as Values of one type: numbers become constants, scalars are broadcast."""
        if isinstance(left, Value):
            if not isinstance(right, Value):
                return left, self.const(right, left.element, left.lanes)
        elif isinstance(right, Value):
            return self.const(left, right.element, right.lanes), right
        else:
            return self.const(left, f64), self.const(right, f64)
        if left.element is not right.element:
            raise TypeError(f"{left!r} and {right!r} are of different elements: cast one of them")
        if left.lanes != right.lanes:
            lanes = max(left.lanes, right.lanes)
            left, right = self.broadcast(left, lanes), self.broadcast(right, lanes)
        return left, right

    def var(self, value: Operand, element: Element = i64) -> Var:
        """A mutable local that starts as `value` (`element` counts for Python numbers only)."""
        start = value if isinstance(value, Value) else self.const(value, element)
        slot = self.slot(start.ir)
        self.emit(f"store {start.typed}, ptr {slot}")
        return Var(self, start.element, start.lanes, slot)

    # -- control flow ------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self, low: Index, high: Index, step: Index = 1, unroll: int | None = None
    ) -> Iterator[Value]:
        """`for i in range(low, high, step)`, step positive. `unroll`: a count for LLVM, 1 forbids
        unrolling.
        """
        low, high = self.index(low), self.index(high)
        head, after = self.fresh("%loop"), self.fresh("%done")
        at = self.var(low)
        self.emit(f"br {(low < high).typed}, label {head}, label {after}")
        self.label(head)
        i = at.get()
        yield i
        following = i + step
        at.set(following)
        again = following < high
        hint = self._unroll_hint(unroll)
        self.emit(f"br {again.typed}, label {head}, label {after}{hint}")
        self.label(after)

    def _unroll_hint(self, unroll: int | None) -> str:
        if unroll is None:
            return ""
        text = '"llvm.loop.unroll.disable"'
        if unroll > 1:
            text = f'"llvm.loop.unroll.count", i32 {unroll}'
        n = len(self._metadata)
        self._metadata += [f"!{n} = distinct !{{!{n}, !{n + 1}}}", f"!{n + 1} = !{{!{text}}}"]
        return f", !llvm.loop !{n}"

    @contextmanager
    def repeat(self) -> Iterator[Loop]:
        """`while True`, left through `Loop.leave_if`."""
        head, after = self.fresh("%again"), self.fresh("%left")
        self.jump(head)
        self.label(head)
        yield Loop(self, head, after)
        self.jump(head)
        self.label(after)

    @contextmanager
    def if_(self, condition: Value | bool) -> Iterator[None]:
        """Run the body where a scalar condition holds."""
        condition = self.const(condition, boolean)
        then, after = self.fresh("%then"), self.fresh("%end")
        self.emit(f"br {condition.typed}, label {then}, label {after}")
        self.label(then)
        yield
        self.jump(after)
        self.label(after)

    @contextmanager
    def if_else(self, condition: Value | bool) -> Iterator[tuple[_Arm, _Arm]]:
        """`with k.if_else(c) as (then, otherwise):` and inside it `with then:` and `with
        otherwise:`, in that order.
        """
        condition = self.const(condition, boolean)
        then, other, after = self.fresh("%then"), self.fresh("%else"), self.fresh("%end")
        self.emit(f"br {condition.typed}, label {then}, label {other}")
        yield _Arm(self, then, after), _Arm(self, other, after)
        self.label(after)

    def text(self, header: str) -> str:
        """The function as LLVM assembly, after its header line."""
        body = [header + " {", "entry:", *self._slots, *self._lines, " ret void", "}"]
        return "\n".join(body)

    def trailer(self) -> str:
        """Declarations and metadata that the module ends with."""
        return "\n".join([*self._declared.values(), *self._metadata])


class _Arm:
    """One side of `if_else`."""

    def __init__(self, code: Code, label: str, after: str) -> None:
        self._code, self._label, self._after = code, label, after

    def __enter__(self) -> None:
        self._code.label(self._label)

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._code.jump(self._after)
