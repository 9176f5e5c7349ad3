"""Arithmetic, comparison and the elementary functions, with PyTorch's promotion of types and Python
numbers.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fovea import dispatch, dtypes
from fovea.dispatch import bind
from fovea.dtypes import DType
from fovea.errors import ArgumentError, DTypeError, describe
from fovea.functions.creation import constant, from_array
from fovea.ops import complex_numbers as complex_ops
from fovea.ops import elementwise as ops
from fovea.ops.op import Op
from fovea.tensorbase import TensorBase, is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

Scalar = bool | int | float | complex


def to_dtype(x: Tensor, dtype: DType) -> Tensor:
    """``x`` as ``dtype``; itself if it is already."""
    if x.dtype is dtype:
        return x
    if x.dtype.is_complex and dtype.category < dtypes.COMPLEX and dtype is not dtypes.bool_:
        warnings.warn(
            f"the imaginary parts are dropped: {describe(x)} becomes {dtype.name}; use .real",
            stacklevel=3,
        )
    result: Tensor = ops.cast.bind((x,), ops.CastAttrs.of(dtype))
    return result


def result_type(*operands: Any) -> DType:
    """The dtype that arithmetic between these tensors and numbers has.

    >>> import fovea
    >>> result_type(fovea.ones(2, dtype=fovea.float16), 1.5)
    fovea.float16
    """
    dimensioned = zero_d = scalar = None
    for t in operands:
        if is_tensor(t):
            if t.shape:
                dimensioned = (
                    t.dtype if dimensioned is None else dtypes.promote_types(dimensioned, t.dtype)
                )
            else:
                zero_d = t.dtype if zero_d is None else dtypes.promote_types(zero_d, t.dtype)
        else:
            kind = dtypes.of_scalar(t)
            scalar = kind if scalar is None else dtypes.promote_types(scalar, kind)
    return dtypes.result_type(dimensioned, zero_d, scalar)


def operands(name: str, a: Any, b: Any, floating: bool = False) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one dtype."""
    a_is, b_is = isinstance(a, TensorBase), isinstance(b, TensorBase)
    if a_is and b_is and a.dtype is b.dtype:
        if not floating or a.dtype.is_inexact:
            return a, b
        dtype = dtypes.get_default_dtype()
    elif b_is is False and a_is and a.dtype.is_floating_point and b.__class__ in (int, float, bool):
        return a, constant(b, a.dtype)
    else:
        a, b = _plain(name, a), _plain(name, b)
        dtype = result_type(a, b)
        if floating and not dtype.is_inexact:
            dtype = dtypes.get_default_dtype()
    return _as(a, dtype), _as(b, dtype)


def _plain(name: str, value: Any) -> Any:
    """A tensor or a Python number; NumPy scalars and arrays are taken as tensors."""
    if is_tensor(value) or isinstance(value, bool | int | float | complex):
        return value
    if hasattr(value, "__array__"):
        import numpy as np

        return from_array(np.asarray(value))
    raise TypeError(f"{name}: expected a tensor or a number, got {type(value).__name__}.")


def _as(value: Any, dtype: DType) -> Tensor:
    return to_dtype(value, dtype) if is_tensor(value) else constant(value, dtype)


def finish(result: Tensor, out: Tensor | None) -> Tensor:
    """Put a result into ``out=``, as PyTorch's functions take it."""
    if out is None:
        return result
    if not dtypes.can_cast(result.dtype, out.dtype):
        raise DTypeError(f"out: the result is {result.dtype.name}, out is {describe(out)}.")
    if out.shape != result.shape:
        raise ArgumentError(f"out has shape {tuple(out.shape)}, the result {tuple(result.shape)}.")
    return out.copy_(result)


def _binary(op: Op, floating: bool = False) -> Any:
    name = op.name

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        result: Tensor = bind(op, operands(name, input, other, floating))
        return result if out is None else finish(result, out)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = f"``{op.name}`` of two tensors (or a tensor and a number), with broadcasting."
    return call


def _comparison(op: Op) -> Any:
    name = op.name

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        result: Tensor = bind(op, operands(name, input, other))
        return result if out is None else finish(result, out)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = f"Whether ``{op.name}`` holds, element by element; a bool tensor."
    return call


def _unary(op: Op, floating: bool = True) -> Any:
    def call(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if floating and not input.dtype.is_inexact:
            input = to_dtype(input, dtypes.get_default_dtype())
        result: Tensor = bind(op, (input,))
        return result if out is None else finish(result, out)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = f"``{op.name}`` of each element."
    return call


def add(input: Any, other: Any, *, alpha: Scalar = 1, out: Tensor | None = None) -> Tensor:
    """``input + alpha * other``.

    >>> import fovea
    >>> add(fovea.tensor([1, 2]), 10)
    tensor([11, 12])
    """
    if alpha != 1:
        other = mul(other, alpha)
    result: Tensor = bind(ops.add, operands("add", input, other))
    return result if out is None else finish(result, out)


def sub(input: Any, other: Any, *, alpha: Scalar = 1, out: Tensor | None = None) -> Tensor:
    """``input - alpha * other``. Booleans cannot be subtracted: use ``^`` or ``logical_xor``."""
    if dtypes.bool_ in (getattr(input, "dtype", None), getattr(other, "dtype", None)):
        raise DTypeError(
            "sub: booleans cannot be subtracted.", fix="use ^ (logical_xor), or .int() first"
        )
    if alpha != 1:
        other = mul(other, alpha)
    result: Tensor = bind(ops.sub, operands("sub", input, other))
    return result if out is None else finish(result, out)


def operator_of(op: Op, function: Any) -> Any:
    """The method behind an operator such as ``+``: ``function``, which two tensors of one class
    and dtype can do without.
    """

    def call(self: Tensor, other: Any) -> Tensor:
        if other.__class__ is self.__class__ and other.dtype is self.dtype:
            return bind(op, (self, other))
        if getattr(other.__class__, "__array_ufunc__", True) is None:
            return NotImplemented
        return function(self, other)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = function.__doc__
    return call


def yielding(function: Any) -> Any:
    """The method behind an operator, which leaves operands that want no ufuncs of NumPy's
    (``__array_ufunc__ = None``), such as Keras's symbolic tensors, to their own methods.
    """

    def call(self: Tensor, other: Any) -> Any:
        kind = other.__class__
        if kind is not self.__class__ and getattr(kind, "__array_ufunc__", True) is None:
            return NotImplemented
        return function(self, other)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def rsub(input: Any, other: Any, *, alpha: Scalar = 1) -> Tensor:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """``input / other``, as floating point; ``rounding_mode`` ``"trunc"`` or ``"floor"`` rounds and
    keeps integers.

    >>> import fovea
    >>> div(fovea.tensor([7, -7]), 2), div(fovea.tensor([7, -7]), 2, rounding_mode="floor")
    (tensor([ 3.5000, -3.5000]), tensor([ 3, -4]))
    """
    if rounding_mode is None:
        result: Tensor = bind(ops.div, operands("div", input, other, True))
        return result if out is None else finish(result, out)
    if rounding_mode == "floor":
        return finish(floor_divide(input, other), out)
    if rounding_mode != "trunc":
        raise ArgumentError(
            f"div: rounding_mode is None, 'trunc' or 'floor', got {rounding_mode!r}."
        )
    a, b = operands("div", input, other)
    if a.dtype.is_floating_point:
        return finish(ops.trunc.bind((ops.div.bind((a, b)),)), out)
    return finish((a - ops.fmod.bind((a, b))).floor_divide(b), out)


mul = _binary(ops.mul)
maximum = _binary(ops.maximum)
minimum = _binary(ops.minimum)
remainder = _binary(ops.remainder)
fmod = _binary(ops.fmod)
floor_divide = _binary(ops.floor_divide)
atan2 = _binary(ops.atan2, floating=True)
bitwise_and, bitwise_or, bitwise_xor = (
    _binary(ops.bitwise_and),
    _binary(ops.bitwise_or),
    _binary(ops.bitwise_xor),
)
bitwise_left_shift, bitwise_right_shift = _binary(ops.left_shift), _binary(ops.right_shift)
logical_and, logical_or, logical_xor = (
    _comparison(ops.logical_and),
    _comparison(ops.logical_or),
    _comparison(ops.logical_xor),
)
eq, ne, lt, le = _comparison(ops.eq), _comparison(ops.ne), _comparison(ops.lt), _comparison(ops.le)
gt, ge = _comparison(ops.gt), _comparison(ops.ge)

exp, exp2, expm1 = _unary(ops.exp), _unary(ops.exp2), _unary(ops.expm1)
log, log2, log10, log1p = _unary(ops.log), _unary(ops.log2), _unary(ops.log10), _unary(ops.log1p)
sqrt, rsqrt, reciprocal = _unary(ops.sqrt_), _unary(ops.rsqrt), _unary(ops.reciprocal)
sin, cos, tan = _unary(ops.sin), _unary(ops.cos), _unary(ops.tan)
asin, acos, atan = _unary(ops.asin), _unary(ops.acos), _unary(ops.atan)
sinh, cosh, tanh = _unary(ops.sinh), _unary(ops.cosh), _unary(ops.tanh)
sigmoid, erf = _unary(ops.sigmoid), _unary(ops.erf)
neg, sign = (_unary(o, False) for o in (ops.neg, ops.sign))


def abs_(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The size of each element; of complex numbers a real one."""
    op = complex_ops.complex_abs if input.dtype.is_complex else ops.abs_
    result: Tensor = bind(op, (input,))
    return result if out is None else finish(result, out)


floor, ceil, trunc, relu = (_unary(o, False) for o in (ops.floor, ops.ceil, ops.trunc, ops.relu))
isnan, isinf, isfinite = (_unary(o, False) for o in (ops.isnan, ops.isinf, ops.isfinite))
logical_not, bitwise_not = _unary(ops.logical_not, False), _unary(ops.bitwise_not, False)


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``input * input``; booleans as int64."""
    if input.dtype is dtypes.bool_:
        input = to_dtype(input, dtypes.int64)
    return finish(ops.square.bind((input,)), out)


def round_(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Round to the nearest integer (ties to even), or to ``decimals`` places."""
    if decimals:
        return finish(round_(input * 10.0**decimals) / 10.0**decimals, out)
    return finish(ops.round_.bind((input,)), out)


def pow_(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input`` to the power of ``exponent``.

    >>> import fovea
    >>> pow_(fovea.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    kept = is_tensor(input) and (  # the power is of the tensor's own type
        input.dtype.is_inexact or (exponent.__class__ is int and input.dtype is not dtypes.bool_)
    )
    if kept and exponent.__class__ in (int, float):
        if exponent == 2:
            return finish(square(input), out)
        if exponent == 0.5:
            return finish(sqrt(input), out)
        if exponent == 1:
            return finish(input.clone(), out)
        if not input.dtype.is_inexact and isinstance(exponent, int) and exponent < 0:
            raise ArgumentError(
                "pow: integers to negative integer powers are not integers.", fix="use x.float()"
            )
    return finish(ops.pow_.bind(operands("pow", input, exponent)), out)


def where(
    condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None
) -> Any:
    """``input`` where ``condition`` holds, else ``other``; with only a condition, the indices where
    it holds.

    >>> import fovea
    >>> x = fovea.tensor([-1.0, 2.0])
    >>> where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        from fovea.functions.indexing import nonzero

        return nonzero(condition, as_tuple=True)
    if condition.dtype is not dtypes.bool_:
        if condition.dtype is not dtypes.uint8:
            raise DTypeError(
                f"where: the condition must be bool, got {describe(condition)}.",
                fix="compare: where(x > 0, ...), or condition.bool()",
            )
        condition = to_dtype(condition, dtypes.bool_)
    return finish(ops.where.bind((condition, *operands("where", input, other))), out)


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Limit each element to [min, max]; either may be None, a number or a tensor.

    >>> import fovea
    >>> clamp(fovea.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ArgumentError("clamp: at least one of min and max is needed.")
    result = input
    if min is not None:
        low, bound = operands("clamp", result, min)
        result = ops.clamp_min.bind((low, bound))
    if max is not None:
        high, bound = operands("clamp", result, max)
        result = ops.clamp_max.bind((high, bound))
    return finish(result, out)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``."""
    return add(input, mul(sub(end, input), weight))


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    return add(input, mul(mul(tensor1, tensor2), value))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    return add(input, mul(div(tensor1, tensor2), value))


def isclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``, element by element."""
    a, b = operands("isclose", input, other)
    if a.dtype is dtypes.bool_:
        return eq(a, b)
    near = le(abs_(sub(a, b)), add(mul(abs_(b), rtol), atol))
    close = logical_or(eq(a, b), logical_and(near, isfinite(b)))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


def allclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close (see ``isclose``)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    return input.shape == other.shape and bool(eq(input, other).all().item())


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Replace NaN and the infinities (by default with 0 and the largest finite values)."""
    if input.dtype.is_complex:
        parts = [nan_to_num(part, nan, posinf, neginf) for part in (input.real, input.imag)]
        return complex_ops.join.bind(tuple(parts))
    if not input.dtype.is_floating_point:
        return input.clone()
    info = dtypes.finfo(input.dtype)
    high, low = info.max if posinf is None else posinf, info.min if neginf is None else neginf
    result = where(isnan(input), nan, input)
    result = where(eq(input, float("inf")), high, result)
    return where(eq(input, float("-inf")), low, result)


def into(function_name: str, op: Op, floating: bool = False) -> Any:
    """The in-place form of a binary function: ``x.add_(y)``."""

    def call(self: Tensor, other: Any) -> Tensor:
        if is_tensor(other):
            if other.dtype is not self.dtype:
                if not dtypes.can_cast(result_type(self, other), self.dtype):
                    raise DTypeError(
                        f"{function_name}: the result is {result_type(self, other).name}, "
                        f"which cannot be stored in place as {self.dtype.name}."
                    )
                other = to_dtype(other, self.dtype)
        else:
            if not dtypes.can_cast(dtypes.of_scalar(other), self.dtype):
                raise DTypeError(
                    f"{function_name}: {other!r} cannot be stored in place in {self.dtype.name}."
                )
            other = constant(other, self.dtype)
        if floating and not self.dtype.is_inexact:
            raise DTypeError(
                f"{function_name}: the result is floating point, the tensor is {self.dtype.name}."
            )
        return dispatch.bind_into(op, self, (self, other))

    call.__name__ = call.__qualname__ = function_name
    call.__doc__ = f"``{function_name.rstrip('_')}`` with the result in this tensor's memory."
    return call


def unary_into(op: Op) -> Any:
    """The in-place form of a unary function: ``x.exp_()``."""

    def call(self: Tensor) -> Tensor:
        return dispatch.bind_into(op, self, (self,))

    call.__name__ = call.__qualname__ = f"{op.name}_"
    call.__doc__ = f"``{op.name}`` with the result in this tensor's memory."
    return call
