"""Integer arithmetic that is defined for every input: it wraps around, and no division can trap."""

from __future__ import annotations

from collections.abc import Callable

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, boolean, i8, i16, i32, i64, u8, u16, u32, u64
from fovea.targets.cpu.values import Value

_UNSIGNED: dict[Element, Element] = {i8: u8, i16: u16, i32: u32, i64: u64}


def wrapping(k: Kernel, operation: Callable[..., Value], *operands: Value) -> Value:
    """Signed arithmetic as unsigned, where overflow is defined."""
    element = operands[0].element
    unsigned = _UNSIGNED.get(element)
    if unsigned is None:
        return operation(*operands)
    return k.cast(operation(*(k.cast(x, unsigned) for x in operands)), element)


def widened(k: Kernel, operation: Callable[..., Value], *operands: Value) -> Value:
    """Arithmetic on booleans, as numbers 0 and 1."""
    return k.cast(operation(*(k.cast(x, u8) for x in operands)), boolean)


def negative(k: Kernel, x: Value) -> Value:
    return wrapping(k, lambda a: 0 - a, x)


def product(k: Kernel, a: Value, b: Value) -> Value:
    return wrapping(k, lambda x, y: x * y, a, b)


def quotient(k: Kernel, a: Value, b: Value) -> Value:
    """a / b towards zero; 0 where b is 0. The smallest number by -1 wraps to itself."""
    zero = b.eq(0)
    if a.element.kind == "u":
        return k.select(zero, 0, a // k.select(zero, 1, b))
    minus = b.eq(-1)
    plain = a // k.select(zero | minus, 1, b)
    return k.select(zero, 0, k.select(minus, negative(k, a), plain))


def floor_quotient(k: Kernel, a: Value, b: Value) -> Value:
    """a / b towards minus infinity; 0 where b is 0."""
    q = quotient(k, a, b)
    if a.element.kind == "u":
        return q
    rest = wrapping(k, lambda x, y, z: x - y * z, a, q, b)
    return k.select(b.ne(0) & rest.ne(0) & ((rest ^ b) < 0), wrapping(k, lambda x: x - 1, q), q)


def rest_of_quotient(k: Kernel, a: Value, b: Value) -> Value:
    """What division towards zero leaves, with a's sign; 0 where b is 0."""
    if a.element.kind == "u":
        zero = b.eq(0)
        return k.select(zero, 0, a % k.select(zero, 1, b))
    harmless = b.eq(0) | b.eq(-1)
    return k.select(harmless, 0, a % k.select(harmless, 1, b))


def modulo(k: Kernel, a: Value, b: Value) -> Value:
    """What division towards minus infinity leaves, with b's sign; 0 where b is 0."""
    rest = rest_of_quotient(k, a, b)
    if a.element.kind == "u":
        return rest
    return k.select(rest.ne(0) & ((rest ^ b) < 0), wrapping(k, lambda x, y: x + y, rest, b), rest)


def shifted_left(k: Kernel, a: Value, b: Value) -> Value:
    """a << b; 0 where b is negative or as large as the number of bits."""
    fits, amount = _shift_amount(k, b)
    return k.select(fits, a << amount, 0)


def shifted_right(k: Kernel, a: Value, b: Value) -> Value:
    """a >> b; only the sign is left where b is negative or as large as the number of bits."""
    fits, amount = _shift_amount(k, b)
    sign = k.const(0, a.element, a.lanes) if a.element.kind == "u" else k.select(a < 0, -1, a ^ a)
    return k.select(fits, a >> amount, sign)


def _shift_amount(k: Kernel, b: Value) -> tuple[Value, Value]:
    bits = 8 * b.element.bytes
    fits = k.cast(b, _UNSIGNED.get(b.element, b.element)) < bits
    return fits, k.select(fits, b, 0)


def power(k: Kernel, a: Value, b: Value) -> Value:
    """a^b by squaring, wrapping around; for negative b 1 / a^|b| towards zero (0 for a = 0)."""
    one = k.const(1, a.element, a.lanes)
    result, base, left = k.var(one), k.var(a), k.var(b)
    with k.repeat() as turn:
        now = left.get()
        some = now > 0
        turn.leave_if(~(k.any(some) if a.lanes > 1 else some))
        odd = some & (now & 1).ne(0)
        result.set(k.select(odd, product(k, result.get(), base.get()), result.get()))
        base.set(product(k, base.get(), base.get()))
        left.set(now >> 1)
    if a.element.kind == "u":
        return result.get()
    signed_one = k.select((b & 1).ne(0), -1, one)
    reciprocal = k.select(a.eq(1), one, k.select(a.eq(-1), signed_one, 0))
    return k.select(b < 0, reciprocal, result.get())
