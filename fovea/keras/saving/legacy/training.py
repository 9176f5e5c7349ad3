"""How a model in an ``.h5`` file was compiled: its optimizer, losses and metrics."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FoveaError
from fovea.keras import losses, metrics, optimizers
from fovea.keras.objects import deserialize_keras_object, get_registered_object
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.saving.legacy.weights import WeightsGroup

__all__ = ["compile_as", "restore_optimizer"]

Config = dict[str, Any]
_PLAIN = ("accuracy", "acc", "crossentropy", "ce")
_SLOTS_FIRST = frozenset(
    ["m", "v", "vhat", "momentum", "velocity", "accumulator", "average_gradient", "norm"]
)


def compile_as(model: Any, config: Config) -> bool:
    """Compile a model as a file says; whether that was possible (a warning says why not)."""
    try:
        given = {
            "optimizer": _optimizer(config.get("optimizer_config")),
            "loss": _each(config.get("loss"), "losses"),
            "loss_weights": config.get("loss_weights"),
            "metrics": _metrics(config.get("metrics")),
            "weighted_metrics": _metrics(config.get("weighted_metrics")),
        }
        model.compile(**given)
    except (FoveaError, TypeError, ValueError, AttributeError) as error:
        warnings.warn(
            f"{model.name} was read, but not compiled ({error}): compile it before training.",
            stacklevel=5,
        )
        return False
    return True


def _optimizer(entry: Any) -> Any:
    if not isinstance(entry, dict) or entry.get("module") is not None:
        return deserialize_keras_object(entry)
    name = str(entry.get("class_name")).split(">")[-1]
    found = vars(optimizers).get(name)
    given = dict(entry.get("config") or {})
    if not (inspect.isclass(found) and issubclass(found, Optimizer)):
        described = {"module": None, "class_name": name, "registered_name": name, "config": given}
        return deserialize_keras_object(described)
    if "lr" in given:
        given["learning_rate"] = given.pop("lr")
    given["learning_rate"] = _rate(given.get("learning_rate", 0.001), given.pop("decay", 0.0))
    if not given.get("weight_decay"):
        given.pop("weight_decay", None)
    known = inspect.signature(found.__init__).parameters
    kept = {k: v for k, v in given.items() if k in known and (v is not None or k != "epsilon")}
    return found.from_config(kept)


def _rate(rate: Any, decay: Any) -> Any:
    """A learning rate, with the decay that optimizers of Keras 1 and 2 had themselves."""
    module = "keras.optimizers.schedules"
    if isinstance(rate, dict):
        return rate if rate.get("module") else {**rate, "module": module, "registered_name": None}
    if not decay:
        return rate
    given = {"initial_learning_rate": float(rate), "decay_steps": 1, "decay_rate": float(decay)}
    return {
        "module": module,
        "class_name": "InverseTimeDecay",
        "config": given,
        "registered_name": None,
    }


def _metrics(value: Any) -> Any:
    """Metrics as ``compile`` takes them: tf.keras puts those of a single output into two lists."""
    found = _each(value, "metrics")
    return found[0] if isinstance(found, list) and len(found) == 1 and _nested(found[0]) else found


def _nested(value: Any) -> bool:
    return isinstance(value, list)


def _each(value: Any, module: str) -> Any:
    """Losses or metrics in the structure that a file holds them in."""
    if isinstance(value, list | tuple):
        return [_each(v, module) for v in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {k: _each(v, module) for k, v in value.items()}
    if isinstance(value, dict):
        return _one(value, module)
    if isinstance(value, str) and value not in _PLAIN:
        own = get_registered_object(value)
        if own is not None:
            return own
        {"losses": losses, "metrics": metrics}[module].get(value)  # raises if it is unknown
    return value


def _one(entry: Config, module: str) -> Any:
    if entry.get("module") is not None:
        return deserialize_keras_object(entry)
    name, config = str(entry["class_name"]).split(">")[-1], entry.get("config")
    given = dict(config) if isinstance(config, dict) else {}
    function = given.pop("fn", None)
    if name in ("MeanMetricWrapper", "LossFunctionWrapper"):
        if not isinstance(function, str):
            raise ArgumentError(f"{name} is of a function that the file does not name.")
        return given["name"] if given.get("name") in _PLAIN else _each(function, module)
    if given.get("reduction") == "auto":
        given["reduction"] = "sum_over_batch_size"
    custom = get_registered_object(name) is not None
    described = {
        "module": None if custom else f"keras.{module}",
        "class_name": name,
        "config": given,
        "registered_name": name if custom else None,
    }
    return deserialize_keras_object(described)


# -- the optimizer's states -------------------------------------------------------------------


def restore_optimizer(model: Any, held: WeightsGroup) -> None:
    """Give the optimizer the states that a file holds; a warning, if they do not fit."""
    optimizer = model.optimizer
    if not isinstance(optimizer, Optimizer) or not held.file.group("optimizer_weights"):
        return
    if not model.trainable_weights:
        return
    group = held.file.group("optimizer_weights")
    names = held.names(group, "weight_names")
    values = [held.file.entry(n, group)[1]() for n in names]
    optimizer.build(model.trainable_weights)
    found = values if held.era > 2 else _states_now(optimizer, names, values)
    try:
        optimizer.set_weights(found)
    except FoveaError:
        warnings.warn(
            f"{optimizer.name}: the file holds {len(values)} states, which are not this "
            "optimizer's: they are left out, and it starts anew.",
            stacklevel=5,
        )


def _states_now(optimizer: Any, names: list[str], values: list[Any]) -> list[Any]:
    """The states of Keras 1 and 2 in the order of Keras 3.

    The optimizers before 2.11 kept one list for each kind of state, later ones as Keras 3 does.
    """
    own = optimizer.variables
    count = len(optimizer._parameters)
    rest = [(n, v) for n, v in zip(names, values, strict=True) if v.ndim or v.dtype.kind == "i"]
    steps = [v for _, v in rest if not v.ndim][:1] or [np.zeros((), np.int64)]
    states = [(n, v) for n, v in rest if v.ndim or count == len(rest)]
    head = [steps[0], *(v._array() for v in own[1 : len(own) - _state_count(optimizer, count)])]
    kept = [v for _, v in states]
    kinds = [name for group in optimizer.slots for name in group]
    if states and states[0][0].split("/")[1:2] and states[0][0].split("/")[1] in _SLOTS_FIRST:
        return [*head, *kept]
    lists = [kept[i : i + count] for i in range(0, len(kept), count)][: len(kinds)]
    ordered, at = [], 0
    for group in optimizer.slots:
        columns = lists[at : at + len(group)]
        at += len(group)
        ordered += [v for row in zip(*columns, strict=False) for v in row]
    return [*head, *ordered[: _state_count(optimizer, count)]]


def _state_count(optimizer: Any, count: int) -> int:
    """How many states the optimizer's kinds have here."""
    held = optimizer._engine.state
    return sum(
        engine in held[p]
        for group in optimizer.slots
        for p in optimizer._parameters[:count]
        for _, engine in group
    )
