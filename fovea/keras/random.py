"""``keras.random``: draws by seed, or by a generator of seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions import random as draws
from fovea.functions.creation import tensor
from fovea.functions.joining import cat
from fovea.functions.ordering import searchsorted
from fovea.functions.pointwise import log, minimum, where
from fovea.functions.ranges import linspace
from fovea.functions.statistics import cumulative_trapezoid
from fovea.keras import config
from fovea.random import Generator
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


class SeedGenerator:
    """A stream of random numbers of its own: each draw from it gives others.

    Args:
        seed: where it starts; None: anywhere.
        name: for configurations.

    >>> generator = SeedGenerator(0)
    >>> a, b = uniform((2,), seed=generator), uniform((2,), seed=generator)
    >>> a.tolist() != b.tolist()
    True
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise ArgumentError(f"SeedGenerator: the seed must be an integer, got {seed!r}.")
        self._initial_seed, self.name = int(seed), name
        self.generator = Generator().manual_seed(int(seed))

    @property
    def state(self) -> Tensor:
        """Seed and position, as a tensor."""
        return self.generator.state

    def next(self, ordered: bool = True) -> Tensor:
        """Seed and position as they are, and go on by one draw.

        Args:
            ordered: has no effect: draws always have an order.
        """
        found = self.state.clone()
        uniform((1,), seed=self)
        return found

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """A generator at its start."""
        return cls(**config)


def _generator(seed: Any) -> Generator | None:
    """What a ``seed`` stands for: None the default generator, a number a new one."""
    if seed is None or isinstance(seed, Generator):
        return seed
    if isinstance(seed, SeedGenerator):
        return seed.generator
    return Generator().manual_seed(int(seed))


def _given(x: Any) -> Tensor:
    """A tensor; arrays and lists as one, floats in ``floatx()``."""
    if is_tensor(x):
        found: Tensor = x
        return found
    array = np.asarray(x)
    return tensor(array, dtype=config.as_dtype(None) if array.dtype.kind == "f" else None)


def _kind(dtype: Any) -> Any:
    return config.as_dtype(dtype)


def normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    """Numbers of the normal distribution.

    Args:
        shape: of the result.
        seed: an integer (always the same numbers), a `SeedGenerator`, or None.
    """
    return draws.randn(tuple(shape), dtype=_kind(dtype), generator=_generator(seed)) * stddev + mean


def uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    """Numbers evenly spread over [``minval``, ``maxval``)."""
    drawn = draws.rand(tuple(shape), dtype=_kind(dtype), generator=_generator(seed))
    return drawn * (maxval - minval) + minval


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Whole numbers from ``minval`` up to, not including, ``maxval``."""
    return draws.randint(
        int(minval), int(maxval), tuple(shape), dtype=_kind(dtype), generator=_generator(seed)
    )


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    """Numbers of the normal distribution within two standard deviations of the mean."""
    from fovea.functions.special import ndtr, ndtri

    edge = float(ndtr(_wide(2.0)))
    chance = uniform(shape, 1 - edge, edge, "float64", seed)
    return (ndtri(chance) * stddev + mean).to(_kind(dtype))


def _wide(value: float) -> Tensor:
    """A number as a float64 tensor."""
    return tensor(value, dtype=dtypes.float64)


def categorical(logits: Tensor, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """``num_samples`` classes for each row of unnormalized log-probabilities (rows, classes)."""
    chances = _given(logits).softmax(-1)
    drawn = draws.multinomial(chances, num_samples, True, generator=_generator(seed))
    return drawn.to(_kind(dtype))


def dropout(inputs: Tensor, rate: float, noise_shape: Any = None, seed: Any = None) -> Tensor:
    """Zeros with probability ``rate``; the rest is divided by ``1 - rate``."""
    if not 0 <= rate < 1:
        raise ArgumentError(f"dropout: rate must lie in [0, 1), got {rate}.")
    inputs = _given(inputs)
    given = noise_shape or (None,) * inputs.ndim
    shape = [n if m is None else m for n, m in zip(inputs.shape, given, strict=True)]
    keep = draws.rand(shape, generator=_generator(seed)) >= rate
    return inputs * keep.to(inputs.dtype) / (1 - rate)


def shuffle(x: Tensor, axis: int = 0, seed: Any = None) -> Tensor:
    """The slices along ``axis`` in random order."""
    x = _given(x)
    order = draws.randperm(x.shape[axis], generator=_generator(seed))
    return x.index_select(axis, order)


_POINTS = 512


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of the beta distribution.

    Equal parameters (numbers, or 0-d tensors) are drawn by inversion of the distribution, on a grid
    of 512 points; others as a ratio of `gamma` draws.
    """
    if alpha is not beta and not (isinstance(alpha, int | float) and alpha == beta):
        stream = SeedGenerator(None if seed is None else seed) if isinstance(seed, int) else seed
        a, b = gamma(shape, alpha, "float64", stream), gamma(shape, beta, "float64", stream)
        return (a / (a + b)).to(_kind(dtype))
    # Below one half, with y = x ** alpha, the density's integral is that of a smooth function.
    chance = uniform(shape, 0.0, 1.0, "float64", seed)
    a = alpha.to(dtypes.float64) if is_tensor(alpha) else _wide(float(alpha))
    y = linspace(0, 1, _POINTS, dtype=dtypes.float64) * 0.5**a
    inner = y[1:-1]
    values = cat((y[:1] * 0 + 1, (1 - inner ** (1 / a)) ** (a - 1), y[:1] * 0 + 0.5 ** (a - 1)))
    total = cumulative_trapezoid(values, y)
    total = cat((y[:1] * 0, total / total[-1:] * 0.5))
    below = minimum(chance, 1 - chance)
    at = searchsorted(total, below).clamp(1, _POINTS - 1)
    low, high = total[at - 1], total[at]
    part = (below - low) / (high - low)
    x = (y[at - 1] + part * (y[at] - y[at - 1])) ** (1 / a)
    return where(chance < 0.5, x, 1 - x).to(_kind(dtype))


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of the gamma distribution of shape ``alpha`` (a number, or a tensor that broadcasts).

    Source: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
    """
    stream = seed if isinstance(seed, SeedGenerator) else _Stream(seed)
    a = alpha.to(dtypes.float64) if is_tensor(alpha) else _wide(float(alpha))
    a = a.expand(tuple(shape))
    small = a < 1
    d = where(small, a + 1, a) - 1 / 3
    c = 1 / (9 * d).sqrt()
    # A round rejects fewer than 1 in 20, so 8 leave 4e-11 of the numbers, which become d. That no
    # value is looked at lets the rounds be part of a compiled program.
    found, missing = d, d == d
    for _ in range(8):
        x = normal(shape, dtype="float64", seed=stream)
        v = (1 + c * x) ** 3
        u = uniform(shape, dtype="float64", seed=stream)
        fits = (v > 0) & (log(u) < 0.5 * x * x + d - d * v + d * log(where(v > 0, v, 1.0)))
        found = where(missing & fits, d * v, found)
        missing = missing & ~fits
    boost = uniform(shape, dtype="float64", seed=stream) ** (1 / a)
    return where(small, found * boost, found).to(_kind(dtype))


class _Stream(SeedGenerator):
    """A generator for the draws of one call."""

    def __init__(self, seed: Any) -> None:
        if seed is None or isinstance(seed, Generator):
            from fovea import random as generators

            self.generator = seed or generators.default_generator
        else:
            super().__init__(seed)


def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Tensor:
    """How many of ``counts`` trials succeed, each with its probability (numbers, or tensors that
    broadcast).
    """
    n = (counts if is_tensor(counts) else tensor(counts)).to(dtypes.float64).expand(tuple(shape))
    p = probabilities if is_tensor(probabilities) else tensor(probabilities)
    most = int(n.max()) if n.numel() else 0
    drawn = uniform((most, *shape), dtype="float64", seed=seed)
    trial = linspace(1, max(most, 1), most, dtype=dtypes.float64).reshape(-1, *(1,) * len(shape))
    hits = (drawn < p.to(dtypes.float64)) & (trial <= n)
    return hits.to(dtypes.float64).sum(0).to(_kind(dtype))
