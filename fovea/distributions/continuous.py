"""Distributions of numbers, by a place and a width or the like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Located
from fovea.dtypes import finfo
from fovea.errors import ArgumentError
from fovea.functions.pointwise import where
from fovea.functions.random import rand, randn

__all__ = ["Cauchy", "Exponential", "Gumbel", "HalfNormal", "Laplace", "Normal", "Uniform"]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class _Placed(Located):
    """Distributions of all real numbers, by a place and a width."""

    arg_constraints: ClassVar[dict[str, Check]] = {
        "loc": constraints.real, "scale": constraints.positive,
    }  # fmt: skip
    support = constraints.real
    has_rsample = True
    _names = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc: Any
        self.scale: Any
        self._set((loc, scale), validate_args)


class Normal(_Placed):
    """exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi))

    Args:
        loc, scale: mean and standard deviation; numbers or tensors.

    >>> import fovea
    >>> Normal(fovea.tensor([0.0]), 1.0).log_prob(fovea.tensor([0.0]))
    tensor([-0.9189])
    """

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def stddev(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        return self.scale.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.loc + self._like(sample_shape, randn) * self.scale

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - _HALF_LOG_2PI

    def cdf(self, value: Any) -> Any:
        value = self._checked(value)
        return 0.5 * (1 + ((value - self.loc) / self.scale / math.sqrt(2)).erf())

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    def entropy(self) -> Any:
        return 0.5 + _HALF_LOG_2PI + self.scale.log()


class HalfNormal(Located):
    """The absolute value of ``Normal(0, scale)``.

    Args:
        scale: of the normal distribution.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _names = ("scale",)

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self.scale: Any
        self._set((scale,), validate_args)

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Any:
        return self.scale * 0

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return (self._like(sample_shape, randn) * self.scale).abs()

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        whole = -(value**2) / (2 * self.scale**2) - self.scale.log() - _HALF_LOG_2PI
        return where(value >= 0, whole + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Any:
        return (self._checked(value) / (self.scale * math.sqrt(2))).erf()

    def icdf(self, value: Any) -> Any:
        return self.scale * value.erfinv() * math.sqrt(2)

    def entropy(self) -> Any:
        return 0.5 + _HALF_LOG_2PI + self.scale.log() - math.log(2)


class Uniform(Located):
    """1 / (high - low) from ``low`` to ``high``.

    Args:
        low, high: the ends.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "low": constraints.real,
        "high": constraints.real,
    }
    has_rsample = True
    _names = ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low: Any
        self.high: Any
        self._set((low, high), validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ArgumentError("Uniform: low must be less than high.")

    @property
    def support(self) -> Check:
        """From ``low`` to ``high``."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return self.high * math.nan

    @property
    def variance(self) -> Any:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.low + self._like(sample_shape, rand) * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        inside = (self.low <= value) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()


class Laplace(_Placed):
    """exp(-|x - loc| / scale) / (2 scale)

    Args:
        loc, scale: the middle and the width.
    """

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        u = self._like(sample_shape, rand) * (2 - 2 * finfo(self.loc.dtype).eps) - 1
        u = u + finfo(self.loc.dtype).eps
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Any) -> Any:
        apart = self._checked(value) - self.loc
        return 0.5 - 0.5 * apart.sign() * (-apart.abs() / self.scale).expm1()

    def icdf(self, value: Any) -> Any:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Exponential(Located):
    """rate exp(-rate x)

    Args:
        rate: the inverse of the mean.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _names = ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self.rate: Any
        self._set((rate,), validate_args)

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Any:
        return self.rate * 0

    @property
    def variance(self) -> Any:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return -(-self._like(sample_shape, rand)).log1p() / self.rate

    def log_prob(self, value: Any) -> Any:
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value: Any) -> Any:
        return 1 - (-self.rate * self._checked(value)).exp()

    def icdf(self, value: Any) -> Any:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Any:
        return 1 - self.rate.log()


class Gumbel(_Placed):
    """exp(-(z + exp(-z))) / scale, z = (x - loc) / scale

    Args:
        loc, scale: the most likely value and the width.
    """

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * np.euler_gamma

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (math.pi**2 / 6)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        eps = finfo(self.loc.dtype).tiny
        u = self._like(sample_shape, rand).clamp(min=eps, max=1 - finfo(self.loc.dtype).eps)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value: Any) -> Any:
        y = (self.loc - self._checked(value)) / self.scale
        return (y - y.exp()) - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return (-((self.loc - self._checked(value)) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + np.euler_gamma)


class Cauchy(_Placed):
    """1 / (pi scale (1 + ((x - loc) / scale)^2)); it has no mean.

    Args:
        loc, scale: the middle and the half width at half height.
    """

    @property
    def mean(self) -> Any:
        return self.loc * math.nan

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.loc * 0 + math.inf

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            drawn = ((self._like(sample_shape, rand) - 0.5) * math.pi).tan()
        return self.loc + drawn * self.scale

    def log_prob(self, value: Any) -> Any:
        z = (self._checked(value) - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - (z**2).log1p()

    def cdf(self, value: Any) -> Any:
        return ((self._checked(value) - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()
