"""A distribution of angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.distributions import constraints
from fovea.distributions.distribution import Check, Located
from fovea.functions.pointwise import where
from fovea.functions.random import rand
from fovea.functions.special import i0e, i1e

__all__ = ["VonMises"]


class VonMises(Located):
    """exp(k cos(x - loc)) / (2 pi I0(k)): the normal distribution's like on a circle.

    Args:
        loc: the mean angle, in radians.
        concentration: k.

    Mean and variance are circular ones.

    Source: Best and Fisher, "Efficient simulation of the von Mises distribution", 1979.
    """

    arg_constraints: ClassVar[dict[str, Check]] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real
    _names = ("loc", "concentration")

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc: Any
        self.concentration: Any
        self._set((loc, concentration), validate_args)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def log_prob(self, value: Any) -> Any:
        value, k = self._checked(value), self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - i0e(k).log()

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            k = self.concentration.detach().double().expand(shape)
            t = 1 + (1 + 4 * k**2).sqrt()
            rho = (t - (2 * t).sqrt()) / (2 * k)
            r = where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))
            angle, missing = k * 0, k == k
            while bool(missing.any()):
                u1, u2, u3 = rand((3, *shape), dtype=k.dtype).unbind(0)
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                fits = (c * (2 - c) > u2) | ((c / u2).log() + 1 - c >= 0)
                angle = where(missing & fits, (u3 - 0.5).sign() * f.clamp(-1, 1).acos(), angle)
                missing = missing & ~fits
            turned = (angle + math.pi + self.loc.double()) % (2 * math.pi) - math.pi
            return turned.to(self.loc.dtype)
