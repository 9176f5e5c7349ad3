"""`Routine`: a plain compiled function with atomics and calls, for the thread pool (kernels need
none of it).
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

from fovea.targets.cpu.elements import Element, boolean, i64
from fovea.targets.cpu.isa import Isa
from fovea.targets.cpu.memory import Memory
from fovea.targets.cpu.values import Index, Operand, Value


class Routine(Memory):
    """A function `void name(i64, i64, ...)`; addresses are passed as i64, too."""

    buffer_names: tuple[str, ...] = ()

    def __init__(self, name: str, parameters: Sequence[str], isa: Isa | None = None) -> None:
        super().__init__(isa)
        self.name = name
        self.parameters = tuple(Value(self, i64, 1, f"%{p}") for p in parameters)

    def pointer(self, base: Value, offset: Index = 0) -> str:
        """The pointer to the byte `offset` behind the address `base`."""
        name = self.fresh("%p")
        self.emit(f"{name} = inttoptr {(base + offset).typed} to ptr")
        return name

    def atomic_load(self, pointer: str, order: str = "acquire") -> Value:
        return self.assign(i64, 1, f"load atomic i64, ptr {pointer} {order}, align 8")

    def atomic_store(self, value: Operand, pointer: str, order: str = "release") -> None:
        word = self.const(value, i64)
        self.emit(f"store atomic {word.typed}, ptr {pointer} {order}, align 8")

    def atomic_and(self, pointer: str, mask: int, order: str = "acq_rel") -> Value:
        return self.assign(i64, 1, f"atomicrmw and ptr {pointer}, i64 {mask} {order}")

    def compare_exchange(
        self, pointer: str, expected: Operand, new: Operand, order: str = "acq_rel"
    ) -> tuple[Value, Value]:
        """What the word held, and whether it was `expected` and so became `new`."""
        before, after = self.const(expected, i64), self.const(new, i64)
        pair = self.fresh()
        text = f"cmpxchg ptr {pointer}, {before.typed}, {after.typed} {order} acquire"
        self.emit(f"{pair} = {text}")
        old = self.assign(i64, 1, f"extractvalue {{ i64, i1 }} {pair}, 0")
        return old, self.assign(boolean, 1, f"extractvalue {{ i64, i1 }} {pair}, 1")

    def pause(self) -> None:
        """Tell the core that this is a spin loop."""
        if platform.machine().lower() in ("x86_64", "amd64"):
            self.declare("llvm.x86.sse2.pause", "declare void {name}()")
            self.emit("call void @llvm.x86.sse2.pause()")
        else:
            self.emit('call void asm sideeffect "yield", ""()')

    def call_address(self, address: Value, arguments: Sequence[Value]) -> None:
        """Call a `void (i64, ...)` function at an address."""
        typed = ", ".join(a.typed for a in arguments)
        self.emit(f"call void {self.pointer(address)}({typed})")

    def call_libc(self, name: str, arguments: Sequence[Value], element: Element = i64) -> Value:
        """Call a variadic function of the C library."""
        self.declare(name, f"declare {element.ir} {{name}}(i64, ...)")
        typed = ", ".join(a.typed for a in arguments)
        return self.assign(element, 1, f"call {element.ir} (i64, ...) @{name}({typed})")

    def assembly(self) -> str:
        """The module as LLVM assembly; its entry point is called `kernel`."""
        signature = ", ".join(p.typed for p in self.parameters)
        body = self.text(f"define void @kernel({signature}) #0")
        return "\n".join([body, self.trailer(), "attributes #0 = { nounwind }", ""])
