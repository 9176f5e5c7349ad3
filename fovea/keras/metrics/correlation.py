"""How well predictions follow targets: correlations and the coefficient of determination."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ShapeError
from fovea.functions import creation
from fovea.keras.config import epsilon
from fovea.keras.losses.functions import paired, to_tensor
from fovea.keras.metrics.base import MeanMetricWrapper, Metric, need

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ConcordanceCorrelation",
    "PearsonCorrelation",
    "R2Score",
    "concordance_correlation",
    "pearson_correlation",
]


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Pearson's coefficient along an axis: 1 for a rising line, -1 for a falling one."""
    t, p = paired("pearson_correlation", y_true, y_pred)
    t, p = (v - v.mean(axis, keepdim=True) for v in (t, p))
    spread = (t * t).mean(axis).sqrt() * (p * p).mean(axis).sqrt()
    return (t * p).mean(axis) / spread


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Lin's coefficient along an axis: 1 only where predictions are the targets.

    Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", 1989.
    """
    t, p = paired("concordance_correlation", y_true, y_pred)
    gap = t.mean(axis) - p.mean(axis)
    t, p = (v - v.mean(axis, keepdim=True) for v in (t, p))
    total = (t * t).mean(axis) + (p * p).mean(axis) + gap * gap + epsilon()
    return 2 * (t * p).mean(axis) / total


class PearsonCorrelation(MeanMetricWrapper):
    """The mean of `pearson_correlation`."""

    _direction = "up"

    def __init__(
        self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean of `concordance_correlation`."""

    _direction = "up"

    def __init__(
        self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)


class R2Score(Metric):
    """The share of the targets' variance that predictions explain; state in float64.

    Args:
        class_aggregation: ``"uniform_average"`` of the outputs, ``"variance_weighted_average"``,
            or None for one score an output.
        num_regressors: of an adjusted score; 0 for the plain one.

    >>> m = R2Score()
    >>> m.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
    >>> round(float(m.result()), 4)
    0.5714
    """

    _direction = "up"
    _pieces = ("num_samples", "squared_sum", "sum", "total_mse", "count")

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        known = (None, "uniform_average", "variance_weighted_average")
        need(
            class_aggregation in known,
            f"R2Score: class_aggregation is one of {known}, got {class_aggregation!r}.",
        )
        need(num_regressors >= 0, f"R2Score: num_regressors must be at least 0: {num_regressors}.")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.reset_state()

    def reset_state(self) -> None:
        self.squared_sum = self.sum = self.total_mse = self.count = np.zeros(1)
        self.num_samples = 0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        t, p = (to_tensor(v)._array().astype(np.float64) for v in (y_true, y_pred))
        if t.ndim != 2 or t.shape != p.shape:
            raise ShapeError(
                f"R2Score: two arrays (samples, outputs) are needed, got {t.shape}, {p.shape}."
            )
        weight = np.ones(1) if sample_weight is None else to_tensor(sample_weight)._array()
        weight = weight[:, None] if weight.ndim == 1 and len(weight) == len(t) else weight
        weight = np.broadcast_to(weight, t.shape).astype(np.float64)
        self.sum = self.sum + (t * weight).sum(0)
        self.squared_sum = self.squared_sum + (t * t * weight).sum(0)
        self.total_mse = self.total_mse + ((t - p) ** 2 * weight).sum(0)
        self.count = self.count + weight.sum(0)
        self.num_samples += t.size

    def value(self) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum - self.sum * (self.sum / self.count)
            scores = 1 - self.total_mse / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        found: Any = scores
        if self.class_aggregation == "uniform_average":
            found = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            found = (total * scores).sum() / total.sum()
        found = self._adjusted(found)
        return float(found) if np.ndim(found) == 0 else found.astype(np.float32)

    def _adjusted(self, score: Any) -> Any:
        if not self.num_regressors:
            return score
        left = self.num_samples - self.num_regressors - 1
        if left <= 0:
            warnings.warn(
                f"R2Score: {self.num_samples} values are too few for {self.num_regressors} "
                "regressors; the score is not adjusted.",
                stacklevel=3,
            )
            return score
        return 1 - (1 - score) * (self.num_samples - 1) / left

    def result(self) -> Any:
        return creation.tensor(self.value(), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
