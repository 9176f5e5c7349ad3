"""Distributions to compare, and pairs of them: made of a library's distributions and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

A, B = np.array([0.3, 1.2, -0.7]), np.array([0.5, 1.5, 2.0])
P = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
L = np.array([[1.0, 0.0], [0.5, 0.7]])
S = np.array([[2.0, 0.5, 0.1], [0.5, 1.5, -0.2], [0.1, -0.2, 1.0]])
WIDE = np.array([[0.5], [1.0], [-0.3]])
N = np.array([3.0, 5.0, 8.0])
Make = Callable[[Any, Callable[[Any], Any]], Any]
MADE: dict[str, Make] = {
    "Normal": lambda d, t: d.Normal(t(A), t(B)),
    "Normal of numbers": lambda d, t: d.Normal(0.5, t(B)),
    "HalfNormal": lambda d, t: d.HalfNormal(t(B)),
    "Uniform": lambda d, t: d.Uniform(t(A), t(A + B)),
    "Laplace": lambda d, t: d.Laplace(t(A), t(B)),
    "Exponential": lambda d, t: d.Exponential(t(B)),
    "Gumbel": lambda d, t: d.Gumbel(t(A), t(B)),
    "Cauchy": lambda d, t: d.Cauchy(t(A), t(B)),
    "LogNormal": lambda d, t: d.LogNormal(t(A), t(B / 3)),
    "Gamma": lambda d, t: d.Gamma(t(B), t(B + 1)),
    "Chi2": lambda d, t: d.Chi2(t(B)),
    "Beta": lambda d, t: d.Beta(t(B), t(B + 1)),
    "Dirichlet": lambda d, t: d.Dirichlet(t(P * 5)),
    "Bernoulli": lambda d, t: d.Bernoulli(t(P[0])),
    "Bernoulli by logits": lambda d, t: d.Bernoulli(logits=t(A)),
    "Geometric": lambda d, t: d.Geometric(t(P[0])),
    "Poisson": lambda d, t: d.Poisson(t(B)),
    "Categorical": lambda d, t: d.Categorical(t(P)),
    "Categorical by logits": lambda d, t: d.Categorical(logits=t(np.log(P) + 1)),
    "OneHotCategorical": lambda d, t: d.OneHotCategorical(t(P)),
    "OneHotCategoricalStraightThrough": lambda d, t: d.OneHotCategoricalStraightThrough(t(P)),
    "MultivariateNormal": lambda d, t: d.MultivariateNormal(t(A[:2]), t(L @ L.T)),
    "of a factor": lambda d, t: d.MultivariateNormal(t(A[:2]), scale_tril=t(L)),
    "of a precision": lambda d, t: d.MultivariateNormal(t(P[:, :2]), precision_matrix=t(L @ L.T)),
    "Independent": lambda d, t: d.Independent(d.Normal(t(P), t(P + 1)), 1),
    "MixtureSameFamily": lambda d, t: d.MixtureSameFamily(
        d.Categorical(t(P)), d.Normal(t(P), t(P + 1))
    ),
    "mixture of vectors": lambda d, t: d.MixtureSameFamily(
        d.Categorical(t(P[0])), d.Independent(d.Normal(t(P.T * 3), t(P.T)), 1)
    ),
    "Transformed": lambda d, t: d.TransformedDistribution(
        d.Normal(t(A), t(B)), [d.AffineTransform(1.0, t(B)), d.TanhTransform(cache_size=1)]
    ),
    "Sigmoid": lambda d, t: d.TransformedDistribution(d.Normal(t(A), t(B)), d.SigmoidTransform()),
    "of vectors": lambda d, t: d.TransformedDistribution(
        d.MultivariateNormal(t(A[:2]), t(L @ L.T)), [d.AffineTransform(t(A[:2]), 2.0, event_dim=1)]
    ),
    "RelaxedBernoulli": lambda d, t: d.RelaxedBernoulli(t(np.array(0.7)), t(P[0])),
    "RelaxedOneHotCategorical": lambda d, t: d.RelaxedOneHotCategorical(
        t(np.array(0.7)), logits=t(np.log(P))
    ),
    "StudentT": lambda d, t: d.StudentT(t(B + 4), t(A), t(B)),
    "StudentT with heavy tails": lambda d, t: d.StudentT(t(np.array([0.7, 1.5, 2.5]))),
    "FisherSnedecor": lambda d, t: d.FisherSnedecor(t(B + 3), t(B + 9)),
    "HalfCauchy": lambda d, t: d.HalfCauchy(t(B)),
    "InverseGamma": lambda d, t: d.InverseGamma(t(B + 4), t(B)),
    "Pareto": lambda d, t: d.Pareto(t(B), t(B + 6)),
    "Weibull": lambda d, t: d.Weibull(t(B), t(B + 1)),
    "Kumaraswamy": lambda d, t: d.Kumaraswamy(t(B + 1), t(B + 2)),
    "LogisticNormal": lambda d, t: d.LogisticNormal(t(P), t(P + 0.5)),
    "ContinuousBernoulli": lambda d, t: d.ContinuousBernoulli(t(np.array([0.2, 0.5, 0.9]))),
    "ContinuousBernoulli by logits": lambda d, t: d.ContinuousBernoulli(logits=t(A)),
    "Binomial": lambda d, t: d.Binomial(5, t(P[0])),
    "Binomial by logits": lambda d, t: d.Binomial(5, logits=t(A)),
    "many trials": lambda d, t: d.Binomial(400, t(P[0])),
    "NegativeBinomial": lambda d, t: d.NegativeBinomial(t(N), t(P[0])),
    "NegativeBinomial by logits": lambda d, t: d.NegativeBinomial(t(N), logits=t(A)),
    "Multinomial": lambda d, t: d.Multinomial(6, t(P)),
    "Multinomial by logits": lambda d, t: d.Multinomial(6, logits=t(P)),
    "VonMises": lambda d, t: d.VonMises(t(A), t(B * 3)),
    "LowRankMultivariateNormal": lambda d, t: d.LowRankMultivariateNormal(t(A), t(WIDE), t(B)),
    "of low rank, many": lambda d, t: d.LowRankMultivariateNormal(t(P), t(WIDE), t(B)),
    "Wishart": lambda d, t: d.Wishart(t(np.array([4.0, 6.5])), t(S)),
    "Wishart of a factor": lambda d, t: d.Wishart(
        t(np.array(5.0)), scale_tril=t(np.linalg.cholesky(S))
    ),
    "LKJCholesky": lambda d, t: d.LKJCholesky(3, t(B)),
    "stick breaking": lambda d, t: d.TransformedDistribution(
        d.Normal(t(P), t(P + 1)), [d.AffineTransform(0.0, 2.0), d.StickBreakingTransform()]
    ),
    "reshaped": lambda d, t: d.TransformedDistribution(
        d.Normal(t(np.ones((2, 4))), t(np.ones((2, 4)))),
        [d.ReshapeTransform((4,), (2, 2)), d.ExpTransform()],
    ),
    "even": lambda d, t: d.TransformedDistribution(
        d.Normal(t(A), t(B)), d.CumulativeDistributionTransform(d.Normal(t(A), t(B)))
    ),
    "falling": lambda d, t: d.TransformedDistribution(
        d.Normal(t(A), t(B)), [d.AffineTransform(1.0, t(-B)), d.SoftplusTransform()]
    ),
}

KL: list[tuple[str, Make]] = [
    ("Normal", lambda d, t: (d.Normal(t(A), t(B)), d.Normal(t(B), t(B + 1)))),
    ("LogNormal", lambda d, t: (d.LogNormal(t(A), t(B)), d.LogNormal(t(B), t(B + 1)))),
    ("Bernoulli", lambda d, t: (d.Bernoulli(t(P[0])), d.Bernoulli(t(P[1])))),
    ("Categorical", lambda d, t: (d.Categorical(t(P)), d.Categorical(logits=t(P)))),
    ("one hot", lambda d, t: (d.OneHotCategorical(t(P)), d.OneHotCategorical(logits=t(P)))),
    ("Laplace", lambda d, t: (d.Laplace(t(A), t(B)), d.Laplace(t(B), t(B + 1)))),
    ("Exponential", lambda d, t: (d.Exponential(t(B)), d.Exponential(t(B + 1)))),
    ("Uniform", lambda d, t: (d.Uniform(t(A), t(A + B)), d.Uniform(t(A - 1), t(A + B - 0.9)))),
    ("Uniform, Normal", lambda d, t: (d.Uniform(t(A), t(A + B)), d.Normal(t(A), t(B)))),
    ("Poisson", lambda d, t: (d.Poisson(t(B)), d.Poisson(t(B + 1)))),
    ("Gamma", lambda d, t: (d.Gamma(t(B), t(B)), d.Gamma(t(B + 1), t(B + 2)))),
    ("Beta", lambda d, t: (d.Beta(t(B), t(B)), d.Beta(t(B + 1), t(B + 2)))),
    ("Dirichlet", lambda d, t: (d.Dirichlet(t(P)), d.Dirichlet(t(P + 1)))),
    (
        "MultivariateNormal",
        lambda d, t: (
            d.MultivariateNormal(t(A[:2]), t(L @ L.T)),
            d.MultivariateNormal(t(B[:2]), t(np.eye(2) * 2)),
        ),
    ),
    (
        "Independent",
        lambda d, t: (
            d.Independent(d.Normal(t(P), t(P + 1)), 1),
            d.Independent(d.Normal(t(P * 0), t(P * 0 + 1)), 1),
        ),
    ),
    ("Binomial", lambda d, t: (d.Binomial(5, t(P[0])), d.Binomial(5, t(P[1])))),
    ("of more trials", lambda d, t: (d.Binomial(6, t(P[0])), d.Binomial(5, t(P[1])))),
    (
        "ContinuousBernoulli",
        lambda d, t: (d.ContinuousBernoulli(t(P[0])), d.ContinuousBernoulli(t(P[1]))),
    ),
    ("Gumbel", lambda d, t: (d.Gumbel(t(A), t(B)), d.Gumbel(t(B), t(B + 1)))),
    ("Geometric", lambda d, t: (d.Geometric(t(P[0])), d.Geometric(t(P[1])))),
    ("HalfNormal", lambda d, t: (d.HalfNormal(t(B)), d.HalfNormal(t(B + 1)))),
    ("Cauchy", lambda d, t: (d.Cauchy(t(A), t(B)), d.Cauchy(t(B), t(B + 1)))),
    ("Pareto", lambda d, t: (d.Pareto(t(B), t(B)), d.Pareto(t(B[::-1].copy()), t(B + 1)))),
    (
        "Wishart",
        lambda d, t: (
            d.Wishart(t(np.array(4.0)), t(S)),
            d.Wishart(t(np.array(5.5)), t(S + np.eye(3))),
        ),
    ),
    (
        "of low rank",
        lambda d, t: (
            d.LowRankMultivariateNormal(t(A), t(WIDE), t(B)),
            d.LowRankMultivariateNormal(t(P), t(WIDE * 2), t(B + 1)),
        ),
    ),
    (
        "of full and of low rank",
        lambda d, t: (
            d.MultivariateNormal(t(P), t(S)),
            d.LowRankMultivariateNormal(t(A), t(WIDE * 2), t(B + 1)),
        ),
    ),
    (
        "of low and of full rank",
        lambda d, t: (
            d.LowRankMultivariateNormal(t(P), t(WIDE * 2), t(B + 1)),
            d.MultivariateNormal(t(A), t(S)),
        ),
    ),
    (
        "Transformed",
        lambda d, t: (
            d.TransformedDistribution(d.Normal(t(A), t(B)), d.ExpTransform()),
            d.TransformedDistribution(d.Normal(t(B), t(B)), d.ExpTransform()),
        ),
    ),
]

# One of each kind; the second of a pair lies so that its values hold those of the first, or not.
KINDS: dict[str, Make] = {
    "Bernoulli": lambda d, t: d.Bernoulli(t(P[0])),
    "Beta": lambda d, t: d.Beta(t(B), t(B + 1)),
    "Binomial": lambda d, t: d.Binomial(5, t(P[0])),
    "ContinuousBernoulli": lambda d, t: d.ContinuousBernoulli(t(P[0])),
    "Exponential": lambda d, t: d.Exponential(t(B)),
    "Gamma": lambda d, t: d.Gamma(t(B), t(B + 1)),
    "Gumbel": lambda d, t: d.Gumbel(t(A), t(B)),
    "Laplace": lambda d, t: d.Laplace(t(A), t(B)),
    "Normal": lambda d, t: d.Normal(t(A), t(B)),
    "Pareto": lambda d, t: d.Pareto(t(B / 10), t(np.array([0.9, 2.5, 3.0]))),
    "Poisson": lambda d, t: d.Poisson(t(B)),
    "Uniform": lambda d, t: d.Uniform(t(np.array([0.1, -1.0, 0.3])), t(np.array([0.8, 2.0, 0.9]))),
}
