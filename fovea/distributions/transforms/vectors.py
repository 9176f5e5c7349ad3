"""Transforms of vectors and matrices as wholes."""

from __future__ import annotations

import math
from typing import Any

from fovea import linalg
from fovea.distributions import constraints
from fovea.distributions.transforms.base import Transform
from fovea.distributions.transforms.elementwise import clipped_sigmoid
from fovea.dtypes import finfo
from fovea.errors import ShapeError
from fovea.functions.creation import tensor, zeros
from fovea.functions.ranges import arange, eye
from fovea.nn import functional as F
from fovea.size import Size

__all__ = [
    "CorrCholeskyTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "SoftmaxTransform",
    "StickBreakingTransform",
]

_MATRIX = constraints.independent(constraints.real, 2)


def _at_least(shape: Any, dims: int) -> tuple[int, ...]:
    if len(shape) < dims:
        raise ShapeError(f"transform: at least {dims} dimensions are needed, got {tuple(shape)}.")
    return tuple(shape)


class SoftmaxTransform(Transform):
    """exp(x) over its sum: from vectors to probabilities. Its inverse, the logarithm, gives one of
    the vectors that have these probabilities.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        return Size(_at_least(shape, 1))

    inverse_shape = forward_shape


def _steps(count: int, like: Any) -> Any:
    """count, count - 1, ..., 1"""
    return arange(count, 0, -1, dtype=like.dtype)


class StickBreakingTransform(Transform):
    """From k numbers to k + 1 probabilities: each number says which share of what is left goes to
    the next one; zeros give equal probabilities.
    """

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        share = clipped_sigmoid(x - _steps(x.shape[-1], x).log())
        left = (1 - share).cumprod(-1)
        return F.pad(share, [0, 1], value=1.0) * F.pad(left, [1, 0], value=1.0)

    def _inverse(self, y: Any) -> Any:
        taken = y[..., :-1]
        left = (1 - taken.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return taken.log() - left.log() + _steps(taken.shape[-1], y).log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        x = x - _steps(x.shape[-1], x).log()
        return (F.logsigmoid(x) - x + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        *rest, n = _at_least(shape, 1)
        return Size((*rest, n + 1))

    def inverse_shape(self, shape: Any) -> Any:
        *rest, n = _at_least(shape, 1)
        return Size((*rest, n - 1))


class LowerCholeskyTransform(Transform):
    """From matrices to lower triangular ones with a positive diagonal: its exponential."""

    domain = _MATRIX
    codomain = constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """From matrices to positive definite ones: L L^T of what `LowerCholeskyTransform` gives."""

    domain = _MATRIX
    codomain = constraints.positive_definite

    def _call(self, x: Any) -> Any:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().undo(linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """From d (d - 1) / 2 numbers to the Cholesky factor of a correlation matrix of size d: each row
    of numbers, as tanh, breaks a stick of length 1.

    The logarithm of its Jacobian is that of the numbers below the factor's diagonal.

    Source: Stan's reference manual, "Cholesky factors of correlation matrices".
    """

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def _call(self, x: Any) -> Any:
        limit = 1 - finfo(x.dtype).eps
        r = _as_lower(x.tanh().clamp(min=-limit, max=limit), -1)
        left = (1 - r * r).sqrt().cumprod(-1)
        r = r + eye(r.shape[-1], dtype=r.dtype)
        return r * F.pad(left[..., :-1], [1, 0], value=1.0)

    def _inverse(self, y: Any) -> Any:
        left = F.pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1.0)
        t = _from_lower(y, -1) / _from_lower(left, -1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        left = _from_lower(1 - (y * y).cumsum(-1), -2)
        squashed = -2 * (x + F.softplus(-2 * x) - math.log(2)).sum(-1)
        return 0.5 * left.log().sum(-1) + squashed

    def forward_shape(self, shape: Any) -> Any:
        *rest, n = _at_least(shape, 1)
        d = _side(n, -1)
        return Size((*rest, d, d))

    def inverse_shape(self, shape: Any) -> Any:
        *rest, rows, d = _at_least(shape, 2)
        if rows != d:
            raise ShapeError(f"CorrCholeskyTransform: {tuple(shape)} is not square.")
        return Size((*rest, d * (d - 1) // 2))


def _side(count: int, diagonal: int) -> int:
    """The size of the square matrix with so many numbers on and below a diagonal."""
    d = round(((1 + 8 * count) ** 0.5 - 1) / 2) - diagonal
    if (d + diagonal) * (d + diagonal + 1) // 2 != count:
        raise ShapeError(f"CorrCholeskyTransform: {count} numbers do not fill a triangle.")
    return d


def _places(d: int, diagonal: int) -> Any:
    """Where the numbers on and below a diagonal lie in a flat matrix, row by row."""
    rows = [i * d + j for i in range(d) for j in range(max(0, i + diagonal + 1))]
    return tensor(rows, dtype="int64")


def _as_lower(x: Any, diagonal: int) -> Any:
    d = _side(x.shape[-1], diagonal)
    flat = zeros((*x.shape[:-1], d * d), dtype=x.dtype)
    return flat.index_copy(-1, _places(d, diagonal), x).reshape(*x.shape[:-1], d, d)


def _from_lower(y: Any, diagonal: int) -> Any:
    d = y.shape[-1]
    return y.reshape(*y.shape[:-2], d * d).index_select(-1, _places(d, diagonal))
