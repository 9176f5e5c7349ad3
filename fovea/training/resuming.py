"""Runs that go on where they stopped, within an epoch, too, as if nothing had happened.

A state holds what the next step depends on: weights, optimizer, schedule, random numbers; where in
the data the run stands (how the random numbers were when the pass began, and how many batches of it
were taken: `fovea.training.batches.Position`); and what the epoch's metrics and the callbacks know.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.tensorbase import is_tensor
from fovea.training.callbacks import Callback

if TYPE_CHECKING:
    from fovea.training.trainer import Trainer

__all__ = [
    "KeepState",
    "RestoreCallbacks",
    "load_values",
    "metric_states",
    "states_of",
    "values_of",
]


def values_of(thing: Any) -> dict[str, Any]:
    """What a metric or a callback knows: its ``state_dict()``, else its attributes that are
    numbers, texts, arrays and tensors.
    """
    if hasattr(thing, "state_dict"):
        return _storable(thing.state_dict())
    kept = (bool, int, float, str, np.ndarray, type(None))
    found = {k: v for k, v in vars(thing).items() if isinstance(v, kept) or is_tensor(v)}
    return _storable(found)


def load_values(thing: Any, values: dict[str, Any]) -> None:
    """Give a metric or a callback what `values_of` found."""
    if hasattr(thing, "load_state_dict"):
        thing.load_state_dict(values)
        return
    for name, value in values.items():
        before = getattr(thing, name, None)
        if isinstance(before, np.ndarray):
            value = value.numpy().copy()
        setattr(thing, name, value)


def _storable(value: Any) -> Any:
    """Arrays as tensors, tensors as copies: later steps do not change what was kept."""
    if isinstance(value, dict):
        return {k: _storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v) for v in value]
    if is_tensor(value):
        return value.detach().clone()
    if isinstance(value, np.generic):
        return value.item()
    return from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


class KeepState(Callback):
    """Writes the state of a `fovea.Trainer` to a file, which is there whole or as it was before.

    Args:
        path: the file.
        every: after so many steps, besides after each epoch.

    Raises:
        ArgumentError: ``every`` below 1.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | None = None) -> None:
        super().__init__()
        if every is not None and every < 1:
            raise ArgumentError(f"KeepState: every is at least 1 step, got {every}.")
        self.path, self.every = path, every
        self._since = 0

    def wants_batch_logs(self) -> bool:
        return False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        self._since = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._since += 1
        if self.every is not None and self._since >= self.every and self.model.between_updates:
            self._since = 0
            self.model.save(self.path)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._since = 0
        self.model.save(self.path)


class RestoreCallbacks(Callback):
    """Gives other callbacks, once they have begun, what those of their kind knew when the state
    was kept: the first of a kind what the first knew, and so on.
    """

    def __init__(self, callbacks: Sequence[Callback], states: Sequence[Any] | None) -> None:
        super().__init__()
        self.callbacks, self.states = callbacks, states

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        states, self.states = list(self.states or ()), None
        for callback in self.callbacks:
            kind = type(callback).__name__
            place = next((i for i, s in enumerate(states) if s["callback"] == kind), None)
            values = None if place is None else states.pop(place)["values"]
            if values:
                load_values(callback, values)


def states_of(callbacks: Sequence[Callback]) -> list[dict[str, Any]]:
    """What callbacks know that say so: those with a ``state_dict``."""
    return [
        {
            "callback": type(c).__name__,
            "values": values_of(c) if hasattr(c, "state_dict") else None,
        }
        for c in callbacks
    ]


def metric_states(trainer: Trainer) -> dict[str, Any]:
    """What the metrics of an epoch know."""
    return {
        "loss": values_of(trainer._loss),
        "notes": {name: values_of(mean) for name, mean in trainer._notes.items()},
        "metrics": [values_of(metric) for metric in trainer.metrics],
    }
