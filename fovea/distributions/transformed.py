"""Distributions of what transforms make of draws from simpler ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fovea.distributions import constraints
from fovea.distributions.compound import TransformedDistribution
from fovea.distributions.continuous import Cauchy, Exponential, Normal, Uniform
from fovea.distributions.distribution import Check, Located, together
from fovea.distributions.gamma import Gamma
from fovea.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
    StickBreakingTransform,
)
from fovea.functions.creation import ones_like, zeros_like
from fovea.functions.pointwise import where
from fovea.functions.random import rand
from fovea.functions.special import digamma, lgamma

__all__ = [
    "GeneralizedPareto",
    "HalfCauchy",
    "InverseGamma",
    "Kumaraswamy",
    "LogisticNormal",
    "Pareto",
    "Weibull",
]


class HalfCauchy(TransformedDistribution):
    """The absolute value of ``Cauchy(0, scale)``; its mean is infinite.

    Args:
        scale: of the Cauchy distribution.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = together(scale)
        base = Cauchy(0.0, self.scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return HalfCauchy(self.scale.expand(batch_shape), validate_args=False)

    @property
    def mean(self) -> Any:
        return self.scale * 0 + math.inf

    @property
    def mode(self) -> Any:
        return self.scale * 0

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Any:
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class InverseGamma(TransformedDistribution):
    """1 over draws of ``Gamma(concentration, rate)``.

    Args:
        concentration, rate: of the gamma distribution.
    """

    arg_constraints: ClassVar[dict[str, Check]] = Gamma.arg_constraints
    support = constraints.positive

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args)
        self.concentration, self.rate = base.concentration, base.rate
        super().__init__(base, PowerTransform(-1.0), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parts = self.concentration.expand(batch_shape), self.rate.expand(batch_shape)
        return InverseGamma(*parts, validate_args=False)

    @property
    def mean(self) -> Any:
        return where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        c = self.concentration
        return where(c > 2, self.rate.pow(2) / ((c - 1).pow(2) * (c - 2)), math.inf)

    def entropy(self) -> Any:
        c = self.concentration
        return c + self.rate.log() + lgamma(c) - (1 + c) * digamma(c)


class Pareto(TransformedDistribution):
    """alpha scale^alpha / x^(alpha + 1) from ``scale`` on.

    Args:
        scale: the least value.
        alpha: how steeply the density falls.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "alpha": constraints.positive,
        "scale": constraints.positive,
    }

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = together(scale, alpha)
        steps = [ExpTransform(), AffineTransform(0.0, self.scale)]
        super().__init__(Exponential(self.alpha, validate_args), steps, validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parts = self.scale.expand(batch_shape), self.alpha.expand(batch_shape)
        return Pareto(*parts, validate_args=False)

    @property
    def support(self) -> Check:
        """From ``scale`` on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1.0)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2.0)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()


class Weibull(TransformedDistribution):
    """(k / s) (x / s)^(k - 1) exp(-(x / s)^k)

    Args:
        scale, concentration: s and k.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = together(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        steps = [PowerTransform(self.concentration_reciprocal), AffineTransform(0.0, self.scale)]
        super().__init__(Exponential(ones_like(self.scale)), steps, validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parts = self.scale.expand(batch_shape), self.concentration.expand(batch_shape)
        return Weibull(*parts, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.scale * lgamma(1 + self.concentration_reciprocal).exp()

    @property
    def mode(self) -> Any:
        share = (self.concentration - 1) / self.concentration
        return self.scale * share**self.concentration_reciprocal

    @property
    def variance(self) -> Any:
        r = self.concentration_reciprocal
        return self.scale.pow(2) * (lgamma(1 + 2 * r).exp() - (2 * lgamma(1 + r)).exp())

    def entropy(self) -> Any:
        r = self.concentration_reciprocal
        return np.euler_gamma * (1 - r) + (self.scale * r).log() + 1


class Kumaraswamy(TransformedDistribution):
    """a b x^(a - 1) (1 - x^a)^(b - 1) for x from 0 to 1.

    Args:
        concentration1, concentration0: a and b.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = together(concentration1, concentration0)
        base = Uniform(zeros_like(self.concentration0), ones_like(self.concentration0))
        steps = [
            PowerTransform(self.concentration0.reciprocal()),
            AffineTransform(1.0, -1.0),
            PowerTransform(self.concentration1.reciprocal()),
        ]
        super().__init__(base, steps, validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parts = self.concentration1.expand(batch_shape), self.concentration0.expand(batch_shape)
        return Kumaraswamy(*parts, validate_args=False)

    def _moment(self, power: int) -> Any:
        """The mean of x^power."""
        a, b = 1 + power / self.concentration1, self.concentration0
        return (b.log() + lgamma(a) + lgamma(b) - lgamma(a + b)).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1)
        return where(inside, (b.reciprocal() * (-b).log1p() - (-b * a).log1p()).exp(), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self.mean.pow(2)

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        middle = digamma(b + 1) + np.euler_gamma
        return 1 - b.reciprocal() + (1 - a.reciprocal()) * middle - a.log() - b.log()


class LogisticNormal(TransformedDistribution):
    """What `StickBreakingTransform` makes of ``Normal(loc, scale)``: k + 1 numbers that sum to 1.

    Args:
        loc, scale: (..., k).
    """

    arg_constraints: ClassVar[dict[str, Check]] = Normal.arg_constraints
    support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base: Any = Normal(loc, scale, validate_args)
        base = base if base.batch_shape else base.expand((1,))
        self.loc, self.scale = base.loc, base.scale
        super().__init__(base, StickBreakingTransform(), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        shape = (*batch_shape, self.loc.shape[-1])
        return LogisticNormal(self.loc.expand(shape), self.scale.expand(shape), False)


class GeneralizedPareto(Located):
    """(1 + c z)^(-1 / c - 1) / scale, z = (x - loc) / scale; exp(-z) / scale where c is 0.

    Args:
        loc, scale: the least value and the width.
        concentration: c, how heavy the tail is.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True
    _names = ("loc", "scale", "concentration")

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc: Any
        self.scale: Any
        self.concentration: Any
        self._set((loc, scale, concentration), validate_args)

    @property
    def support(self) -> Check:
        """From ``loc`` on; up to an end where the concentration is negative."""
        c = self.concentration
        end = where(c < 0, self.loc - self.scale / where(c < 0, c, -1.0), math.inf)
        return constraints.interval(self.loc, end)

    def _bent(self) -> tuple[Any, Any]:
        """Where the concentration is 0, and the concentration with 1 in these places."""
        flat = self.concentration.abs() <= 1e-8
        return flat, where(flat, 1.0, self.concentration)

    @property
    def mean(self) -> Any:
        c = self.concentration
        return where(c < 1, self.loc + self.scale / (1 - where(c < 1, c, 0.5)), math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = where(self.concentration < 0.5, self.concentration, 0.25)
        found = self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))
        return where(self.concentration < 0.5, found, math.nan)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(self._like(sample_shape, rand))

    def log_prob(self, value: Any) -> Any:
        z = (self._checked(value) - self.loc) / self.scale
        flat, c = self._bent()
        power = 1 / c + 1 + z * 0
        found = where(power == 0, power, power * (c * z).log1p())
        return -self.scale.log() - where(flat, z, found)

    def log_survival_function(self, value: Any) -> Any:
        """The logarithm of the probability of values above this one."""
        z = (self._checked(value) - self.loc) / self.scale
        flat, c = self._bent()
        return where(flat, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Any) -> Any:
        """The logarithm of ``cdf``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Any) -> Any:
        return self.log_cdf(value).exp()

    def icdf(self, value: Any) -> Any:
        flat, c = self._bent()
        left = (-value).log1p()
        found = self.loc + self.scale / c * (-c * left).expm1()
        return where(flat, self.loc - self.scale * left, found)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1
