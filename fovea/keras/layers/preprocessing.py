"""Layers that prepare data inside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.keras import config
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.activation import _SameShape
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Normalization", "Rescaling"]


class Rescaling(_SameShape):
    """``x * scale + offset``; integers become floats.

    >>> import fovea
    >>> Rescaling(1 / 255)(fovea.tensor([0, 255], dtype=fovea.uint8))
    tensor([0., 1.])
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        scale, offset = (self._constant(v) for v in (self.scale, self.offset))
        y = inputs * scale
        return y if isinstance(offset, float | int) and offset == 0 else y + offset

    def _constant(self, value: Any) -> Any:
        if isinstance(value, list | tuple | np.ndarray):
            return creation.tensor(np.asarray(value), dtype=self._dtype)
        return value


class Normalization(_SameShape):
    """``(x - mean) / sqrt(variance)``, with statistics that are given or learned by ``adapt``.

    Args:
        axis: the dimensions that have statistics of their own; None for one of all.
        mean, variance: given statistics.
        invert: turn normalized data back.

    >>> import numpy as np, fovea
    >>> layer = Normalization(axis=None)
    >>> layer.adapt(np.array([1.0, 3.0]))
    >>> layer(fovea.tensor([1.0, 3.0]))
    tensor([-1.,  1.])
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ArgumentError("Normalization: give both mean and variance, or neither.")
        if axis is None:
            self.axis: tuple[int, ...] = ()
        else:
            self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        self.invert = bool(invert)
        self.__dict__["_given"] = mean is not None
        self.__dict__["_mean"], self.__dict__["_variance"] = mean, variance

    def _kept(self, rank: int) -> tuple[int, ...]:
        return tuple(sorted(a % rank for a in self.axis))

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        kept = self._kept(rank)
        shape = tuple(need_size(input_shape, a, self) for a in kept)
        broadcast = tuple(shape[kept.index(a)] if a in kept else 1 for a in range(rank))
        self.__dict__["_broadcast"] = broadcast if kept else ()
        if self._given:
            self.mean = self._spread(self._mean, shape)
            self.variance = self._spread(self._variance, shape)
        else:
            self.mean = self.add_weight(
                name="mean", shape=shape, initializer="zeros", trainable=False
            )
            self.variance = self.add_weight(
                name="variance", shape=shape, initializer="ones", trainable=False
            )
            self.count = self.add_weight(
                name="count", shape=(), initializer="zeros", dtype="int32", trainable=False
            )
        self.built = True

    def _spread(self, value: Any, shape: tuple[int, ...]) -> Tensor:
        given = np.asarray(value, dtype=self._dtype.numpy)
        flat = given.reshape(shape) if given.size == int(np.prod(shape)) else given
        return creation.tensor(np.broadcast_to(flat, shape), dtype=self._dtype)

    def adapt(self, data: Any) -> None:
        """Take mean and variance from data: an array, a tensor, or an iterable of batches.

        Raises:
            ArgumentError: the statistics were given.
        """
        if self._given:
            raise ArgumentError(
                f"{self.name}: mean and variance were given; there is none to learn."
            )
        batches = [data] if is_tensor(data) or isinstance(data, np.ndarray) else list(data)
        arrays = [b[0] if isinstance(b, list | tuple) else b for b in batches]
        values = np.concatenate([np.asarray(a, dtype=np.float64) for a in arrays])
        if not self.built:
            self.build_with({"input_shape": (None, *values.shape[1:])})
        kept = self._kept(values.ndim)
        dims = tuple(a for a in range(values.ndim) if a not in kept)
        self.mean.assign(values.mean(dims))  # type: ignore[attr-defined]
        self.variance.assign(values.var(dims))  # type: ignore[attr-defined]
        self.count.assign(np.asarray(values.size))

    def call(self, inputs: Tensor) -> Tensor:
        mean, deviation = (t.reshape(self._broadcast) for t in (self.mean, self.variance.sqrt()))
        deviation = deviation.clamp(min=config.epsilon())
        if self.invert:
            return mean + inputs * deviation
        return (inputs - mean) / deviation

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        for name in ("mean", "variance"):
            value = self.__dict__[f"_{name}"]
            found[name] = None if value is None else np.asarray(value).tolist()
        return found
