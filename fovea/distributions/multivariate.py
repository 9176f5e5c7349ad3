"""The normal distribution of several numbers that depend on each other."""

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

__all__ = ["FORMS", "MultivariateNormal", "lower_factor"]


FORMS: dict[str, Check] = {
    "covariance_matrix": constraints.positive_definite,
    "precision_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


def lower_factor(
    name: str,
    covariance_matrix: Any,
    precision_matrix: Any,
    scale_tril: Any,
    validate_args: bool | None,
) -> Any:
    """The Cholesky factor of a covariance that is given in one of three forms.

    Raises:
        ArgumentError: none or several are given, or not such a matrix.
    """
    all_forms = zip(FORMS, (covariance_matrix, precision_matrix, scale_tril), strict=True)
    given = [(form, m) for form, m in all_forms if m is not None]
    if len(given) != 1 or given[0][1].ndim < 2:
        raise ArgumentError(f"{name}: one matrix of {', '.join(FORMS)} is needed.")
    ((form, matrix),) = given
    validates = Distribution._validate_args if validate_args is None else validate_args
    if validates:
        words, holds = FORMS[form]
        if not bool(holds(matrix).all()):
            raise ArgumentError(f"{name}: {form} must be {words}.", {form: repr(matrix.detach())})
    if scale_tril is not None:
        return scale_tril
    if covariance_matrix is not None:
        return linalg.cholesky(covariance_matrix)
    flipped = linalg.cholesky(precision_matrix.flip((-2, -1))).flip((-2, -1))
    one = eye(precision_matrix.shape[-1], dtype=precision_matrix.dtype)
    return linalg.solve_triangular(flipped.transpose(-2, -1), one, upper=False)


class MultivariateNormal(Distribution):
    """exp(-(x - m)^T C^-1 (x - m) / 2) / sqrt((2 pi)^k det C)

    Args:
        loc: the mean m, (..., k).
        covariance_matrix: C, (..., k, k); or
        precision_matrix: its inverse; or
        scale_tril: L, lower triangular with a positive diagonal, C = L L^T.

    >>> import fovea
    >>> MultivariateNormal(fovea.zeros(2), fovea.eye(2)).log_prob(fovea.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"loc": constraints.real_vector, **FORMS}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ArgumentError("MultivariateNormal: loc must have a dimension.")
        forms = covariance_matrix, precision_matrix, scale_tril
        lower = lower_factor("MultivariateNormal", *forms, validate_args)
        k = loc.shape[-1]
        batch = broadcast_shapes("MultivariateNormal", lower.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*batch, k)
        self.scale_tril = lower.expand(*batch, k, k)
        super().__init__(batch, (k,), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        k = self._event_shape[0]
        return MultivariateNormal(
            self.loc.expand(*batch_shape, k),
            scale_tril=self.scale_tril.expand(*batch_shape, k, k),
            validate_args=False,
        )

    @property
    def covariance_matrix(self) -> Any:
        """C."""
        return self.scale_tril @ self.scale_tril.transpose(-2, -1)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of C."""
        return linalg.inv(self.covariance_matrix)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.scale_tril.pow(2).sum(-1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        drawn = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self.scale_tril @ drawn.unsqueeze(-1)).squeeze(-1)

    def mahalanobis(self, apart: Any) -> Any:
        """d^T C^-1 d."""
        batch = broadcast_shapes("MultivariateNormal", apart.shape[:-1], self._batch_shape)
        k = self._event_shape[0]
        column = apart.expand(*batch, k).unsqueeze(-1)
        lower = self.scale_tril.expand(*batch, k, k)
        return linalg.solve_triangular(lower, column, upper=False).squeeze(-1).pow(2).sum(-1)

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        far = self.mahalanobis(self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + far) - self._half_log_det()

    def entropy(self) -> Any:
        constant = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
        return self._half_log_det() + constant

    def __repr__(self) -> str:
        return f"MultivariateNormal(loc: {self.loc.size()}, scale_tril: {self.scale_tril.size()})"
