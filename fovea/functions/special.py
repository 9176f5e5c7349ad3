"""Functions beyond the elementary ones: hyperbolic inverses, gamma's family, guarded logarithms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError
from fovea.functions import pointwise as p
from fovea.functions.creation import constant
from fovea.functions.pointwise import _binary, _unary, finish, operands, to_dtype
from fovea.functions.reductions import logsumexp
from fovea.ops import bessel, incomplete_gamma
from fovea.ops import special as ops
from fovea.return_types import printed
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

asinh, acosh, atanh = _unary(ops.asinh), _unary(ops.acosh), _unary(ops.atanh)
i0, i0e, i1, i1e = (_unary(o) for o in (bessel.i0, bessel.i0e, bessel.i1, bessel.i1e))
erfcx, log_ndtr = _unary(bessel.erfcx), _unary(bessel.log_ndtr)
erfc, erfinv, lgamma = _unary(ops.erfc), _unary(ops.erfinv), _unary(ops.lgamma)
gcd, nextafter = _binary(ops.gcd), _binary(ops.nextafter)
igamma, igammac = _binary(incomplete_gamma.igamma), _binary(incomplete_gamma.igammac)


def _floating(x: Tensor) -> Tensor:
    return x if x.dtype.is_inexact else to_dtype(x, dtypes.get_default_dtype())


def digamma(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative of ``lgamma``."""
    return polygamma(0, input, out=out)


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The ``n``-th derivative of ``digamma``."""
    if is_tensor(n):  # the method: x.polygamma(n)
        n, input = input, n  # type: ignore[assignment]
    if not isinstance(n, int) or n < 0:
        raise ArgumentError(f"polygamma: n must be a number from 0 up, got {n!r}.")
    return finish(ops.polygamma.bind((_floating(input),), ops.OrderAttrs.of(n)), out)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the ``p``-variate gamma function."""
    x = _floating(input)
    total: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        total = lgamma(x - j / 2) + total
    return total


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """``log(x / (1 - x))``, of x cut to [``eps``, 1 - ``eps``] if it is given.

    >>> import fovea
    >>> logit(fovea.tensor([0.5]))
    tensor([0.])
    """
    x = _floating(input)
    if eps is not None:
        x = p.clamp(x, eps, 1 - eps)
    return finish(p.log(x / (1 - x)), out)


def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    x = _floating(input) * math.pi
    zero = x == 0
    safe = x.masked_fill(zero, 1.0)
    return finish((p.sin(safe) / safe).masked_fill(zero, 1.0), out)


def _vanishing(y: Tensor, x: Tensor) -> Tensor:
    """``y``, or 1 where its logarithm is infinite and ``x``, the factor, is 0."""
    wild = p.logical_or(y <= 0, y == math.inf)
    return p.where(p.logical_and(x == 0, wild), 1.0, y)


def xlogy(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``x * log(y)``, 0 where x is 0 (unless y is NaN).

    >>> import fovea
    >>> xlogy(fovea.tensor([0.0, 2.0]), fovea.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    x, y = operands("xlogy", input, other, True)
    return finish(x * p.log(_vanishing(y, x)), out)


def xlog1py(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``x * log(1 + y)``, 0 where x is 0 (unless y is NaN)."""
    x, y = operands("xlog1py", input, other, True)
    wild = p.logical_or(y <= -1, y == math.inf)
    return finish(x * p.log1p(p.where(p.logical_and(x == 0, wild), 0.0, y)), out)


def entr(input: Tensor) -> Tensor:
    """``-x log(x)``: 0 at 0, -inf below."""
    x = _floating(input)
    positive_part = p.where(x > 0, x, 1.0)
    below = p.where(x < 0, -math.inf, x)  # NaN stays
    return p.where(x > 0, -x * p.log(positive_part), p.where(x == 0, 0.0, below))


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """``|a - b|``, 0 where both are one infinity."""
    same = p.logical_and(a == b, p.isinf(a))
    return p.abs_((a - b).masked_fill(same, 0.0))


def logaddexp(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``log(exp(a) + exp(b))``, without overflow."""
    a, b = operands("logaddexp", input, other, True)
    return finish(p.maximum(a, b) + p.log1p(p.exp(-_difference(a, b))), out)


def logaddexp2(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``log2(2**a + 2**b)``, without overflow."""
    a, b = operands("logaddexp2", input, other, True)
    rest = p.log1p(p.exp2(-_difference(a, b))) / math.log(2)
    return finish(p.maximum(a, b) + rest, out)


def hypot(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``sqrt(a**2 + b**2)``, scaled so that nothing overflows."""
    a, b = operands("hypot", input, other)
    if not a.dtype.is_floating_point:
        raise DTypeError(f"hypot: floating-point tensors are needed, got {a.dtype.name}.")
    scale = p.maximum(p.abs_(a), p.abs_(b)).detach()
    scale = scale.masked_fill(p.logical_or(scale == 0, p.isinf(scale)), 1.0)
    return finish(p.sqrt(p.square(a / scale) + p.square(b / scale)) * scale, out)


def signbit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether the sign is minus, also that of -0.0."""
    if input.dtype is dtypes.bool_:
        return finish(p.logical_and(input, False), out)
    negative = input < 0
    if not input.dtype.is_floating_point:
        return finish(negative, out)
    below_zero = p.reciprocal(input) < 0
    return finish(p.logical_or(negative, p.logical_and(input == 0, below_zero)), out)


def copysign(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The size of ``input`` with the sign of ``other``."""
    a, b = operands("copysign", input, other, True)
    size = p.abs_(a)
    return finish(p.where(signbit(b), -size, size), out)


def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 below zero, 1 above, ``values`` at zero."""
    step = to_dtype(input > 0, input.dtype)
    return finish(p.where(input == 0, values, step), out)


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees as radians."""
    return finish(_floating(input) * (math.pi / 180), out)


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians as degrees."""
    return finish(_floating(input) * (180 / math.pi), out)


def frac(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """What is left after ``trunc``."""
    return finish(input - p.trunc(input).detach(), out)


def _widest(x: Tensor) -> Tensor:
    return to_dtype(x, dtypes.complex128 if x.dtype.is_complex else dtypes.float64)


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``pow`` in float64 (or complex128)."""
    a, b = (_widest(t) if is_tensor(t) else t * 1.0 for t in (input, exponent))
    return finish(p.pow_(a, b), out)


def fmax(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The larger of two; a number wins against NaN."""
    a, b = operands("fmax", input, other)
    if not a.dtype.is_floating_point:
        return finish(p.maximum(a, b), out)
    return finish(p.where(p.logical_or(a >= b, p.isnan(b)), a, b), out)


def fmin(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The smaller of two; a number wins against NaN."""
    a, b = operands("fmin", input, other)
    if not a.dtype.is_floating_point:
        return finish(p.minimum(a, b), out)
    return finish(p.where(p.logical_or(a <= b, p.isnan(b)), a, b), out)


def lcm(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The least common multiple."""
    a, b = operands("lcm", input, other)
    divisor = gcd(a, b)
    divisor = divisor.masked_fill(divisor == 0, 1)
    return finish(p.abs_(p.floor_divide(a, divisor) * b), out)


def ldexp(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``input * 2**other``."""
    power = p.pow_(2.0, other if is_tensor(other) else constant(other, dtypes.int64))
    return finish(p.mul(input, power), out)


class MantissaExponent(NamedTuple):
    """The result of ``frexp``."""

    mantissa: Tensor
    exponent: Tensor

    def __repr__(self) -> str:
        return printed("frexp", self)


def frexp(input: Tensor) -> MantissaExponent:
    """The numbers m (of size 1/2 to 1, or 0) and the int32 powers e in ``input = m * 2**e``.

    >>> import fovea
    >>> frexp(fovea.tensor([3.0]))
    fovea.return_types.frexp(
    mantissa=tensor([0.7500]),
    exponent=tensor([2], dtype=fovea.int32))
    """
    if not input.dtype.is_floating_point:
        raise DTypeError(f"frexp: floating-point tensors are needed, got {input.dtype.name}.")
    size = p.abs_(input).detach()
    usual = p.logical_and(size > 0, p.isfinite(size))
    power = p.floor(p.log2(size.masked_fill(p.logical_not(usual), 1.0))) + 1
    for _ in range(2):  # log2 may round across a power of two
        scaled = size / p.exp2(power)
        power = power + to_dtype(scaled >= 1, power.dtype) - to_dtype(scaled < 0.5, power.dtype)
    power = power.masked_fill(p.logical_not(usual), 0.0)
    mantissa = p.where(usual, input / p.exp2(power), input)
    return MantissaExponent(mantissa, to_dtype(power, dtypes.int32))


def positive(input: Tensor) -> Tensor:
    """The tensor itself; booleans have no sign."""
    if input.dtype is dtypes.bool_:
        raise DTypeError("positive: bool tensors have no positive.")
    return input


def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether each element is plus infinity."""
    return finish(p.logical_and(p.isinf(input), input > 0), out)


def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether each element is minus infinity."""
    return finish(p.logical_and(p.isinf(input), input < 0), out)


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """Limit each element from below."""
    return p.clamp(input, min=min, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """Limit each element from above."""
    return p.clamp(input, max=max, out=out)


def ndtr(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The normal distribution's cumulative probability."""
    return finish(erfc(_floating(input) * -math.sqrt(0.5)) * 0.5, out)


def ndtri(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``ndtr``."""
    return finish(erfinv(2 * _floating(input) - 1) * math.sqrt(2), out)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of ``softmax``."""
    return input.log_softmax(dim, dtype)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Exponentials that sum to one along ``dim``."""
    return input.softmax(dim, dtype)


__all__ = [
    "acosh",
    "asinh",
    "atanh",
    "clamp_max",
    "clamp_min",
    "copysign",
    "deg2rad",
    "digamma",
    "entr",
    "erfc",
    "erfcx",
    "erfinv",
    "float_power",
    "fmax",
    "fmin",
    "frac",
    "frexp",
    "gcd",
    "heaviside",
    "hypot",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "igamma",
    "igammac",
    "isneginf",
    "isposinf",
    "lcm",
    "ldexp",
    "lgamma",
    "log_ndtr",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logit",
    "logsumexp",
    "mvlgamma",
    "ndtr",
    "ndtri",
    "nextafter",
    "polygamma",
    "positive",
    "rad2deg",
    "signbit",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]
