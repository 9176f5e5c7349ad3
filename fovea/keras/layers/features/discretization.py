"""Numbers by the range they fall into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.ordering import searchsorted
from fovea.keras.layers.features.encoding import check_mode, encoded, encoded_shape
from fovea.keras.layers.layer import Layer
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Discretization", "batches"]

Array = np.ndarray[Any, Any]


def batches(data: Any, steps: int | None, whole: tuple[type, ...] = ()) -> Any:
    """What ``adapt`` goes through: data itself if it is an array (or one of ``whole``), else up to
    ``steps`` of the batches that it gives.
    """
    if is_tensor(data) or isinstance(data, (np.ndarray, str, *whole)):
        yield data
        return
    for i, batch in enumerate(data):
        if steps is not None and i >= steps:
            return
        yield batch[0] if isinstance(batch, tuple) else batch


class Discretization(Layer):
    """The number of the range that each value falls into.

    Args:
        bin_boundaries: where ranges begin: ``[0., 1.]`` makes three, below 0, [0, 1), and from 1.
        num_bins: how many ranges ``adapt`` shall find, with about as many values each.
        epsilon: how exact quantiles are.
        output_mode: ``"int"``, or how `CategoryEncoding` writes numbers.

    >>> Discretization([0.0, 1.0])(np.array([[-3.0, 0.0, 0.5, 7.0]])).tolist()
    [[0, 1, 1, 2]]
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.output_mode = check_mode("Discretization", output_mode, sparse=sparse)
        if (num_bins is None) == (bin_boundaries is None):
            raise ArgumentError("Discretization: give bin_boundaries, or num_bins and adapt().")
        if num_bins is not None and num_bins < 0:
            raise ArgumentError(f"Discretization: num_bins must not be negative, got {num_bins}.")
        self.__dict__["bin_boundaries"] = None if bin_boundaries is None else list(bin_boundaries)
        self.num_bins, self.epsilon, self.sparse = num_bins, epsilon, sparse
        self.reset_state()
        self.built = True

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Find the boundaries in data: an array, or an iterable of batches.

        Raises:
            ArgumentError: the boundaries were given.
        """
        if self.num_bins is None:
            raise ArgumentError(f"{self.name}: bin_boundaries were given; there is none to learn.")
        self.reset_state()
        for batch in batches(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        self.__dict__["_summary"] = np.zeros((2, 0), np.float32)

    def update_state(self, data: Any) -> None:
        """Take in a batch."""
        values = np.asarray(data.numpy() if is_tensor(data) else data, np.float32)
        both = np.concatenate([_summary(values, self.epsilon), self._summary], 1)
        both = both[:, np.argsort(both[0])]
        self.__dict__["_summary"] = _compressed(both, self.epsilon)

    def finalize_state(self) -> None:
        """Make boundaries of the data seen."""
        if self.num_bins:
            found = _compressed(self._summary, 1.0 / self.num_bins)
            self.__dict__["bin_boundaries"] = found[0, :-1].tolist()

    def call(self, inputs: Tensor) -> Tensor:
        if self.bin_boundaries is None:
            raise ArgumentError(
                f"{self.name}: there are no boundaries yet.", fix="call adapt(data)"
            )
        edges = tensor(self.bin_boundaries, dtype=inputs.dtype)
        place = searchsorted(edges, inputs, right=True)
        dtype = dtypes.int32 if self.output_mode == "int" else self._dtype
        return encoded(place, self.output_mode, self._depth, dtype)

    @property
    def _depth(self) -> int:
        edges = self.bin_boundaries
        return int(self.num_bins or 0) if edges is None else len(edges) + 1

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self._depth)

    def output_dtype(self, x: Any) -> str:
        return "int32" if self.output_mode == "int" else self.compute_dtype

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        found["bin_boundaries"] = self.bin_boundaries
        return {k: v for k, v in found.items() if k != "trainable"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        learned = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        if learned is None:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})
        layer.__dict__["bin_boundaries"] = list(learned)
        return layer


# A summary (2, n) is values in order, and how many each of them stands for.


def _summary(values: Array, epsilon: float) -> Array:
    """At most ``1 / epsilon`` of the values, evenly spread over their order."""
    ordered = np.sort(values.reshape(-1))
    step = max(ordered.size * epsilon, 1)
    kept = ordered[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _compressed(summary: Array, epsilon: float) -> Array:
    """About ``1 / epsilon`` values, interpolated where a share of all lies below."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    below = summary[1].cumsum()
    values = np.interp(shares, below / below[-1], summary[0])
    counts = np.diff(np.interp(shares, below / below[-1], below), prepend=0)
    return np.stack([values, counts]).astype(np.float32)
