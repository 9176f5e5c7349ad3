"""Callbacks that watch a number and act: stop early, lower the learning rate, or set it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError
from fovea.training.callbacks import Callback
from fovea.training.progress import print_message

__all__ = [
    "EarlyStopping",
    "LearningRateScheduler",
    "MonitorCallback",
    "ReduceLROnPlateau",
    "get_learning_rate",
    "set_learning_rate",
]


class MonitorCallback(Callback):
    """Base of callbacks that ask whether a number has improved.

    Args:
        monitor: its name in ``logs``.
        mode: ``"min"``, ``"max"``, or ``"auto"``: losses should fall, metrics go their own way.
        baseline: what the first value is compared with.
        min_delta: changes smaller than this are no improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__}: mode {mode!r} is unknown, using 'auto'.", stacklevel=3
            )
            mode = "auto"
        self.monitor, self.mode, self.best = monitor, mode, baseline
        self.min_delta = abs(min_delta)
        self._sign: int | None = None

    _kept: tuple[str, ...] = ("best",)

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, for a run that goes on."""
        return {name: getattr(self, name) for name in self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what ``state_dict`` gave."""
        for name in self._kept:
            setattr(self, name, state[name])

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        if self._sign is None:
            self._sign = self._direction()
        return bool(self._sign * (value - reference) > self.min_delta)

    def _direction(self) -> int:
        """1 if larger is better, -1 if smaller is."""
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return -1
        for metric in getattr(self.model, "metrics", ()):
            direction = getattr(metric, "direction", None)
            if direction and (metric.name == name or name.endswith(f"_{metric.name}")):
                return 1 if direction == "up" else -1
        raise ArgumentError(
            f"{type(self).__name__}: whether {self.monitor!r} should rise or fall is not known.",
            fix="pass mode='max' or mode='min'",
        )

    def _current(self, logs: dict[str, Any] | None) -> float | None:
        """The monitored value; warns if it is missing."""
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, which is not there; "
                f"there are: {', '.join(logs)}.",
                stacklevel=3,
            )
        return value


class EarlyStopping(MonitorCallback):
    """Ends the run when a number has stopped improving.

    Args:
        monitor: the number's name.
        min_delta: changes smaller than this are no improvement.
        patience: epochs without improvement to wait.
        verbose: 1 says what is done.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        baseline: the run ends if the number does not get better than this.
        restore_best_weights: go back to the weights of the best epoch at the end.
        start_from_epoch: epochs to let pass before watching.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: Any = None

    _kept = ("best", "wait", "stopped_epoch", "best_epoch", "best_weights")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        current = self._current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.is_improvement(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_message(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)


def get_learning_rate(optimizer: Any) -> float:
    """The learning rate: of ``fovea.keras`` optimizers and of ``fovea.optim``'s first group."""
    if hasattr(optimizer, "learning_rate"):
        return float(optimizer.learning_rate)
    return float(optimizer.param_groups[0]["lr"])


def set_learning_rate(optimizer: Any, value: float) -> None:
    """Set the learning rate; ``fovea.optim``'s groups keep their proportions."""
    if hasattr(optimizer, "learning_rate"):
        optimizer.learning_rate = value
        return
    before = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["lr"] = value if before == 0 else value * (float(group["lr"]) / before)


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a number has stopped improving.

    Args:
        monitor: the number's name.
        factor: what the learning rate is multiplied with; below 1.
        patience: epochs without improvement to wait.
        verbose: 1 says what is done.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        min_delta: changes smaller than this are no improvement.
        cooldown: epochs to wait after the learning rate was lowered.
        min_lr: the learning rate never goes below.

    Raises:
        ArgumentError: a factor of 1 or more.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if kwargs:
            raise ArgumentError(f"ReduceLROnPlateau: unknown arguments {sorted(kwargs)}.")
        if factor >= 1.0:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}.")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    _kept = ("best", "wait", "cooldown_counter")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        rate = logs["learning_rate"] = get_learning_rate(self.model.optimizer)
        current = self._current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                self._reduce(epoch, max(rate * self.factor, self.min_lr))

    def _reduce(self, epoch: int, rate: float) -> None:
        set_learning_rate(self.model.optimizer, rate)
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}."
            )
        self.cooldown_counter, self.wait = self.cooldown, 0


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch.

    Args:
        schedule: ``f(epoch, learning_rate) -> float``, or ``f(epoch) -> float``.
        verbose: 1 says what is set.

    Raises:
        ArgumentError: the schedule does not return a number.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        optimizer = self.model.optimizer
        try:
            rate: Any = self.schedule(epoch, get_learning_rate(optimizer))
        except TypeError:  # a schedule of the epoch alone
            rate = self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"LearningRateScheduler: the schedule must return a number, got {rate!r}."
            ) from None
        set_learning_rate(optimizer, rate)
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = get_learning_rate(self.model.optimizer)
