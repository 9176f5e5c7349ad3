"""Norms of weights: by channel, and the largest singular value by power iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea.autograd import no_grad
from fovea.errors import ArgumentError, OutOfRangeError
from fovea.functions.linalg import dot, mv
from fovea.nn.conv import ConvTranspose1d, ConvTranspose2d
from fovea.nn.functional.normalization import normalize
from fovea.nn.volume import ConvTranspose3d

if TYPE_CHECKING:
    from fovea.nn.module import Module
    from fovea.tensor import Tensor

__all__ = [
    "as_matrix",
    "check_iterations",
    "iterate",
    "norm_except_dim",
    "output_dim",
    "rescaled",
    "sigma",
    "start",
]


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """2-norms of all that lies at each place of a dimension, which the others keep as 1.

    Args:
        dim: -1 for the norm of everything, a 0-d tensor.
    """
    if dim == -1:
        return v.norm()
    others = [d for d in range(v.ndim) if d != dim]
    return v.norm(2, others, keepdim=True) if others else v.abs()


def rescaled(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``g v / |v|``, the norm over all dimensions but one."""
    return v * (g / norm_except_dim(v, dim))


def output_dim(module: Module, dim: int | None) -> int:
    """The dimension of a module's weight that counts outputs, unless one is given."""
    if dim is not None:
        return dim
    return int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))


def check_iterations(n: int) -> int:
    """The number of power iterations, if it is positive."""
    if n <= 0:
        raise ArgumentError(f"spectral_norm: n_power_iterations must be positive, got {n}.")
    return n


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(n_dim, the product of all others)."""
    if not -weight.ndim <= dim < weight.ndim:
        raise OutOfRangeError(
            f"spectral_norm: dim {dim} is out of range for a weight of {weight.ndim} dimensions."
        )
    dim %= weight.ndim
    order = [dim, *(d for d in range(weight.ndim) if d != dim)]
    return weight.permute(*order).flatten(1)


def start(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Random unit vectors u and v, to begin with."""
    with no_grad():
        u, v = (matrix.new_empty(n).normal_() for n in matrix.shape)
        return normalize(u, dim=0, eps=eps), normalize(v, dim=0, eps=eps)


def iterate(matrix: Tensor, u: Tensor, v: Tensor, n: int, eps: float, u_first: bool) -> None:
    """Turn u and v, in place, towards the singular vectors of the largest singular value.

    Args:
        n: how often.
        u_first: whether u is computed from v first, or v from u.
    """
    with no_grad():
        for _ in range(n):
            if u_first:
                u.copy_(normalize(mv(matrix, v), dim=0, eps=eps))
            v.copy_(normalize(mv(matrix.T, u), dim=0, eps=eps))
            if not u_first:
                u.copy_(normalize(mv(matrix, v), dim=0, eps=eps))


def sigma(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """``u^T W v``; u and v may change before backward."""
    return dot(u.clone(), mv(matrix, v.clone()))
