"""Systems of equations of triangular matrices, by substitution in blocks of rows.

Golub and Van Loan, "Matrix Computations", 4th edition, 3.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ShapeError, describe
from fovea.ops.matrices import _lapack, _mm, _t, require_matrices
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import same_dtype

Array = np.ndarray[Any, Any]
_BLOCK = 64  # rows solved at once; the others follow by one product


@dataclass(frozen=True, eq=False)
class TriangularAttrs(Attrs):
    """Whether a's lower triangle is zero, or its upper one."""

    upper: bool


# y with a @ y = b; both (..., n, k), with equal leading sizes; a's other triangle is zero
solve_triangular = Op("solve_triangular", ("a", "b"), TriangularAttrs)


@solve_triangular.shape
def _(a: Shaped, b: Shaped, attrs: TriangularAttrs) -> Spec:
    require_matrices("solve_triangular", square=True, a=a)
    require_matrices("solve_triangular", b=b)
    same_dtype("solve_triangular", a, b)
    if tuple(a.shape[:-1]) != tuple(b.shape[:-1]):
        raise ShapeError(
            f"solve_triangular: {describe(a)} and {describe(b)} are no system of equations."
        )
    return Spec(tuple(b.shape), b.dtype)


@solve_triangular.reference
def _(a: Array, b: Array, attrs: TriangularAttrs) -> Array:
    n = a.shape[-1]
    if n <= _BLOCK:
        return np.asarray(_lapack(np.linalg.solve, a, b))
    y = np.array(b)
    starts = range(0, n, _BLOCK)
    for start in reversed(starts) if attrs.upper else starts:
        here = slice(start, min(start + _BLOCK, n))
        rest = slice(0, start) if attrs.upper else slice(here.stop, n)
        y[..., here, :] = _lapack(np.linalg.solve, a[..., here, here], y[..., here, :])
        y[..., rest, :] -= a[..., rest, here] @ y[..., here, :]
    return y


@solve_triangular.grad(saves=("a", "y"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    gb = solve_triangular.bind((_t(ctx.a), gy), TriangularAttrs(not ctx.attrs.upper))
    return -_mm(gb, _t(ctx.y)) if ctx.needed[0] else None, gb
