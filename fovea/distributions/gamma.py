"""The gamma distribution and what is made of its draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Distribution, Located, together
from fovea.errors import ArgumentError
from fovea.functions.draws import standard_gamma
from fovea.functions.parts import stack
from fovea.functions.pointwise import where
from fovea.functions.special import digamma, igamma, lgamma, xlogy
from fovea.nn import functional as F

__all__ = ["Beta", "Chi2", "Dirichlet", "Gamma"]


class Gamma(Located):
    """rate^c x^(c - 1) exp(-rate x) / gamma(c)

    Args:
        concentration: c.
        rate: the inverse of the scale.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True
    _names = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration: Any
        self.rate: Any
        self._set((concentration, rate), validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return standard_gamma(self.concentration.expand(self._extended_shape(sample_shape))) / (
            self.rate
        )

    def log_prob(self, value: Any) -> Any:
        value, c = self._checked(value), self.concentration
        powers = xlogy(c - 1, value) - self.rate * value
        return xlogy(c, self.rate) + powers - lgamma(c)

    def cdf(self, value: Any) -> Any:
        return igamma(self.concentration, self.rate * self._checked(value))

    def entropy(self) -> Any:
        c = self.concentration
        return c - self.rate.log() + lgamma(c) + (1 - c) * digamma(c)


class Chi2(Gamma):
    """``Gamma(df / 2, 1 / 2)``: the sum of ``df`` squares of normal draws.

    Args:
        df: degrees of freedom.
    """

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (df,) = together(df)
        super().__init__(0.5 * df, 0.5, validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return Chi2(self.df.expand(batch_shape), validate_args=False)

    @property
    def df(self) -> Any:
        """Degrees of freedom."""
        return self.concentration * 2


def _at_largest(like: Any, scores: Any) -> Any:
    """1 where the score is largest along the last dimension, else 0."""
    return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(like.dtype)


class Dirichlet(Distribution):
    """Numbers that sum to 1, with density proportional to the product of x_i^(c_i - 1).

    Args:
        concentration: (..., k).
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"concentration": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise ArgumentError("Dirichlet: concentration must have a dimension.")
        self.concentration: Any = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        shape = (*batch_shape, *self._event_shape)
        return Dirichlet(self.concentration.expand(shape), validate_args=False)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def variance(self) -> Any:
        c, total = self.concentration, self.concentration.sum(-1, True)
        return c * (total - c) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        drawn = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return drawn / drawn.sum(-1, True)

    @property
    def mode(self) -> Any:
        above = (self.concentration - 1).clamp(min=0.0)
        inner = above / above.sum(-1, True)
        ends = (self.concentration < 1).all(-1, True)
        return where(ends, _at_largest(inner, self.concentration), inner)

    def log_prob(self, value: Any) -> Any:
        value, c = self._checked(value), self.concentration
        powers = xlogy(c - 1, value).sum(-1)
        return powers + lgamma(c.sum(-1)) - lgamma(c).sum(-1)

    def entropy(self) -> Any:
        c, k = self.concentration, self.concentration.shape[-1]
        total = c.sum(-1)
        norm = lgamma(c).sum(-1) - lgamma(total)
        return norm - (k - total) * digamma(total) - ((c - 1) * digamma(c)).sum(-1)


class Beta(Located):
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b)

    Args:
        concentration1, concentration0: a and b.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True
    _names = ("concentration1", "concentration0")

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1: Any
        self.concentration0: Any
        self._set((concentration1, concentration0), validate_args)

    def _pair(self) -> Dirichlet:
        both = stack([self.concentration1, self.concentration0], -1)
        return Dirichlet(both, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    @property
    def mode(self) -> Any:
        return self._pair().mode.select(-1, 0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self._pair().rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return self._pair().log_prob(stack([value, 1 - value], -1))

    def entropy(self) -> Any:
        return self._pair().entropy()
