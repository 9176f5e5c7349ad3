"""`Memory`: buffers, loads and stores, which know how each element type is stored.

With bounds checks on, every access is compared with the byte range that the caller gave for its
buffer. One that falls outside is written into an error record and sent to a safe place instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from fovea.targets.cpu.arithmetic import Arithmetic
from fovea.targets.cpu.elements import Element, bf16, boolean, f16, i64, u8, u16
from fovea.targets.cpu.values import Index, Operand, Value, ir_type

# The error record: three words (buffer number + 1, address, bytes), then a safe area that bad
# accesses go to.
RECORD_WORDS = 8
RECORD_BYTES = 8 * RECORD_WORDS + 4096


class Buffer:
    """Memory that a kernel reads or writes, addressed in elements from its first one."""

    __slots__ = ("bounds", "code", "element", "name", "number", "pointer")

    def __init__(
        self,
        code: Memory,
        element: Element,
        pointer: str,
        name: str = "scratch",
        number: int = -1,
        bounds: tuple[Value, Value] | None = None,
    ) -> None:
        self.code, self.element, self.pointer = code, element, pointer
        self.name, self.number, self.bounds = name, number, bounds

    def _moved(self, element: Element, pointer: str) -> Buffer:
        return Buffer(self.code, element, pointer, self.name, self.number, self.bounds)

    def at(self, index: Index) -> Buffer:
        """The same memory, starting `index` elements further."""
        return self._moved(self.element, self.code.address(self, index))

    def view(self, element: Element) -> Buffer:
        """The same memory as elements of another type."""
        return self._moved(element, self.pointer)

    def __repr__(self) -> str:
        return f"<buffer {self.name} {self.element}>"


class Memory(Arithmetic):
    """Loads and stores."""

    record: str | None = None  # where bad accesses are reported, when bounds are checked

    def address(self, buffer: Buffer, index: Index) -> str:
        """The LLVM name of the pointer to element `index`."""
        if type(index) is int and index == 0:
            return buffer.pointer
        kind, at = buffer.element.memory_ir, self.index(index)
        name = self.fresh("%p")
        self.emit(f"{name} = getelementptr {kind}, ptr {buffer.pointer}, {at.typed}")
        return name

    def load(
        self, buffer: Buffer, index: Index = 0, lanes: int = 1, count: Index | None = None
    ) -> Value:
        """`lanes` elements from `index` on; of these only the first `count` where given (the others
        read as 0).
        """
        bits = self._load_bits(buffer, index, lanes, count)
        if buffer.element in (bf16, f16):
            return self.widen(bits, buffer.element)
        return bits.ne(0) if buffer.element is boolean else bits

    def _load_bits(self, buffer: Buffer, index: Index, lanes: int, count: Index | None) -> Value:
        element = _stored(buffer.element)
        pointer = self._checked(
            buffer, self.address(buffer, index), lanes if count is None else count
        )
        kind = ir_type(element, lanes)
        if count is None:
            return self.assign(element, lanes, f"load {kind}, ptr {pointer}, align {element.bytes}")
        mask = self.prefix_mask(count, lanes)
        full = f"llvm.masked.load.{_suffix(element, lanes)}.p0"
        self.declare(full, f"declare {kind} {{name}}(ptr, i32, {mask.ir}, {kind})")
        arguments = f"ptr {pointer}, i32 {element.bytes}, {mask.typed}, {kind} zeroinitializer"
        return self.assign(element, lanes, f"call {kind} @{full}({arguments})")

    def load_broadcast(self, buffer: Buffer, index: Index, lanes: int) -> Value:
        """One element in every lane."""
        return self.broadcast(self.load(buffer, index), lanes)

    def store(
        self,
        value: Operand,
        buffer: Buffer,
        index: Index = 0,
        count: Index | None = None,
        streams: bool = False,
    ) -> None:
        """Store all lanes of `value` from `index` on, or only the first `count`. Narrow floats are
        rounded to even.

        With `streams` the bytes go past the caches; their address must be a multiple of their
        number. Other threads see them once this one has changed something by `atomic_add`.
        """
        if not isinstance(value, Value):
            value = self.const(value, buffer.element.compute)
        if value.element is not buffer.element.compute:
            raise TypeError(f"store of {value!r} into {buffer!r}: cast it first")
        bits = self._to_stored(value, buffer.element)
        lanes = bits.lanes
        pointer = self._checked(
            buffer, self.address(buffer, index), lanes if count is None else count
        )
        if count is None:
            align, hint = bits.element.bytes, ""
            if streams:
                align, hint = align * lanes, f", !nontemporal !{self.metadata('i32 1')}"
            self.emit(f"store {bits.typed}, ptr {pointer}, align {align}{hint}")
            return
        mask = self.prefix_mask(count, lanes)
        full = f"llvm.masked.store.{_suffix(bits.element, lanes)}.p0"
        self.declare(full, f"declare void {{name}}({bits.ir}, ptr, i32, {mask.ir})")
        arguments = f"{bits.typed}, ptr {pointer}, i32 {bits.element.bytes}, {mask.typed}"
        self.emit(f"call void @{full}({arguments})")

    def _to_stored(self, value: Value, element: Element) -> Value:
        if element in (bf16, f16):
            return self.narrow(value, element)
        return self.cast(value, u8) if element is boolean else value

    def is_aligned(self, buffer: Buffer, multiple: int) -> Value:
        """Whether the buffer starts at a multiple of so many bytes (a power of two)."""
        start = self.assign(i64, 1, f"ptrtoint ptr {buffer.pointer} to i64")
        return (start & (multiple - 1)).eq(0)

    def gather(self, buffer: Buffer, indices: Value | Sequence[Index]) -> Value:
        """One element for each index: an i64 vector, or scalars."""
        if isinstance(indices, Value):
            indices = [self.extract(indices, lane) for lane in range(indices.lanes)]
        items = [self.load(buffer, i) for i in indices]
        result = Value(self, items[0].element, len(items), "poison")
        for lane, item in enumerate(items):
            result = self.insert(result, item, lane)
        return result

    def scratch(self, element: Element, count: int, align: int = 64) -> Buffer:
        """`count` elements on the stack, for this call of the kernel only (a few kB at most)."""
        return Buffer(self, element, self.slot(f"[{count} x {element.memory_ir}]", align))

    def prefetch(
        self, buffer: Buffer, index: Index, write: bool = False, locality: int = 3
    ) -> None:
        """Ask for the cache line of an element; an address outside the buffer does no harm."""
        self.declare("llvm.prefetch.p0", "declare void {name}(ptr, i32, i32, i32)")
        pointer = self.address(buffer, index)
        hint = f"i32 {int(write)}, i32 {locality}, i32 1"
        self.emit(f"call void @llvm.prefetch.p0(ptr {pointer}, {hint})")

    def atomic_add(self, pointer: str, amount: Operand, order: str = "monotonic") -> Value:
        """Add to the i64 at `pointer`; its value before."""
        value = self.const(amount, i64)
        return self.assign(i64, 1, f"atomicrmw add ptr {pointer}, {value.typed} {order}")

    def _checked(self, buffer: Buffer, pointer: str, count: Index) -> str:
        """The pointer itself, or a safe one (and a report) if it is outside its buffer."""
        if self.record is None or buffer.bounds is None:
            return pointer
        low, high = buffer.bounds
        first = self.assign(i64, 1, f"ptrtoint ptr {pointer} to i64")
        width = self.index(count) * buffer.element.bytes
        good = ((first >= low) & (first + width <= high)) | (width <= 0)
        with self.if_(~good):
            record = Buffer(self, i64, self.record)
            for at, word in enumerate((self.const(buffer.number + 1, i64), first, width)):
                self.store(word, record, at)
        safe = self.fresh("%p")
        self.emit(f"{safe} = getelementptr i64, ptr {self.record}, i64 {RECORD_WORDS}")
        name = self.fresh("%p")
        self.emit(f"{name} = select {good.typed}, ptr {pointer}, ptr {safe}")
        return name


def _stored(element: Element) -> Element:
    """The element type whose register form has the stored bits."""
    if element in (bf16, f16):
        return u16
    return u8 if element is boolean else element


def _suffix(element: Element, lanes: int) -> str:
    return f"v{lanes}{'f' if element.is_float else 'i'}{element.bytes * 8}"
