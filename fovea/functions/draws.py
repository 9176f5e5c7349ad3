"""Draws by rejection and by halving: of the gamma distribution, and of counts of successes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch
from fovea.errors import DTypeError, describe
from fovea.functions.pointwise import where
from fovea.functions.random import rand, randn
from fovea.functions.shaping import broadcast_tensors
from fovea.ops.incomplete_gamma import gamma_slope

if TYPE_CHECKING:
    from fovea.random import Generator
    from fovea.tensor import Tensor

__all__ = ["binomial", "standard_gamma"]

_FEW = 16  # trials that are made one by one


def _gamma(shape: Any, generator: Generator | None) -> Any:
    """Draws from Gamma(shape, 1), without a gradient; NaN for shapes that are none.

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
    """
    options: dict[str, Any] = {"dtype": shape.dtype, "generator": generator}
    small = shape < 1
    d = where(small, shape + 1, shape) - 1 / 3
    c = 1 / (3 * d.sqrt())
    drawn, missing = where(shape == math.inf, math.inf, shape * math.nan), (d > 0) & (d < math.inf)
    while bool(missing.any()):
        x, u = randn(shape.shape, **options), rand(shape.shape, **options)
        v = (1 + c * x) ** 3
        fits = (v > 0) & (u.log() < 0.5 * x**2 + d - d * v + d * v.clamp(min=1e-30).log())
        drawn = where(missing & fits, d * v, drawn)
        missing = missing & ~fits
    boost = rand(shape.shape, **options) ** (1 / shape)
    return where(small, where(shape < 0, math.nan, drawn * boost), drawn)


def standard_gamma(shape: Any, generator: Generator | None = None) -> Any:
    """A draw from the gamma distribution of each shape, with rate 1 and with gradients to it.

    The gradient is that of the value at which the distribution's probability of smaller values
    stays the same.

    Args:
        shape: floats above 0.
        generator: where the numbers come from.

    Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", 2018.

    >>> import fovea
    >>> shape = fovea.tensor([0.5, 3.0], requires_grad=True)
    >>> standard_gamma(shape).sum().backward()
    >>> bool((shape.grad > 0).all())
    True
    """
    drawn = _gamma(shape.detach(), generator)
    drawn = drawn.clamp(min=float(np.finfo(drawn.dtype.numpy).tiny))
    if not (shape.requires_grad and dispatch.grad_enabled()):
        return drawn
    slope = gamma_slope.bind((shape.detach(), drawn))
    return drawn + slope * (shape - shape.detach())


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of ``count`` trials succeed, each with probability ``prob``.

    Args:
        count: whole numbers, as floats.
        prob: probabilities; both broadcast. NaN gives NaN.
        generator: where the numbers come from.

    Raises:
        DTypeError: ``count`` or ``prob`` is not a float.

    Source: Relles, "A simple algorithm for generating binomial random variables when N is large",
    JASA 1972: many trials are halved by a draw of their median.

    >>> import fovea
    >>> binomial(fovea.tensor([10.0, 10.0]), fovea.tensor([0.0, 1.0]))
    tensor([ 0., 10.])
    """
    for name, t in (("count", count), ("prob", prob)):
        if not t.dtype.is_floating_point:
            raise DTypeError(f"binomial: {name} must be of floats, got {describe(t)}.")
    kind = count.dtype
    n, p = broadcast_tensors(count.detach().double(), prob.detach().double())
    found = n * 0
    n = where(n < math.inf, n, math.nan)
    while bool((n > _FEW).any()):
        many = n > _FEW
        middle = (n / 2).floor() + 1
        low = _gamma(where(many, middle, 1.0), generator)
        median = low / (low + _gamma(where(many, n + 1 - middle, 1.0), generator))
        below = median <= p
        found = where(many & below, found + middle, found)
        rest = where(below, (p - median) / (1 - median), p / median)
        p = where(many, rest.clamp(0, 1), p)
        n = where(many, where(below, n - middle, middle - 1), n)
    found = found + n * 0 + p * 0
    for trial in range(_FEW):
        hit = rand(n.shape, dtype=n.dtype, generator=generator) < p
        found = found + (hit & (n > trial)).to(found.dtype)
    return found.to(kind)
