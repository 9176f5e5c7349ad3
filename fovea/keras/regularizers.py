"""Penalties on weights, added to the loss. Names and defaults are Keras's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.keras.objects import lookup, serialize_keras_object

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer:
    """Base of regularizers: ``regularizer(weight)`` is a 0-d tensor."""

    keras_module = "keras.regularizers"

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty for a weight."""
        raise TypeError(f"{type(self).__name__} must define __call__.")

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        raise TypeError(f"{type(self).__name__} must define get_config to be saved.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """One with these arguments."""
        return cls(**config)


def _factor(name: str, value: Any) -> float:
    number = float(value)
    if number < 0 or not math.isfinite(number):
        raise ArgumentError(f"{name}: the factor must be a number of at least 0, got {value}.")
    return number


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x**2)``.

    >>> import fovea
    >>> L1L2(l1=1.0, l2=0.5)(fovea.tensor([1.0, -2.0]))
    tensor(5.5000)
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1, self.l2 = _factor("L1L2", l1 or 0.0), _factor("L1L2", l2 or 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        total: Any = 0.0
        if self.l1:
            total = total + x.abs().sum() * self.l1
        if self.l2:
            total = total + (x * x).sum() * self.l2
        return total if self.l1 or self.l2 else x.new_zeros(())

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(|x|)``."""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor("L1", 0.01 if l1 is None else l1)

    def __call__(self, x: Tensor) -> Tensor:
        return x.abs().sum() * self.l1

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(x**2)``."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor("L2", 0.01 if l2 is None else l2)

    def __call__(self, x: Tensor) -> Tensor:
        return (x * x).sum() * self.l2

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Pushes the rows (or columns) of a matrix to be orthogonal.

    Args:
        factor: how strongly.
        mode: ``"rows"`` or ``"columns"``.

    Raises:
        ArgumentError: an unknown mode, or a weight that is no matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ArgumentError(f"OrthogonalRegularizer: mode {mode!r} is not 'rows' or 'columns'.")
        self.factor, self.mode = _factor("OrthogonalRegularizer", factor), mode

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ArgumentError(
                f"OrthogonalRegularizer takes matrices, got shape {tuple(x.shape)}."
            )
        rows = x if self.mode == "rows" else x.t()
        length = (rows * rows).sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        unit = rows / length
        size = unit.shape[0]
        products = (unit @ unit.t()).abs().sum() - (unit * unit).sum()  # those of different rows
        pairs = max(1.0, size * (size - 1.0) / 2.0)
        return products * (0.5 * self.factor / pairs)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
_KNOWN: dict[str, Any] = {
    "L1": L1,
    "L2": L2,
    "L1L2": L1L2,
    "OrthogonalRegularizer": OrthogonalRegularizer,
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Any:
    """The regularizer that a name, class, description or function means; None gives None.

    >>> get("l2").l2
    0.01
    """
    return lookup("regularizer", identifier, _KNOWN)


def serialize(regularizer: Any) -> Any:
    """Plain data that describes a regularizer."""
    return serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The regularizer that plain data describes."""
    return get(config)
