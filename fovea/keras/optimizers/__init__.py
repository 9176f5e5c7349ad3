"""Keras's optimizers, as classes and by name."""

from __future__ import annotations

from typing import Any

from fovea.keras.objects import lookup, serialize_keras_object
from fovea.keras.optimizers import schedules
from fovea.keras.optimizers.adadelta import Adadelta
from fovea.keras.optimizers.adafactor import Adafactor
from fovea.keras.optimizers.algorithms import SGD, Adagrad, Adam, Adamax, AdamW, Nadam, RMSprop
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.optimizers.ftrl import Ftrl
from fovea.keras.optimizers.lamb import Lamb
from fovea.keras.optimizers.lion import Lion
from fovea.keras.optimizers.loss_scale import LossScaleOptimizer
from fovea.keras.optimizers.multi import MultiOptimizer, OptimizerMap
from fovea.keras.optimizers.muon import Muon
from fovea.keras.optimizers.schedule_free import ScheduleFreeAdamW

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
    "with_loss_scale",
]

_CLASSES = (
    *(SGD, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion),
    *(LossScaleOptimizer, MultiOptimizer, Muon, Nadam, RMSprop, ScheduleFreeAdamW),
)
_KNOWN: dict[str, Any] = {
    **{c.__name__: c for c in _CLASSES},
    **{c.__name__.lower(): c for c in _CLASSES},
}


def get(identifier: Any) -> Any:
    """The optimizer that a name, class, description or object means; None gives None.

    >>> get("adam").beta_1
    0.9
    """
    return lookup("optimizer", identifier, _KNOWN, lambda found: hasattr(found, "step"))


def with_loss_scale(optimizer: Any) -> Any:
    """A Keras optimizer in a ``LossScaleOptimizer``, if it is not one yet."""
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def serialize(optimizer: Any) -> Any:
    """Plain data that describes an optimizer."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The optimizer that plain data describes."""
    return get(config)
