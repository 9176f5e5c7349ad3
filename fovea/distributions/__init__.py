"""``fovea.distributions``: distributions to draw from, with probabilities and divergences.

Draws that have gradients in PyTorch have them here.

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
from fovea.distributions.circular import VonMises
from fovea.distributions.compound import (
    Independent,
    LogNormal,
    MixtureSameFamily,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
)
from fovea.distributions.constraint_registry import ConstraintRegistry, biject_to, transform_to
from fovea.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from fovea.distributions.continuous_bernoulli import ContinuousBernoulli
from fovea.distributions.counts import Binomial, Multinomial, NegativeBinomial
from fovea.distributions.discrete import (
    Bernoulli,
    Categorical,
    Geometric,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from fovea.distributions.distribution import Distribution
from fovea.distributions.exponential_family import ExponentialFamily
from fovea.distributions.gamma import Beta, Chi2, Dirichlet, Gamma
from fovea.distributions.kl import kl_divergence, register_kl
from fovea.distributions.low_rank import LowRankMultivariateNormal
from fovea.distributions.matrices import LKJCholesky, Wishart
from fovea.distributions.multivariate import MultivariateNormal
from fovea.distributions.ratios import FisherSnedecor, StudentT
from fovea.distributions.transformed import (
    GeneralizedPareto,
    HalfCauchy,
    InverseGamma,
    Kumaraswamy,
    LogisticNormal,
    Pareto,
    Weibull,
)
from fovea.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "CatTransform",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "ConstraintRegistry",
    "ContinuousBernoulli",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "constraints",
    "identity_transform",
    "kl",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
]
