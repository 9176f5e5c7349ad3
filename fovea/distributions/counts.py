"""Distributions of counts: of successes, of failures before them, of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.discrete import Categorical, _Odds, _one_of
from fovea.distributions.distribution import Check, Distribution, together
from fovea.distributions.gamma import Gamma
from fovea.functions.draws import binomial
from fovea.functions.pointwise import where
from fovea.functions.random import poisson
from fovea.functions.ranges import arange
from fovea.functions.special import lgamma
from fovea.nn import functional as F

__all__ = ["Binomial", "Multinomial", "NegativeBinomial"]


class _Counted(_Odds):
    """Base: a count, and one probability or its logit."""

    def _count(self, total_count: Any, probs: Any, logits: Any, validate_args: bool | None) -> None:
        _one_of(type(self).__name__, probs, logits)
        count, given = together(total_count, logits if probs is None else probs)
        self.total_count: Any = count.to(given.dtype)
        vars(self)["logits" if probs is None else "probs"] = given
        Distribution.__init__(self, given.shape, (), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        name = next(n for n in ("probs", "logits") if n in vars(self))
        parts = {name: vars(self)[name].expand(batch_shape)}
        made: Any = type(self)
        return made(self.total_count.expand(batch_shape), **parts, validate_args=False)

    @property
    def param_shape(self) -> Any:
        """The shape of ``probs``."""
        return self.total_count.shape


class Binomial(_Counted):
    """C(n, k) p^k (1 - p)^(n - k): how many of n trials succeed.

    Args:
        total_count: n.
        probs, logits: p, or its logit.

    >>> import fovea
    >>> Binomial(4, fovea.tensor(0.5)).log_prob(fovea.tensor(2.0)).exp()
    tensor(0.3750)
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._count(total_count, probs, logits, validate_args)

    @property
    def support(self) -> Check:
        """Whole numbers from 0 to ``total_count``."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        value, n, logits = self._checked(value), self.total_count, self.logits
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return ways + value * logits - n * F.softplus(logits, threshold=100.0)

    def _largest(self, what: str) -> int:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise NotImplementedError(f"Binomial: {what} needs one total_count for all.")
        return most

    def entropy(self) -> Any:
        self._largest("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(1 + self._largest("enumerate_support"), dtype=self.total_count.dtype)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class NegativeBinomial(_Counted):
    """gamma(r + k) / (k! gamma(r)) (1 - p)^r p^k: how many trials succeed before r fail.

    Args:
        total_count: r; it need not be whole.
        probs, logits: p, or its logit.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._count(total_count, probs, logits, validate_args)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return poisson(rates.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value, r = self._checked(value), self.total_count
        powers = r * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        ways = lgamma(r + value) - lgamma(1 + value) - lgamma(r)
        return powers + where(r + value == 0, 0.0, ways)


class Multinomial(Distribution):
    """n! prod(p_i^k_i / k_i!): how often each class comes in n draws.

    Args:
        total_count: n, one whole number; ``log_prob`` takes values of any sum if they are not
            checked.
        probs, logits: as of ``Categorical``.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("Multinomial: total_count is one whole number.")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def support(self) -> Check:
        """Counts whose sum is ``total_count`` at most."""
        return constraints.multinomial(self.total_count)

    @property
    def probs(self) -> Any:
        """Probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """The shape of ``probs``."""
        return self._categorical.param_shape

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        logits = self._categorical.expand(batch_shape).logits
        return Multinomial(self.total_count, logits=logits, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape))
            counts = F.one_hot(drawn, self._event_shape[0]).sum(0)
            return counts.to(self.probs.dtype)

    def entropy(self) -> Any:
        n = self.total_count
        values = arange(1, n + 1, dtype=self.probs.dtype)
        values = values.reshape(-1, *[1] * self.probs.ndim)
        one = Binomial(n, probs=self.probs, validate_args=False)
        chances = one.log_prob(values).exp()
        ways = (chances * lgamma(values + 1)).sum(0).sum(-1)
        return n * self._categorical.entropy() - lgamma(values[-1].reshape(()) + 1) + ways

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        logits = where((value == 0) & (self.logits == -float("inf")), 0.0, self.logits)
        ways = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)
