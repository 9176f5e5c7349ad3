"""Complex numbers: made of parts, taken apart. PyTorch's names; the parts are copies, not views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import DTypeError, describe
from fovea.functions import pointwise as p
from fovea.functions.pointwise import finish
from fovea.ops import complex_numbers as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "angle",
    "complex_",
    "conj",
    "conj_physical",
    "imag",
    "isreal",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "sgn",
    "view_as_complex",
    "view_as_real",
]


def complex_(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers with these parts, float32 or float64.

    >>> import fovea
    >>> fovea.complex(fovea.tensor([1.0, 2.0]), fovea.tensor([0.0, -3.0]))
    tensor([1.+0.j, 2.-3.j])
    """
    return finish(ops.join.bind((real, imag)), out)


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers of these sizes and angles (in radians).

    >>> import fovea
    >>> polar(fovea.tensor([2.0]), fovea.tensor([0.0]))
    tensor([2.+0.j])
    """
    return finish(complex_(abs * p.cos(angle), abs * p.sin(angle)), out)


def real(input: Tensor) -> Tensor:
    """The real parts; the tensor itself if it is real."""
    result: Tensor = ops.real.bind((input,)) if input.dtype.is_complex else input
    return result


def imag(input: Tensor) -> Tensor:
    """The imaginary parts.

    Raises:
        DTypeError: the tensor is real.
    """
    if not input.dtype.is_complex:
        raise DTypeError(f"imag: a complex tensor is needed, got {describe(input)}.")
    result: Tensor = ops.imag.bind((input,))
    return result


def conj(input: Tensor) -> Tensor:
    """The conjugates; the tensor itself if it is real."""
    result: Tensor = ops.conj.bind((input,)) if input.dtype.is_complex else input
    return result


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``conj``, which in fovea always computes."""
    return finish(conj(input), out)


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: ``conj`` is never put off."""
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negation is never put off."""
    return input


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The angle in the complex plane, in radians; of real numbers 0, or pi below zero.

    >>> import fovea
    >>> angle(fovea.tensor([1j, -1.0]))
    tensor([1.5708, 3.1416])
    """
    if input.dtype.is_complex:
        return finish(ops.complex_angle.bind((input,)), out)
    x = input if input.dtype.is_floating_point else input.to(dtypes.get_default_dtype())
    turned = p.where(x < 0, math.pi, 0.0).to(x.dtype)
    return finish(p.where(p.isnan(x), x, turned), out)


def sgn(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``sign``; of complex numbers the point of the unit circle in their direction, or 0."""
    if not input.dtype.is_complex:
        return p.sign(input, out=out)
    size = p.abs_(input)
    return finish(input / size.masked_fill(size == 0, 1.0), out)


def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part is zero, element by element."""
    if input.dtype.is_complex:
        return imag(input) == 0
    return p.logical_or(input == input, True)


def view_as_real(input: Tensor) -> Tensor:
    """(...) complex as (..., 2) real: a copy.

    >>> import fovea
    >>> view_as_real(fovea.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    result: Tensor = ops.view_as_real.bind((input,))
    return result


def view_as_complex(input: Any) -> Tensor:
    """(..., 2) real as (...) complex: a copy."""
    result: Tensor = ops.view_as_complex.bind((input,))
    return result
