"""The Bernoulli distribution's form for all numbers from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.distributions import constraints
from fovea.distributions.discrete import _clamped, _one_of
from fovea.distributions.distribution import Check, Distribution, together
from fovea.distributions.exponential_family import ExponentialFamily
from fovea.functions.pointwise import where
from fovea.functions.random import rand
from fovea.nn import functional as F

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ExponentialFamily):
    """C(p) p^x (1 - p)^(1 - x) for x from 0 to 1.

    Args:
        probs, logits: p, which is no probability, or its logit.
        lims: between these p is near one half, and a Taylor series is used.

    Source: Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        _one_of("ContinuousBernoulli", probs, logits)
        (given,) = together(logits if probs is None else probs)
        self._lims, self._by_probs = lims, probs is not None
        self.probs: Any = given if probs is not None else given.sigmoid()
        Distribution.__init__(self, given.shape, (), validate_args)
        self.probs = _clamped(self.probs)
        self.logits: Any = self.probs.log() - (-self.probs).log1p() if self._by_probs else given

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        name = "probs" if self._by_probs else "logits"
        given = {name: getattr(self, name).expand(batch_shape)}
        return ContinuousBernoulli(**given, lims=self._lims, validate_args=False)

    @property
    def param_shape(self) -> Any:
        """The shape of ``probs``."""
        return self.probs.shape

    def _apart(self) -> Any:
        """Where p is not near one half."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Any:
        """p, and a number that is not near one half where p is."""
        return where(self._apart(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self) -> Any:
        p = self._cut()
        ratio = (p.log() - (-p).log1p()).abs().log()
        twice = (2 * p - 1).abs().log()
        x = (self.probs - 0.5).pow(2)
        near = math.log(2) + (4 / 3 + 104 / 45 * x) * x
        return where(self._apart(), ratio - twice, near)

    @property
    def mean(self) -> Any:
        p, x = self._cut(), self.probs - 0.5
        found = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return where(self._apart(), found, 0.5 + (1 / 3 + 16 / 45 * x.pow(2)) * x)

    @property
    def variance(self) -> Any:
        p, x = self._cut(), (self.probs - 0.5).pow(2)
        found = p * (p - 1) / (1 - 2 * p).pow(2) + 1 / ((-p).log1p() - p.log()).pow(2)
        return where(self._apart(), found, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        logits = self.logits + value * 0
        target = value + logits.detach() * 0
        found = -F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return found + self._cont_bern_log_norm()

    def cdf(self, value: Any) -> Any:
        value, p = self._checked(value), self._cut()
        found = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        found = where(self._apart(), found, value)
        return where(value <= 0, 0.0, where(value >= 1, 1.0, found))

    def icdf(self, value: Any) -> Any:
        p = self._cut()
        below = (-p).log1p()
        found = ((-p + value * (2 * p - 1)).log1p() - below) / (p.log() - below)
        return where(self._apart(), found, value)

    def entropy(self) -> Any:
        low, high = (-self.probs).log1p(), self.probs.log()
        return self.mean * (low - high) - self._cont_bern_log_norm() - low

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        apart = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = where(apart, x, self._lims[0] - 0.5)
        near = 0.5 * x + x.pow(2) / 24 - x.pow(4) / 2880
        return where(apart, cut.expm1().abs().log() - cut.abs().log(), near)
