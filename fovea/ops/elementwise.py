"""Element-wise ops: one number out for each number (or pair, or triple) in.

Inputs of an op have one dtype; `fovea.functions.pointwise` promotes and casts. Shapes broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf as _erf
from math import pi, sqrt
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import DTypeError
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import (
    elementwise_spec,
    require_dtype,
    require_floating,
    require_inexact,
    same_dtype,
    sum_to,
)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class CastAttrs(Attrs):
    dtype: DType


NUMBERS = tuple(d for d in dtypes.ALL if d is not dtypes.bool_)
INTEGERS = tuple(d for d in NUMBERS if not d.is_floating_point)
BITS = (dtypes.bool_, *INTEGERS)
FLOATS = tuple(d for d in NUMBERS if d.is_floating_point)


def require_kind(name: str, dtype: DType, kinds: tuple[DType, ...]) -> None:
    """DTypeError unless ``dtype`` is one of ``kinds``."""
    if dtype not in kinds:
        raise DTypeError(f"{name}: {dtype.name} tensors have no {name}.")


def unary(
    name: str,
    reference: Callable[[Array], Any],
    gradient: Callable[..., Any] | None = None,
    saves: tuple[str, ...] = (),
    *,
    floating: bool = True,
    kinds: tuple[DType, ...] = dtypes.ALL,
    analytic: bool = False,
    why_none: str | None = None,
) -> Op:
    """Declare ``y = f(x)``, of ``x``'s dtype, which must be one of ``kinds`` (a float with
    ``floating``).

    ``gradient(ctx, gy)`` reads what ``saves`` names. ``analytic``: f takes complex numbers, too,
    and its gradient rule holds for them (see `fovea.ops.complex_numbers`).
    """
    op = Op(name, ("x",), nondifferentiable=why_none)
    if analytic:
        kinds = (*kinds, *dtypes.COMPLEX_TYPES)

    @op.shape
    def _(x: Shaped) -> Spec:
        if floating:
            if analytic:
                require_inexact(name, x)
            else:
                require_floating(name, x=x)
        require_kind(name, x.dtype, kinds)
        return elementwise_spec(name, (x,))

    op.reference(reference)
    if gradient is not None:
        op.grad(saves)(gradient)
    return op


def zero_grad(ctx: Any, gy: Any) -> None:
    """A step function: flat wherever it is smooth."""
    return


_v_erf = np.vectorize(_erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    return np.where(
        x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))
    )


def _sign(x: Array) -> Array:
    """-1, 0 or 1; 0 for NaN, as in PyTorch."""
    return (x > 0).astype(x.dtype) if x.dtype.kind in "bu" else (x > 0) * x.dtype.type(1) - (x < 0)


neg = unary("neg", np.negative, lambda ctx, g: -g, floating=False, kinds=NUMBERS, analytic=True)
abs_ = unary("abs", np.abs, lambda ctx, g: g * ctx.x.sign(), ("x",), floating=False, kinds=NUMBERS)
sign = unary("sign", _sign, lambda ctx, g: g * 0, floating=False)
square = unary(
    "square",
    np.square,
    lambda ctx, g: g * (ctx.x * 2),
    ("x",),
    floating=False,
    kinds=NUMBERS,
    analytic=True,
)
exp = unary("exp", np.exp, lambda ctx, g: g * ctx.y, ("y",), analytic=True)
exp2 = unary("exp2", np.exp2, lambda ctx, g: g * ctx.y * 0.6931471805599453, ("y",), analytic=True)
expm1 = unary("expm1", np.expm1, lambda ctx, g: g * (ctx.y + 1), ("y",), analytic=True)
log = unary("log", np.log, lambda ctx, g: g / ctx.x, ("x",), analytic=True)
log2 = unary(
    "log2", np.log2, lambda ctx, g: g / (ctx.x * 0.6931471805599453), ("x",), analytic=True
)
log10 = unary(
    "log10", np.log10, lambda ctx, g: g / (ctx.x * 2.302585092994046), ("x",), analytic=True
)
log1p = unary("log1p", np.log1p, lambda ctx, g: g / (ctx.x + 1), ("x",), analytic=True)
sqrt_ = unary("sqrt", np.sqrt, lambda ctx, g: g / (ctx.y * 2), ("y",), analytic=True)
rsqrt = unary(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    lambda ctx, g: g * ctx.y * ctx.y * ctx.y * -0.5,
    ("y",),
    analytic=True,
)
reciprocal = unary(
    "reciprocal", lambda x: 1 / x, lambda ctx, g: -g * ctx.y * ctx.y, ("y",), analytic=True
)
sin = unary("sin", np.sin, lambda ctx, g: g * ctx.x.cos(), ("x",), analytic=True)
cos = unary("cos", np.cos, lambda ctx, g: -g * ctx.x.sin(), ("x",), analytic=True)
tan = unary("tan", np.tan, lambda ctx, g: g * (ctx.y * ctx.y + 1), ("y",), analytic=True)
asin = unary(
    "asin", np.arcsin, lambda ctx, g: g * (1 - ctx.x * ctx.x).rsqrt(), ("x",), analytic=True
)
acos = unary(
    "acos", np.arccos, lambda ctx, g: -g * (1 - ctx.x * ctx.x).rsqrt(), ("x",), analytic=True
)
atan = unary("atan", np.arctan, lambda ctx, g: g / (ctx.x * ctx.x + 1), ("x",), analytic=True)
sinh = unary("sinh", np.sinh, lambda ctx, g: g * ctx.x.cosh(), ("x",), analytic=True)
cosh = unary("cosh", np.cosh, lambda ctx, g: g * ctx.x.sinh(), ("x",), analytic=True)
tanh = unary("tanh", np.tanh, lambda ctx, g: g * (1 - ctx.y * ctx.y), ("y",), analytic=True)
sigmoid = unary(
    "sigmoid", _sigmoid, lambda ctx, g: g * (ctx.y * (1 - ctx.y)), ("y",), analytic=True
)
erf = unary("erf", _v_erf, lambda ctx, g: g * ((-(ctx.x * ctx.x)).exp() * (2 / sqrt(pi))), ("x",))
floor = unary("floor", np.floor, lambda ctx, g: g * 0, floating=False, kinds=NUMBERS)
ceil = unary("ceil", np.ceil, lambda ctx, g: g * 0, floating=False, kinds=NUMBERS)
trunc = unary("trunc", np.trunc, lambda ctx, g: g * 0, floating=False, kinds=NUMBERS)
round_ = unary("round", np.round, lambda ctx, g: g * 0, floating=False, kinds=NUMBERS)
relu = unary(
    "relu",
    lambda x: np.where(np.isnan(x), x, np.maximum(x, np.zeros((), x.dtype))),
    lambda ctx, g: _relu_gradient(ctx, g),
    ("y",),
    floating=False,
    kinds=NUMBERS,
)
logical_not = unary("logical_not", np.logical_not, floating=False, why_none="the result is boolean")
bitwise_not = unary(
    "bitwise_not", np.invert, floating=False, kinds=BITS, why_none="integers have no gradient"
)


def _predicate(name: str, reference: Callable[[Array], Any]) -> Op:
    op = Op(name, ("x",), nondifferentiable="the result is boolean")
    op.shape(lambda x: elementwise_spec(name, (x,), dtypes.bool_))
    op.reference(reference)
    return op


isnan = _predicate("isnan", np.isnan)
isinf = _predicate("isinf", np.isinf)
isfinite = _predicate("isfinite", np.isfinite)
logical_not.shape(lambda x: elementwise_spec("logical_not", (x,), dtypes.bool_))

cast = Op("cast", ("x",), CastAttrs)


@cast.shape
def _(x: Shaped, a: CastAttrs) -> Spec:
    return elementwise_spec("cast", (x,), a.dtype)


@cast.grad()
def _(ctx: Any, gy: Any) -> Any:
    dtype = ctx.dtype(0)
    real = gy.dtype.is_complex and not dtype.is_complex
    return (gy.real if real else gy).to(dtype)


@cast.reference
def _(x: Array, a: CastAttrs) -> Array:
    if x.dtype.kind == "c" and not a.dtype.is_complex:
        x = x != 0 if a.dtype is dtypes.bool_ else x.real
    return x.astype(a.dtype.numpy)


def binary(
    name: str,
    reference: Callable[[Array, Array], Any],
    gradient: Callable[..., Any] | None = None,
    saves: tuple[str, ...] = (),
    *,
    result: DType | None = None,
    kinds: tuple[DType, ...] = dtypes.ALL,
    analytic: bool = False,
    why_none: str | None = None,
) -> Op:
    """Declare ``y = f(a, b)`` with broadcasting; ``gradient`` need not sum over broadcast
    dimensions. ``analytic`` as in `unary`.
    """
    op = Op(name, ("a", "b"), nondifferentiable=why_none)
    if analytic:
        kinds = (*kinds, *dtypes.COMPLEX_TYPES)

    @op.shape
    def _(a: Shaped, b: Shaped) -> Spec:
        dtype = same_dtype(name, a, b)
        require_kind(name, dtype, kinds)
        return elementwise_spec(name, (a, b), result or dtype)

    op.reference(reference)
    if gradient is not None:

        def summed(ctx: Any, gy: Any) -> tuple[Any, ...]:
            need = ctx.needed
            ga, gb = gradient(ctx, gy)
            return (
                sum_to(ga(), ctx.shape(0)) if need[0] else None,
                sum_to(gb(), ctx.shape(1)) if need[1] else None,
            )

        op.grad(saves)(summed)
    return op


def _pow_exponent_grad(c: Any, g: Any) -> Any:
    # d/db a**b = a**b log a; the limit for a = 0, b >= 0 is 0.
    zero = (c.a == 0).logical_and((c.b.real if c.b.is_complex() else c.b) >= 0)
    return g * (c.y * c.a.log()).masked_fill(zero, 0.0)


def _pow_base_grad(c: Any, g: Any) -> Any:
    return g * (c.b * pow_(c.a, c.b - 1)).masked_fill(c.b == 0, 0.0)


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind in "fuc":
        return np.power(a, b)
    # 1 / a**-b for a negative integer exponent, rounded towards 0: only 1 and -1 leave anything.
    sign = np.where(b % 2 == 0, 1, a)
    return np.where(b < 0, np.where(np.abs(a) == 1, sign, 0), np.power(a, np.maximum(b, 0))).astype(
        a.dtype
    )


def _tie(c: Any, g: Any, wins: Any) -> Any:
    """The share of a maximum's gradient: all where it wins, half where both are equal."""
    return g * (wins.to(g.dtype) + (c.a == c.b).to(g.dtype) * 0.5)


add = binary("add", np.add, lambda c, g: (lambda: g, lambda: g), analytic=True)
sub = binary("sub", np.subtract, lambda c, g: (lambda: g, lambda: -g), kinds=NUMBERS, analytic=True)
mul = binary(
    "mul",
    np.multiply,
    lambda c, g: (lambda: g * c.b, lambda: g * c.a),
    ("a", "b"),
    analytic=True,
)
div = binary(
    "div",
    np.true_divide,
    lambda c, g: (lambda: g / c.b, lambda: -g * c.y / c.b),
    ("b", "y"),
    kinds=FLOATS,
    analytic=True,
)
pow_ = binary(
    "pow",
    _power,
    lambda c, g: (lambda: _pow_base_grad(c, g), lambda: _pow_exponent_grad(c, g)),
    ("a", "b", "y"),
    kinds=NUMBERS,
    analytic=True,
)
maximum = binary(
    "maximum",
    np.maximum,
    lambda c, g: (lambda: _tie(c, g, c.a > c.b), lambda: _tie(c, g, c.b > c.a)),
    ("a", "b"),
)
minimum = binary(
    "minimum",
    np.minimum,
    lambda c, g: (lambda: _tie(c, g, c.a < c.b), lambda: _tie(c, g, c.b < c.a)),
    ("a", "b"),
)
atan2 = binary(
    "atan2",
    np.arctan2,
    lambda c, g: (
        lambda: g * c.b / (c.a * c.a + c.b * c.b),
        lambda: -g * c.a / (c.a * c.a + c.b * c.b),
    ),
    ("a", "b"),
    kinds=FLOATS,
)
remainder = binary(
    "remainder",
    np.remainder,
    lambda c, g: (lambda: g, lambda: -g * (c.a / c.b).floor()),
    ("a", "b"),
    kinds=NUMBERS,
)
fmod = binary(
    "fmod",
    np.fmod,
    lambda c, g: (lambda: g, lambda: -g * (c.a / c.b).trunc()),
    ("a", "b"),
    kinds=NUMBERS,
)
floor_divide = binary(
    "floor_divide",
    np.floor_divide,
    lambda c, g: (lambda: g * 0, lambda: g * 0),
    kinds=NUMBERS,
)

_BOOLEAN = "the result is boolean"
_INTEGER = "integers have no gradient"
eq = binary("eq", np.equal, result=dtypes.bool_, why_none=_BOOLEAN, analytic=True)
ne = binary("ne", np.not_equal, result=dtypes.bool_, why_none=_BOOLEAN, analytic=True)
lt = binary("lt", np.less, result=dtypes.bool_, why_none=_BOOLEAN)
le = binary("le", np.less_equal, result=dtypes.bool_, why_none=_BOOLEAN)
gt = binary("gt", np.greater, result=dtypes.bool_, why_none=_BOOLEAN)
ge = binary("ge", np.greater_equal, result=dtypes.bool_, why_none=_BOOLEAN)
logical_and = binary(
    "logical_and", np.logical_and, result=dtypes.bool_, analytic=True, why_none=_BOOLEAN
)
logical_or = binary(
    "logical_or", np.logical_or, result=dtypes.bool_, analytic=True, why_none=_BOOLEAN
)
logical_xor = binary(
    "logical_xor", np.logical_xor, result=dtypes.bool_, analytic=True, why_none=_BOOLEAN
)
bitwise_and = binary("bitwise_and", np.bitwise_and, kinds=BITS, why_none=_INTEGER)
bitwise_or = binary("bitwise_or", np.bitwise_or, kinds=BITS, why_none=_INTEGER)
bitwise_xor = binary("bitwise_xor", np.bitwise_xor, kinds=BITS, why_none=_INTEGER)
left_shift = binary("left_shift", np.left_shift, kinds=INTEGERS, why_none=_INTEGER)
right_shift = binary("right_shift", np.right_shift, kinds=INTEGERS, why_none=_INTEGER)

where = Op("where", ("condition", "a", "b"))


@where.shape
def _(condition: Shaped, a: Shaped, b: Shaped) -> Spec:
    require_dtype("where", "condition", condition, dtypes.bool_)
    return elementwise_spec("where", (a, b, condition), same_dtype("where", a, b))


@where.grad(saves=("condition",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    zero = gy.new_zeros(())
    return (
        None,
        sum_to(where(ctx.condition, gy, zero), ctx.shape(1)) if ctx.needed[1] else None,
        sum_to(where(ctx.condition, zero, gy), ctx.shape(2)) if ctx.needed[2] else None,
    )


@where.reference
def _(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


def _relu_gradient(ctx: Any, gy: Any) -> Any:
    return relu_grad(gy, ctx.y)


relu_grad = Op("relu_grad", ("gy", "y"))  # 0 where y <= 0, else gy: one pass instead of three


@relu_grad.shape
def _(gy: Shaped, y: Shaped) -> Spec:
    return elementwise_spec("relu_grad", (y, gy), same_dtype("relu_grad", gy, y))


@relu_grad.grad(saves=("y",))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    return sum_to(relu_grad(g, ctx.y), ctx.shape(0)), None


@relu_grad.reference
def _(gy: Array, y: Array) -> Array:
    return np.where(y <= 0, np.zeros((), gy.dtype), gy)


# Unlike maximum, a tie at the bound passes the whole gradient to x, as PyTorch's clamp does.
clamp_min = binary(
    "clamp_min",
    np.maximum,
    lambda c, g: (lambda: g * (c.a >= c.b).to(g.dtype), lambda: g * (c.a < c.b).to(g.dtype)),
    ("a", "b"),
)
clamp_max = binary(
    "clamp_max",
    np.minimum,
    lambda c, g: (lambda: g * (c.a <= c.b).to(g.dtype), lambda: g * (c.a > c.b).to(g.dtype)),
    ("a", "b"),
)
