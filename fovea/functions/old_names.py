"""Functions of PyTorch's top level that are others there by older names, of arguments too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea.functions import matrices
from fovea.functions.creation import _into as into_out
from fovea.functions.numpy_names import numpy_names
from fovea.functions.parts import cat
from fovea.functions.pointwise import div
from fovea.functions.products import multi_dot
from fovea.functions.shaping import transpose

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "chain_matmul",
    "concat",
    "concatenate",
    "det",
    "inverse",
    "logdet",
    "matrix_power",
    "pinverse",
    "slogdet",
    "swapaxes",
    "swapdims",
    "true_divide",
]


def det(input: Tensor) -> Tensor:
    """``linalg.det``: the determinant."""
    return matrices.det(input)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; NaN where that is negative."""
    return matrices.logdet(input)


def slogdet(input: Tensor) -> Any:
    """``linalg.slogdet``: sign and logarithm of the determinant."""
    return matrices.slogdet(input)


def inverse(input: Tensor) -> Tensor:
    """``linalg.inv``. Raises LinAlgError for a singular matrix."""
    return matrices.inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """``linalg.pinv``: the inverse of what is not (nearly) lost."""
    return matrices.pinv(input, rcond)


def matrix_power(input: Tensor, n: int) -> Tensor:
    """``linalg.matrix_power``: a matrix multiplied ``n`` times."""
    return matrices.matrix_power(input, n)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """``linalg.multi_dot``: a product of matrices, in the cheapest order."""
    y = matrices[0] if len(matrices) == 1 else multi_dot(matrices)
    return y if out is None else into_out(out, y)


@numpy_names
def concat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """``cat``."""
    return cat(tensors, dim, out=out)


def concatenate(tensors: Sequence[Tensor], axis: int = 0, out: Tensor | None = None) -> Tensor:
    """``cat`` as NumPy calls it."""
    return cat(tensors, axis, out=out)


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """``transpose`` as NumPy calls it."""
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """``transpose``."""
    return transpose(input, dim0, dim1)


def true_divide(dividend: Tensor, divisor: Any, *, out: Tensor | None = None) -> Tensor:
    """``div``."""
    return div(dividend, divisor, out=out)
