"""Dropout and noise: active in training only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.random import rand, randn
from fovea.keras import config, regularizers
from fovea.keras.layers.activation import _SameShape
from fovea.keras.layers.spec import InputSpec
from fovea.random import Generator

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class _Random(_SameShape):
    """A layer that draws random numbers: from its own seed, or from the default generator."""

    def _seed(self, seed: Any) -> None:
        self.seed = None if seed is None else int(seed)
        self.__dict__["_generator"] = None if seed is None else Generator().manual_seed(self.seed)  # type: ignore[arg-type]
        self.built = True


class Dropout(_Random):
    """Zeros at random places; the rest is divided by ``1 - rate``.

    Args:
        rate: the probability of a zero, in [0, 1].
        noise_shape: shape of the zeros; 1 (or None: the input's size) along a dimension.
        seed: for numbers of its own.

    Raises:
        ArgumentError: a rate outside [0, 1].

    Source: Srivastava et al., "Dropout", JMLR 2014.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ArgumentError(f"{type(self).__name__}: rate must lie in [0, 1], got {rate}.")
        self.rate, self.noise_shape = rate, noise_shape
        self._seed(seed)

    def _noise_shape(self, x: Tensor) -> tuple[int, ...]:
        if self.noise_shape is None:
            return x.shape
        return tuple(n if m is None else m for n, m in zip(x.shape, self.noise_shape, strict=True))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return inputs * 0.0
        return inputs * (self._draw(inputs).to(inputs.dtype) * (1.0 / (1.0 - self.rate)))

    def _draw(self, inputs: Tensor) -> Tensor:
        """Booleans: what is kept."""
        kind = inputs.dtype if inputs.dtype.itemsize >= 4 else dtypes.float32
        return rand(self._noise_shape(inputs), generator=self._generator, dtype=kind) >= self.rate


class SpatialDropout2D(Dropout):
    """``Dropout`` of whole channels of images.

    Args:
        rate: the probability of a zero.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        seed: for numbers of its own.
    """

    rank = 2

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype, **kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noise_shape(self, x: Tensor) -> tuple[int, ...]:
        n, *rest = x.shape
        ones = (1,) * self.rank
        if self.data_format == "channels_first":
            return (n, rest[0], *ones)
        return (n, *ones, rest[-1])

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        return {k: v for k, v in found.items() if k not in ("noise_shape", "trainable")}


class SpatialDropout1D(SpatialDropout2D):
    """``Dropout`` of whole channels of sequences (N, L, C).

    Args:
        rate: the probability of a zero.
        seed: for numbers of its own.
    """

    rank = 1

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, "channels_last", seed, name, dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "data_format"}


class SpatialDropout3D(SpatialDropout2D):
    """``Dropout`` of whole channels of volumes (N, D, H, W, C); arguments as of
    ``SpatialDropout2D``.
    """

    rank = 3


class AlphaDropout(Dropout):
    """``Dropout`` that keeps mean and variance of what SELU gives: what is dropped gets SELU's
    least value, and all is scaled and shifted.

    Args:
        rate: the probability of being dropped, in [0, 1].
        noise_shape: as of ``Dropout``.
        seed: for numbers of its own.

    Source: Klambauer et al., "Self-Normalizing Neural Networks", 2017.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        least = -1.6732632423543772 * 1.0507009873554805  # of SELU
        scale = ((1 - self.rate) * (1 + self.rate * least**2)) ** -0.5 if self.rate < 1 else 0.0
        kept = self._draw(inputs).to(inputs.dtype)
        return scale * (inputs * kept + least * (1 - kept)) - scale * least * self.rate


class GaussianDropout(_Random):
    """Multiplies with normal numbers about 1, whose variance is that of ``Dropout``.

    Args:
        rate: of the dropout, in [0, 1): the deviation is sqrt(rate / (1 - rate)).
        seed: for numbers of its own.

    Raises:
        ArgumentError: a rate outside [0, 1).

    Source: Srivastava et al., "Dropout", JMLR 2014, section 10.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ArgumentError(f"GaussianDropout: rate must lie in [0, 1), got {rate}.")
        self.rate = rate
        self._seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        deviation = math.sqrt(self.rate / (1.0 - self.rate))
        noise = randn(inputs.shape, generator=self._generator, dtype=inputs.dtype)
        return inputs * (noise * deviation + 1.0)


class ActivityRegularization(_SameShape):
    """The input itself; its size is a penalty in the loss.

    Args:
        l1: factor of the sum of absolute values.
        l2: factor of the sum of squares.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "activity_regularizer"}


class GaussianNoise(_Random):
    """Adds normal noise.

    Args:
        stddev: its deviation.
        seed: for numbers of its own.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if stddev < 0:
            raise ArgumentError(f"GaussianNoise: stddev must not be negative, got {stddev}.")
        self.stddev = stddev
        self._seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.stddev == 0:
            return inputs
        noise = randn(inputs.shape, generator=self._generator, dtype=inputs.dtype)
        return inputs + noise * self.stddev
