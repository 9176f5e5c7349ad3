"""Element types as the kernel builder sees them: how a value is stored and how it is computed with.

bfloat16 and float16 are storage types only: they widen to float32 when loaded and round to nearest
even when stored. A bool is one byte in memory and one bit in a register.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Element:
    """One element type: its fovea name, its LLVM type in a register, its bytes in memory and its
    kind.
    """

    name: str
    ir: str
    bytes: int
    kind: str  # "f" float, "i" signed, "u" unsigned, "b" bool

    @property
    def compute(self) -> Element:
        """The element that a load of this one yields."""
        return f32 if self in (bf16, f16) else self

    @property
    def memory_ir(self) -> str:
        """The LLVM type of one element in memory."""
        return "i8" if self.kind == "b" else self.ir

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    def __repr__(self) -> str:
        return self.name


f32 = Element("float32", "float", 4, "f")
f64 = Element("float64", "double", 8, "f")
bf16 = Element("bfloat16", "i16", 2, "f")
f16 = Element("float16", "half", 2, "f")
i8 = Element("int8", "i8", 1, "i")
i16 = Element("int16", "i16", 2, "i")
i32 = Element("int32", "i32", 4, "i")
i64 = Element("int64", "i64", 8, "i")
u8 = Element("uint8", "i8", 1, "u")
u16 = Element("uint16", "i16", 2, "u")
u32 = Element("uint32", "i32", 4, "u")
u64 = Element("uint64", "i64", 8, "u")
boolean = Element("bool", "i1", 1, "b")
# Two neighbors of bfloat16 as one element, for products of pairs (`Arithmetic.dot_pairs`).
bf16_pair = Element("bfloat16x2", "i32", 4, "u")
# Four neighbors of a byte each as one element, for `Arithmetic.dot_quads`.
byte_quad = Element("bytex4", "i32", 4, "u")

ELEMENTS: dict[str, Element] = {
    e.name: e for e in (f32, f64, bf16, f16, i8, i16, i32, i64, u8, u16, u32, u64, boolean)
}

_PACKED = {e.name: e for e in (bf16_pair, byte_quad)}


def element(name: str) -> Element:
    """Return the element type called `name`: a fovea dtype's, or one of several numbers.

    >>> element("bfloat16").bytes
    2
    """
    return _PACKED.get(name) or ELEMENTS[name]
