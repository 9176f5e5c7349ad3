"""``keras.ops``: element-wise functions, with Keras's names and arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import fovea
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.layer import as_tensor
from fovea.keras.ops.symbolic import symbolic
from fovea.keras.tree import flatten
from fovea.tensorbase import is_tensor

__all__ = [
    "BINARY", "UNARY", "clip", "common", "floating", "nan_to_num", "numeric", "pair", "round",
    "tensor", "where", "wide",
]  # fmt: skip

_INTEGERS = fovea.iinfo(fovea.int32)


def tensor(x: Any) -> Any:
    """``x`` as a tensor: floats in ``floatx()`` (but halves), plain integers in int32; lists may
    hold tensors.
    """
    if is_tensor(x) or isinstance(x, KerasTensor):
        return x
    if not isinstance(x, list | tuple):
        if getattr(x, "dtype", None) == np.float16:
            return fovea.tensor(x)
        return _small(as_tensor(x)) if isinstance(x, int) else as_tensor(x)
    leaves = flatten(x)
    if any(is_tensor(leaf) for leaf in leaves):
        return fovea.stack([tensor(item) for item in x])
    t = as_tensor(x)
    return t if any(hasattr(leaf, "dtype") for leaf in leaves) else _small(t)


def _small(t: Any) -> Any:
    """Python's integers in int32, if they fit."""
    if t.dtype is not fovea.int64:
        return t
    values = t.numpy()
    fits = not values.size or (values.min() >= _INTEGERS.min and values.max() <= _INTEGERS.max)
    return t.to(fovea.int32) if fits else t


def floating(x: Any) -> Any:
    """A tensor of floats: integers in ``floatx()``."""
    x = tensor(x)
    return x if x.dtype.is_inexact else x.to(config.as_dtype(None))


def wide(x: Any) -> Any:
    """A tensor of floats of at least 32 bits."""
    x = floating(x)
    return x.float() if x.dtype.itemsize < 4 else x


def numeric(x: Any) -> Any:
    """A tensor of numbers: booleans in int32."""
    x = tensor(x)
    return x.to(fovea.int32) if x.dtype is fovea.bool else x


def common(*values: Any) -> list[Any]:
    """Tensors of one dtype, which can hold what all of them hold."""
    found = [tensor(v) for v in values]
    kinds = {t.dtype for t in found}
    if len(kinds) == 1:
        return found
    kind = functools.reduce(fovea.promote_types, kinds)
    return [t.to(kind) for t in found]


def pair(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands, one of them a tensor. A plain number follows the other's dtype, if that can
    hold its kind.
    """
    if not is_tensor(a) and not is_tensor(b):
        a, b = tensor(a), tensor(b)
    if isinstance(a, int | float):
        return _number(a, b.dtype), b
    if isinstance(b, int | float):
        return tensor(a), _number(b, a.dtype)
    return tensor(a), tensor(b)


def _number(value: float, other: Any) -> Any:
    """A plain number beside a tensor of a dtype: as it is, where PyTorch's rules are Keras's."""
    if isinstance(value, bool) or other.is_inexact:
        return value
    if isinstance(value, float):
        return fovea.as_tensor(value, dtype=config.as_dtype(None))
    return fovea.as_tensor(value, dtype=fovea.int32) if other is fovea.bool else value


def _operands(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two operands, the first a tensor."""
    a, b = pair(x1, x2)
    return a if is_tensor(a) else fovea.as_tensor(a, dtype=b.dtype), b


def _numbers(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two operands, the first a tensor; booleans become what the other is, or int32."""
    a, b = _operands(x1, x2)
    if a.dtype is fovea.bool:
        a = a.to(b.dtype if is_tensor(b) and b.dtype is not fovea.bool else fovea.int32)
    if is_tensor(b) and b.dtype is fovea.bool:
        b = b.to(a.dtype)
    return a, b


def _floats(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two tensors of floats, of one dtype."""
    a, b = _operands(x1, x2)
    b = b if is_tensor(b) else fovea.as_tensor(b, dtype=a.dtype)
    kind = fovea.promote_types(a.dtype, b.dtype)
    kind = kind if kind.is_inexact else config.as_dtype(None)
    return a.to(kind), b.to(kind)


def _divide_no_nan(a: Any, b: Any) -> Any:
    zero = b == 0
    return fovea.where(zero, 0.0, a / fovea.where(zero, 1, b))


def _ldexp(a: Any, b: Any) -> Any:
    x = floating(a)
    return fovea.ldexp(x, b).to(x.dtype)


def _unless_bool(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: x if x.dtype is fovea.bool else f(x)


def _unary(name: str, f: Callable[[Any], Any], taken: Callable[[Any], Any]) -> Callable[..., Any]:
    def function(x: Any) -> Any:
        return f(taken(x))

    return _named(function, name)


def _binary(name: str, f: Callable[[Any, Any], Any], taken: Any) -> Callable[..., Any]:
    def function(x1: Any, x2: Any) -> Any:
        return f(*taken(x1, x2))

    if not name.startswith(("bitwise", "left_", "right_")):
        return _named(function, name)

    def bits(x: Any, y: Any) -> Any:
        return f(*taken(x, y))

    return _named(bits, name)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's ``{name}``, element by element."
    return symbolic(function)


_PLAIN = {
    "abs": _unless_bool(fovea.abs), "absolute": _unless_bool(fovea.abs), "negative": fovea.neg,
    "sign": fovea.sign, "trunc": _unless_bool(fovea.trunc), "isnan": fovea.isnan,
    "isinf": fovea.isinf, "isfinite": fovea.isfinite,
    "logical_not": fovea.logical_not, "bitwise_not": fovea.bitwise_not,
    "isposinf": fovea.isposinf, "isneginf": fovea.isneginf, "signbit": fovea.signbit,
    "bitwise_invert": fovea.bitwise_not, "conj": fovea.conj, "conjugate": fovea.conj,
    "real": fovea.real, "imag": fovea.imag, "isreal": fovea.isreal,
}  # fmt: skip
_FLOATS = {
    "exp": fovea.exp, "exp2": fovea.exp2, "expm1": fovea.expm1, "log": fovea.log,
    "log1p": fovea.log1p, "log2": fovea.log2, "log10": fovea.log10, "sqrt": fovea.sqrt,
    "rsqrt": fovea.rsqrt, "reciprocal": fovea.reciprocal, "sin": fovea.sin, "cos": fovea.cos,
    "tan": fovea.tan, "arcsin": fovea.asin, "arccos": fovea.acos, "arctan": fovea.atan,
    "sinh": fovea.sinh, "cosh": fovea.cosh, "tanh": fovea.tanh, "arcsinh": fovea.asinh,
    "arccosh": fovea.acosh, "arctanh": fovea.atanh, "erf": fovea.erf, "erfinv": fovea.erfinv,
    "sigmoid": fovea.sigmoid, "deg2rad": fovea.deg2rad, "rad2deg": fovea.rad2deg,
    "ceil": fovea.ceil, "floor": fovea.floor, "sinc": fovea.sinc, "erfc": fovea.erfc,
    "i0": fovea.i0, "angle": fovea.angle,
    "fabs": fovea.abs, "cbrt": lambda x: fovea.copysign(fovea.abs(x) ** (1 / 3), x),
}  # fmt: skip
_PAIRS = {
    "add": fovea.add, "multiply": fovea.mul, "divide": fovea.true_divide,
    "true_divide": fovea.true_divide, "maximum": fovea.maximum, "minimum": fovea.minimum,
    "equal": fovea.eq, "not_equal": fovea.ne, "greater": fovea.gt, "greater_equal": fovea.ge,
    "less": fovea.lt, "less_equal": fovea.le, "logical_and": fovea.logical_and,
    "logical_or": fovea.logical_or, "logical_xor": fovea.logical_xor,
    "bitwise_and": fovea.bitwise_and, "bitwise_or": fovea.bitwise_or,
    "bitwise_xor": fovea.bitwise_xor, "fmax": fovea.fmax, "fmin": fovea.fmin, "ldexp": _ldexp,
}  # fmt: skip
_NUMBERS = {
    "subtract": fovea.sub, "floor_divide": fovea.floor_divide, "mod": fovea.remainder,
    "power": fovea.pow, "fmod": fovea.fmod, "gcd": fovea.gcd, "lcm": fovea.lcm,
    "bitwise_left_shift": fovea.bitwise_left_shift, "left_shift": fovea.bitwise_left_shift,
    "bitwise_right_shift": fovea.bitwise_right_shift, "right_shift": fovea.bitwise_right_shift,
}  # fmt: skip
_FLOAT_PAIRS = {
    "arctan2": fovea.atan2, "logaddexp": fovea.logaddexp, "logaddexp2": fovea.logaddexp2,
    "hypot": fovea.hypot, "heaviside": fovea.heaviside, "nextafter": fovea.nextafter,
    "divide_no_nan": _divide_no_nan,
}  # fmt: skip

UNARY = {
    **{name: _unary(name, f, tensor) for name, f in _PLAIN.items()},
    **{name: _unary(name, f, floating) for name, f in _FLOATS.items()},
    "square": _unary("square", fovea.square, numeric),
}
BINARY = {
    **{name: _binary(name, f, _operands) for name, f in _PAIRS.items()},
    **{name: _binary(name, f, _numbers) for name, f in _NUMBERS.items()},
    **{name: _binary(name, f, _floats) for name, f in _FLOAT_PAIRS.items()},
}
globals().update(UNARY)
globals().update(BINARY)


@symbolic
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Values below ``x_min`` become it, those above ``x_max`` that."""
    return fovea.clamp(tensor(x), x_min, x_max)


@symbolic
def round(x: Any, decimals: int = 0) -> Any:
    """To so many decimals, ties to even."""
    x = numeric(x)
    return fovea.round(x, decimals=decimals).to(x.dtype)


@symbolic
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """``x1`` where the condition holds, else ``x2``; the places where it holds without them."""
    if x1 is None and x2 is None:
        return fovea.where(tensor(condition))
    a, b = pair(x1, x2)
    return fovea.where(tensor(condition).to(fovea.bool), a, b)


@symbolic
def nan_to_num(x: Any, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Numbers in place of NaN and the infinities."""
    return fovea.nan_to_num(tensor(x), nan, posinf, neginf)
