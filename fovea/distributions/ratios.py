"""Distributions of ratios of other draws: Student's and Fisher and Snedecor's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Located
from fovea.distributions.gamma import Chi2, Gamma
from fovea.dtypes import finfo
from fovea.functions.pointwise import where
from fovea.functions.random import randn
from fovea.functions.special import digamma, lgamma

__all__ = ["FisherSnedecor", "StudentT"]


class StudentT(Located):
    """loc + scale times a normal draw over the root of the mean of ``df`` others' squares.

    Args:
        df: degrees of freedom.
        loc, scale: the middle and the width.

    >>> import fovea
    >>> StudentT(fovea.tensor([1.0])).log_prob(fovea.tensor([0.0])).exp()
    tensor([0.3183])
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True
    _names = ("df", "loc", "scale")

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df: Any
        self.loc: Any
        self.scale: Any
        self._set((df, loc, scale), validate_args)

    @property
    def mean(self) -> Any:
        return where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        enough = self.df > 2
        found = self.scale.pow(2) * self.df / (where(enough, self.df, 3.0) - 2)
        return where(enough, found, where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        squares = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * self._like(sample_shape, randn) * (squares / self.df).rsqrt()

    def log_prob(self, value: Any) -> Any:
        y, half = (self._checked(value) - self.loc) / self.scale, 0.5 * (self.df + 1)
        norm = self.scale.log() + 0.5 * (self.df.log() + math.log(math.pi))
        return lgamma(half) - lgamma(0.5 * self.df) - norm - half * (y**2 / self.df).log1p()

    def entropy(self) -> Any:
        half = 0.5 * (self.df + 1)
        beta = lgamma(0.5 * self.df) + math.lgamma(0.5) - lgamma(half)
        middle = half * (digamma(half) - digamma(0.5 * self.df))
        return self.scale.log() + middle + 0.5 * self.df.log() + beta


class FisherSnedecor(Located):
    """The ratio of two means of squares, of ``df1`` and of ``df2`` normal draws.

    Args:
        df1, df2: degrees of freedom.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "df1": constraints.positive,
        "df2": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True
    _names = ("df1", "df2")

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1: Any
        self.df2: Any
        self._set((df1, df2), validate_args)

    @property
    def mean(self) -> Any:
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        found = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, found, math.nan)

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2
        found = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return where(b > 4, found, math.nan)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        above = Gamma(self.df1 * 0.5, self.df1, validate_args=False).rsample(sample_shape)
        below = Gamma(self.df2 * 0.5, self.df2, validate_args=False).rsample(sample_shape)
        tiny = finfo(below.dtype).tiny
        return (above / below.clamp(min=tiny)).clamp(min=tiny)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        norm = lgamma(a + b) - lgamma(a) - lgamma(b)
        powers = a * ratio.log() + (a - 1) * value.log()
        return norm + powers - (a + b) * (ratio * value).log1p()
