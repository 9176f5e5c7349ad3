"""Functions that PyTorch still has and warns of, or advises against; so does this."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import devices, dtypes
from fovea.errors import ArgumentError
from fovea.functions import lu as factors
from fovea.functions import matrices
from fovea.functions.creation import _into as into_out
from fovea.functions.matrices import _adjoint
from fovea.functions.ranges import arange
from fovea.functions.shaping import transpose as swapped
from fovea.functions.triangular import solve_triangular
from fovea.return_types import printed

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["cholesky", "lu", "lu_solve", "qr", "range_", "svd", "triangular_solve"]


class QR(NamedTuple):
    """An orthogonal and an upper triangular matrix."""

    Q: Tensor
    R: Tensor

    def __repr__(self) -> str:
        return printed("qr", self)


class SVD(NamedTuple):
    """Left vectors, singular values, right vectors: as columns."""

    U: Tensor
    S: Tensor
    V: Tensor

    def __repr__(self) -> str:
        return printed("svd", self)


class TriangularSolve(NamedTuple):
    """X, and a copy of A."""

    solution: Tensor
    cloned_coefficient: Tensor

    def __repr__(self) -> str:
        return printed("triangular_solve", self)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=3)


def qr(input: Tensor, some: bool = True, *, out: tuple[Tensor, ...] | None = None) -> QR:
    """``linalg.qr``: ``input = Q R``. Warns: PyTorch advises to call that.

    Args:
        input: (..., m, n) in float32, float64 or complex.
        some: Q is (..., m, min(m, n)); False: (..., m, m).
        out: two tensors that take the results.

    >>> import warnings, fovea
    >>> with warnings.catch_warnings(record=True):
    ...     q, r = fovea.qr(fovea.tensor([[3.0], [4.0]]))
    >>> abs(r).round(decimals=4)
    tensor([[5.]])
    """
    _warn(
        "torch.qr is deprecated in favor of torch.linalg.qr and will be removed in a future "
        "PyTorch release.\nThe boolean parameter 'some' has been replaced with a string parameter "
        "'mode'.\nQ, R = torch.qr(A, some)\nshould be replaced with\nQ, R = torch.linalg.qr(A, "
        "'reduced' if some else 'complete')"
    )
    return QR(*_given(out, *matrices.qr(input, "reduced" if some else "complete")))


def svd(
    input: Tensor,
    some: bool = True,
    compute_uv: bool = True,
    *,
    out: tuple[Tensor, ...] | None = None,
) -> SVD:
    """``linalg.svd`` with the right vectors as columns: ``input = U diag(S) V^H``.

    (PyTorch advises to call ``linalg.svd``, and does not warn.)

    Args:
        input: (..., m, n) in float32, float64 or complex.
        some: U and V have min(m, n) columns; False: they are square.
        compute_uv: False: U (..., m, m) and V (..., n, n) are zeros.
        out: three tensors that take the results.

    >>> import fovea
    >>> fovea.svd(fovea.tensor([[3.0, 0.0], [0.0, -2.0]])).S
    tensor([3., 2.])
    """
    if compute_uv:
        u, s, vh = matrices.svd(input, not some)
        return SVD(*_given(out, u, s, _adjoint(vh)))
    (*batch, m, n) = input.shape
    s = matrices.svdvals(input)
    u, v = (input.new_zeros((*batch, size, size)) for size in (m, n))
    return SVD(*_given(out, u, s, v))


def lu(
    A: Tensor,  # noqa: N803
    pivot: bool = True,
    get_infos: bool = False,
    out: tuple[Tensor, ...] | None = None,
) -> tuple[Tensor, ...]:
    """``linalg.lu_factor``, or with ``get_infos`` ``linalg.lu_factor_ex``: L and U in one matrix,
    and pivots. Warns: PyTorch advises to call these.

    Args:
        A: (..., m, n) in float32, float64 or complex.
        pivot: exchange rows.
        get_infos: return also where U's diagonal is first zero (from 1; 0: nowhere).
        out: two tensors, or with ``get_infos`` three, that take the results.

    Raises:
        LinAlgError: U has a zero on its diagonal, without ``get_infos``.

    >>> import warnings, fovea
    >>> with warnings.catch_warnings(record=True):
    ...     both, pivots = fovea.lu(fovea.tensor([[1.0, 2.0], [4.0, 4.0]]))
    >>> pivots
    tensor([2, 2], dtype=fovea.int32)
    """
    _warn(
        "torch.lu is deprecated in favor of torch.linalg.lu_factor / torch.linalg.lu_factor_ex and "
        "will be removed in a future PyTorch release.\nLU, pivots = torch.lu(A, compute_pivots)\n"
        "should be replaced with\nLU, pivots = torch.linalg.lu_factor(A, compute_pivots)\nand\n"
        "LU, pivots, info = torch.lu(A, compute_pivots, get_infos=True)\nshould be replaced with\n"
        "LU, pivots, info = torch.linalg.lu_factor_ex(A, compute_pivots)"
    )
    if get_infos:
        return _given(out, *factors.lu_factor_ex(A, pivot=pivot))
    return _given(out, *factors.lu_factor(A, pivot=pivot))


def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """``linalg.cholesky``: L with ``input = L L^H``. Warns: PyTorch advises to call that.

    Args:
        input: (..., n, n) in float32, float64 or complex, symmetric (Hermitian).
        upper: return L's conjugate transpose.
        out: a tensor that takes the result.

    Raises:
        LinAlgError: a matrix that is not positive definite.

    >>> import warnings, fovea
    >>> with warnings.catch_warnings(record=True):
    ...     fovea.cholesky(fovea.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    _warn(
        "torch.cholesky is deprecated in favor of torch.linalg.cholesky and will be removed in a "
        "future PyTorch release.\nL = torch.cholesky(A)\nshould be replaced with\n"
        "L = torch.linalg.cholesky(A)\nand\nU = torch.cholesky(A, upper=True)\nshould be replaced "
        "with\nU = torch.linalg.cholesky(A).mH"
    )
    found = matrices.cholesky(input)
    return _given((out,) if out is not None else None, _adjoint(found) if upper else found)[0]


def lu_solve(
    b: Tensor,
    LU_data: Tensor,  # noqa: N803
    LU_pivots: Tensor,  # noqa: N803
    *,
    out: Tensor | None = None,
) -> Tensor:
    """``linalg.lu_solve(LU_data, LU_pivots, b)``: X with ``A X = b``. Warns: PyTorch advises to
    call that.

    Args:
        b: (..., n, k).
        LU_data, LU_pivots: what ``linalg.lu_factor(A)`` returned.
        out: a tensor that takes the result.

    Raises:
        ShapeError: the sizes are those of no system of equations.
        LinAlgError: A is singular.
    """
    _warn(
        "torch.lu_solve is deprecated in favor of torch.linalg.lu_solve and will be removed in a "
        "future PyTorch release.\nNote that torch.linalg.lu_solve has its arguments reversed.\n"
        "X = torch.lu_solve(B, LU, pivots)\nshould be replaced with\n"
        "X = torch.linalg.lu_solve(LU, pivots, B)"
    )
    return _given((out,) if out is not None else None, factors.lu_solve(LU_data, LU_pivots, b))[0]


def triangular_solve(
    b: Tensor,
    A: Tensor,  # noqa: N803
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    out: tuple[Tensor, ...] | None = None,
) -> TriangularSolve:
    """``linalg.solve_triangular``: X with ``A X = b``, and a copy of A. Warns: PyTorch advises to
    call that.

    Args:
        b: (..., n, k).
        A: (..., n, n), of which one triangle is read.
        upper: which.
        transpose: with A's transpose for A.
        unitriangular: with ones on A's diagonal.
        out: two tensors that take the results.

    Raises:
        LinAlgError: A is singular.
    """
    _warn(
        "torch.triangular_solve is deprecated in favor of torch.linalg.solve_triangular and will "
        "be removed in a future PyTorch release.\ntorch.linalg.solve_triangular has its arguments "
        "reversed and does not return a copy of one of the inputs.\n"
        "X = torch.triangular_solve(B, A).solution\nshould be replaced with\n"
        "X = torch.linalg.solve_triangular(A, B)."
    )
    a = swapped(A, -2, -1) if transpose else A
    x = solve_triangular(a, b, upper=upper != transpose, unitriangular=unitriangular)
    return TriangularSolve(*_given(out, x, A.clone()))


def _given(out: tuple[Tensor, ...] | None, *found: Tensor) -> tuple[Tensor, ...]:
    """What was found, in the tensors that are to take it if there are such."""
    if out is None:
        return found
    if len(out) != len(found):
        raise ArgumentError(f"out has {len(out)} tensors for {len(found)} results.")
    return tuple(into_out(o, f) for o, f in zip(out, found, strict=True))


def range_(
    start: float,
    end: float,
    step: float = 1,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` up to ``end``, which is included where a step meets it. Warns: PyTorch
    advises to call ``arange``.

    Args:
        start, end, step: numbers; the step may be negative.
        out: a tensor that takes the result.
        dtype: of the result (default: the default dtype, of whole numbers, too).
        device: accepted.
        requires_grad: record what becomes of it.

    Raises:
        ArgumentError: a step of zero, or one that leads away from ``end``.

    >>> import warnings, fovea
    >>> with warnings.catch_warnings(record=True):
    ...     fovea.range(1, 4)
    tensor([1., 2., 3., 4.])
    """
    _warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with Python's range builtin. Instead, use torch.arange, which produces "
        "values in [start, end)."
    )
    devices.as_device(device)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.get_default_dtype()
    if out is not None and dtype is None:
        kind = out.dtype
    if not kind.is_floating_point:
        start, end, step = int(start), int(end), int(step)
    if not step or not (end - start) * step >= 0:
        raise ArgumentError(f"range: step {step} does not lead from {start} to {end}.")
    count = int((end - start) / step) + 1
    places = arange(count, dtype=dtypes.float64 if kind.is_floating_point else dtypes.int64)
    made = (places * step + start).to(kind)
    if out is not None:
        return into_out(out, made)
    return made.requires_grad_() if requires_grad else made
