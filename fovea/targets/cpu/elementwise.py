"""Emitters and lowering of the element-wise ops (`fovea.ops.elementwise`, `clone`)."""

from __future__ import annotations

from typing import Any

from fovea.ops import elementwise as ops
from fovea.targets.cpu import integers, vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import boolean
from fovea.targets.cpu.loops import LANE_BY_LANE
from fovea.targets.cpu.scalars import is_float, scalar, true
from fovea.targets.cpu.values import Value

# -- one operand ------------------------------------------------------------------------------


@scalar(ops.cast)
def _(k: Kernel, x: Value) -> Value:
    return x


@scalar(ops.neg)
def _(k: Kernel, x: Value) -> Value:
    return -x if is_float(x) else integers.negative(k, x)


@scalar(ops.abs_)
def _(k: Kernel, x: Value) -> Value:
    if is_float(x):
        return k.abs(x)
    return k.select(x < 0, integers.negative(k, x), x) if x.element.kind == "i" else x


@scalar(ops.sign)
def _(k: Kernel, x: Value) -> Value:
    if x.element is boolean:
        return x
    one = k.const(1, x.element, x.lanes)
    if x.element.kind == "u":
        return k.select(x.ne(0), one, 0)
    return k.select(x > 0, one, k.select(x < 0, -one, 0))


@scalar(ops.square)
def _(k: Kernel, x: Value) -> Value:
    return x * x if is_float(x) else integers.product(k, x, x)


@scalar(ops.reciprocal, cost=3.0)
def _(k: Kernel, x: Value) -> Value:
    return 1.0 / x


_FUNCTIONS = (
    (ops.exp, vmath.exp), (ops.exp2, vmath.exp2), (ops.expm1, vmath.expm1), (ops.log, vmath.log),
    (ops.log2, vmath.log2), (ops.log10, vmath.log10), (ops.log1p, vmath.log1p),
    (ops.sin, vmath.sin), (ops.cos, vmath.cos), (ops.tan, vmath.tan), (ops.asin, vmath.asin),
    (ops.acos, vmath.acos), (ops.atan, vmath.atan), (ops.sinh, vmath.sinh), (ops.cosh, vmath.cosh),
    (ops.tanh, vmath.tanh), (ops.sigmoid, vmath.sigmoid), (ops.erf, vmath.erf),
)  # fmt: skip
for _op, _function in _FUNCTIONS:
    scalar(_op, cost=8.0)(_function)
scalar(ops.sqrt_, cost=4.0)(vmath.sqrt)
scalar(ops.rsqrt, cost=4.0)(vmath.rsqrt)


def _whole(name: str) -> Any:
    """Floor and its kin: integers stay as they are."""

    def emit(k: Kernel, x: Value) -> Value:
        return getattr(k, name)(x) if is_float(x) else x

    return emit


scalar(ops.floor)(_whole("floor"))
scalar(ops.ceil)(_whole("ceil"))
scalar(ops.trunc)(_whole("trunc"))
scalar(ops.round_)(_whole("round_even"))


@scalar(ops.relu)
def _(k: Kernel, x: Value) -> Value:
    if is_float(x):
        return k.fast_max(0.0, x)
    return k.fast_max(x, 0) if x.element.kind == "i" else x


@scalar(ops.logical_not)
def _(k: Kernel, x: Value) -> Value:
    return ~true(k, x)


@scalar(ops.bitwise_not)
def _(k: Kernel, x: Value) -> Value:
    return ~x


def _constant_mask(k: Kernel, x: Value, value: bool) -> Value:
    return k.const(value, boolean, x.lanes)


@scalar(ops.isnan)
def _(k: Kernel, x: Value) -> Value:
    return x.ne(x) if is_float(x) else _constant_mask(k, x, False)


@scalar(ops.isinf)
def _(k: Kernel, x: Value) -> Value:
    return k.abs(x).eq(float("inf")) if is_float(x) else _constant_mask(k, x, False)


@scalar(ops.isfinite)
def _(k: Kernel, x: Value) -> Value:
    return k.abs(x) < float("inf") if is_float(x) else _constant_mask(k, x, True)


# -- two operands -----------------------------------------------------------------------------


def _wrapping(operator: Any) -> Any:
    def emit(k: Kernel, a: Value, b: Value) -> Value:
        if is_float(a):
            return operator(a, b)
        if a.element is boolean:
            return integers.widened(k, operator, a, b)
        return integers.wrapping(k, operator, a, b)

    return emit


scalar(ops.add)(_wrapping(lambda a, b: a + b))
scalar(ops.sub)(_wrapping(lambda a, b: a - b))
scalar(ops.mul)(_wrapping(lambda a, b: a * b))


@scalar(ops.div, cost=3.0)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return a / b


def _by_division(on_floats: Any, on_integers: Any) -> Any:
    def emit(k: Kernel, a: Value, b: Value) -> Value:
        if is_float(a):
            return on_floats(k, a, b)
        return on_integers(k, a, b)

    return emit


def _float_modulo(k: Kernel, a: Value, b: Value) -> Value:
    """What division towards minus infinity leaves, with b's sign."""
    rest = a % b
    return k.select(rest.ne(0.0) & _signs_differ(rest, b), rest + b, rest)


def _signs_differ(a: Value, b: Value) -> Value:
    return (a < 0.0) ^ (b < 0.0)


def _float_floor_divide(k: Kernel, a: Value, b: Value) -> Value:
    """floor(a / b), from the exact remainder, so that rounding of a / b cannot lift it over an
    integer.
    """
    rest = a % b
    q = (a - rest) / b
    q = k.select(rest.ne(0.0) & _signs_differ(rest, b), q - 1.0, q)
    floor = k.floor(q)
    floor = k.select((q - floor) > 0.5, floor + 1.0, floor)
    floor = k.select(q.eq(0.0), k.copysign(k.const(0.0, a.element, a.lanes), a / b), floor)
    return k.select(b.eq(0.0), a / b, floor)


scalar(ops.remainder, cost=LANE_BY_LANE)(_by_division(_float_modulo, integers.modulo))
scalar(ops.fmod, cost=LANE_BY_LANE)(_by_division(lambda k, a, b: a % b, integers.rest_of_quotient))
scalar(ops.floor_divide, cost=LANE_BY_LANE)(
    _by_division(_float_floor_divide, integers.floor_quotient)
)
scalar(ops.pow_, cost=LANE_BY_LANE)(_by_division(vmath.pow, integers.power))
scalar(ops.atan2, cost=LANE_BY_LANE)(vmath.atan2)


@scalar(ops.maximum, ops.clamp_min)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return k.maximum(a, b)


@scalar(ops.minimum, ops.clamp_max)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return k.minimum(a, b)


def _comparison(name: str) -> Any:
    def emit(k: Kernel, a: Value, b: Value) -> Value:
        return a.compare(name, b)

    return emit


for _op, _name in (
    (ops.eq, "=="), (ops.ne, "!="), (ops.lt, "<"), (ops.le, "<="), (ops.gt, ">"), (ops.ge, ">="),
):  # fmt: skip
    scalar(_op)(_comparison(_name))


@scalar(ops.logical_and)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return true(k, a) & true(k, b)


@scalar(ops.logical_or)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return true(k, a) | true(k, b)


@scalar(ops.logical_xor)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return true(k, a) ^ true(k, b)


@scalar(ops.bitwise_and)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return a & b


@scalar(ops.bitwise_or)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return a | b


@scalar(ops.bitwise_xor)
def _(k: Kernel, a: Value, b: Value) -> Value:
    return a ^ b


scalar(ops.left_shift)(integers.shifted_left)
scalar(ops.right_shift)(integers.shifted_right)


@scalar(ops.where)
def _(k: Kernel, condition: Value, a: Value, b: Value) -> Value:
    return k.select(condition, a, b)


@scalar(ops.relu_grad)
def _(k: Kernel, gy: Value, y: Value) -> Value:
    return k.select(true(k, y) if y.element is boolean else ~(y <= 0), gy, 0)
