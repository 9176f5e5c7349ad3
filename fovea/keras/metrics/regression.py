"""Metrics that are means of losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea.keras.losses import functions as losses
from fovea.keras.losses.functions import paired
from fovea.keras.metrics.base import Mean, MeanMetricWrapper, PlainMean
from fovea.nn import functional as F

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "cosine_similarity",
]


class MeanSquaredError(PlainMean):
    """The mean of squared errors.

    >>> m = MeanSquaredError()
    >>> m.update_state([[0.0], [1.0]], [[2.0], [1.0]])
    >>> m.value()
    2.0
    """

    function, default = staticmethod(losses.mean_squared_error), "mean_squared_error"
    _direction = "down"


class RootMeanSquaredError(Mean):
    """The root of the mean of squared errors."""

    _direction = "down"

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        y_true, y_pred = paired("root_mean_squared_error", y_true, y_pred)
        error = y_true.detach() - y_pred.detach()
        super().update_state(error * error, sample_weight)

    def value(self) -> float:
        return math.sqrt(super().value())


class MeanAbsoluteError(PlainMean):
    """The mean of absolute errors."""

    function, default = staticmethod(losses.mean_absolute_error), "mean_absolute_error"
    _direction = "down"


class MeanAbsolutePercentageError(PlainMean):
    """The mean of errors in percent of the target."""

    function = staticmethod(losses.mean_absolute_percentage_error)
    default, _direction = "mean_absolute_percentage_error", "down"


class MeanSquaredLogarithmicError(PlainMean):
    """The mean of squared differences of logarithms."""

    function = staticmethod(losses.mean_squared_logarithmic_error)
    default, _direction = "mean_squared_logarithmic_error", "down"


class LogCoshError(PlainMean):
    """The mean of ``log(cosh(error))``."""

    function, default, _direction = staticmethod(losses.log_cosh), "logcosh", "down"


class KLDivergence(PlainMean):
    """The mean of ``sum(y_true * log(y_true / y_pred))``."""

    function, default, _direction = staticmethod(losses.kl_divergence), "kl_divergence", "down"


class Poisson(PlainMean):
    """The mean of ``y_pred - y_true * log(y_pred)``."""

    function, default, _direction = staticmethod(losses.poisson), "poisson", "down"


class Hinge(PlainMean):
    """The mean of ``max(1 - y_true * y_pred, 0)``."""

    function, default, _direction = staticmethod(losses.hinge), "hinge", "down"


class SquaredHinge(PlainMean):
    """The mean of ``max(1 - y_true * y_pred, 0)**2``."""

    function, default, _direction = staticmethod(losses.squared_hinge), "squared_hinge", "down"


class CategoricalHinge(PlainMean):
    """The mean margin between the right class and the best wrong one."""

    function, default = staticmethod(losses.categorical_hinge), "categorical_hinge"
    _direction = "down"


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """The cosine of the angle between target and prediction."""
    y_true, y_pred = paired("cosine_similarity", y_true, y_pred)
    return (F.normalize(y_true, dim=axis) * F.normalize(y_pred, dim=axis)).sum(axis)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between target and prediction."""

    _direction = "up"

    def __init__(
        self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1
    ) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean cross entropy of two classes."""

    _direction = "down"

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            losses.binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross entropy with one-hot targets."""

    _direction = "down"

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross entropy with integer labels."""

    _direction = "down"

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )

    def _values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self._fn(y_true, y_pred, **self._fn_kwargs)
