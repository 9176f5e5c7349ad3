"""Triangular systems of equations, and those of Cholesky factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea.functions.linalg import matmul
from fovea.functions.matrices import _adjoint, _same_batch, inv
from fovea.functions.shaping import transpose, tril, triu
from fovea.ops import triangular

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["cholesky_inverse", "cholesky_solve", "solve_triangular"]


def solve_triangular(
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """``solve`` with one triangle of A (and a diagonal of ones with ``unitriangular``)."""
    a = triu(A) if upper else tril(A)
    if unitriangular:
        one = A.new_ones((A.shape[-1],)).diag()
        a = a * (1 - one) + one
    if not left:
        b = transpose(B, -1, -2)
        return transpose(_substituted(transpose(a, -1, -2), b, not upper), -1, -2)
    return _substituted(a, B, upper)


def _substituted(a: Tensor, b: Tensor, upper: bool) -> Tensor:
    return triangular.solve_triangular.bind(_same_batch(a, b), triangular.TriangularAttrs(upper))


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:  # noqa: N803
    """X with ``A X = B``, given A's Cholesky factor."""
    lower = _adjoint(triu(L)) if upper else tril(L)
    half = solve_triangular(lower, B, upper=False)
    return solve_triangular(_adjoint(lower), half, upper=True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:  # noqa: N803
    """The inverse of A, given its Cholesky factor."""
    half = triu(L) if upper else _adjoint(tril(L))
    return inv(matmul(_adjoint(half), half))
