"""LU factors of matrices, and systems of equations by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.functions.matrices import _adjoint
from fovea.functions.pointwise import eq, to_dtype, where
from fovea.functions.ranges import arange
from fovea.functions.reductions import any_, argmax
from fovea.functions.shaping import diagonal, expand, narrow, tril, triu, unsqueeze
from fovea.functions.triangular import solve_triangular
from fovea.ops import lu as ops
from fovea.ops.index import gather
from fovea.ops.rules import broadcast_shapes
from fovea.ops.shape import DimAttrs

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["lu", "lu_factor", "lu_factor_ex", "lu_solve", "lu_unpack"]


class LU(NamedTuple):
    """A permutation, a lower triangular matrix with ones on its diagonal, an upper one."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactor(NamedTuple):
    """L and U in one matrix, and the row (from 1) that each row was exchanged with."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """``LUFactor``, and where U's diagonal is first zero (from 1), or 0."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:  # noqa: N803
    """``A = P L U`` in the compact form that ``lu_solve`` takes.

    Args:
        A: (..., m, n) in float32, float64 or complex.
        pivot: exchange rows, so that L's elements are at most 1 in size.

    Returns:
        LU (..., m, n): L below the diagonal, U from there on; pivots (..., min(m, n)) in int32.
        Gradients need the first min(m, n) columns to be independent.

    Raises:
        LinAlgError: U has a zero on its diagonal.
        DTypeError, ShapeError: A is no such matrix.

    >>> import fovea
    >>> lu_factor(fovea.tensor([[1.0, 2.0], [4.0, 4.0]]))
    LUFactor(LU=tensor([[4.0000, 4.0000],
            [0.2500, 1.0000]]), pivots=tensor([2, 2], dtype=fovea.int32))
    """
    return LUFactor(*ops.lu_factor.bind((A,), ops.LuAttrs(bool(pivot), True)))


def lu_factor_ex(
    A: Tensor,  # noqa: N803
    *,
    pivot: bool = True,
    check_errors: bool = False,
) -> LUFactorEx:
    """``lu_factor``, of singular matrices too: ``info`` says where U's diagonal is first zero.

    Args:
        A: (..., m, n) in float32, float64 or complex.
        pivot: exchange rows.
        check_errors: raise as ``lu_factor`` does.

    Raises:
        LinAlgError: U has a zero on its diagonal, with ``check_errors``.

    >>> import fovea
    >>> lu_factor_ex(fovea.zeros(2, 2)).info
    tensor(1, dtype=fovea.int32)
    """
    factors, pivots = ops.lu_factor.bind((A,), ops.LuAttrs(bool(pivot), bool(check_errors)))
    info = pivots.new_zeros(tuple(A.shape[:-2]))
    if pivots.shape[-1] and info.numel():
        zero = eq(diagonal(factors.detach(), 0, -2, -1), 0)
        first = argmax(to_dtype(zero, dtypes.int32), -1) + 1
        info = where(any_(zero, -1), to_dtype(first, dtypes.int32), info)
    return LUFactorEx(factors, pivots, info)


def lu(A: Tensor, *, pivot: bool = True) -> LU:  # noqa: N803
    """``A = P L U``: a permutation, a lower and an upper triangular matrix.

    Args:
        A: (..., m, n) in float32, float64 or complex.
        pivot: exchange rows; P is empty without.

    Returns:
        P (..., m, m), L (..., m, k) with ones on its diagonal, U (..., k, n), k = min(m, n).

    Raises:
        DTypeError, ShapeError: A is no such matrix.

    >>> import fovea
    >>> a = fovea.tensor([[1.0, 2.0], [4.0, 4.0]])
    >>> P, L, U = lu(a)
    >>> P @ L @ U
    tensor([[1., 2.],
            [4., 4.]])
    """
    factors, pivots = ops.lu_factor.bind((A,), ops.LuAttrs(bool(pivot), False))
    return lu_unpack(factors, pivots, True, bool(pivot))


def lu_unpack(
    LU_data: Tensor,  # noqa: N803
    LU_pivots: Tensor,  # noqa: N803
    unpack_data: bool = True,
    unpack_pivots: bool = True,
) -> LU:
    """P, L and U of what ``lu_factor`` returned.

    Args:
        LU_data, LU_pivots: its results, (..., m, n) and (..., min(m, n)).
        unpack_data: L and U are empty without.
        unpack_pivots: P is empty without.

    Raises:
        ShapeError: the pivots are none of such a matrix.

    >>> import fovea
    >>> a = fovea.tensor([[1.0, 2.0], [4.0, 4.0]])
    >>> lu_unpack(*lu_factor(a)).P
    tensor([[0., 1.],
            [1., 0.]])
    """
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    nothing = LU_data.new_empty((0,))
    p, lower, upper = nothing, nothing, nothing
    if unpack_data:
        one = to_dtype(eq(unsqueeze(arange(m), 1), arange(k)), LU_data.dtype)
        lower = tril(narrow(LU_data, -1, 0, k), -1) + one
        upper = triu(narrow(LU_data, -2, 0, k))
    if unpack_pivots:
        rows = ops.pivoted_rows.bind((LU_pivots,), ops.RowAttrs(m, False))
        p = to_dtype(eq(unsqueeze(arange(m), 1), unsqueeze(rows, -2)), LU_data.dtype)
    return LU(p, lower, upper)


def _reordered(b: Tensor, pivots: Tensor, inverse: bool) -> Tensor:
    """B's rows in the order of the pivots, or back."""
    rows = ops.pivoted_rows.bind((pivots,), ops.RowAttrs(b.shape[-2], inverse))
    return gather.bind((b, expand(unsqueeze(rows, -1), b.shape)), DimAttrs.of(b.ndim - 2))


def lu_solve(
    LU: Tensor,  # noqa: N803
    pivots: Tensor,
    B: Tensor,  # noqa: N803
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Tensor:
    """X with ``A X = B``, given what ``lu_factor(A)`` returned.

    Args:
        LU, pivots: (..., n, n) and (..., n).
        B: (..., n, k), or (..., k, n) unless ``left``; leading dimensions broadcast.
        left: ``X A = B`` if False.
        adjoint: with A's conjugate transpose for A.

    Raises:
        ShapeError: the sizes are those of no system of equations.
        LinAlgError: U is singular.

    >>> import fovea
    >>> a = fovea.tensor([[1.0, 2.0], [4.0, 4.0]])
    >>> lu_solve(*lu_factor(a), a @ fovea.tensor([[3.0], [5.0]]))
    tensor([[3.],
            [5.]])
    """
    if not left:
        return _adjoint(lu_solve(LU, pivots, _adjoint(B), adjoint=not adjoint))
    if LU.ndim < 2 or B.ndim < 2 or LU.shape[-1] != LU.shape[-2] or LU.shape[-1] != B.shape[-2]:
        raise ShapeError(
            f"lu_solve: {tuple(LU.shape)} and {tuple(B.shape)} are no system of equations.",
            {"LU": describe(LU), "B": describe(B)},
            "LU is (..., n, n), B is (..., n, k)",
        )
    batch = broadcast_shapes("lu_solve", LU.shape[:-2], B.shape[:-2])
    b = expand(B, (*batch, *B.shape[-2:]))
    if adjoint:
        half = solve_triangular(_adjoint(triu(LU)), b, upper=False)
        lower = _adjoint(tril(LU, -1))
        return _reordered(
            solve_triangular(lower, half, upper=True, unitriangular=True), pivots, True
        )
    b = _reordered(b, pivots, False)
    half = solve_triangular(LU, b, upper=False, unitriangular=True)
    return solve_triangular(LU, half, upper=True)
