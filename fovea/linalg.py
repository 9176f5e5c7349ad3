"""``fovea.linalg``: linear algebra under the names of ``torch.linalg``."""

from __future__ import annotations

from fovea.errors import LinAlgError
from fovea.functions.failures import cholesky_ex, inv_ex, solve_ex
from fovea.functions.linalg import matmul
from fovea.functions.lu import lu, lu_factor, lu_factor_ex, lu_solve
from fovea.functions.matrices import (
    cholesky,
    cond,
    cross,
    det,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    inv,
    lstsq,
    matrix_exp,
    matrix_norm,
    matrix_power,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensorinv,
    tensorsolve,
    vecdot,
    vector_norm,
)
from fovea.functions.matrices import matrix_diagonal as diagonal
from fovea.functions.matrices import matrix_or_vector_norm as norm
from fovea.functions.matrices import powers as vander
from fovea.functions.products import multi_dot
from fovea.functions.triangular import solve_triangular

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
