"""Numbers of categories as they are, as ones among zeros, or counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes, watching
from fovea.errors import ArgumentError
from fovea.functions.creation import ones, tensor, zeros
from fovea.functions.pointwise import where
from fovea.functions.ranges import arange
from fovea.keras.layers.layer import Layer
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MODES", "CategoryEncoding", "check_mode", "encoded", "encoded_shape", "host"]

MODES = ("int", "one_hot", "multi_hot", "count")


def check_mode(name: str, mode: str, modes: tuple[str, ...] = MODES, sparse: bool = False) -> str:
    """The mode by its present name.

    Raises:
        ArgumentError: another one, or sparse tensors are wanted.
    """
    mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(mode, mode)
    if mode not in modes:
        raise ArgumentError(f"{name}: output_mode is one of {modes}, got {mode!r}.")
    if sparse:
        raise ArgumentError(f"{name}: there are no sparse tensors.", fix="leave sparse=False")
    return mode


def host(values: Any) -> np.ndarray[Any, Any]:
    """Words or numbers as an array, bytes as text."""
    array = values.numpy() if is_tensor(values) else np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype.kind == "O":
        texts = [v.decode("utf-8") if isinstance(v, bytes) else v for v in array.ravel()]
        return np.array(texts).reshape(array.shape)
    return array


def encoded(
    indices: Tensor, mode: str, depth: int, dtype: Any, weights: Tensor | None = None
) -> Tensor:
    """Indices (..., n) in a mode; those from ``depth`` on, and negative ones, are left out.

    Args:
        mode: ``"int"``, ``"one_hot"`` (..., n, depth), without an ``n`` of 1; ``"multi_hot"`` or
            ``"count"`` (..., depth).
        weights: what counts for each index, instead of one.
    """
    if mode == "int":
        return indices.to(dtype)
    x = indices.reshape(1) if indices.ndim == 0 else indices
    if mode == "one_hot":
        x = x.squeeze(-1) if x.ndim > 1 and x.shape[-1] == 1 else x
        return (x.unsqueeze(-1) == arange(depth)).to(dtype)
    rows = x.reshape(-1, x.shape[-1]).to(dtypes.int64)
    rows = where((rows >= 0) & (rows < depth), rows, depth)
    share = ones(*rows.shape) if weights is None else weights.reshape(*rows.shape)
    held = zeros(rows.shape[0], depth + 1, dtype=share.dtype).scatter_add(1, rows, share)
    held = held[:, :depth].reshape(*x.shape[:-1], depth)
    return (held != 0 if mode == "multi_hot" else held).to(dtype)


def encoded_shape(shape: Any, mode: str, depth: int | None) -> tuple[Any, ...]:
    """The shape of `encoded`."""
    given = tuple(shape)
    if mode == "int":
        return given
    given = given or (1,)
    if mode == "one_hot":
        given = given[:-1] if len(given) > 1 and given[-1] == 1 else given
        return (*given, depth)
    return (*given[:-1], depth)


class CategoryEncoding(Layer):
    """Classes as rows of zeros and ones.

    Args:
        num_tokens: how many classes there are.
        output_mode: ``"multi_hot"`` (a one for each class in the last dimension), ``"one_hot"`` (a
            row for each) or ``"count"`` (how often each occurs).

    Call: ``count_weights`` of the inputs' shape are added up instead of ones (``"count"``).

    >>> CategoryEncoding(4)(np.array([[0, 1], [3, 3]])).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    takes_integers = True

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_mode = check_mode("CategoryEncoding", output_mode, MODES[1:], sparse)
        if num_tokens is None or num_tokens < 1:
            raise ArgumentError(
                f"CategoryEncoding: num_tokens must be at least 1, got {num_tokens}.",
                fix="IntegerLookup learns classes from data",
            )
        self.num_tokens, self.sparse = int(num_tokens), sparse
        self.built = True

    def call(self, inputs: Any, count_weights: Any = None) -> Tensor:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(f"{self.name}: count_weights go with output_mode='count'.")
        x = inputs if is_tensor(inputs) else tensor(np.asarray(inputs))
        watching.look(x, self._check, essential=False)
        if count_weights is not None and not is_tensor(count_weights):
            count_weights = tensor(np.asarray(count_weights), dtype=self._dtype)
        return encoded(x, self.output_mode, self.num_tokens, self._dtype, count_weights)

    def _check(self, values: np.ndarray[Any, Any]) -> None:
        if values.size and (values.min() < 0 or values.max() >= self.num_tokens):
            raise ArgumentError(
                f"{self.name}: classes lie from 0 to {self.num_tokens - 1}, got "
                f"{values.min()} to {values.max()}."
            )

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)
