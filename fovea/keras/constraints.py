"""What weights must stay within; applied after each update. Names and defaults are Keras's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea.keras.config import epsilon
from fovea.keras.objects import lookup, serialize_keras_object

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

Axis = int | Sequence[int]


class Constraint:
    """Base of constraints: ``constraint(weight)`` is the nearest weight allowed."""

    keras_module = "keras.constraints"

    def __call__(self, w: Tensor) -> Tensor:
        """The weight, put right."""
        raise TypeError(f"{type(self).__name__} must define __call__.")

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """One with these arguments."""
        return cls(**config)


def _norm(w: Tensor, axis: Axis) -> Tensor:
    dims = axis if isinstance(axis, int) else tuple(axis)
    return (w * w).sum(dims, keepdim=True).sqrt()


class MaxNorm(Constraint):
    """The norm along ``axis`` is at most ``max_value``.

    >>> import fovea
    >>> MaxNorm(1.0)(fovea.tensor([[3.0], [4.0]]))
    tensor([[0.6000],
            [0.8000]])
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Tensor) -> Tensor:
        norm = _norm(w, self.axis)
        return w * (norm.clamp(0, self.max_value) / (norm + epsilon()))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """No weight is negative."""

    def __call__(self, w: Tensor) -> Tensor:
        return w.clamp(min=0)


class UnitNorm(Constraint):
    """The norm along ``axis`` is 1."""

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Tensor:
        return w / (_norm(w, self.axis) + epsilon())

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """The norm along ``axis`` lies between two values, or moves there at ``rate``."""

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Tensor) -> Tensor:
        norm = _norm(w, self.axis)
        wanted = norm.clamp(self.min_value, self.max_value) * self.rate + norm * (1 - self.rate)
        return w * (wanted / (norm + epsilon()))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
_KNOWN: dict[str, Any] = {
    "MaxNorm": MaxNorm,
    "MinMaxNorm": MinMaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Any:
    """The constraint that a name, class, description or function means; None gives None."""
    return lookup("constraint", identifier, _KNOWN)


def serialize(constraint: Any) -> Any:
    """Plain data that describes a constraint."""
    return serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The constraint that plain data describes."""
    return get(config)
