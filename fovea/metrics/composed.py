"""Metrics that are computed from metrics: ``accuracy + recall``, ``1 - error``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fovea.metrics.metric import Metric

__all__ = ["Arithmetic", "composed"]


class Arithmetic:
    """What makes a metric of a metric and another one, or a number."""

    def __add__(self, other: Any) -> Any:
        return composed(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return composed(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return composed(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return composed(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return composed(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return composed(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return composed(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return composed(operator.truediv, other, self)

    def __pow__(self, other: Any) -> Any:
        return composed(operator.pow, self, other)

    def __neg__(self) -> Any:
        return composed(operator.neg, self)

    def __abs__(self) -> Any:
        return composed(operator.abs, self)

    def __getitem__(self, index: Any) -> Any:
        return composed(operator.getitem, self, index)


def composed(function: Callable[..., Any], *operands: Any) -> Metric:
    """The metric ``function(*operands)``; operands are metrics or numbers."""
    from fovea.metrics.composition import CompositionalMetric

    return CompositionalMetric(function, *operands)
