"""The training loop: epochs of steps, validation, callbacks. All that trains goes through it.

`Loop` knows neither models nor losses. It is given ``train_step(batch) -> logs`` and
``test_step(batch) -> logs``; the values in ``logs`` may be numbers, one-element tensors, or metrics
(whose value is asked for only when somebody looks). A step may be plain Python or one compiled
program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fovea.errors import ArgumentError
from fovea.training import interrupts
from fovea.training.batches import Batches
from fovea.training.callbacks import CallbackList, Logs, numbers
from fovea.training.history import History

__all__ = ["Loop", "Validation"]

Step = Callable[[Any], Logs]


@dataclass
class Validation:
    """What to evaluate on, and after which epochs.

    Args:
        batches: the data.
        freq: every so many epochs, or the epochs' numbers (from 1).
    """

    batches: Batches
    freq: int | Iterable[int] = 1

    def due(self, epoch: int) -> bool:
        """Whether ``epoch`` (from 0) is followed by validation."""
        if isinstance(self.freq, int):
            if self.freq < 1:
                raise ArgumentError(f"validation_freq must be at least 1, got {self.freq}.")
            return (epoch + 1) % self.freq == 0
        return epoch + 1 in self.freq


@dataclass
class Loop:
    """Runs steps.

    Args:
        model: what callbacks know as ``model``. Its ``stop_training`` ends a run.
        train_step: learns from a batch.
        test_step: looks at a batch.
        reset_metrics: called before an epoch and before an evaluation.

    >>> class Model: stop_training = False
    >>> loop = Loop(Model(), train_step=lambda batch: {"loss": batch / 2}, test_step=lambda b: {})
    >>> loop.fit(Batches([4.0, 2.0]), epochs=2, verbose=0).history
    {'loss': [1.0, 1.0]}
    """

    model: Any
    train_step: Step
    test_step: Step
    reset_metrics: Callable[[], None] = lambda: None

    @interrupts.kept()
    def fit(
        self,
        batches: Batches,
        *,
        epochs: int = 1,
        initial_epoch: int = 0,
        initial_step: int = 0,
        validation: Validation | None = None,
        callbacks: Any = None,
        verbose: int | str = "auto",
    ) -> History:
        """Train.

        Args:
            batches: the data.
            epochs: the number of the last epoch; ``initial_epoch`` have been done before.
            initial_step: how many batches of the first epoch have been done before; the metrics
                know them, and ``batches`` go on after them.
            validation: what to evaluate on after epochs.
            callbacks: a callback, a list of them, or a ready ``CallbackList``.
            verbose: 0 silent, 1 (or "auto") a progress bar, 2 a line an epoch.

        Returns:
            The history of losses and metrics.

        Raises:
            KeyboardInterrupt: as it came, once the callbacks have closed their files.
        """
        events = self._events(callbacks, verbose, epochs, batches.steps, history=True)
        model, logs = self.model, {}
        model.stop_training, model._initial_epoch = False, initial_epoch
        events.on_train_begin()  # a callback may know that more has been done
        try:
            for epoch in range(model._initial_epoch, epochs):
                events.on_epoch_begin(epoch)
                done = initial_step if epoch == initial_epoch else 0
                logs = self._train_epoch(batches, events, done)
                if validation is not None and validation.due(epoch):
                    found = self.evaluate(validation.batches, callbacks=events)
                    logs.update({f"val_{name}": value for name, value in found.items()})
                events.on_epoch_end(epoch, logs)
                if model.stop_training or batches.exhausted:
                    break
        except KeyboardInterrupt:
            events.interrupt()
            events.on_train_end(logs)
            raise
        finally:
            batches.close()
        events.on_train_end(logs)
        assert events.history is not None
        return events.history

    def _train_epoch(self, batches: Batches, events: CallbackList, done: int) -> dict[str, Any]:
        if not done:
            self.reset_metrics()
        model, step = self.model, self.train_step
        logs: Logs = {}
        number = -1
        for number, batch in enumerate(batches.epoch(done), done):
            events.on_train_batch_begin(number)
            logs = step(batch)
            events.on_train_batch_end(number, logs)
            interrupts.check()
            if model.stop_training:
                break
        if number < 0:
            raise ArgumentError("fit: the data has no batch.", fix="check that it is not empty")
        return numbers(logs)

    @interrupts.kept()
    def evaluate(
        self, batches: Batches, *, callbacks: Any = None, verbose: int | str = "auto"
    ) -> dict[str, Any]:
        """Look at all batches; returns the losses and metrics over them."""
        events = self._events(callbacks, verbose, 1, batches.steps)
        events.on_test_begin()
        self.reset_metrics()
        model, step = self.model, self.test_step
        model.stop_evaluating = False
        logs: Logs = {}
        number = -1
        for number, batch in enumerate(batches.epoch()):
            events.on_test_batch_begin(number)
            logs = step(batch)
            events.on_test_batch_end(number, logs)
            interrupts.check()
            if model.stop_evaluating:
                break
        if number < 0:
            raise ArgumentError(
                "evaluate: the data has no batch.", fix="check that it is not empty"
            )
        found = numbers(logs)
        events.on_test_end(found)
        return found

    @interrupts.kept()
    def predict(
        self,
        batches: Batches,
        step: Callable[[Any], Any],
        *,
        callbacks: Any = None,
        verbose: int | str = "auto",
    ) -> list[Any]:
        """What ``step`` returns for each batch."""
        events = self._events(callbacks, verbose, 1, batches.steps)
        events.on_predict_begin()
        model = self.model
        model.stop_predicting = False
        results = []
        for number, batch in enumerate(batches.epoch()):
            events.on_predict_batch_begin(number)
            results.append(step(batch))
            events.on_predict_batch_end(number, {"outputs": results[-1]})
            interrupts.check()
            if model.stop_predicting:
                break
        events.on_predict_end()
        return results

    def _events(
        self,
        callbacks: Any,
        verbose: int | str,
        epochs: int,
        steps: int | None,
        history: bool = False,
    ) -> CallbackList:
        if isinstance(callbacks, CallbackList):
            return callbacks
        return CallbackList(
            callbacks,
            add_history=history,
            add_progbar=verbose != 0,
            model=self.model,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )
