"""Callbacks that send a run's numbers to MLflow and to Weights & Biases."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any

from fovea.errors import MissingExtraError
from fovea.training.callbacks import Callback

__all__ = ["MLflowLogger", "WandbLogger"]


def _imported(name: str, kind: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{kind} needs {name}.", fix=f"pip install {name}") from error


class _Tracker(Callback, ABC):
    """Counts steps over epochs, and sends numbers after every so many and after epochs."""

    def __init__(self, config: dict[str, Any] | None, every: int | None) -> None:
        super().__init__()
        self.config, self.every = dict(config or {}), every
        self.steps = 0

    def state_dict(self) -> dict[str, Any]:
        """How many steps were done, for a run that goes on."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what ``state_dict`` gave."""
        self.steps = int(state["steps"])

    def wants_batch_logs(self) -> bool:
        return self.every is not None and (self.steps + 1) % self.every == 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.steps = 0
        self._begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.steps += 1
        if self.every is not None and self.steps % self.every == 0:
            self._send({f"batch/{k}": v for k, v in _numbers(logs).items()})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._send({"epoch": epoch + 1, **_numbers(logs)})

    @abstractmethod
    def _begin(self) -> None:
        """Take the active run, or begin one."""

    @abstractmethod
    def _send(self, found: dict[str, Any]) -> None:
        """Send numbers of the present step."""


def _numbers(logs: dict[str, Any] | None) -> dict[str, float]:
    return {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}


class MLflowLogger(_Tracker):
    """Sends the numbers of every epoch to MLflow, in the active run or one that it begins and ends.

    Args:
        experiment: the experiment's name; the active one unless given.
        run_name: the new run's name.
        config: parameters of the run.
        every: send a step's numbers after every so many steps, too, as ``batch/loss`` ...

    Raises:
        MissingExtraError: MLflow is not installed.
    """

    def __init__(
        self,
        experiment: str | None = None,
        run_name: str | None = None,
        config: dict[str, Any] | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(config, every)
        self._mlflow = _imported("mlflow", "MLflowLogger")
        self.experiment, self.run_name = experiment, run_name
        self._own = False

    def _begin(self) -> None:
        if self.experiment is not None:
            self._mlflow.set_experiment(self.experiment)
        if self._mlflow.active_run() is None:
            self._mlflow.start_run(run_name=self.run_name)
            self._own = True
        if self.config:
            self._mlflow.log_params(self.config)

    def _send(self, found: dict[str, Any]) -> None:
        if found:
            self._mlflow.log_metrics(found, step=self.steps)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._own:
            self._mlflow.end_run()
            self._own = False


class WandbLogger(_Tracker):
    """Sends the numbers of every epoch to Weights & Biases, in the active run or one of its own.

    Args:
        project: the project's name.
        name: the new run's name.
        config: the run's configuration.
        every: send a step's numbers after every so many steps, too, as ``batch/loss`` ...
        **init: more for ``wandb.init``.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        every: int | None = None,
        **init: Any,
    ) -> None:
        super().__init__(config, every)
        self._wandb = _imported("wandb", "WandbLogger")
        self._init = {"project": project, "name": name, **init}
        self._own = False

    def _begin(self) -> None:
        if self._wandb.run is None:
            self._wandb.init(config=self.config, **self._init)
            self._own = True
        elif self.config:
            self._wandb.run.config.update(self.config)

    def _send(self, found: dict[str, Any]) -> None:
        if found:
            self._wandb.log(found, step=self.steps)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._own:
            self._wandb.finish()
            self._own = False
