"""Distributions of matrices: of covariances, and of correlations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea import linalg
from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Distribution, together
from fovea.distributions.exponential_family import ExponentialFamily
from fovea.distributions.gamma import Beta, Chi2
from fovea.distributions.multivariate import FORMS, lower_factor
from fovea.dtypes import finfo
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros
from fovea.functions.joining import cat
from fovea.functions.pointwise import where
from fovea.functions.random import randn
from fovea.functions.ranges import arange
from fovea.functions.special import digamma, lgamma, mvlgamma
from fovea.ops.rules import broadcast_shapes
from fovea.tensorbase import is_tensor

__all__ = ["LKJCholesky", "Wishart"]


class LKJCholesky(Distribution):
    """The Cholesky factor of a correlation matrix R, with R's density proportional to
    det(R)^(concentration - 1).

    Args:
        dim: the size of the matrix, at least 2.
        concentration: 1 makes all matrices as likely; more favors small correlations.

    Source: Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines
    and extended onion method", 2009.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ArgumentError(f"LKJCholesky: dim must be at least 2, got {dim}.")
        self.dim = dim
        (self.concentration,) = together(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return LKJCholesky(self.dim, self.concentration.expand(batch_shape), validate_args=False)

    def _shares(self) -> Beta:
        """How much of each row's length lies left of the diagonal, squared."""
        kind = self.concentration.dtype
        row = cat([zeros(1, dtype=kind), arange(self.dim - 1, dtype=kind)])
        rest = (self.concentration + 0.5 * (self.dim - 2)).unsqueeze(-1) - 0.5 * row
        return Beta(row + 0.5, rest, validate_args=False)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            share = self._shares().sample(sample_shape).unsqueeze(-1)
            drawn = randn(self._extended_shape(sample_shape), dtype=share.dtype).tril(-1)
            length = drawn.pow(2).sum(-1, True).sqrt()
            inner = share.sqrt() * drawn / where(length == 0, 1.0, length)
            left = (1 - inner.pow(2).sum(-1)).clamp(min=finfo(inner.dtype).tiny)
            return inner + left.sqrt().diag_embed()

    def log_prob(self, value: Any) -> Any:
        value, d = self._checked(value), self.dim
        rows = arange(2, d + 1, dtype=self.concentration.dtype)
        power = 2 * (self.concentration - 1).unsqueeze(-1) + d - rows
        found = (power * value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()).sum(-1)
        alpha = self.concentration + 0.5 * (d - 1)
        norm = 0.5 * (d - 1) * math.log(math.pi) + mvlgamma(alpha - 0.5, d - 1)
        return found - norm + lgamma(alpha) * (d - 1)


class Wishart(ExponentialFamily):
    """The sum of ``df`` outer products of normal draws with themselves, for any real ``df``.

    Args:
        df: more than k - 1.
        covariance_matrix: of the draws, (..., k, k); or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor.

    Raises:
        ArgumentError: not one matrix, or too small a ``df``.

    Source: Odell and Feiveson, "A numerical procedure to generate a sample covariance matrix",
    1966.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"df": constraints.positive, **FORMS}
    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        forms = covariance_matrix, precision_matrix, scale_tril
        lower = lower_factor("Wishart", *forms, validate_args)
        k = lower.shape[-1]
        given = df if is_tensor(df) else zeros((), dtype=lower.dtype) + float(df)
        batch = broadcast_shapes("Wishart", lower.shape[:-2], given.shape)
        self.df: Any = given.expand(batch)
        self.scale_tril: Any = lower.expand(*batch, k, k)
        if bool((self.df <= k - 1).any()):
            raise ArgumentError(f"Wishart: df must be more than {k - 1}, got {df}.")
        if bool((self.df < k).any()):
            warnings.warn(
                f"Wishart: with df below {k}, draws are likely to be singular.", stacklevel=2
            )
        super().__init__(batch, (k, k), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        lower = self.scale_tril.expand(*batch_shape, *self._event_shape)
        return Wishart(self.df.expand(batch_shape), scale_tril=lower, validate_args=False)

    @property
    def covariance_matrix(self) -> Any:
        """That of the draws."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Any:
        """The inverse of ``covariance_matrix``."""
        return linalg.inv(self.covariance_matrix)

    def _each(self, factor: Any) -> Any:
        return factor.reshape(*self._batch_shape, 1, 1)

    @property
    def mean(self) -> Any:
        return self._each(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[-1] - 1
        return self._each(where(factor <= 0, math.nan, factor)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self._each(self.df) * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Sequence[int] = (), max_try_correction: Any = None) -> Any:
        """Draws with gradients.

        Args:
            max_try_correction: accepted for PyTorch's sake: draws are as they come.
        """
        shape, k = self._extended_shape(sample_shape), self._event_shape[-1]
        rows = arange(k, dtype=self.scale_tril.dtype)
        squares = Chi2(self.df.unsqueeze(-1) - rows, validate_args=False).rsample(sample_shape)
        diagonal = squares.sqrt().clamp(min=finfo(squares.dtype).eps).diag_embed()
        noise = randn(shape, dtype=squares.dtype).tril(-1) + diagonal
        lower = self.scale_tril @ noise
        return lower @ lower.mT

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        value, k = self._checked(value), self._event_shape[-1]
        batch = broadcast_shapes("Wishart", value.shape[:-2], self._batch_shape)
        lower = self.scale_tril.expand(*batch, k, k)
        half = linalg.solve_triangular(lower, value.expand(*batch, k, k), upper=False)
        trace = linalg.solve_triangular(lower, half.mT, upper=False).diagonal(dim1=-2, dim2=-1)
        scale = self.df * (k * math.log(2) / 2 + self._half_log_det())
        power = (self.df - k - 1) / 2 * linalg.slogdet(value).logabsdet
        return power - trace.sum(-1) / 2 - scale - mvlgamma(self.df / 2, k)

    def entropy(self) -> Any:
        k, half = self._event_shape[-1], self.df / 2
        slopes = digamma(half.unsqueeze(-1) - arange(k, dtype=half.dtype) / 2).sum(-1)
        scale = (k + 1) * (k * math.log(2) / 2 + self._half_log_det())
        return scale + mvlgamma(half, k) - (self.df - k - 1) / 2 * slopes + self.df * k / 2

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        k = self._event_shape[-1]
        half = y + (k + 1) / 2
        return half * (k * math.log(2) - linalg.slogdet(-2 * x).logabsdet) + mvlgamma(half, k)
