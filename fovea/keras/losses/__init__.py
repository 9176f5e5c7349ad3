"""Keras's losses, as functions, as classes and by name."""

from __future__ import annotations

from typing import Any

from fovea.keras.losses.circle import Circle, circle
from fovea.keras.losses.classes import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    LossFunctionWrapper,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from fovea.keras.losses.ctc import CTC, ctc
from fovea.keras.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from fovea.keras.losses.generalized import (
    CategoricalGeneralizedCrossEntropy,
    categorical_generalized_cross_entropy,
)
from fovea.keras.objects import lookup, serialize_keras_object

_CLASSES: dict[str, Any] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Loss)
}
_FUNCTIONS: dict[str, Any] = {
    f.__name__: f
    for f in (
        binary_crossentropy,
        binary_focal_crossentropy,
        categorical_crossentropy,
        categorical_focal_crossentropy,
        categorical_generalized_cross_entropy,
        categorical_hinge,
        circle,
        cosine_similarity,
        ctc,
        dice,
        hinge,
        huber,
        kl_divergence,
        log_cosh,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_error,
        mean_squared_logarithmic_error,
        poisson,
        sparse_categorical_crossentropy,
        squared_hinge,
        tversky,
    )
}
# The names that Keras 1 and 2 have, too.
MSE = mse = mean_squared_error
MAE = mae = mean_absolute_error
MAPE = mape = mean_absolute_percentage_error
MSLE = msle = mean_squared_logarithmic_error
KLD = kld = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh


class Reduction:
    """How Keras 2 called reductions; ``reduction=`` takes the names themselves."""

    AUTO = "sum_over_batch_size"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"


_ALIASES: dict[str, Any] = {
    "bce": binary_crossentropy,
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
    "kld": kl_divergence,
    "logcosh": log_cosh,
    "MSE": mean_squared_error,
    "MAE": mean_absolute_error,
    "MAPE": mean_absolute_percentage_error,
    "MSLE": mean_squared_logarithmic_error,
    "KLD": kl_divergence,
}
_KNOWN: dict[str, Any] = {**_CLASSES, **_FUNCTIONS, **_ALIASES}
# The object that a function's name means in `compile`; it reads more directly than a wrapper.
_CLASS_OF: dict[Any, type[Loss]] = {
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    binary_crossentropy: BinaryCrossentropy,
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
}


def get(identifier: Any) -> Any:
    """The loss that a name, class, description or function means; None gives None.

    >>> get("mse") is mean_squared_error, type(get("MeanSquaredError")).__name__
    (True, 'MeanSquaredError')
    """
    return lookup("loss", identifier, _KNOWN)


def as_loss(identifier: Any) -> Loss | None:
    """A loss object, also from a name or a function."""
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    if found in _CLASS_OF:
        return _CLASS_OF[found]()
    return LossFunctionWrapper(found)


def serialize(loss: Any) -> Any:
    """The name of a loss function, or plain data that describes a loss."""
    if getattr(loss, "__name__", None) in _FUNCTIONS:
        return loss.__name__
    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The loss that a name or plain data describes."""
    return get(name)
