"""``keras.ops``: element-wise functions, with Keras's names and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fovea
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.layer import as_tensor
from fovea.keras.ops.symbolic import symbolic
from fovea.tensorbase import is_tensor

__all__ = ["BINARY", "UNARY", "clip", "nan_to_num", "pair", "round", "tensor", "where"]


def tensor(x: Any) -> Any:
    """``x`` as a tensor; plain numbers and arrays of floats in ``floatx()``."""
    return x if is_tensor(x) or isinstance(x, KerasTensor) else as_tensor(x)


def floating(x: Any) -> Any:
    """A tensor of floats: integers in ``floatx()``."""
    x = tensor(x)
    return x if x.dtype.is_inexact else x.to(config.as_dtype(None))


def pair(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands of which one is a tensor: a plain number stays one."""
    if not is_tensor(a) and not is_tensor(b):
        a, b = tensor(a), tensor(b)
    return (
        a if isinstance(a, int | float | bool) else tensor(a),
        b if isinstance(b, int | float | bool) else tensor(b),
    )


def _divide_no_nan(a: Any, b: Any) -> Any:
    zero = b == 0
    return fovea.where(zero, 0.0, a / fovea.where(zero, 1, b))


def _unary(name: str, f: Callable[[Any], Any], floats: bool = False) -> Callable[..., Any]:
    def function(x: Any) -> Any:
        return f(floating(x) if floats else tensor(x))

    return _named(function, name)


def _binary(name: str, f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def function(x1: Any, x2: Any) -> Any:
        a, b = pair(x1, x2)
        return f(a if is_tensor(a) else fovea.as_tensor(a, dtype=b.dtype), b)

    if not name.startswith(("bitwise", "left_", "right_")):
        return _named(function, name)

    def bits(x: Any, y: Any) -> Any:
        return function(x, y)

    return _named(bits, name)


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's ``{name}``, element by element."
    return symbolic(function)


_PLAIN = {
    "abs": fovea.abs, "absolute": fovea.abs, "negative": fovea.neg, "sign": fovea.sign,
    "square": fovea.square, "ceil": fovea.ceil, "floor": fovea.floor, "trunc": fovea.trunc,
    "isnan": fovea.isnan, "isinf": fovea.isinf, "isfinite": fovea.isfinite,
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
    "sinc": fovea.sinc, "erfc": fovea.erfc, "i0": fovea.i0, "angle": fovea.angle,
    "fabs": fovea.abs, "cbrt": lambda x: fovea.copysign(fovea.abs(x) ** (1 / 3), x),
}  # fmt: skip
_PAIRS = {
    "add": fovea.add, "subtract": fovea.sub, "multiply": fovea.mul, "divide": fovea.true_divide,
    "true_divide": fovea.true_divide, "floor_divide": fovea.floor_divide, "mod": fovea.remainder,
    "power": fovea.pow, "maximum": fovea.maximum, "minimum": fovea.minimum,
    "equal": fovea.eq, "not_equal": fovea.ne, "greater": fovea.gt, "greater_equal": fovea.ge,
    "less": fovea.lt, "less_equal": fovea.le, "logical_and": fovea.logical_and,
    "logical_or": fovea.logical_or, "logical_xor": fovea.logical_xor, "arctan2": fovea.atan2,
    "logaddexp": fovea.logaddexp, "hypot": fovea.hypot, "bitwise_and": fovea.bitwise_and,
    "bitwise_or": fovea.bitwise_or, "bitwise_xor": fovea.bitwise_xor,
    "bitwise_left_shift": fovea.bitwise_left_shift, "left_shift": fovea.bitwise_left_shift,
    "bitwise_right_shift": fovea.bitwise_right_shift, "right_shift": fovea.bitwise_right_shift,
    "fmax": fovea.fmax, "fmin": fovea.fmin, "fmod": fovea.fmod, "gcd": fovea.gcd, "lcm": fovea.lcm,
    "heaviside": fovea.heaviside, "ldexp": fovea.ldexp, "nextafter": fovea.nextafter,
    "logaddexp2": fovea.logaddexp2, "divide_no_nan": _divide_no_nan,
}  # fmt: skip

UNARY = {
    **{name: _unary(name, f) for name, f in _PLAIN.items()},
    **{name: _unary(name, f, True) for name, f in _FLOATS.items()},
}
BINARY = {name: _binary(name, f) for name, f in _PAIRS.items()}
globals().update(UNARY)
globals().update(BINARY)


@symbolic
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Values below ``x_min`` become it, those above ``x_max`` that."""
    return fovea.clamp(tensor(x), x_min, x_max)


@symbolic
def round(x: Any, decimals: int = 0) -> Any:
    """To so many decimals, ties to even."""
    return fovea.round(tensor(x), decimals=decimals)


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
