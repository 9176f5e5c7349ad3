"""Factors, inverses and solutions that say which matrices have none, instead of raising."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fovea import dtypes
from fovea.errors import LinAlgError
from fovea.functions.creation import from_array
from fovea.functions.lu import lu_factor_ex
from fovea.functions.matrices import cholesky, inv, is_vector, solve
from fovea.functions.pointwise import where
from fovea.functions.ranges import eye
from fovea.functions.shaping import reshape
from fovea.return_types import printed

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["cholesky_ex", "inv_ex", "solve_ex"]


class CholeskyEx(NamedTuple):
    """A factor, and for each matrix 0 or where it failed."""

    L: Tensor
    info: Tensor

    def __repr__(self) -> str:
        return printed("linalg_cholesky_ex", self)


class InvEx(NamedTuple):
    """An inverse, and for each matrix 0 or where it failed."""

    inverse: Tensor
    info: Tensor

    def __repr__(self) -> str:
        return printed("linalg_inv_ex", self)


class SolveEx(NamedTuple):
    """A solution, and for each matrix 0 or where it failed."""

    result: Tensor
    info: Tensor

    def __repr__(self) -> str:
        return printed("linalg_solve_ex", self)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:  # noqa: N803
    """``cholesky``, and for each matrix 0, or the size of its first leading part that is not
    positive definite: such a matrix has the identity as its factor.

    Args:
        A: (..., n, n) in float32, float64 or complex.
        upper: return the conjugate transpose.
        check_errors: raise LinAlgError for such a matrix.

    >>> import fovea
    >>> cholesky_ex(fovea.tensor([[1.0, 2.0], [2.0, 1.0]])).info
    tensor(2, dtype=fovea.int32)
    """
    try:
        return CholeskyEx(cholesky(A, upper=upper), _none_failed(A))
    except LinAlgError:
        if check_errors:
            raise
    info = _of_each(A, _first_bad_minor)
    return CholeskyEx(cholesky(_without(A, info), upper=upper), info)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:  # noqa: N803
    """``inv``, and for each matrix 0, or which pivot of elimination is the first that is 0: the
    inverse of such a matrix is NaN.

    Args:
        A: (..., n, n) in float32, float64 or complex.
        check_errors: raise LinAlgError for such a matrix.

    >>> import fovea
    >>> inv_ex(fovea.tensor([[[2.0]], [[0.0]]])).info
    tensor([0, 1], dtype=fovea.int32)
    """
    try:
        return InvEx(inv(A), _none_failed(A))
    except LinAlgError:
        if check_errors:
            raise
    info = _zero_pivots(A)
    return InvEx(_where_none(info, inv(_without(A, info)), 2), info)


def solve_ex(
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    *,
    left: bool = True,
    check_errors: bool = False,
) -> SolveEx:
    """``solve``, and for each matrix 0, or which pivot of elimination is the first that is 0: the
    solution of such a system is NaN.

    Args:
        A, B, left: as of ``solve``.
        check_errors: raise LinAlgError for such a matrix.

    >>> import fovea
    >>> solve_ex(fovea.ones(2, 2), fovea.ones(2)).info
    tensor(2, dtype=fovea.int32)
    """
    try:
        return SolveEx(solve(A, B, left=left), _none_failed(A))
    except LinAlgError:
        if check_errors:
            raise
    info = _zero_pivots(A)
    found = solve(_without(A, info), B, left=left)
    return SolveEx(_where_none(info, found, 1 if is_vector(A, B) else 2), info)


def _none_failed(a: Tensor) -> Tensor:
    return a.new_zeros(a.shape[:-2], dtype=dtypes.int32)


def _of_each(a: Tensor, find: Callable[[Any], int]) -> Tensor:
    """A whole number for each matrix."""
    values = a.detach()._array()
    found = [find(m) for m in values.reshape(-1, *values.shape[-2:])]
    return from_array(np.array(found, np.int32).reshape(values.shape[:-2]))


def _first_bad_minor(matrix: np.ndarray[Any, Any]) -> int:
    """The size of the first leading part of a matrix without a Cholesky factor, or 0."""
    for size in range(1, len(matrix) + 1):
        try:
            np.linalg.cholesky(matrix[:size, :size])
        except np.linalg.LinAlgError:
            return size
    return 0


def _is_singular(matrix: np.ndarray[Any, Any]) -> int:
    try:
        np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return 1
    return 0


def _zero_pivots(a: Tensor) -> Tensor:
    """For each matrix 0, or which pivot is the first that is 0. LAPACK says which are singular; if
    its rounding alone makes one so, that is the last.
    """
    pivots = lu_factor_ex(a.detach()).info
    last = where(pivots == 0, a.shape[-1], pivots)
    found: Tensor = where(_of_each(a, _is_singular) == 1, last, 0)
    return found.to(dtypes.int32)


def _without(a: Tensor, info: Tensor) -> Tensor:
    """Matrices with the identity in place of those that failed."""
    made: Tensor = where((info > 0)[..., None, None], eye(a.shape[-1], dtype=a.dtype), a)
    return made


def _where_none(info: Tensor, result: Tensor, dims: int) -> Tensor:
    """NaN in place of the results, of so many dimensions, of those that failed."""
    failed = reshape(info > 0, (*info.shape, *[1] * dims))
    found: Tensor = where(failed, float("nan"), result)
    return found
