"""``fovea.distributions``: distributions to draw from, with probabilities and divergences.

Draws of the gamma distribution and its kin have no gradients; the others' that have them in
PyTorch have them here.

>>> import fovea
>>> from fovea.distributions import Independent, Normal, kl_divergence
>>> posterior = Independent(Normal(fovea.zeros(2, 3), fovea.ones(2, 3)), 1)
>>> prior = Independent(Normal(fovea.zeros(3), fovea.ones(3)), 1).expand((2,))
>>> z = posterior.rsample()
>>> z.shape, kl_divergence(posterior, prior)
(fovea.Size([2, 3]), tensor([0., 0.]))
"""

from __future__ import annotations

from fovea.distributions import constraints, kl, transforms
from fovea.distributions.compound import (
    Independent,
    LogNormal,
    MixtureSameFamily,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
)
from fovea.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from fovea.distributions.discrete import (
    Bernoulli,
    Categorical,
    Geometric,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from fovea.distributions.distribution import Distribution
from fovea.distributions.gamma import Beta, Chi2, Dirichlet, Gamma
from fovea.distributions.kl import kl_divergence, register_kl
from fovea.distributions.multivariate import MultivariateNormal
from fovea.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfNormal",
    "Independent",
    "Laplace",
    "LogNormal",
    "MixtureSameFamily",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Poisson",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "SigmoidTransform",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "constraints",
    "identity_transform",
    "kl",
    "kl_divergence",
    "register_kl",
    "transforms",
]
