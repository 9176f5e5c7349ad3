"""Words and numbers put into bins by their hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import from_numpy
from fovea.keras import config
from fovea.keras.layers.features.encoding import check_mode, encoded, encoded_shape, host
from fovea.keras.layers.features.fingerprints import crossed, farmhash64, siphash64
from fovea.keras.layers.layer import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["HashedCrossing", "Hashing", "bins_of", "check_salt", "texts"]

Array = np.ndarray[Any, Any]


def texts(values: Array) -> Array:
    """Values as text; fractions are cut off first."""
    if values.dtype.kind == "U":
        return values
    whole = values.astype(np.int64) if values.dtype.kind == "f" else values
    return whole.astype(str)


def each(values: Array, f: Callable[[Any], int]) -> Array:
    """int64: ``f`` of each value, computed once for equal ones."""
    distinct, place = np.unique(values, return_inverse=True)
    found = np.array([f(v) for v in distinct.tolist()], np.int64)
    return np.asarray(found[place.reshape(-1)].reshape(values.shape))


def bins_of(values: Array, count: int, salt: Sequence[int] | None = None) -> Array:
    """The bin of each word or number: by FarmHash, or with a salt by SipHash."""
    if salt is None:
        return each(texts(values), lambda s: farmhash64(s.encode()) % count)
    return each(texts(values), lambda s: siphash64(s.encode(), salt) % count)


def check_salt(name: str, salt: Any) -> list[int] | None:
    """Two integers from one or two, or None."""
    if salt is None:
        return None
    if isinstance(salt, int):
        return [salt, salt]
    if isinstance(salt, list | tuple) and len(salt) == 2:
        return list(salt)
    raise ArgumentError(f"{name}: salt is an integer or two, got {salt!r}.")


class _OfHashes(Layer):
    """A layer that gives integers, or floats where they are encoded."""

    takes_integers = True

    def __init__(self, output_mode: str, dtype: Any, **kwargs: Any) -> None:
        if dtype is None:
            dtype = "int64" if output_mode == "int" else config.floatx()
        super().__init__(dtype=dtype, **kwargs)
        self.built = True

    def _as_input(self, value: Any) -> Any:
        return value  # words, too


class Hashing(_OfHashes):
    """The bin of each word or integer, by a hash: classes without a vocabulary.

    Args:
        num_bins: how many bins.
        mask_value: what goes to bin 0, which nothing else goes to then.
        salt: an integer, or two, for other bins (by SipHash instead of FarmHash).
        output_mode: ``"int"``, or how `CategoryEncoding` writes numbers.

    Inputs: lists or arrays of strings, or integers. Bins are those of TensorFlow.

    >>> Hashing(3)(["A", "B", "C", "D", "E"]).tolist()
    [1, 0, 1, 1, 2]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        self.__dict__["output_mode"] = check_mode("Hashing", output_mode, sparse=sparse)
        super().__init__(self.output_mode, kwargs.pop("dtype", None), **kwargs)
        if num_bins is None or num_bins < 1:
            raise ArgumentError(f"Hashing: num_bins must be at least 1, got {num_bins}.")
        if self.output_mode == "int" and self.compute_dtype not in ("int32", "int64"):
            raise ArgumentError(
                f"Hashing: dtype is 'int32' or 'int64' for output_mode='int', got {self.dtype}."
            )
        self.num_bins, self.mask_value, self.sparse = num_bins, mask_value, sparse
        self.salt = check_salt("Hashing", salt)

    def call(self, inputs: Any) -> Tensor:
        values = host(inputs)
        masked = self.mask_value is not None and self.num_bins > 1
        found = bins_of(values, self.num_bins - masked, self.salt)
        if masked:
            found = np.where(values == self.mask_value, 0, found + 1)
        return encoded(from_numpy(found), self.output_mode, self.num_bins, self._dtype)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self.num_bins)


class HashedCrossing(_OfHashes):
    """The bin of each combination of features, by a hash.

    Args:
        num_bins: how many bins.
        output_mode: ``"int"`` or ``"one_hot"``.

    Inputs: two or more arrays of strings or integers, (N,) or (N, 1). Bins are those of TensorFlow.

    >>> HashedCrossing(5)((["A", "B", "A"], [101, 101, 102])).tolist()
    [1, 4, 3]
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        mode = check_mode("HashedCrossing", output_mode, ("int", "one_hot"), sparse)
        super().__init__(mode, dtype, name=name, **kwargs)
        self.num_bins, self.output_mode, self.sparse = num_bins, mode, sparse

    def call(self, inputs: Any) -> Tensor:
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise ArgumentError(f"{self.name}: a list of at least two features is needed.")
        values = [host(x) for x in inputs]
        shape = values[0].shape
        if any(v.shape != shape for v in values) or len(shape) > 2 or shape[1:] not in ((), (1,)):
            raise ShapeError(
                f"{self.name}: features are all (), (N,) or (N, 1), got "
                f"{', '.join(str(v.shape) for v in values)}."
            )
        if any(v.dtype.kind not in "Uiub" for v in values):
            raise ArgumentError(f"{self.name}: features are strings or integers.")
        rows = [
            each(v, _fingerprint).ravel().tolist() if v.dtype.kind == "U" else v.ravel().tolist()
            for v in values
        ]
        found = np.array(
            [crossed(row) % self.num_bins for row in zip(*rows, strict=True)], np.int64
        )
        place = from_numpy(found.reshape(shape))
        return encoded(place, self.output_mode, self.num_bins, self._dtype)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return encoded_shape(input_shape[0], self.output_mode, self.num_bins)


def _fingerprint(text: str) -> int:
    found = farmhash64(text.encode())
    return found - (1 << 64) if found >> 63 else found  # int64
