"""Distributions of truth values, classes and counts, by probabilities or by logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Distribution, together
from fovea.dtypes import finfo
from fovea.errors import ArgumentError
from fovea.functions.pointwise import where
from fovea.functions.random import bernoulli, multinomial, poisson, rand
from fovea.functions.ranges import arange
from fovea.functions.special import lgamma, xlogy
from fovea.nn import functional as F

__all__ = [
    "Bernoulli",
    "Categorical",
    "Geometric",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Poisson",
]


def _clamped(probs: Any) -> Any:
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ArgumentError(f"{name}: give either probs or logits.")


class _Odds(Distribution):
    """Base: one probability, or its logit."""

    arg_constraints: ClassVar[dict[str, Check]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    def _set(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        _one_of(type(self).__name__, probs, logits)
        (given,) = together(logits if probs is None else probs)
        vars(self)["logits" if probs is None else "probs"] = given
        Distribution.__init__(self, given.shape, (), validate_args)

    def __getattr__(self, name: str) -> Any:
        own = vars(self)
        if name == "logits" and "probs" in own:
            p = _clamped(own["probs"])
            own["logits"] = p.log() - (-p).log1p()
        elif name == "probs" and "logits" in own:
            own["probs"] = own["logits"].sigmoid()
        if name not in own:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return own[name]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        name = next(n for n in ("probs", "logits") if n in vars(self))
        return type(self)(**{name: vars(self)[name].expand(batch_shape)}, validate_args=False)


class Bernoulli(_Odds):
    """1 with probability ``probs``, else 0.

    Args:
        probs, logits: the probability of 1, or log(probs / (1 - probs)).

    >>> import fovea
    >>> Bernoulli(probs=fovea.tensor([0.25])).log_prob(fovea.tensor([1.0]))
    tensor([-1.3863])
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._set(probs, logits, validate_args)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        likely = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, likely)

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        logits = self.logits + value * 0
        target = value + logits.detach() * 0
        return -F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(2, dtype=self.probs.dtype).reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class Geometric(_Odds):
    """How many failures come before the first success: (1 - p)^k p.

    Args:
        probs, logits: of success.
    """

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._set(probs, logits, validate_args)

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Any:
        return self.probs * 0

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            u = rand(self._extended_shape(sample_shape), dtype=self.probs.dtype)
            return (u.clamp(min=finfo(u.dtype).tiny).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        failure = where((self.probs == 1) & (value == 0), 0.0, (-self.probs).log1p())
        return value * failure + self.probs.log()

    def entropy(self) -> Any:
        bits = F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return bits / self.probs


class Categorical(Distribution):
    """Class k with probability ``probs[..., k]``.

    Args:
        probs: (..., K), 0 or more; they are divided by their sum.
        logits: (..., K), logarithms up to a constant.

    >>> import fovea
    >>> Categorical(logits=fovea.zeros(4)).entropy()
    tensor(1.3863)
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "probs": constraints.simplex,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Categorical", probs, logits)
        given = logits if probs is None else probs
        if given.ndim < 1:
            raise ArgumentError("Categorical: probs and logits must have a dimension of classes.")
        self.probs: Any
        self.logits: Any
        if probs is None:
            self.logits = logits - logits.logsumexp(-1, True)
        else:
            if (validate_args or self._validate_args) and bool((probs < 0).any()):
                raise ArgumentError("Categorical: probs must be 0 or more and sum to 1.")
            self.probs = probs / probs.sum(-1, True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], (), validate_args)

    def __getattr__(self, name: str) -> Any:
        own = vars(self)
        if name == "logits" and "probs" in own:
            own["logits"] = _clamped(own["probs"]).log()
        elif name == "probs" and "logits" in own:
            own["probs"] = own["logits"].softmax(-1)
        if name not in own:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return own[name]

    @property
    def support(self) -> Check:
        """The classes' numbers."""
        return constraints.integer_interval(0, self._num_events - 1)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        shape = (*batch_shape, self._num_events)
        if "probs" in vars(self):
            return type(self)(probs=self.probs.expand(shape), validate_args=False)
        return type(self)(logits=self.logits.expand(shape), validate_args=False)

    @property
    def param_shape(self) -> Any:
        """The shape of ``probs``."""
        return (self.probs if "probs" in vars(self) else self.logits).shape

    @property
    def mean(self) -> Any:
        return self.probs[..., 0] * math.nan

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Any:
        return self.probs[..., 0] * math.nan

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            rows = self.probs.reshape(-1, self._num_events)
            count = math.prod(sample_shape)
            drawn = multinomial(rows, count, replacement=True).t() if count else rows[:0, :0]
            return drawn.reshape(shape)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value).long().unsqueeze(-1)
        shape = [max(a, b) for a, b in _matched(value.shape[:-1], self._batch_shape)]
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, value.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Any:
        least = finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(self._num_events).reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


def _matched(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes from the last on, with ones where there are none."""
    n = max(len(a), len(b))
    return list(zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), strict=True))


class OneHotCategorical(Distribution):
    """``Categorical`` whose draws are rows of zeros with one 1.

    Args:
        probs, logits: (..., K).
    """

    arg_constraints = Categorical.arg_constraints
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

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
        return type(self)(logits=logits, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._as_rows(self.probs.argmax(-1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _as_rows(self, classes: Any) -> Any:
        return F.one_hot(classes, self._event_shape[0]).to(self.probs.dtype)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            return self._as_rows(self._categorical.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        return self._categorical.log_prob(self._checked(value).argmax(-1))

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._as_rows(self._categorical.enumerate_support(expand))


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """``OneHotCategorical`` whose draws pass gradients on to the probabilities as they are.

    Source: Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013.
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Poisson(Distribution):
    """rate^k exp(-rate) / k!

    Args:
        rate: the mean.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = together(rate)
        super().__init__(self.rate.shape, (), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return Poisson(self.rate.expand(batch_shape), validate_args=False)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)
