"""The best of one rate where another is good enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.keras.metrics.base import need
from fovea.keras.metrics.confusion import ALL_COUNTS, Array, _Counts, flat_inputs, over

__all__ = [
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
]


class _Constrained(_Counts):
    """Over evenly spaced thresholds, the best of one rate where another is at least ``value``."""

    _direction = "up"
    _pieces = ALL_COUNTS
    bound: str  # the argument that names the least value

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        kind = type(self).__name__
        need(0 <= value <= 1, f"{kind}: {self.bound} must lie in [0, 1], got {value}.")
        need(num_thresholds > 0, f"{kind}: num_thresholds must be positive, got {num_thresholds}.")
        points = [0.5] if num_thresholds == 1 else np.linspace(0, 1, num_thresholds).tolist()
        super().__init__(points, name, dtype)
        setattr(self, self.bound, value)
        self.num_thresholds, self.class_id = num_thresholds, class_id

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count(*flat_inputs(y_true, y_pred, sample_weight, None, self.class_id))

    def value(self) -> Any:
        held, wanted = self.rates()
        good = held >= getattr(self, self.bound)
        return float(np.max(np.where(good, wanted, 0.0), initial=0.0))

    def rates(self) -> tuple[Array, Array]:
        """The rate that is bounded, and the one that is wanted, at each threshold."""
        raise NotImplementedError(f"{type(self).__name__} must define rates().")

    def recalls(self) -> Array:
        """The share of positives that were found."""
        return over(self.true_positives, self.true_positives + self.false_negatives)

    def precisions(self) -> Array:
        """The share of predicted positives that are right."""
        return over(self.true_positives, self.true_positives + self.false_positives)

    def specificities(self) -> Array:
        """The share of negatives that were seen as such."""
        return over(self.true_negatives, self.true_negatives + self.false_positives)

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        found.pop("thresholds")
        return {
            **found,
            self.bound: getattr(self, self.bound),
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }


class SensitivityAtSpecificity(_Constrained):
    """The best sensitivity (recall) where the specificity is at least ``specificity``.

    Args:
        specificity: the least.
        num_thresholds: how many thresholds are tried.
        class_id: look at this class only.

    >>> m = SensitivityAtSpecificity(0.5)
    >>> m.update_state([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    >>> m.value()
    0.5
    """

    bound = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def rates(self) -> tuple[Array, Array]:
        return self.specificities(), self.recalls()


class SpecificityAtSensitivity(_Constrained):
    """The best specificity where the sensitivity (recall) is at least ``sensitivity``; arguments
    as of `SensitivityAtSpecificity`.
    """

    bound = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def rates(self) -> tuple[Array, Array]:
        return self.recalls(), self.specificities()


class PrecisionAtRecall(_Constrained):
    """The best precision where the recall is at least ``recall``; arguments as of
    `SensitivityAtSpecificity`.
    """

    bound = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def rates(self) -> tuple[Array, Array]:
        return self.recalls(), self.precisions()


class RecallAtPrecision(_Constrained):
    """The best recall where the precision is at least ``precision``; arguments as of
    `SensitivityAtSpecificity`.
    """

    bound = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def rates(self) -> tuple[Array, Array]:
        return self.precisions(), self.recalls()
