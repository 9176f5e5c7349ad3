"""The standard's linear algebra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fovea
from fovea.functions import matrices
from fovea.functions.matrices import SVD, Eigh, SlogDet

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor of symmetric positive definite matrices."""
    return matrices.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Cross products of vectors of 3."""
    return matrices.cross(x1, x2, dim=axis)


def det(x: Tensor, /) -> Tensor:
    """Determinants."""
    return matrices.det(x)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices."""
    return fovea.diagonal(x, offset, -2, -1)


def eigh(x: Tensor, /) -> Eigh:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    return matrices.eigh(x)


def eigvalsh(x: Tensor, /) -> Tensor:
    """Eigenvalues of symmetric matrices."""
    return matrices.eigvalsh(x)


def inv(x: Tensor, /) -> Tensor:
    """Inverses."""
    return matrices.inv(x)


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Products of matrices."""
    return fovea.matmul(x1, x2)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Norms of matrices."""
    return matrices.matrix_norm(x, ord, (-2, -1), keepdims)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Matrices multiplied with themselves."""
    return matrices.matrix_power(x, n)


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are above ``rtol`` of the largest."""
    return matrices.matrix_rank(x, rtol=rtol)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Matrices with rows and columns exchanged."""
    return fovea.transpose(x, -2, -1)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """All products of the elements of two vectors."""
    return fovea.outer(x1, x2)


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """Pseudo-inverses."""
    return matrices.pinv(x, rtol=rtol)


def qr(x: Tensor, /, *, mode: str = "reduced") -> matrices.QR:
    """Orthogonal and triangular factors."""
    return matrices.qr(x, mode)


def slogdet(x: Tensor, /) -> SlogDet:
    """The signs and logarithms of determinants."""
    return matrices.slogdet(x)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """What ``x1`` takes to ``x2``: a vector, or (batches of) matrices."""
    if x2.ndim == 1:
        return matrices.solve(x1, x2.unsqueeze(1)).squeeze(-1)
    return matrices.solve(x1, x2)


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVD:
    """The singular value decomposition."""
    return matrices.svd(x, full_matrices)


def svdvals(x: Tensor, /) -> Tensor:
    """Singular values."""
    return matrices.svdvals(x)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    """Sums of products over several axes."""
    return fovea.tensordot(x1, x2, axes)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of the diagonals of matrices."""
    return fovea.sum(diagonal(x, offset=offset), -1, dtype=dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of vectors."""
    return fovea.sum(fovea.conj(x1) * x2, axis).to(fovea.result_type(x1, x2))


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """Norms of vectors."""
    return matrices.vector_norm(x, ord, axis, keepdims)
