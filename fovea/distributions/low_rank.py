"""The normal distribution of many numbers that depend on each other by a few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea import linalg
from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Distribution
from fovea.errors import ArgumentError
from fovea.functions.random import randn
from fovea.functions.ranges import eye
from fovea.ops.rules import broadcast_shapes

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Distribution):
    """``MultivariateNormal`` with the covariance W W^T + diag(D). Only matrices of the size of W's
    rank are inverted.

    Args:
        loc: the mean, (..., k).
        cov_factor: W, (..., k, rank).
        cov_diag: D, (..., k), positive.

    Raises:
        ArgumentError: shapes that do not fit.

    >>> import fovea
    >>> p = LowRankMultivariateNormal(fovea.zeros(2), fovea.ones(2, 1), fovea.ones(2))
    >>> p.covariance_matrix
    tensor([[2., 1.],
            [1., 2.]])
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None
    ) -> None:
        k = loc.shape[-1] if loc.ndim else 0
        if loc.ndim < 1 or cov_factor.ndim < 2 or cov_factor.shape[-2] != k:
            raise ArgumentError(
                "LowRankMultivariateNormal: loc (..., k) and cov_factor (..., k, rank) are needed, "
                f"got {tuple(loc.shape)} and {tuple(cov_factor.shape)}."
            )
        if cov_diag.ndim < 1 or cov_diag.shape[-1] != k:
            raise ArgumentError(
                f"LowRankMultivariateNormal: cov_diag must end with {k}, got {cov_diag.shape}."
            )
        batch = broadcast_shapes(
            "LowRankMultivariateNormal", loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]
        )
        self.loc: Any = loc.expand(*batch, k)
        self.cov_factor: Any = cov_factor.expand(*batch, k, cov_factor.shape[-1])
        self.cov_diag: Any = cov_diag.expand(*batch, k)
        super().__init__(batch, (k,), validate_args)
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)  # W^T D^-1
        inner = weighted @ self.cov_factor + eye(cov_factor.shape[-1], dtype=loc.dtype)
        self._inner_tril = linalg.cholesky(inner)
        self._whitened = linalg.solve_triangular(self._inner_tril, weighted, upper=False)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        shape = (*batch_shape, *self._event_shape)
        return LowRankMultivariateNormal(
            self.loc.expand(shape),
            self.cov_factor.expand(*shape, self.cov_factor.shape[-1]),
            self.cov_diag.expand(shape),
            validate_args=False,
        )

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Any:
        """W W^T + diag(D)."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def precision_matrix(self) -> Any:
        """Its inverse."""
        return self.cov_diag.reciprocal().diag_embed() - self._whitened.mT @ self._whitened

    @property
    def scale_tril(self) -> Any:
        """The covariance's Cholesky factor."""
        root = self.cov_diag.sqrt().unsqueeze(-1)
        scaled = self.cov_factor / root
        one = eye(self._event_shape[0], dtype=self.loc.dtype)
        return root * linalg.cholesky(scaled @ scaled.mT + one)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        few = randn((*shape[:-1], self.cov_factor.shape[-1], 1), dtype=self.loc.dtype)
        own = randn(shape, dtype=self.loc.dtype) * self.cov_diag.sqrt()
        return self.loc + (self.cov_factor @ few).squeeze(-1) + own

    def _half_log_det(self) -> Any:
        inner = self._inner_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return inner + 0.5 * self.cov_diag.log().sum(-1)

    def mahalanobis(self, apart: Any) -> Any:
        """d^T C^-1 d, by Woodbury's identity."""
        inner = (self._whitened @ apart.unsqueeze(-1)).squeeze(-1)
        return (apart.pow(2) / self.cov_diag).sum(-1) - inner.pow(2).sum(-1)

    def log_prob(self, value: Any) -> Any:
        far = self.mahalanobis(self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + far) - self._half_log_det()

    def entropy(self) -> Any:
        return self._half_log_det() + 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
