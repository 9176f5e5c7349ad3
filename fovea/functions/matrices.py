"""Linear algebra: norms, systems of equations, decompositions; what ``fovea.linalg`` offers.

float32, float64 and complex; leading dimensions are batches. NumPy's LAPACK computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.complex_numbers import conj
from fovea.functions.joining import vander
from fovea.functions.linalg import matmul
from fovea.functions.pointwise import abs_, log, to_dtype
from fovea.functions.products import cross as any_cross
from fovea.functions.reductions import Dims, amax, amin, norm, sum_
from fovea.functions.shaping import (
    broadcast_tensors,
    diagonal,
    expand,
    movedim,
    reshape,
    transpose,
    tril,
    triu,
    unsqueeze,
)
from fovea.ops import matrices as ops
from fovea.ops import triangular
from fovea.ops.rules import broadcast_shapes, normalize_dim
from fovea.return_types import printed

if TYPE_CHECKING:
    from fovea.tensor import Tensor


class SVD(NamedTuple):
    """Left vectors, singular values, right vectors (transposed)."""

    U: Tensor
    S: Tensor
    Vh: Tensor

    def __repr__(self) -> str:
        return printed("linalg_svd", self)


class QR(NamedTuple):
    """An orthogonal and an upper triangular matrix."""

    Q: Tensor
    R: Tensor

    def __repr__(self) -> str:
        return printed("linalg_qr", self)


class Eigh(NamedTuple):
    """Eigenvalues, from the smallest, and eigenvectors, as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor

    def __repr__(self) -> str:
        return printed("linalg_eigh", self)


class Eig(NamedTuple):
    """Eigenvalues and eigenvectors, as columns, both complex."""

    eigenvalues: Tensor
    eigenvectors: Tensor

    def __repr__(self) -> str:
        return printed("linalg_eig", self)


class SlogDet(NamedTuple):
    """The determinant's sign and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor

    def __repr__(self) -> str:
        return printed("linalg_slogdet", self)


class LstSq(NamedTuple):
    """A least-squares solution, and what is known of it."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

    def __repr__(self) -> str:
        return printed("linalg_lstsq", self)


# -- decompositions -------------------------------------------------------------------------------


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:  # noqa: N803
    """``A = U diag(S) Vh``, singular values from the largest.

    Args:
        full_matrices: whether U and Vh are square.
    """
    return SVD(*ops.svd.bind((A,), ops.SvdAttrs.of(bool(full_matrices))))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:  # noqa: N803
    """The singular values, from the largest."""
    return svd(A, False).S


def qr(A: Tensor, mode: str = "reduced") -> QR:  # noqa: N803
    """``A = Q R``.

    Args:
        mode: ``"reduced"``, ``"complete"`` (Q is square) or ``"r"`` (Q is empty).
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode is 'reduced', 'complete' or 'r', got {mode!r}.")
    q, r = ops.qr.bind((A,), ops.QrAttrs.of(mode == "complete"))
    return QR(A.new_empty(0) if mode == "r" else q, r)


def eigh(A: Tensor, UPLO: str = "L") -> Eigh:  # noqa: N803
    """Eigenvalues and eigenvectors of a symmetric matrix, of which one triangle is read."""
    return Eigh(*ops.eigh.bind((A,), ops.EighAttrs.of(UPLO.upper() == "U")))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:  # noqa: N803
    """The eigenvalues of a symmetric matrix, from the smallest."""
    return eigh(A, UPLO).eigenvalues


def eig(A: Tensor) -> Eig:  # noqa: N803
    """Eigenvalues and eigenvectors of a square matrix, both complex, in no order.

    Vectors have length 1. Gradients are those of functions that do not depend on their phases.

    >>> import fovea
    >>> eig(fovea.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return Eig(*ops.eig.bind((A,)))


def eigvals(A: Tensor) -> Tensor:  # noqa: N803
    """The eigenvalues of a square matrix: complex, in no order."""
    return eig(A).eigenvalues


def _adjoint(a: Tensor) -> Tensor:
    return transpose(conj(a), -1, -2)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:  # noqa: N803
    """The lower triangular L with ``A = L L^H`` (with ``upper``: its conjugate transpose).

    Raises:
        LinAlgError: a matrix that is not positive definite.
    """
    if upper:
        return _adjoint(ops.cholesky.bind((_adjoint(A),)))
    return ops.cholesky.bind((A,))


# -- systems of equations -------------------------------------------------------------------------


def inv(A: Tensor) -> Tensor:  # noqa: N803
    """The inverse. Raises LinAlgError for a singular matrix."""
    return ops.inverse.bind((A,))


def _same_batch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    lead = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
    return expand(a, *lead, *a.shape[-2:]), expand(b, *lead, *b.shape[-2:])


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:  # noqa: N803
    """X with ``A X = B`` (or, without ``left``, ``X A = B``); B may be a vector or a batch of them.

    Raises:
        LinAlgError: a singular matrix.

    >>> import fovea
    >>> solve(fovea.tensor([[2.0, 0.0], [0.0, 4.0]]), fovea.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    ops.require_matrices("solve", square=True, A=A)
    if is_vector(A, B):
        return solve(A, unsqueeze(B, -1), left=left).squeeze(-1) if left else _no_rows(B)
    if not left:
        return transpose(solve(transpose(A, -1, -2), transpose(B, -1, -2)), -1, -2)
    a, b = _same_batch(A, B)
    return ops.solve.bind((a, b))


def is_vector(A: Tensor, B: Tensor) -> bool:  # noqa: N803
    """Whether the right side of a system of equations is a vector, or a batch of them."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])


def _no_rows(b: Tensor) -> Tensor:
    raise ShapeError(f"solve: left=False needs a matrix, got {describe(b)}.")


def _eps(a: Tensor) -> float:
    return max(a.shape[-2:]) * dtypes.finfo(a.dtype.to_real()).eps


def pinv(
    A: Tensor,  # noqa: N803
    rcond: float | None = None,
    hermitian: bool = False,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """The pseudo-inverse by Moore and Penrose.

    Args:
        rtol (or rcond), atol: singular values up to ``rtol`` times the largest, or up to ``atol``,
            count as zero; the type's precision times the size unless given.
    """
    ops.require_matrices("pinv", A=A)
    if hermitian:
        A = tril(A) + _adjoint(tril(A, -1))  # noqa: N806 - of which one triangle is read
    relative = rcond if rtol is None else rtol
    if relative is None:
        relative = 0.0 if atol else _eps(A)
    attrs = ops.PinvAttrs.of(float(relative), float(atol or 0.0))
    return ops.pinv.bind((A,), attrs)


def matrix_rank(
    A: Tensor,  # noqa: N803
    tol: float | None = None,
    hermitian: bool = False,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """How many singular values are larger than the tolerance (see ``pinv``)."""
    ops.require_matrices("matrix_rank", A=A)
    if tol is not None:
        atol, rtol = tol, 0.0
    if rtol is None:
        rtol = 0.0 if atol else _eps(A)
    if 0 in A.shape[-2:]:
        return A.new_zeros(A.shape[:-2], dtype=dtypes.int64)
    values = svdvals(A.detach())
    least = (values.amax(-1, keepdim=True) * rtol).clamp(min=atol or 0.0)
    return sum_(values > least, -1)


def lstsq(
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    rcond: float | None = None,
    *,
    driver: str | None = None,
) -> LstSq:
    """X that makes ``|A X - B|`` smallest, by the pseudo-inverse."""
    ops.require_matrices("lstsq", A=A)
    vector = is_vector(A, B)
    b = unsqueeze(B, -1) if vector else B
    solution = matmul(pinv(A, rcond), b)
    rank = A.new_empty(0, dtype=dtypes.int64) if driver == "gels" else matrix_rank(A, rtol=rcond)
    none = A.new_empty(0, dtype=A.dtype.to_real())
    residuals = none
    if A.shape[-2] > A.shape[-1] and driver != "gelsy":
        residuals = sum_(abs_(matmul(A, solution) - b) ** 2, -2)
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else none
    return LstSq(solution.squeeze(-1) if vector else solution, residuals, rank, values)


# -- determinants and powers ----------------------------------------------------------------------


def det(A: Tensor) -> Tensor:  # noqa: N803
    """The determinant."""
    return ops.det.bind((A,))


def slogdet(A: Tensor) -> SlogDet:  # noqa: N803
    """The determinant's sign and the logarithm of its size."""
    return SlogDet(*ops.slogdet.bind((A,)))


def logdet(A: Tensor) -> Tensor:  # noqa: N803
    """The determinant's logarithm; NaN if it is a negative real number."""
    sign, size = slogdet(A)
    return size + (log(sign) if A.dtype.is_complex else log(sign).detach())


def matrix_power(A: Tensor, n: int) -> Tensor:  # noqa: N803
    """A multiplied ``n`` times; negative powers are those of the inverse."""
    ops.require_matrices("matrix_power", square=True, A=A)
    if n < 0:
        return matrix_power(inv(A), -n)
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if n:
            square = matmul(square, square)
    if result is None:
        return A * 0 + A.new_ones((A.shape[-1],)).diag()
    return result.clone() if result is A else result


def matrix_exp(A: Tensor) -> Tensor:  # noqa: N803
    """The exponential of a matrix."""
    if A.dtype in (dtypes.float16, dtypes.bfloat16):
        return to_dtype(matrix_exp(to_dtype(A, dtypes.float32)), A.dtype)
    return ops.matrix_exp.bind((A,))


def householder_product(A: Tensor, tau: Tensor) -> Tensor:  # noqa: N803
    """The first columns of the product of ``I - tau_i v_i v_i^H``.

    Args:
        A: (..., m, n), m >= n. Below its diagonal stand the v_i, which have 1 on it and 0 above.
        tau: (..., k), k <= n.

    Returns: (..., m, n). The product is ``I - V T V^H`` with
    ``T = (I + diag(tau) triu(V^H V, 1))^-1 diag(tau)``: one system of equations, not k steps.
    """
    (m, n), k = A.shape[-2:], tau.shape[-1]
    if not k <= n <= m:
        raise ShapeError(
            "householder_product: A must be (..., m, n) with m >= n, tau (..., k) with k <= n.",
            {"A": describe(A), "tau": describe(tau)},
        )
    eye = A.new_ones((m,)).diag()
    v = tril(A, -1)[..., :k] + eye[:, :k]
    across, scale = _adjoint(v), unsqueeze(tau, -1)
    system = triu(matmul(across, v), 1) * scale + eye[:k, :k]
    both = _same_batch(system, scale * across[..., :n])
    steps = triangular.solve_triangular.bind(both, triangular.TriangularAttrs(True))
    return eye[:, :n] - matmul(v, steps)


# -- norms ----------------------------------------------------------------------------------------


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The ``ord``-norm of the elements (along ``dim``), whatever the shape."""
    if not x.dtype.is_inexact and dtype is None:
        raise DTypeError(f"vector_norm: a floating-point tensor is needed, got {describe(x)}.")
    return norm(x, ord, dim, keepdim, dtype)


def matrix_norm(
    A: Tensor,  # noqa: N803
    ord: Any = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """The norm of matrices: ``"fro"``, ``"nuc"``, 1 and -1 (columns), inf and -inf (rows), 2 and -2
    (singular values).
    """
    a = A if dtype is None else to_dtype(A, dtypes.as_dtype(dtype))
    rows, columns = (normalize_dim("matrix_norm", d, a.ndim) for d in dim)
    if ord == "fro":
        return norm(a, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        values = svdvals(movedim(a, (rows, columns), (-2, -1)))
        total = ord == "nuc" or not values.shape[-1]
        found = sum_(values, -1) if total else (amax if ord == 2 else amin)(values, -1)
        if not keepdim:
            return found
        for d in sorted((rows, columns)):
            found = unsqueeze(found, d)
        return found
    if ord not in (1, -1, float("inf"), float("-inf")):
        raise ArgumentError(f"matrix_norm: {ord!r} is no norm of matrices.")
    first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
    total = sum_(abs_(a), first, keepdim=True)
    if ord > 0 and not total.shape[second]:
        found = sum_(total, second, keepdim=True)  # there is nothing, so it is 0
    else:
        found = (amax if ord > 0 else amin)(total, second, keepdim=True)
    return found if keepdim else found.squeeze((rows, columns))


def matrix_or_vector_norm(
    A: Tensor,  # noqa: N803
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """``vector_norm`` of all elements or along one dimension, ``matrix_norm`` along two."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    two = (dim is None and A.ndim == 2) or (isinstance(dim, tuple | list) and len(dim) == 2)
    if two:
        return matrix_norm(A, ord, tuple(dim) if dim else (-2, -1), keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:  # noqa: N803
    """How much a matrix enlarges errors: its norm times that of its inverse."""
    if p in (None, 2, -2):
        values = svdvals(A)
        large, small = amax(values, -1), amin(values, -1)
        return small / large if p == -2 else large / small
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


# -- products -------------------------------------------------------------------------------------


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Inner products along a dimension, of the conjugate of ``x``."""
    total = conj(x) * y
    return sum_(total, dim, dtype=total.dtype)


def powers(x: Tensor, *, N: int | None = None) -> Tensor:  # noqa: N803
    """``vander``: powers 0 to N - 1 of each element, along a new last dimension."""
    x = reshape(x, 1) if x.ndim == 0 else x
    x = x if x.dtype.is_inexact else to_dtype(x, dtypes.int64)
    return vander(x, N, True)


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along a dimension of size 3."""
    a, b = broadcast_tensors(input, other)
    return any_cross(a, b, dim)


def matrix_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:  # noqa: N803
    """A view of the diagonals of matrices."""
    return diagonal(A, offset, dim1, dim2)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:  # noqa: N803
    """The inverse of ``tensordot(A, ., ind)``."""
    first, rest = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    n = 1
    for size in rest:
        n *= size
    return reshape(inv(reshape(A, (-1, n))), (*rest, *first))


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:  # noqa: N803
    """X with ``tensordot(A, X, X.ndim) = B``."""
    a = A
    if dims is not None:
        a = movedim(a, tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    shape = tuple(a.shape[B.ndim :])
    return reshape(solve(reshape(a, (B.numel(), -1)), reshape(B, -1)), shape)
