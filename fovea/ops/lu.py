"""LU factors of (batches of) matrices: elimination with partial pivoting, in blocks of columns.

Golub and Van Loan, "Matrix Computations", 4th edition, 3.2 and 3.4. With A's rows in the order that
elimination chose, A = L U and, for a square A, dA = L X U where L's change is L times X below the
diagonal, and U's the rest of X times U; the gradient is the transpose of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import LinAlgError, ShapeError, describe
from fovea.ops.index import gather
from fovea.ops.matrices import _eye_like, _h, _mm, _plain, require_matrices, solve
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import require_dtype
from fovea.ops.shape import DimAttrs, cat

Array = np.ndarray[Any, Any]
_BLOCK = 32  # columns eliminated before the rest of the matrix follows by one product


@dataclass(frozen=True, eq=False)
class LuAttrs(Attrs):
    """``pivot``: exchange rows; ``strict``: a zero on U's diagonal is an error."""

    pivot: bool
    strict: bool


@dataclass(frozen=True, eq=False)
class RowAttrs(Attrs):
    """``rows`` of the matrix; ``inverse``: where each row went, not which row came."""

    rows: int
    inverse: bool


# L below the diagonal (its own is of ones) and U from there on, in one matrix; pivots count from 1:
# row i was exchanged with row pivots[i], one after the other.
lu_factor = Op("lu_factor", ("a",), LuAttrs, outputs=("lu", "pivots"))
# The order of all rows that such exchanges lead to: (..., rows), int64.
pivoted_rows = Op(
    "pivoted_rows", ("pivots",), RowAttrs, nondifferentiable="the result is an order of rows"
)


@lu_factor.shape
def _(a: Shaped, attrs: LuAttrs) -> tuple[Spec, Spec]:
    require_matrices("lu_factor", a=a)
    *lead, m, n = a.shape
    return Spec(tuple(a.shape), a.dtype), Spec((*lead, min(m, n)), dtypes.int32)


def _size(x: Array) -> Array:
    """What LAPACK compares when it chooses a pivot."""
    return np.abs(x.real) + np.abs(x.imag) if np.iscomplexobj(x) else np.abs(x)


def _eliminate(a: Array, pivots: Array, start: int, stop: int, pivot: bool) -> None:
    """Factor columns ``start`` to ``stop`` of (batch, m, n), exchanging whole rows."""
    batch = np.arange(len(a))
    for j in range(start, stop):
        if pivot:
            best = j + _size(a[:, j:, j]).argmax(1)
            pivots[:, j] = best + 1
            row = a[batch, best]
            a[batch, best] = a[:, j]
            a[:, j] = row
        top = a[:, j, j, None]
        below = a[:, j + 1 :, j]
        np.divide(below, top, out=below, where=np.broadcast_to(top != 0, below.shape))
        a[:, j + 1 :, j + 1 : stop] -= below[:, :, None] * a[:, j, None, j + 1 : stop]


@lu_factor.reference
def _(a: Array, attrs: LuAttrs) -> tuple[Array, Array]:
    *lead, m, n = a.shape
    k = min(m, n)
    x = np.array(a).reshape(int(np.prod(lead)), m, n)
    pivots = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), (len(x), k)).copy()
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for start in range(0, k, _BLOCK):
            stop = min(start + _BLOCK, k)
            _eliminate(x, pivots, start, stop, attrs.pivot)
            if stop < n:
                lower = np.tril(x[:, start:stop, start:stop], -1)
                right = x[:, start:stop, stop:]
                for i in range(1, stop - start):
                    right[:, i] -= (lower[:, i, None, :i] @ right[:, :i])[:, 0]
                x[:, stop:, stop:] -= x[:, stop:, start:stop] @ right
    zeros = np.argwhere(np.diagonal(x, axis1=1, axis2=2) == 0)
    if attrs.strict and len(zeros):
        at, i = zeros[0]
        where = f" of matrix {at}" if lead else ""
        raise LinAlgError(
            f"lu_factor: U[{i}, {i}]{where} is zero, so systems of equations have no one solution.",
            fix="linalg.lu or linalg.lu_factor_ex, which take singular matrices",
        )
    return x.reshape(a.shape), pivots.reshape(*lead, k)


@lu_factor.grad(saves=("lu", "pivots"))
def _(ctx: Any, g: Any, _: Any) -> Any:
    *_lead, m, n = ctx.shape(0)
    k = min(m, n)
    lu = _plain(ctx.lu)
    first, g_first = (t.narrow(-2, 0, k).narrow(-1, 0, k) for t in (lu, g))
    lower, upper = first.tril(-1) + _eye_like(first, k), first.triu()
    inside = _mm(_h(lower), g_first.tril(-1)).tril(-1) + _mm(g_first.triu(), _h(upper)).triu()
    if n > k:  # columns beside the square
        beside, g_beside = lu.narrow(-1, k, n - k), g.narrow(-1, k, n - k)
        inside = inside - _mm(g_beside, _h(beside)).tril(-1)
    if m > k:  # rows below it
        below, g_below = lu.narrow(-2, k, m - k), g.narrow(-2, k, m - k)
        inside = inside - _mm(_h(below), g_below).triu()
    ga = solve.bind((_h(lower), inside))
    ga = _h(solve.bind((upper, _h(ga))))
    if n > k:
        ga = cat(ga, solve.bind((_h(lower), g_beside)), dim=ga.ndim - 1)
    if m > k:
        ga = cat(ga, _h(solve.bind((upper, _h(g_below)))), dim=ga.ndim - 2)
    back = pivoted_rows.bind((ctx.pivots,), RowAttrs(m, True))
    index = back.unsqueeze(-1).expand(ga.shape)
    return gather.bind((ga, index), DimAttrs.of(ga.ndim - 2))


@pivoted_rows.shape
def _(pivots: Shaped, attrs: RowAttrs) -> Spec:
    require_dtype("pivoted_rows", "pivots", pivots, dtypes.int32, dtypes.int64)
    if not pivots.shape or pivots.shape[-1] > attrs.rows:
        raise ShapeError(f"lu: {describe(pivots)} are no pivots of {attrs.rows} rows.")
    return Spec((*pivots.shape[:-1], attrs.rows), dtypes.int64)


@pivoted_rows.reference
def _(pivots: Array, attrs: RowAttrs) -> Array:
    flat = pivots.reshape(int(np.prod(pivots.shape[:-1])), pivots.shape[-1]).astype(np.int64) - 1
    if flat.size and (flat.min() < 0 or flat.max() >= attrs.rows):
        raise ShapeError(f"lu: pivots are numbers from 1 to {attrs.rows}, the number of rows.")
    rows = np.broadcast_to(np.arange(attrs.rows), (len(flat), attrs.rows)).copy()
    batch = np.arange(len(flat))
    for i, with_row in enumerate(flat.T):
        row = rows[batch, with_row]
        rows[batch, with_row] = rows[:, i]
        rows[:, i] = row
    if attrs.inverse:
        rows = np.argsort(rows, axis=1)
    return rows.reshape(*pivots.shape[:-1], attrs.rows)
