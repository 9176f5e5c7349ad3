"""Errors of predicted numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.metrics.inputs import as_array, choice, divided, same_shape
from fovea.metrics.metric import Metric

__all__ = ["MeanAbsoluteError", "MeanSquaredError", "R2Score"]

Array = np.ndarray[Any, Any]


class _Errors(Metric):
    """The mean of what an error costs."""

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    total: Array
    sum_error: Array

    def __init__(self, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_outputs < 1:
            raise ArgumentError(f"{type(self).__name__}: num_outputs is 1 or more.")
        self.num_outputs = num_outputs
        shape = () if num_outputs == 1 else (num_outputs,)
        self.add_state("sum_error", np.zeros(shape), "sum")
        self.add_state("total", np.zeros((), np.int64), "sum")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: of one shape; (N, num_outputs) if there are several."""
        owner = type(self).__name__
        preds, target = as_array(preds).astype(np.float64), as_array(target).astype(np.float64)
        same_shape(owner, preds, target)
        if self.num_outputs == 1:
            preds, target = preds.reshape(-1), target.reshape(-1)
        elif preds.ndim != 2 or preds.shape[1] != self.num_outputs:
            raise ShapeError(f"{owner}: (N, {self.num_outputs}), got {preds.shape}.")
        self.sum_error = self.sum_error + self.cost(preds - target).sum(0)
        self.total = self.total + len(preds)

    def cost(self, error: Array) -> Array:
        """What errors cost."""
        raise TypeError(f"{type(self).__name__} does not say what an error costs.")

    def compute(self) -> Any:
        """A number, or one an output."""
        return divided(self.sum_error, self.total, np.nan)


class MeanSquaredError(_Errors):
    """The mean of squared errors.

    Args:
        squared: False: its root.
        num_outputs: columns that are looked at one by one.

    >>> MeanSquaredError()([1.0, 2.0], [1.0, 4.0])
    tensor(2.)
    """

    def __init__(self, squared: bool = True, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_outputs, **kwargs)
        self.squared = squared

    def cost(self, error: Array) -> Array:
        return error**2

    def compute(self) -> Any:
        """A number, or one an output."""
        value = divided(self.sum_error, self.total, np.nan)
        return value if self.squared else np.sqrt(value)


class MeanAbsoluteError(_Errors):
    """The mean of absolute errors.

    Args:
        num_outputs: columns that are looked at one by one.

    >>> MeanAbsoluteError()([1.0, 2.0], [1.0, 4.0])
    tensor(1.)
    """

    def cost(self, error: Array) -> Array:
        return np.abs(error)


class R2Score(Metric):
    """The share of the variance that predictions explain.

    Args:
        adjusted: how many variables predictions were made from, for the adjusted score.
        multioutput: of several columns ``"uniform_average"``, ``"variance_weighted"`` or
            ``"raw_values"``.

    >>> R2Score()([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
    tensor(0.9486)
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    total: Array
    residual: Array
    sum_error: Array
    sum_squared_error: Array

    def __init__(
        self, adjusted: int = 0, multioutput: str = "uniform_average", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if adjusted < 0:
            raise ArgumentError(f"R2Score: adjusted is 0 or more, got {adjusted}.")
        choice(
            "R2Score",
            "multioutput",
            multioutput,
            ("raw_values", "uniform_average", "variance_weighted"),
        )
        self.adjusted, self.multioutput = adjusted, multioutput
        for name in ("sum_squared_error", "sum_error", "residual"):  # of each column
            self.add_state(name, np.zeros(1), "sum")
        self.add_state("total", np.zeros((), np.int64), "sum")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: (N,) or (N, outputs) each."""
        preds, target = as_array(preds).astype(np.float64), as_array(target).astype(np.float64)
        same_shape("R2Score", preds, target)
        if preds.ndim not in (1, 2):
            raise ShapeError(f"R2Score: (N,) or (N, outputs), got {preds.shape}.")
        preds, target = preds.reshape(len(preds), -1), target.reshape(len(target), -1)
        self.sum_squared_error = self.sum_squared_error + (target**2).sum(0)
        self.sum_error = self.sum_error + target.sum(0)
        self.residual = self.residual + ((target - preds) ** 2).sum(0)
        self.total = self.total + len(target)

    def _load(self, name: str, value: Any) -> None:
        setattr(self, name, as_array(value).copy())  # columns are as many as the data has

    def compute(self) -> Any:
        """A number, or one a column.

        Raises:
            ArgumentError: of fewer than two samples nothing follows.
        """
        n = int(self.total)
        if n < 2:
            raise ArgumentError(f"R2Score: two samples are needed, {n} were given.")
        spread = self.sum_squared_error - self.sum_error**2 / n
        wrong, varied = np.abs(self.residual) > 1e-4, np.abs(spread) > 1e-4
        score = np.where(wrong & ~varied, 0.0, 1.0)
        score = np.where(wrong & varied, 1 - divided(self.residual, spread), score)
        if self.multioutput == "uniform_average":
            score = score.mean()
        elif self.multioutput == "variance_weighted":
            score = np.asarray((spread / spread.sum() * score).sum())
        elif len(score) == 1:
            score = score[0]
        if 0 < self.adjusted < n - 1:
            score = 1 - (1 - score) * (n - 1) / (n - self.adjusted - 1)
        return np.asarray(score)
