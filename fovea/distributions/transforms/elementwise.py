"""Transforms of each number by itself."""

from __future__ import annotations

import math
from typing import Any

from fovea.distributions import constraints
from fovea.distributions.transforms.base import Transform, shape_with, summed
from fovea.dtypes import finfo
from fovea.functions.creation import tensor, zeros
from fovea.nn import functional as F
from fovea.tensorbase import is_tensor

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftplusTransform",
    "TanhTransform",
    "clipped_sigmoid",
]


class AffineTransform(Transform):
    """loc + scale x

    Args:
        loc, scale: numbers or tensors.
        event_dim: how many of the last dimensions are one event.
        cache_size: as of `Transform`.
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.domain = self.codomain = (
            constraints.independent(constraints.real, event_dim) if event_dim else constraints.real
        )

    @property
    def sign(self) -> Any:
        """That of ``scale``."""
        if is_tensor(self.scale):
            return self.scale.sign()
        return int(self.scale > 0) - int(self.scale < 0)

    def _arguments(self) -> tuple[Any, ...]:
        return self.loc, self.scale, self.event_dim

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        scale = self.scale
        one = scale.abs().log() if is_tensor(scale) else math.log(abs(scale))
        return summed(zeros(x.shape, dtype=x.dtype) + one, self.event_dim)

    def forward_shape(self, shape: Any) -> Any:
        return shape_with(shape, self.loc, self.scale)

    inverse_shape = forward_shape


class ExpTransform(Transform):
    """exp(x)"""

    bijective = True
    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class PowerTransform(Transform):
    """x^exponent, of positive numbers.

    Args:
        exponent: a number or a tensor.
        cache_size: as of `Transform`.
    """

    bijective = True
    domain = constraints.positive
    codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent: Any = exponent if is_tensor(exponent) else tensor(float(exponent))

    @property
    def sign(self) -> Any:
        """That of the exponent."""
        return self.exponent.sign()

    def _arguments(self) -> tuple[Any, ...]:
        return (self.exponent,)

    def _call(self, x: Any) -> Any:
        return x.pow(self.exponent)

    def _inverse(self, y: Any) -> Any:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return shape_with(shape, self.exponent)

    inverse_shape = forward_shape


def clipped_sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), kept off 0 and 1."""
    limits = finfo(x.dtype)
    return x.sigmoid().clamp(min=limits.tiny, max=1 - limits.eps)


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x))"""

    bijective = True
    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        return clipped_sigmoid(x)

    def _inverse(self, y: Any) -> Any:
        limits = finfo(y.dtype)
        y = y.clamp(min=limits.tiny, max=1 - limits.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x) - F.softplus(x)


class SoftplusTransform(Transform):
    """log(1 + exp(x)); x itself where it is above 20."""

    bijective = True
    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return F.softplus(x)

    def _inverse(self, y: Any) -> Any:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x)


class TanhTransform(Transform):
    """tanh(x), with the logarithm in a form that does not overflow."""

    bijective = True
    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2 * (math.log(2) - x - F.softplus(-2 * x))


class AbsTransform(Transform):
    """|x|; its inverse gives the number that is not negative."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class CumulativeDistributionTransform(Transform):
    """The probability of values up to x: even over [0, 1] for draws of the distribution.

    Args:
        distribution: one of numbers, with ``cdf``, ``icdf`` and ``log_prob``.
        cache_size: as of `Transform`.
    """

    bijective = True
    codomain = constraints.unit_interval

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        """Where the distribution's values lie."""
        return self.distribution.support

    def _arguments(self) -> tuple[Any, ...]:
        return (self.distribution,)

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return self.distribution.log_prob(x)
