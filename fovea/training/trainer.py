"""``fovea.Trainer``: a run of training without a loop of one's own, around any module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from fovea import random
from fovea.errors import ArgumentError
from fovea.interop import load, save
from fovea.nn.module import Module
from fovea.nn.utils.freezing import train_unfrozen
from fovea.training.arguments import as_metrics, listed, optimizer_and_scheduler
from fovea.training.batches import Batches, Position
from fovea.training.checkpoint import atomic_path
from fovea.training.feeding import Last, MarkedLast, as_loader, batch_size_of, joined
from fovea.training.history import History
from fovea.training.learner import Learner, as_tensors, split_batch
from fovea.training.loop import Loop, Validation
from fovea.training.metrics import Mean
from fovea.training.moving_average import EpochMean, MovingAverage, average_of
from fovea.training.resuming import (
    KeepState,
    RestoreCallbacks,
    load_values,
    metric_states,
    states_of,
)
from fovea.training.untouched import First, drawn, rehearse, same_random_numbers
from fovea.training.upkeep import Upkeep
from fovea.training.weighting import WeightedLoss, with_weights

__all__ = ["Trainer"]


class Trainer:
    """Trains a module: epochs, validation, metrics, precision, checkpoints; the loop is that of
    ``keras.Model.fit`` and the command line, and so are its callbacks.

    Args:
        model: a module. One that defines ``training_step(batch)``, which returns the loss or a
            dictionary with ``"loss"``, needs no ``loss`` here; it may define ``validation_step``,
            ``predict_step`` and ``configure_optimizers``, too.
        loss: ``f(outputs, targets)``, such as ``nn.CrossEntropyLoss()``.
        optimizer: an optimizer, or a function of parameters that makes one.
        metrics: ``"accuracy"``, metrics of ``fovea.training`` or ``fovea.keras``, or functions of
            outputs and targets; a list, or a dictionary by name.
        scheduler: a scheduler of learning rates, or a function of the optimizer that makes one.
        schedule_by: when the scheduler steps: after each ``"epoch"`` or each ``"step"``.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``; the last two keep float32 weights.
        accumulate: batches whose gradients make one update.
        clip: the largest norm of all gradients together.
        ema: the decay of a moving average of weights and buffers, such as 0.999: evaluation and
            prediction use it, and so do ``save_weights`` and callbacks that keep the best.
        swa: the first epoch (from 1) whose weights at its end count in their mean, which takes the
            place that ``ema`` would have (Izmailov et al. 2018); statistics of batch normalization
            are then taken anew by a pass over the training data.
        sample_weight: batches are ``(inputs, targets, weights)``, and the loss is the weighted mean
            over samples. (Weights of classes, and smoothed labels, belong to the loss:
            ``nn.CrossEntropyLoss(weight=, label_smoothing=)``.)
        callbacks: for every ``fit``. What they know as ``model`` is this trainer, whose ``model``
            is the module.
        compile: make each step one program; False to go through it with a debugger.

    Attributes:
        epoch: how many epochs have been done.
        history: losses and metrics of all epochs.
        batch: what the last step learned from.

    Raises:
        ArgumentError: something that is missing, or unknown.

    >>> import fovea
    >>> from fovea import nn
    >>> x = fovea.randn(64, 3)
    >>> y = (x.sum(1) > 0).long()
    >>> trainer = Trainer(nn.Linear(3, 2), nn.CrossEntropyLoss(),
    ...                   lambda params: fovea.optim.SGD(params, lr=0.5), metrics=["accuracy"])
    >>> _ = trainer.fit((x, y), validation=(x, y), epochs=5, batch_size=16, verbose=0)
    >>> sorted(trainer.history.history), trainer.evaluate((x, y), verbose=0)["accuracy"] > 0.8
    (['accuracy', 'loss', 'val_accuracy', 'val_loss'], True)
    """

    stop_training = stop_evaluating = stop_predicting = False

    def __init__(
        self,
        model: Module,
        loss: Callable[..., Any] | None = None,
        optimizer: Any = None,
        *,
        metrics: Any = None,
        scheduler: Any = None,
        schedule_by: str = "epoch",
        precision: str = "float32",
        accumulate: int = 1,
        clip: float | None = None,
        ema: float | None = None,
        swa: int | None = None,
        sample_weight: bool = False,
        callbacks: Any = None,
        compile: bool = True,
    ) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"Trainer: a module is needed, got {type(model).__name__}.")
        if schedule_by not in ("epoch", "step"):
            raise ArgumentError(f"Trainer: schedule_by is 'epoch' or 'step', got {schedule_by!r}.")
        self.model, self.callbacks = model, callbacks
        self.optimizer, self.scheduler = optimizer_and_scheduler(model, optimizer, scheduler)
        self.schedule_by = schedule_by
        self.metrics = as_metrics(metrics)
        if sample_weight and loss is None:
            raise ArgumentError("Trainer: sample_weight=True needs a loss.", fix="pass loss=")
        self.sample_weight = sample_weight
        loss = WeightedLoss(loss) if sample_weight and loss is not None else loss
        self._average = average_of(model, ema, swa)
        self.learner = Learner(
            model, loss, self.optimizer, precision=precision, accumulate=accumulate, clip=clip,
            compile=compile,
            average=self._average if isinstance(self._average, MovingAverage) else None,
        )  # fmt: skip
        self.history, self.epoch = History(), 0
        self._loss, self._notes = Mean("loss"), dict[str, Mean]()
        self._number = self._gathered = self._step = 0
        self._begun = False
        self.batch: Any = None
        self._resumed: dict[str, Any] | None = None
        self._batches: Batches | None = None
        self._own_callbacks: list[Any] = []
        self._loop = Loop(self, self._train_step, self._test_step, self._reset_metrics)

    # -- running ------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        validation: Any = None,
        epochs: int = 1,
        *,
        batch_size: int = 32,
        steps: int | None = None,
        validation_freq: int | Iterable[int] = 1,
        callbacks: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        fast_dev_run: bool | int = False,
        overfit_batches: int = 0,
        sanity_steps: int = 0,
        verbose: int | str = "auto",
    ) -> History:
        """Train until ``epochs`` have been done, those before a `resume` included.

        Args:
            train: a ``DataLoader`` or another iterable of batches ``(inputs, targets)``; or a
                dataset, a tensor or array, or a tuple of them, which is shuffled and batched.
            validation: the same, for validation.
            batch_size: for data that is not batched yet.
            steps: batches an epoch; as many as there are unless given.
            validation_freq: validate after every so many epochs, or after those of these numbers
                (from 1).
            callbacks: more callbacks.
            checkpoint: a file to keep the run in: the state is written there after each epoch, and
                a new trainer's ``fit`` goes on from it if it is there, to the same bits as if the
                run had never stopped (with data from a ``DataLoader`` of whatever workers, or
                without randomness of its own).
            checkpoint_every: write it after so many steps, too.
            fast_dev_run: only go through 1 batch (or so many) of training and of validation, for
                errors to show; no file is written, and the trainer stays as it was.
            overfit_batches: train on the first so many batches alone, and validate on them, if
                at all: a model that is wired well learns them by heart.
            sanity_steps: before the first epoch try validation on so many batches.
            verbose: 0 silent, 1 (or "auto") a progress bar, 2 a line an epoch.

        Returns:
            The history of all epochs.
        """
        if fast_dev_run:
            return rehearse(
                self, train, validation, int(fast_dev_run), batch_size=batch_size,
                callbacks=callbacks, verbose=verbose,
            )  # fmt: skip
        if overfit_batches:
            train = drawn(train, overfit_batches, batch_size)
            validation = None if validation is None else train
        held = None
        if validation is not None:
            held = Validation(Batches(as_loader(validation, batch_size, False)), validation_freq)
        if checkpoint is not None and not self._begun and os.path.exists(checkpoint):
            self.resume(checkpoint)
        if held is not None and sanity_steps and not self.epoch and self._resumed is None:
            self._try(held.batches.source, sanity_steps)
        source = as_loader(train, batch_size, True)
        if self.learner.accumulate > 1:
            source = MarkedLast(source)
        self._batches = batches = Batches(source, steps)
        own = self._own_callbacks = listed(self.callbacks, callbacks)
        keeping = [] if checkpoint is None else [KeepState(checkpoint, checkpoint_every)]
        done, states = self._go_on(batches)
        train_unfrozen(self.model)
        try:
            return self._loop.fit(
                batches,
                epochs=epochs,
                initial_epoch=self.epoch,
                initial_step=done,
                validation=held,
                callbacks=[
                    Upkeep(self),
                    self.history,
                    *own,
                    RestoreCallbacks(own, states),
                    *keeping,
                ],
                verbose=verbose,
            )
        finally:
            self._step = 0
            self._use_average(False)
            self.model.eval()

    def _go_on(self, batches: Batches) -> tuple[int, Any]:
        """Steps of the epoch that a resumed state has done, and what its callbacks knew."""
        state, self._resumed = self._resumed, None
        self._begun = True
        if state is None:
            return 0, None
        position = state.get("position")
        if position is None:
            return 0, state.get("callbacks")
        if position["taken"] is not None:
            batches.restore(Position(position["began"], position["taken"]))
        random.set_rng_state(state["random"])
        if not position["step"]:
            return 0, state.get("callbacks")
        load_values(self._loss, position["loss"])
        for name, values in position["notes"].items():
            load_values(self._notes.setdefault(name, Mean(name)), values)
        for metric, values in zip(self.metrics, position["metrics"], strict=True):
            load_values(metric, values)
        self._step = self._number = position["step"]
        return self._step, state.get("callbacks")

    def _try(self, validation: Any, steps: int) -> None:
        """Evaluate on a few batches, for errors to show."""
        with same_random_numbers(), self._averaging():
            self.model.eval()
            self._loop.evaluate(Batches(First(validation, steps)), verbose=0)

    @property
    def between_updates(self) -> bool:
        """Whether no gradients are gathered for an update to come."""
        return self._gathered == 0

    def evaluate(
        self, data: Any, *, batch_size: int = 32, callbacks: Any = None, verbose: int | str = "auto"
    ) -> dict[str, Any]:
        """Loss and metrics over data, as of ``fit``."""
        self.model.eval()
        batches = Batches(as_loader(data, batch_size, False))
        with self._averaging():
            return self._loop.evaluate(
                batches, callbacks=listed(self.callbacks, callbacks), verbose=verbose
            )

    def predict(
        self, data: Any, *, batch_size: int = 32, callbacks: Any = None, verbose: int | str = 0
    ) -> Any:
        """The outputs for data, joined along the batch; targets in it are left out."""
        self.model.eval()
        self._number = -1

        def step(batch: Any) -> Any:
            self._number += 1
            return self.learner.predict(self._paired(batch, True), self._number)

        with self._averaging():
            found = self._loop.predict(
                Batches(as_loader(data, batch_size, False)),
                step,
                callbacks=listed(self.callbacks, callbacks),
                verbose=verbose,
            )
        return joined(found)

    @property
    def averaged(self) -> Any:
        """The average of the model, a module of its kind in evaluation mode; the model itself
        without ``ema`` or ``swa``, and before the first epoch of ``swa``.
        """
        average = self._average
        return self.model if average is None or not average.ready else average.averaged.module

    def _end_of_steps(self) -> None:
        """The steps of an epoch are done: let its weights into the mean of epochs."""
        if not isinstance(self._average, EpochMean) or self._batches is None:
            return
        with same_random_numbers():
            self._average.take(self.epoch + 1, self._batches.source, self._look)

    def _look(self, batch: Any) -> Any:
        """Run the model on a batch of training, learning nothing."""
        batch = batch.batch if isinstance(batch, Last) else batch
        return self.learner._look_at_batch(as_tensors(self._paired(batch)), 0)

    def _averaging(self, inside: bool = True) -> AbstractContextManager[None]:
        """The model holds the averages (or its own weights) within the block."""
        return nullcontext() if self._average is None else self._average.used(inside)

    def _use_average(self, inside: bool) -> None:
        if self._average is not None:
            self._average.swap(inside)

    def _train_step(self, batch: Any) -> dict[str, Any]:
        last_of_all = False
        if isinstance(batch, Last):
            batch, last_of_all = batch.batch, batch.last
        first = self._gathered == 0
        self._gathered += 1
        self.batch = batch
        updates = self._gathered == self.learner.accumulate or last_of_all
        batch = self._paired(batch)
        loss, notes, outputs = self.learner.learn(batch, self._number, first, updates)
        self._number += 1
        self._step += 1
        if updates:
            self._gathered = 0
            if self.scheduler is not None and self.schedule_by == "step":
                self.scheduler.step()
        return self._note(batch, loss, notes, outputs)

    def _test_step(self, batch: Any) -> dict[str, Any]:
        batch = self._paired(batch)
        loss, notes, outputs = self.learner.look(batch, self._number)
        self._number += 1
        return self._note(batch, loss, notes, outputs)

    def _paired(self, batch: Any, bare: bool = False) -> Any:
        """A batch, its targets together with their weights; inputs alone go, too, if ``bare``."""
        alone = bare and not (isinstance(batch, list | tuple) and len(batch) > 2)
        return with_weights(batch) if self.sample_weight and not alone else batch

    def _note(self, batch: Any, loss: Any, notes: dict[str, Any], outputs: Any) -> dict[str, Any]:
        inputs, target = split_batch(batch)
        if self.sample_weight:
            target = target[0]
        count = batch_size_of(inputs)
        self._loss.update_state(loss, sample_weight=count)
        for name, value in notes.items():
            self._notes.setdefault(name, Mean(name)).update_state(value, sample_weight=count)
        if outputs is not None:
            for metric in self.metrics:
                metric.update_state(target, outputs)
        return {"loss": self._loss, **self._notes, **{m.name: m for m in self.metrics}}

    def _reset_metrics(self) -> None:
        self._number = 0
        self._notes.clear()
        for metric in (self._loss, *self.metrics):
            metric.reset_state()

    # -- keeping ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that a run needs to go on as if it had not stopped: weights and their moving
        average, optimizer, schedule, scale of the loss, epoch, history, random numbers.
        """
        held = None if self._average is None else self._average.states()
        model, average = (self.model.state_dict(), None) if held is None else held
        return {
            "model": model,
            "ema": average,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.learner.scaler.state_dict(),
            "epoch": self.epoch,
            "history": {k: list(v) for k, v in self.history.history.items()},
            "random": random.get_rng_state(),
            "callbacks": states_of(self._own_callbacks),
            "position": self._position(),
        }

    def _position(self) -> dict[str, Any] | None:
        """Where in the data the run stands; None between epochs of whole passes."""
        batches = self._batches
        if batches is None or not (self._step or batches.within_pass):
            return None
        place = batches.position
        return {
            "step": self._step,
            "began": None if place is None else place.began,
            "taken": None if place is None else place.taken,
            **metric_states(self),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; raises what the parts raise that do not fit."""
        self._use_average(False)
        self.model.load_state_dict(state["model"])
        if self._average is not None:
            held = state.get("ema")
            if held is None:
                raise ArgumentError(
                    "Trainer: the state has no average of the weights.",
                    fix="leave out ema= or swa=, or save from a trainer with it",
                )
            self._average.restore(held)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.learner.scaler.load_state_dict(state["scaler"])
        self.epoch = int(state["epoch"])
        self.history.history = {k: list(v) for k, v in state["history"].items()}
        random.set_rng_state(state["random"])
        self._resumed = state

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write ``state_dict`` to a file, which is there whole or not at all."""
        self._write(self.state_dict(), path, overwrite)

    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the module's ``state_dict``, with ``ema`` that of the averages."""
        self._write(self.get_weights(), path, overwrite)

    @staticmethod
    def _write(state: Any, path: str | os.PathLike[str], overwrite: bool) -> None:
        if not overwrite and os.path.exists(path):
            raise ArgumentError(f"{path} exists.", fix="pass overwrite=True, or another name")
        with atomic_path(path) as temporary:
            save(state, temporary)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the module's weights from a file of ``save_weights`` or ``save``, the averages if
        there are any; the optimizer and the rest stay as they are.
        """
        state = load(path)
        if isinstance(state.get("model"), dict) and "optimizer" in state:
            averages = state.get("ema")
            state = (
                state["model"]
                if averages is None
                else {
                    k.removeprefix("module."): v for k, v in averages.items() if k != "n_averaged"
                }
            )
        self.set_weights(state)

    def resume(self, path: str | os.PathLike[str]) -> Self:
        """Take what ``save`` wrote; the next ``fit`` goes on after the steps that were done."""
        self.load_state_dict(load(path))
        return self

    def get_weights(self) -> dict[str, Any]:
        """A copy of the module's state, with ``ema`` of the averages, for callbacks that go back to
        the best epoch.
        """
        with self._averaging():
            return {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def set_weights(self, weights: dict[str, Any]) -> None:
        """Take such a copy; with ``ema`` the averages are then the same."""
        self.model.load_state_dict(weights)
        if self._average is not None:
            self._average.averaged.module.load_state_dict(weights)
