"""Dropout and noise: active in training only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.random import rand, randn
from fovea.keras import config
from fovea.keras.layers.activation import _SameShape
from fovea.keras.layers.spec import InputSpec
from fovea.random import Generator

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Dropout", "GaussianNoise", "SpatialDropout2D"]


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
        kind = inputs.dtype if inputs.dtype.itemsize >= 4 else dtypes.float32
        drawn = rand(self._noise_shape(inputs), generator=self._generator, dtype=kind)
        return inputs * ((drawn >= self.rate).to(inputs.dtype) * (1.0 / (1.0 - self.rate)))


class SpatialDropout2D(Dropout):
    """``Dropout`` of whole channels of images.

    Args:
        rate: the probability of a zero.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        seed: for numbers of its own.
    """

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
        self.input_spec = InputSpec(ndim=4)

    def _noise_shape(self, x: Tensor) -> tuple[int, ...]:
        n, *rest = x.shape
        if self.data_format == "channels_first":
            return (n, rest[0], 1, 1)
        return (n, 1, 1, rest[-1])

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        return {k: v for k, v in found.items() if k not in ("noise_shape", "trainable")}


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
