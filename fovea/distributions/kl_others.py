"""Divergences between distributions of two kinds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fovea import linalg
from fovea.distributions.continuous import Exponential, Gumbel, Laplace, Normal, Uniform
from fovea.distributions.continuous_bernoulli import ContinuousBernoulli
from fovea.distributions.counts import Binomial
from fovea.distributions.discrete import Bernoulli, Poisson
from fovea.distributions.gamma import Beta, Gamma
from fovea.distributions.kl import register_kl
from fovea.distributions.low_rank import LowRankMultivariateNormal
from fovea.distributions.multivariate import MultivariateNormal
from fovea.distributions.transformed import Pareto
from fovea.functions.pointwise import where
from fovea.functions.special import digamma, lgamma, xlogy

__all__: list[str] = []

_LOG_2PI = math.log(2 * math.pi)

# Where the first gives some weight to values that the second excludes.
_INFINITE: tuple[tuple[type, tuple[type, ...]], ...] = (
    (Beta, (Pareto,)),
    (ContinuousBernoulli, (Pareto,)),
    (Exponential, (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gamma, (Beta, ContinuousBernoulli, Pareto, Uniform)),
    (Gumbel, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Laplace, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Normal, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    (Pareto, (Beta, ContinuousBernoulli, Uniform)),
    (Poisson, (Bernoulli, Binomial)),
)


def _infinite(p: Any, q: Any) -> Any:
    return p.mean * 0 + math.inf if type(p) is not Pareto else p.scale * 0 + math.inf


for _first, _others in _INFINITE:
    for _second in _others:
        register_kl(_first, _second)(_infinite)


def _squares(q: Any, mean: Any, variance: Any) -> Any:
    """-E[log q] for a normal q and draws of this mean and variance."""
    far = (variance + (mean - q.loc).pow(2)) / (2 * q.scale.pow(2))
    return 0.5 * _LOG_2PI + q.scale.log() + far


def _gamma_cross(q: Any, log_mean: Any, mean: Any) -> Any:
    """-E[log q] for a gamma distribution q and draws of these means of logarithm and value."""
    c = q.concentration
    return lgamma(c) - c * q.rate.log() - (c - 1) * log_mean + q.rate * mean


def _bernoulli_cross(q: Any, mean: Any) -> Any:
    """-E[log q] for a continuous Bernoulli distribution q and draws of this mean."""
    return -mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()


@register_kl(Bernoulli, Poisson)
def _(p: Bernoulli, q: Poisson) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _(p: Beta, q: ContinuousBernoulli) -> Any:
    return _bernoulli_cross(q, p.mean) - p.entropy()


@register_kl(Beta, Exponential)
def _(p: Beta, q: Exponential) -> Any:
    return q.rate * p.mean - q.rate.log() - p.entropy()


@register_kl(Beta, Gamma)
def _(p: Beta, q: Gamma) -> Any:
    a = p.concentration1
    log_mean = digamma(a) - digamma(a + p.concentration0)
    return _gamma_cross(q, log_mean, p.mean) - p.entropy()


@register_kl(Beta, Normal)
def _(p: Beta, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Beta, Uniform)
def _(p: Beta, q: Uniform) -> Any:
    return where((q.low > 0) | (q.high < 1), math.inf, (q.high - q.low).log() - p.entropy())


@register_kl(ContinuousBernoulli, Exponential)
def _(p: ContinuousBernoulli, q: Exponential) -> Any:
    return q.rate * p.mean - q.rate.log() - p.entropy()


@register_kl(ContinuousBernoulli, Normal)
def _(p: ContinuousBernoulli, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(ContinuousBernoulli, Uniform)
def _(p: ContinuousBernoulli, q: Uniform) -> Any:
    return where((q.low > 0) | (q.high < 1), math.inf, (q.high - q.low).log() - p.entropy())


@register_kl(Exponential, Gamma)
def _(p: Exponential, q: Gamma) -> Any:
    return _gamma_cross(q, -np.euler_gamma - p.rate.log(), p.mean) - p.entropy()


@register_kl(Exponential, Gumbel)
def _(p: Exponential, q: Gumbel) -> Any:
    product, place = p.rate * q.scale, q.loc / q.scale
    tail = place.exp() * product / (product + 1)
    return product.log() - 1 - place + tail + product.reciprocal()


@register_kl(Exponential, Normal)
def _(p: Exponential, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Gamma, Exponential)
def _(p: Gamma, q: Exponential) -> Any:
    return q.rate * p.mean - q.rate.log() - p.entropy()


@register_kl(Gamma, Gumbel)
def _(p: Gamma, q: Gumbel) -> Any:
    product, place = p.rate * q.scale, q.loc / q.scale
    tail = place.exp() * (1 + product.reciprocal()).pow(-p.concentration)
    return q.scale.log() + p.mean / q.scale - place + tail - p.entropy()


@register_kl(Gamma, Normal)
def _(p: Gamma, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Gumbel, Normal)
def _(p: Gumbel, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Laplace, Normal)
def _(p: Laplace, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Normal, Gumbel)
def _(p: Normal, q: Gumbel) -> Any:
    apart = (p.loc - q.loc) / q.scale
    tail = (0.5 * (p.scale / q.scale).pow(2) - apart).exp()
    return q.scale.log() + apart + tail - p.entropy()


@register_kl(Normal, Laplace)
def _(p: Normal, q: Laplace) -> Any:
    apart = p.loc - q.loc
    z = apart / p.scale
    width = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp()
    size = width + apart * (math.sqrt(0.5) * z).erf()  # the mean of |x - loc|
    return (2 * q.scale).log() + size / q.scale - p.entropy()


@register_kl(Pareto, Exponential)
def _(p: Pareto, q: Exponential) -> Any:
    return where(p.alpha <= 1, math.inf, q.rate * p.mean - q.rate.log() - p.entropy())


@register_kl(Pareto, Gamma)
def _(p: Pareto, q: Gamma) -> Any:
    log_mean = p.scale.log() + p.alpha.reciprocal()
    return where(p.alpha <= 1, math.inf, _gamma_cross(q, log_mean, p.mean) - p.entropy())


@register_kl(Pareto, Normal)
def _(p: Pareto, q: Normal) -> Any:
    return where(p.alpha <= 2, math.inf, _squares(q, p.mean, p.variance) - p.entropy())


def _log_means(low: Any, high: Any) -> Any:
    """The mean of log x over x from low to high."""
    return (xlogy(high, high) - xlogy(low, low)) / (high - low) - 1


@register_kl(Uniform, Beta)
def _(p: Uniform, q: Beta) -> Any:
    a, b = q.concentration1, q.concentration0
    norm = lgamma(a) + lgamma(b) - lgamma(a + b)
    inner = (a - 1) * _log_means(p.low, p.high) + (b - 1) * _log_means(1 - p.high, 1 - p.low)
    return where((p.high > 1) | (p.low < 0), math.inf, norm - inner - p.entropy())


@register_kl(Uniform, ContinuousBernoulli)
def _(p: Uniform, q: ContinuousBernoulli) -> Any:
    found = _bernoulli_cross(q, p.mean) - p.entropy()
    return where((p.high > 1) | (p.low < 0), math.inf, found)


@register_kl(Uniform, Exponential)
def _(p: Uniform, q: Exponential) -> Any:
    return where(p.low < 0, math.inf, q.rate * p.mean - q.rate.log() - p.entropy())


@register_kl(Uniform, Gamma)
def _(p: Uniform, q: Gamma) -> Any:
    found = _gamma_cross(q, _log_means(p.low, p.high), p.mean) - p.entropy()
    return where(p.low < 0, math.inf, found)


@register_kl(Uniform, Gumbel)
def _(p: Uniform, q: Gumbel) -> Any:
    width, place = q.scale / (p.high - p.low), (p.mean - q.loc) / q.scale
    ends = ((q.loc - p.high) / q.scale).exp() - ((q.loc - p.low) / q.scale).exp()
    return width.log() + place - width * ends


@register_kl(Uniform, Normal)
def _(p: Uniform, q: Normal) -> Any:
    return _squares(q, p.mean, p.variance) - p.entropy()


@register_kl(Uniform, Pareto)
def _(p: Uniform, q: Pareto) -> Any:
    norm = q.alpha.log() + q.alpha * q.scale.log()
    found = (q.alpha + 1) * _log_means(p.low, p.high) - norm - p.entropy()
    return where(p.low < q.scale, math.inf, found)


# -- normal distributions of vectors --------------------------------------------------------------


def _trace(m: Any) -> Any:
    """The trace of M M^T."""
    return m.pow(2).sum((-2, -1))


def _apart(p: Any, q: Any, traces: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError("kl_divergence: vectors of two sizes.")
    far = q.mahalanobis(q.loc - p.loc)
    return q._half_log_det() - p._half_log_det() + 0.5 * (traces + far - p.event_shape[0])


def _low_rank_traces(factor: Any, q: LowRankMultivariateNormal) -> Any:
    """The trace of C_q^-1 F F^T."""
    return _trace(factor / q.cov_diag.sqrt().unsqueeze(-1)) - _trace(q._whitened @ factor)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _(p: LowRankMultivariateNormal, q: LowRankMultivariateNormal) -> Any:
    own = (p.cov_diag / q.cov_diag).sum(-1)
    own = own - _trace(q._whitened * p.cov_diag.sqrt().unsqueeze(-2))
    return _apart(p, q, own + _low_rank_traces(p.cov_factor, q))


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _(p: MultivariateNormal, q: LowRankMultivariateNormal) -> Any:
    return _apart(p, q, _low_rank_traces(p.scale_tril, q))


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _(p: LowRankMultivariateNormal, q: MultivariateNormal) -> Any:
    traces: Any = 0.0
    for factor in (p.cov_factor, p.cov_diag.sqrt().diag_embed()):
        batch = (factor[..., 0, 0] + q.scale_tril[..., 0, 0]).shape
        lower = q.scale_tril.expand(*batch, *q.scale_tril.shape[-2:])
        wide = factor.expand(*batch, *factor.shape[-2:])
        traces = traces + _trace(linalg.solve_triangular(lower, wide, upper=False))
    return _apart(p, q, traces)
