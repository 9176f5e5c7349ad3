"""`Arithmetic`: what operators cannot say. Fused multiply-add, min and max, select, casts,
shuffles, reductions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fovea.targets.cpu.elements import Element, bf16, boolean, f16, f32, i32, u16, u32
from fovea.targets.cpu.flow import Code
from fovea.targets.cpu.values import Index, Operand, Value, ir_type


def suffix(value: Value) -> str:
    """The type suffix of an overloaded intrinsic, such as v8f32."""
    letter = "f" if value.element.is_float else "i"
    bits = 1 if value.element.kind == "b" else value.element.bytes * 8
    return (f"v{value.lanes}" if value.lanes > 1 else "") + f"{letter}{bits}"


class Arithmetic(Code):
    """Arithmetic over Values, beyond the operators that Value itself has."""

    # -- intrinsics --------------------------------------------------------------------------------

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """Call an LLVM intrinsic overloaded on its first argument's type, whose result has that
        type too.

        `k.intrinsic("llvm.sqrt", x)`; arguments may be of other types where the intrinsic wants so.
        """
        first = arguments[0]
        full = f"{name}.{suffix(first)}"
        kinds = ", ".join(a.ir for a in arguments)
        self.declare(full, f"declare {first.ir} {{name}}({kinds})")
        values = ", ".join(a.typed for a in arguments)
        return self.assign(first.element, first.lanes, f"call {first.ir} @{full}({values})")

    def fma(self, a: Operand, b: Operand, c: Value) -> Value:
        """a * b + c, rounded once where the machine can; product and sum where it cannot."""
        a = self.const(a, c.element, c.lanes)
        b = self.const(b, c.element, c.lanes)
        if not self.isa.has_fma:
            return a * b + c
        return self.intrinsic("llvm.fma", a, b, c)

    def dot_pairs(self, a: Value, b: Value, c: Value) -> Value:
        """c plus the products of both bfloat16 of each pair, in float32: AVX-512 BF16. Subnormal
        numbers count as 0.
        """
        lanes = c.lanes
        pairs = f"<{2 * lanes} x bfloat>"
        low, high = (self.fresh("%v") for _ in range(2))
        for name, value in ((low, a), (high, b)):
            self.emit(f"{name} = bitcast {value.typed} to {pairs}")
        full = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}"
        self.declare(full, f"declare {c.ir} {{name}}({c.ir}, {pairs}, {pairs})")
        call = f"call {c.ir} @{full}({c.typed}, {pairs} {low}, {pairs} {high})"
        return self.assign(c.element, lanes, call)

    def dot_quads(self, a: Value, b: Value, c: Value) -> Value:
        """c plus the four products of an unsigned byte of a with a signed one of b, in int32:
        AVX-512 VNNI, or the same by shifts.
        """
        if self.isa.has_byte_dot:
            full = f"llvm.x86.avx512.vpdpbusd.{32 * c.lanes}"
            self.declare(full, f"declare {c.ir} {{name}}({c.ir}, {c.ir}, {c.ir})")
            values = ", ".join(v.typed for v in (c, a, b))
            return self.assign(i32, c.lanes, f"call {c.ir} @{full}({values})")
        a, b = self.cast(a, i32), self.cast(b, i32)
        for i in range(4):
            c = c + ((a >> (8 * i)) & 255) * ((b << (24 - 8 * i)) >> 24)
        return c

    def has_scale(self, x: Value) -> bool:
        """Whether `scale` takes such a vector: of float32, as long as AVX-512's."""
        return x.element is f32 and x.lanes == 16 and "+avx512f" in self.isa.features.split(",")

    def scale(self, x: Value, whole: Value) -> Value:
        """x * 2^whole, rounded once."""
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        self.declare(name, f"declare {x.ir} {{name}}({x.ir}, {x.ir}, {x.ir}, i16, i32)")
        return self.assign(
            f32, x.lanes, f"call {x.ir} @{name}({x.typed}, {whole.typed}, {x.typed}, i16 -1, i32 4)"
        )

    def sqrt(self, x: Value) -> Value:
        return self.intrinsic("llvm.sqrt", x)

    def abs(self, x: Value) -> Value:
        if x.element.is_float:
            return self.intrinsic("llvm.fabs", x)
        return x if x.element.kind == "u" else self.select(x < 0, -x, x)

    def floor(self, x: Value) -> Value:
        return self.intrinsic("llvm.floor", x)

    def ceil(self, x: Value) -> Value:
        return self.intrinsic("llvm.ceil", x)

    def trunc(self, x: Value) -> Value:
        return self.intrinsic("llvm.trunc", x)

    def round_even(self, x: Value) -> Value:
        return self.intrinsic("llvm.roundeven", x)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        return self.intrinsic("llvm.copysign", magnitude, sign)

    # -- choosing ----------------------------------------------------------------------------------

    def select(self, condition: Value, yes: Operand, no: Operand) -> Value:
        """`yes` where the condition holds, else `no`, lane by lane."""
        left, right = self.match(yes, no)
        lanes = max(left.lanes, condition.lanes)
        left, right = self.broadcast(left, lanes), self.broadcast(right, lanes)
        text = f"select {condition.typed}, {left.typed}, {right.typed}"
        return self.assign(left.element, lanes, text)

    def minimum(self, a: Operand, b: Operand) -> Value:
        """The smaller; NaN where either is NaN."""
        return self._extreme("minimum", "<", a, b)

    def maximum(self, a: Operand, b: Operand) -> Value:
        """The larger; NaN where either is NaN."""
        return self._extreme("maximum", ">", a, b)

    def _extreme(self, name: str, op: str, a: Operand, b: Operand) -> Value:
        left, right = self.match(a, b)
        if not left.element.is_float:
            return self.select(left.compare(op, right), left, right)
        # `b` where the comparison fails, so a NaN in b wins; a NaN in a is put back by the second
        # select.
        best = self.select(left.compare(op, right), left, right)
        return self.select(left.ne(left), left, best)

    def fast_min(self, a: Operand, b: Operand) -> Value:
        """The smaller, one instruction; `b` where either is NaN."""
        left, right = self.match(a, b)
        return self.select(left < right, left, right)

    def fast_max(self, a: Operand, b: Operand) -> Value:
        """The larger, one instruction; `b` where either is NaN: `fast_max(0.0, x)` is a ReLU that
        keeps NaN.
        """
        left, right = self.match(a, b)
        return self.select(left > right, left, right)

    def smaller(self, a: Index, b: Index) -> Index:
        """The smaller of two sizes, either of which may be a Python int."""
        if isinstance(a, Value) or isinstance(b, Value):
            return self.fast_min(a, b)
        return min(a, b)

    def larger(self, a: Index, b: Index) -> Index:
        """The larger of two sizes, either of which may be a Python int."""
        if isinstance(a, Value) or isinstance(b, Value):
            return self.fast_max(a, b)
        return max(a, b)

    # -- changing type -----------------------------------------------------------------------------

    def cast(self, x: Value, element: Element) -> Value:
        """The same number in another element type. Floats become integers by truncation,
        saturating; NaN gives 0.

        Casting to bfloat16 or float16 rounds to that precision and stays float32.
        """
        if element in (bf16, f16):
            return self.widen(self.narrow(self.cast(x, f32), element), element)
        source = x.element
        if source is element:
            return x
        if element.kind == "b":
            return x.ne(0)
        if source.is_float and element.is_float:
            name = "fpext" if element.bytes > source.bytes else "fptrunc"
        elif source.is_float:
            return self._saturate(x, element)
        elif element.is_float:
            name = "sitofp" if source.kind == "i" else "uitofp"
        elif source.kind != "b" and source.bytes >= element.bytes:
            if source.bytes == element.bytes:
                return Value(self, element, x.lanes, x.name)
            name = "trunc"
        else:
            name = "sext" if source.kind == "i" else "zext"
        return self.assign(element, x.lanes, f"{name} {x.typed} to {ir_type(element, x.lanes)}")

    def _saturate(self, x: Value, element: Element) -> Value:
        name = "llvm.fptosi.sat" if element.kind == "i" else "llvm.fptoui.sat"
        result = ir_type(element, x.lanes)
        shape = f"v{x.lanes}" if x.lanes > 1 else ""
        full = f"{name}.{shape}i{element.bytes * 8}.{suffix(x)}"
        self.declare(full, f"declare {result} {{name}}({x.ir})")
        return self.assign(element, x.lanes, f"call {result} @{full}({x.typed})")

    def bitcast(self, x: Value, element: Element) -> Value:
        """The same bits read as another element type of the same width."""
        if x.element.ir == element.ir:
            return Value(self, element, x.lanes, x.name)
        return self.assign(element, x.lanes, f"bitcast {x.typed} to {ir_type(element, x.lanes)}")

    def widen(self, bits: Value, element: Element) -> Value:
        """float32 from the stored bits (u16) of bfloat16 or float16."""
        wide = self.cast(bits, u32)
        if element is bf16:
            return self.bitcast(wide << 16, f32)
        if self.isa.has_f16:
            half = Value(self, f16, bits.lanes, self._as_half(bits))
            return self.assign(f32, bits.lanes, f"fpext {half.typed} to {ir_type(f32, bits.lanes)}")
        # Shift the exponent into float32's place, and scale by 2^112 to mend its bias; infinities
        # keep theirs.
        magnitude = self.bitcast((wide & 0x7FFF) << 13, f32) * 2.0**112
        special = (wide & 0x7C00).eq(0x7C00)
        fixed = self.bitcast(magnitude, u32)
        fixed = self.select(special, fixed | 0x7F800000, fixed)
        return self.bitcast(fixed | ((wide & 0x8000) << 16), f32)

    def _as_half(self, bits: Value) -> str:
        kind = ir_type(f16, bits.lanes)
        return self.assign(f16, bits.lanes, f"bitcast {bits.typed} to {kind}").name

    def narrow(self, x: Value, element: Element) -> Value:
        """The stored bits (u16) of bfloat16 or float16 nearest to a float32, ties to even; NaN
        stays NaN.
        """
        bits = self.bitcast(x, u32)
        if element is bf16:
            rounded = bits + (((bits >> 16) & 1) + 0x7FFF)
            return self.cast(self.select(x.ne(x), bits | 0x400000, rounded) >> 16, u16)
        if self.isa.has_f16:
            half = self.assign(f16, x.lanes, f"fptrunc {x.typed} to {ir_type(f16, x.lanes)}")
            kind = ir_type(u16, x.lanes)
            return self.assign(u16, x.lanes, f"bitcast {half.typed} to {kind}")
        magnitude = bits & 0x7FFFFFFF
        # Normal halves: round the 13 dropped bits to even and mend the bias; subnormal ones: let an
        # addition round.
        normal = (magnitude + (((bits >> 13) & 1) + 0xC8000FFF)) >> 13
        small = self.bitcast(self.bitcast(magnitude, f32) + 0.5, u32) - 0x3F000000
        half_bits = self.select(magnitude < 0x38800000, small, normal)
        half_bits = self.select(magnitude >= 0x47800000, 0x7C00, half_bits)
        half_bits = self.select(magnitude > 0x7F800000, 0x7E00, half_bits)
        return self.cast(half_bits | ((bits >> 16) & 0x8000), u16)

    # -- lanes -------------------------------------------------------------------------------------

    def lane_numbers(self, lanes: int, element: Element = i32) -> Value:
        """0, 1, 2 ... in the lanes of a vector."""
        return self.vector(list(range(lanes)), element)

    def extract(self, x: Value, lane: Index) -> Value:
        """One lane of a vector."""
        return self.assign(x.element, 1, f"extractelement {x.typed}, {self.index(lane).typed}")

    def insert(self, x: Value, value: Value, lane: Index) -> Value:
        """The vector with one lane replaced."""
        text = f"insertelement {x.typed}, {value.typed}, {self.index(lane).typed}"
        return self.assign(x.element, x.lanes, text)

    def shuffle(self, a: Value, b: Value | None, lanes: Sequence[int]) -> Value:
        """Lanes picked from `a` (0 ... n-1) and `b` (n ... 2n-1)."""
        other = b.name if b is not None else "poison"
        mask = f"<{len(lanes)} x i32> <" + ", ".join(f"i32 {i}" for i in lanes) + ">"
        text = f"shufflevector {a.typed}, {a.ir} {other}, {mask}"
        return self.assign(a.element, len(lanes), text)

    def reduce(self, x: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """One scalar from all lanes, halving the vector each time: always the same order."""
        while x.lanes > 1:
            half = x.lanes // 2
            low = self.shuffle(x, None, range(half))
            high = self.shuffle(x, None, range(half, 2 * half))
            x = combine(low, high) if half > 1 else combine(self.extract(x, 0), self.extract(x, 1))
        return x

    def reduce_add(self, x: Value) -> Value:
        """The sum of all lanes."""
        return self.reduce(x, lambda a, b: a + b)

    def prefix_mask(self, count: Index, lanes: int) -> Value:
        """A mask that holds in the first `count` lanes."""
        wide = self.broadcast(self.cast(self.index(count), i32), lanes)
        return self.lane_numbers(lanes) < wide

    def any(self, mask: Value) -> Value:
        """Whether a mask holds in any lane."""
        return self._mask_reduce(mask, "or")

    def all(self, mask: Value) -> Value:
        """Whether a mask holds in every lane."""
        return self._mask_reduce(mask, "and")

    def _mask_reduce(self, mask: Value, name: str) -> Value:
        full = f"llvm.vector.reduce.{name}.v{mask.lanes}i1"
        self.declare(full, f"declare i1 {{name}}({mask.ir})")
        return self.assign(boolean, 1, f"call i1 @{full}({mask.typed})")
