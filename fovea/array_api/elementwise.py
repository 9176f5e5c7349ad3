"""The standard's functions of each element: fovea's under positional arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fovea

if TYPE_CHECKING:
    from fovea.tensor import Tensor

    def __getattr__(name: str) -> Any: ...  # those that the loop below makes


def _of_one(function: Callable[..., Tensor], name: str) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, /) -> Tensor:
        return function(x)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``fovea.{getattr(function, '__name__', name)}`` of an array."
    return call


def _of_two(function: Callable[..., Tensor], name: str) -> Callable[[Any, Any], Tensor]:
    def call(x1: Any, x2: Any, /) -> Tensor:
        return function(x1, x2)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``fovea.{getattr(function, '__name__', name)}`` of two arrays."
    return call


_ONE = """
    abs acos acosh asin asinh atan atanh ceil conj cos cosh exp expm1 floor imag isfinite isinf
    isnan log log1p log2 log10 logical_not negative positive real reciprocal round sign signbit sin
    sinh sqrt square tan tanh trunc
"""
_TWO = """
    add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign
    divide equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and
    logical_or logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract
"""
# `equal` of fovea, as of PyTorch, is one truth value; here it is one an element.
# `sgn` is `sign` that takes complex numbers, too.
_SOURCES = {
    "equal": "eq", "not_equal": "ne", "greater": "gt", "greater_equal": "ge", "less": "lt",
    "less_equal": "le", "sign": "sgn",
}  # fmt: skip

for _names, _make in ((_ONE, _of_one), (_TWO, _of_two)):
    for _name in _names.split():
        globals()[_name] = _make(getattr(fovea, _SOURCES.get(_name, _name)), _name)

bitwise_invert = _of_one(fovea.bitwise_not, "bitwise_invert")


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Values of at least ``min`` and at most ``max``, in the dtype of ``x``."""
    if min is None and max is None:
        return x.clone()
    return fovea.clip(x, min, max).to(x.dtype)
