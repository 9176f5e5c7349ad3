"""Distributions made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.continuous import Normal
from fovea.distributions.discrete import Bernoulli, Categorical, _one_of
from fovea.distributions.distribution import Check, Distribution, together
from fovea.distributions.transforms import (
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    Transform,
)
from fovea.distributions.transforms.base import summed
from fovea.dtypes import finfo
from fovea.errors import ArgumentError
from fovea.functions.random import rand
from fovea.functions.special import lgamma
from fovea.nn import functional as F

__all__ = [
    "Independent",
    "LogNormal",
    "MixtureSameFamily",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "TransformedDistribution",
]


class Independent(Distribution):
    """The last batch dimensions of a distribution as one event: probabilities multiply.

    Args:
        base_distribution: the distribution.
        reinterpreted_batch_ndims: how many dimensions.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch, n = base_distribution.batch_shape, reinterpreted_batch_ndims
        if n > len(batch):
            raise ArgumentError(f"Independent: {n} dimensions of a batch of shape {tuple(batch)}.")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        cut = len(batch) - n
        event = (*batch[cut:], *base_distribution.event_shape)
        super().__init__(batch[:cut], event, validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As of the base."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        """The base's, for each part of the event."""
        found, n = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(found, n) if n and found is not None else found

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        n = self.reinterpreted_batch_ndims
        shape = (*batch_shape, *self._event_shape[:n])
        return Independent(self.base_dist.expand(shape), n, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return summed(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return summed(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """What transforms make of draws from a distribution.

    Args:
        base_distribution: the distribution.
        transforms: one, or several one after another.

    Raises:
        ArgumentError: something else than transforms, or a base with too few dimensions.
    """

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ArgumentError(f"{type(self).__name__}: transforms are needed, got {transforms}.")
        base, all_of = base_distribution, ComposeTransform(self.transforms)
        shape, dims = (*base.batch_shape, *base.event_shape), len(base.event_shape)
        taken, given = all_of.domain.event_dim, all_of.codomain.event_dim
        if len(shape) < taken:
            raise ArgumentError(
                f"{type(self).__name__}: the base has shape {shape}, the transforms take events of "
                f"{taken} dimensions."
            )
        after = tuple(all_of.forward_shape(shape))
        before = tuple(all_of.inverse_shape(after))
        if before != shape:
            base = base.expand(before[: len(before) - dims])
        self.base_dist = Independent(base, taken - dims) if taken > dims else base
        cut = len(after) - max(given, dims + given - taken)
        super().__init__(after[:cut], after[cut:], validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As of the base."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        extra = len(self._event_shape) - found.event_dim
        return constraints.independent(found, extra) if extra > 0 else found

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        shape: Any = (*batch_shape, *self._event_shape)
        for t in reversed(self.transforms):
            shape = t.inverse_shape(shape)
        base = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return TransformedDistribution(base, self.transforms, validate_args=False)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            x = self.base_dist.sample(sample_shape)
            for transform in self.transforms:
                x = transform(x)
            return x

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        x = self.base_dist.rsample(sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Any:
        y, total = self._checked(value), 0.0
        dims = len(self._event_shape)
        for transform in reversed(self.transforms):
            x = transform.undo(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            stretched = transform.log_abs_det_jacobian(x, y)
            total = total - summed(stretched, dims - transform.domain.event_dim)
            y = x
        rest = dims - len(self.base_dist.event_shape)
        return total + summed(self.base_dist.log_prob(y), rest)

    def _turned(self, probability: Any) -> Any:
        """1 - probability, where the transforms fall."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return (
            probability if isinstance(sign, int) and sign == 1 else sign * (probability - 0.5) + 0.5
        )

    def cdf(self, value: Any) -> Any:
        value = self._checked(value)
        for transform in reversed(self.transforms):
            value = transform.undo(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Any) -> Any:
        value = self.base_dist.icdf(self._turned(value))
        for transform in self.transforms:
            value = transform(value)
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LogNormal(TransformedDistribution):
    """exp of ``Normal(loc, scale)``.

    Args:
        loc, scale: of the logarithm.
    """

    arg_constraints: ClassVar[dict[str, Check]] = Normal.arg_constraints

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Any:
        """Of the logarithm."""
        return self.base_dist.loc  # type: ignore[attr-defined]

    @property
    def scale(self) -> Any:
        """Of the logarithm."""
        return self.base_dist.scale  # type: ignore[attr-defined]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return LogNormal(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.pow(2)).exp()

    @property
    def variance(self) -> Any:
        squared = self.scale.pow(2)
        return squared.expm1() * (2 * self.loc + squared).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class MixtureSameFamily(Distribution):
    """One of several distributions of a kind, drawn by a ``Categorical``.

    Args:
        mixture_distribution: with batch shape B.
        component_distribution: with batch shape (B, components).
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        parts = component_distribution
        if mixture_distribution.param_shape[-1] != parts.batch_shape[-1]:
            raise ArgumentError("MixtureSameFamily: the last batch dimension is the components.")
        super().__init__(parts.batch_shape[:-1], parts.event_shape, validate_args)

    @property
    def support(self) -> Any:
        """Where values of all components lie."""
        base = self.component_distribution.support
        if base is None:
            return None
        at = -1 - base.event_dim
        return constraints.Constraint(
            "{component_constraint.words}",
            lambda x: base.check(x.unsqueeze(at)).all(-1),
            base.event_dim,
            base.is_discrete,
            component_constraint=base,
        )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        parts = self.component_distribution
        return MixtureSameFamily(
            self.mixture_distribution.expand(batch_shape),
            parts.expand((*batch_shape, parts.batch_shape[-1])),
            validate_args=False,
        )

    def _weights(self) -> Any:
        probs = self.mixture_distribution.probs
        return probs.reshape(*probs.shape, *[1] * len(self._event_shape))

    @property
    def mean(self) -> Any:
        at = -1 - len(self._event_shape)
        return (self._weights() * self.component_distribution.mean).sum(at)

    @property
    def variance(self) -> Any:
        at = -1 - len(self._event_shape)
        within = (self._weights() * self.component_distribution.variance).sum(at)
        apart = self.component_distribution.mean - self.mean.unsqueeze(at)
        return within + (self._weights() * apart.pow(2)).sum(at)

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        n, events = len(sample_shape), len(self._event_shape)
        at = n + len(self._batch_shape)
        drawn = self.component_distribution.sample(sample_shape)
        which = self.mixture_distribution.expand(self._batch_shape).sample(sample_shape)
        which = which.reshape(*which.shape, 1, *[1] * events)
        shape = list(drawn.shape)
        shape[at] = 1
        return drawn.gather(at, which.expand(shape)).squeeze(at)

    def cdf(self, value: Any) -> Any:
        value = self._checked(value).unsqueeze(-1 - len(self._event_shape))
        parts = self.component_distribution.cdf(value)
        return (parts * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value).unsqueeze(-1 - len(self._event_shape))
        parts = self.component_distribution.log_prob(value)
        return (parts + self.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self.mixture_distribution}, {self.component_distribution})"


class RelaxedBernoulli(Distribution):
    """Draws between 0 and 1 that near ``Bernoulli``'s as the temperature falls.

    Args:
        temperature: more than 0.
        probs, logits: as of ``Bernoulli``.

    Source: Maddison et al., "The concrete distribution", 2017.
    """

    has_rsample = True
    support = constraints.unit_interval

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        _one_of("RelaxedBernoulli", probs, logits)
        self.temperature = temperature
        self.logits = Bernoulli(probs, logits, validate_args).logits
        super().__init__(self.logits.shape, (), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        logits = self.logits.expand(batch_shape)
        return RelaxedBernoulli(self.temperature, logits=logits, validate_args=False)

    @property
    def probs(self) -> Any:
        """The probability of 1."""
        return self.logits.sigmoid()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        eps = finfo(self.logits.dtype).eps
        u = rand(self._extended_shape(sample_shape), dtype=self.logits.dtype)
        u = u.clamp(min=eps, max=1 - eps)
        return ((u.log() - (-u).log1p() + self.logits) / self.temperature).sigmoid()

    def log_prob(self, value: Any) -> Any:
        before = SigmoidTransform().undo(self._checked(value))
        apart = self.logits - before * self.temperature
        stretched = -F.softplus(-before) - F.softplus(before)
        log_t = together(self.temperature)[0].log()
        return log_t + apart - 2 * apart.exp().log1p() - stretched


class RelaxedOneHotCategorical(Distribution):
    """Draws that sum to 1 and near ``OneHotCategorical``'s as the temperature falls.

    Args:
        temperature: more than 0.
        probs, logits: as of ``Categorical``.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", 2017.
    """

    has_rsample = True
    support = constraints.simplex

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        logits = self._categorical.expand(batch_shape).logits
        return RelaxedOneHotCategorical(self.temperature, logits=logits, validate_args=False)

    @property
    def logits(self) -> Any:
        """Logarithms of the classes' probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Any:
        """The classes' probabilities."""
        return self._categorical.probs

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        eps = finfo(self.logits.dtype)
        u = rand(shape, dtype=self.logits.dtype).clamp(min=eps.tiny, max=1 - eps.eps)
        return ((self.logits - (-u.log()).log()) / self.temperature).softmax(-1)

    def log_prob(self, value: Any) -> Any:
        value, k = self._checked(value), self._event_shape[0]
        t = together(self.temperature)[0]
        score = self.logits - value.log() * t
        score = (score - score.logsumexp(-1, True)).sum(-1)
        scale = lgamma(t * 0 + float(k)) + (k - 1) * t.log()
        return score + scale - value.log().sum(-1)
