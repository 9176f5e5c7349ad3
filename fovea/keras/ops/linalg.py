"""``keras.ops.linalg``: systems of equations, factors and other things of matrices."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.errors import ArgumentError
from fovea.keras.ops.elementwise import floating
from fovea.keras.ops.reductions import norm
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "cdist", "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp",
    "logdet", "lstsq", "lu_factor", "matrix_rank", "norm", "pinv", "qr", "slogdet", "solve",
    "solve_triangular", "svd",
]  # fmt: skip


@symbolic
def cholesky(x: Any, upper: bool = False) -> Any:
    """The triangular root of positive definite matrices."""
    return fovea.linalg.cholesky(floating(x), upper=upper)


@symbolic
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of the matrices whose roots are given."""
    return fovea.cholesky_inverse(floating(x), upper)


@symbolic
def det(x: Any) -> Any:
    """Determinants."""
    return fovea.linalg.det(floating(x))


@symbolic
def slogdet(x: Any) -> Any:
    """Signs, and logarithms of the sizes, of determinants."""
    return tuple(fovea.linalg.slogdet(floating(x)))


@symbolic
def logdet(x: Any) -> Any:
    """Logarithms of the determinants of positive definite matrices."""
    return fovea.logdet(floating(x))


@symbolic
def eigh(x: Any) -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    return tuple(fovea.linalg.eigh(floating(x)))


@symbolic
def inv(x: Any) -> Any:
    """Inverses."""
    return fovea.linalg.inv(floating(x))


@symbolic
def eig(x: Any) -> Any:
    """Eigenvalues and eigenvectors of square matrices, complex and in no order."""
    return tuple(fovea.linalg.eig(floating(x)))


@symbolic
def pinv(x: Any, rcond: float | None = None) -> Any:
    """Pseudo-inverses."""
    return fovea.linalg.pinv(floating(x), rtol=rcond)


@symbolic
def qr(x: Any, mode: str = "reduced") -> Any:
    """An orthogonal and a triangular factor.

    Args:
        mode: ``"reduced"`` or ``"complete"``.
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr: mode is 'reduced' or 'complete', got {mode!r}.")
    return tuple(fovea.linalg.qr(floating(x), mode))


@symbolic
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular values, with the vectors (u, s, v) unless ``compute_uv`` is False."""
    if not compute_uv:
        return fovea.linalg.svdvals(floating(x))
    return tuple(fovea.linalg.svd(floating(x), full_matrices))


@symbolic
def solve(a: Any, b: Any) -> Any:
    """x with a x = b."""
    return fovea.linalg.solve(floating(a), floating(b))


@symbolic
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """x with a x = b, of triangular matrices."""
    a, b = floating(a), floating(b)
    if b.ndim == a.ndim - 1:
        return fovea.linalg.solve_triangular(a, b.unsqueeze(-1), upper=not lower).squeeze(-1)
    return fovea.linalg.solve_triangular(a, b, upper=not lower)


@symbolic
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The x for which a x is nearest to b."""
    a, b = floating(a), floating(b)
    row = b.ndim == a.ndim - 1
    found = fovea.linalg.lstsq(a, b.unsqueeze(-1) if row else b, rcond)[0]
    return found.squeeze(-1) if row else found


@symbolic
def lu_factor(x: Any) -> Any:
    """Triangular factors in one matrix, and which row (from 0) each was exchanged with, in int32.

    Args:
        x: (..., m, n); singular matrices have factors, too.

    >>> lu_factor([[1.0, 2.0], [4.0, 4.0]])[1]
    tensor([1, 1], dtype=fovea.int32)
    """
    factors, pivots, _ = fovea.linalg.lu_factor_ex(floating(x))
    return factors, pivots - 1


@symbolic
def matrix_rank(x: Any, tol: float | None = None) -> Any:
    """How many singular values are larger than ``tol``, in int32."""
    return fovea.linalg.matrix_rank(floating(x), atol=tol).to(fovea.int32)


@symbolic
def cdist(x: Any, y: Any) -> Any:
    """The distances of all pairs of rows."""
    return fovea.cdist(floating(x), floating(y))


@symbolic
def jvp(fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """A function's value, and how it changes along ``tangents``.

    Args:
        fun: a function of tensors.
        primals, tangents: its arguments, and as many directions.
        has_aux: the function returns a second thing, which is handed on.
    """
    return fovea.func.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)
