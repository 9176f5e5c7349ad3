"""Numbers that come one after another: their mean, sum, extremes, or all of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.inputs import as_array, divided
from fovea.metrics.metric import Metric

__all__ = ["CatMetric", "MaxMetric", "MeanMetric", "MinMetric", "RunningMean", "SumMetric"]

Array = np.ndarray[Any, Any]
NanStrategy = str | float


class _Aggregator(Metric):
    """A metric of numbers.

    Args:
        nan_strategy: what to do with numbers that are NaN: ``"warn"`` and leave them out,
            ``"ignore"`` them, ``"error"``, ``"disable"``: take them as they are, or a number to put
            in their place.
    """

    full_state_update = False

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        allowed = ("error", "warn", "ignore", "disable")
        if nan_strategy not in allowed and not isinstance(nan_strategy, float):
            raise ArgumentError(
                f"{type(self).__name__}: nan_strategy is a float or one of {allowed}, got "
                f"{nan_strategy!r}."
            )
        self.nan_strategy = nan_strategy

    def _numbers(self, value: Any, weight: Any = 1.0) -> tuple[Array, Array]:
        """Values and weights, flat, without those that are NaN."""
        values = as_array(value).astype(np.float64)
        weights = np.broadcast_to(as_array(weight), values.shape).astype(np.float64)
        values, weights = values.reshape(-1), weights.reshape(-1)
        missing = np.isnan(values) | np.isnan(weights)
        if self.nan_strategy == "disable" or not missing.any():
            return values, weights
        if self.nan_strategy == "error":
            raise ArgumentError(f"{type(self).__name__}: a value is NaN.")
        if isinstance(self.nan_strategy, float):
            return np.where(missing, self.nan_strategy, values), np.where(missing, 1, weights)
        if self.nan_strategy == "warn":
            message = f"{type(self).__name__}: values that are NaN are left out."
            warnings.warn(message, UserWarning, stacklevel=4)
        return values[~missing], weights[~missing]


class SumMetric(_Aggregator):
    """The sum of all values.

    >>> total = SumMetric()
    >>> total.update(1); total.update([2.0, 3.0])
    >>> total.compute()
    tensor(6.)
    """

    sum_value: Array

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        self.add_state("sum_value", np.zeros(()), "sum")

    def update(self, value: Any) -> None:
        """Add values."""
        self.sum_value = self.sum_value + self._numbers(value)[0].sum()

    def compute(self) -> Any:
        """The sum; 0 of nothing."""
        return self.sum_value


class MeanMetric(_Aggregator):
    """The weighted mean of all values.

    >>> mean = MeanMetric()
    >>> mean.update(1.0, weight=3); mean.update(5.0)
    >>> mean.compute()
    tensor(2.)
    """

    mean_value: Array
    weight: Array

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        self.add_state("mean_value", np.zeros(()), "sum")
        self.add_state("weight", np.zeros(()), "sum")

    def update(self, value: Any, weight: Any = 1.0) -> None:
        """Add values; ``weight`` is one for all, or one each."""
        values, weights = self._numbers(value, weight)
        self.mean_value = self.mean_value + (values * weights).sum()
        self.weight = self.weight + weights.sum()

    def compute(self) -> Any:
        """The mean; NaN of nothing."""
        return divided(self.mean_value, self.weight, np.nan)


class MaxMetric(_Aggregator):
    """The largest of all values.

    >>> largest = MaxMetric()
    >>> largest.update([1, 3]); largest.update(2)
    >>> largest.compute()
    tensor(3.)
    """

    max_value: Array

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        self.add_state("max_value", np.full((), -np.inf), "max")

    def update(self, value: Any) -> None:
        """Add values."""
        self.max_value = np.maximum(self.max_value, self._numbers(value)[0].max(initial=-np.inf))

    def compute(self) -> Any:
        """The largest; -inf of nothing."""
        return self.max_value


class MinMetric(_Aggregator):
    """The smallest of all values.

    >>> smallest = MinMetric()
    >>> smallest.update([1, 3]); smallest.update(2)
    >>> smallest.compute()
    tensor(1.)
    """

    min_value: Array

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        self.add_state("min_value", np.full((), np.inf), "min")

    def update(self, value: Any) -> None:
        """Add values."""
        self.min_value = np.minimum(self.min_value, self._numbers(value)[0].min(initial=np.inf))

    def compute(self) -> Any:
        """The smallest; inf of nothing."""
        return self.min_value


class CatMetric(_Aggregator):
    """All values, one after another.

    >>> everything = CatMetric()
    >>> everything.update(1); everything.update([2, 3])
    >>> everything.compute()
    tensor([1., 2., 3.])
    """

    values: list[Array]

    def __init__(self, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        self.add_state("values", [], "cat")

    def update(self, value: Any) -> None:
        """Add values."""
        self.values = [*self.values, self._numbers(value)[0]]

    def compute(self) -> Any:
        """(N,)."""
        return np.concatenate([*self.values, np.zeros(0)])


class RunningMean(_Aggregator):
    """The mean of the values of the last updates.

    Args:
        window: of how many updates.
        nan_strategy: what to do with numbers that are NaN.

    >>> running = RunningMean(window=2)
    >>> for value in (1.0, 2.0, 4.0):
    ...     running.update(value)
    >>> running.compute()
    tensor(3.)
    """

    recent: list[Array]

    def __init__(self, window: int = 5, nan_strategy: NanStrategy = "warn", **kwargs: Any) -> None:
        super().__init__(nan_strategy, **kwargs)
        if window < 1:
            raise ArgumentError(f"RunningMean: window is 1 or more, got {window}.")
        self.window = window
        self.add_state("recent", [], "cat")

    def update(self, value: Any) -> None:
        """Add values."""
        self.recent = [*self.recent, self._numbers(value)[0]][-self.window :]

    def compute(self) -> Any:
        """The mean; NaN of nothing."""
        values = np.concatenate([*self.recent[-self.window :], np.zeros(0)])
        return divided(values.sum(), values.size, np.nan)
