"""Callbacks: what `fit` calls between epochs and steps, and the list that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Callback", "CallbackList", "Logs", "numbers"]

Logs = Mapping[str, Any]


class Callback:
    """Base of callbacks: override the hooks you need. Names and arguments are Keras's.

    ``logs`` maps names to numbers (``loss``, ``accuracy``, ``val_loss`` ...).

    Attributes:
        params: ``verbose``, ``epochs`` and ``steps`` of the run.
        model: what is being trained; setting its ``stop_training`` ends the run after the step.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """What is being trained."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before the run with ``verbose``, ``epochs`` and ``steps``."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called before the run with the model."""
        self._model = model

    def wants_batch_logs(self) -> bool:
        """Whether the numbers of the step that just ended are needed; computing them takes time."""
        return True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last epoch; ``logs`` are that epoch's."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an epoch (counted from 0)."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch and its validation; what is added to ``logs`` goes into the history."""

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Another name for ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Another name for ``on_train_batch_end``."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a training step (counted from 0 in each epoch)."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a training step; ``logs`` cover the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before an evaluation, also the one within ``fit``."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an evaluation step."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After an evaluation step."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before ``predict``."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After ``predict``."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a prediction step."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a prediction step; ``logs["outputs"]`` are its results."""


def numbers(logs: Logs | None) -> dict[str, Any]:
    """Plain numbers from what a step returned, sorted by name.

    Metrics give their value so far, one-element tensors and arrays become floats; what is no number
    stays as it is.

    >>> import fovea
    >>> numbers({"loss": fovea.tensor(0.5), "accuracy": 1})
    {'accuracy': 1.0, 'loss': 0.5}
    """
    result: dict[str, Any] = {}
    for name, value in sorted((logs or {}).items()):
        if isinstance(value, Mapping):
            result.update(numbers(value))
            continue
        if hasattr(value, "update_state"):
            value = value.value() if hasattr(value, "value") else value.result()
            if isinstance(value, Mapping):
                result.update(numbers(value))
                continue
        result[name] = _number(value)
    return result


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return value


_BATCH_HOOKS = tuple(
    f"on_{phase}_batch_{moment}"
    for phase in ("train", "test", "predict")
    for moment in ("begin", "end")
)


class CallbackList(Callback):
    """Several callbacks as one; the hooks of a step reach only those that override them.

    Args:
        callbacks: callbacks, also in nested lists.
        add_history, add_progbar: add a `History` or a `ProgbarLogger` if there is none.
        model: what is being trained.
        **params: ``verbose``, ``epochs`` and ``steps``.

    >>> seen = []
    >>> class Watch(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         seen.append((epoch, logs))
    >>> CallbackList([Watch()]).on_epoch_end(0, {"loss": 0.5})
    >>> seen
    [(0, {'loss': 0.5})]
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        from fovea.training.history import History
        from fovea.training.loggers import ProgbarLogger

        self.callbacks: list[Callback] = list(_flat(callbacks))
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self.history is None and add_history:
            self.history = History()
            self.callbacks.append(self.history)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._hooked = {hook: self._with(hook) for hook in _BATCH_HOOKS}
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def _with(self, hook: str) -> list[Any]:
        alias = hook.replace("_train", "")
        names = (hook, alias) if alias != hook else (hook,)
        return [c for c in self.callbacks if any(_overrides(c, name) for name in names)]

    def append(self, callback: Callback) -> None:
        """Add a callback."""
        self.callbacks.append(callback)
        self._hooked = {hook: self._with(hook) for hook in _BATCH_HOOKS}

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for c in self.callbacks:
                c.set_params(params)

    def set_model(self, model: Any) -> None:
        self._model = model
        if self.history is not None:
            model.history = self.history
        for c in self.callbacks:
            c.set_model(model)

    def _each(self, hook: str, *args: Any) -> None:
        for c in self.callbacks:
            getattr(c, hook)(*args)

    def _batch(self, hook: str, batch: int, logs: Logs | None) -> None:
        """Call a step's hook; the numbers are computed once, and only if somebody wants them."""
        known: dict[str, Any] | None = None
        for c in self._hooked[hook]:
            if logs and known is None and c.wants_batch_logs():
                known = numbers(logs)
            getattr(c, hook)(batch, logs=dict(known) if known is not None else {})

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._each("on_train_begin", numbers(logs))

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._each("on_train_end", numbers(logs))

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._each("on_epoch_begin", epoch, numbers(logs))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._each("on_epoch_end", epoch, numbers(logs))

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._each("on_test_begin", numbers(logs))

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._each("on_test_end", numbers(logs))

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._each("on_predict_begin", numbers(logs))

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._each("on_predict_end", numbers(logs))

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batch("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for c in self._hooked["on_predict_batch_end"]:
            c.on_predict_batch_end(batch, logs=dict(logs or {}))

    def interrupt(self) -> None:
        """The run was stopped from the keyboard: leave half-drawn lines."""
        for c in self.callbacks:
            leave = getattr(c, "interrupt", None)
            if leave is not None:
                leave()


def _flat(callbacks: Any) -> Iterable[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, CallbackList):
        yield from callbacks.callbacks
    elif isinstance(callbacks, list | tuple | set):
        for c in callbacks:
            yield from _flat(c)
    else:
        yield callbacks


def _overrides(callback: Any, hook: str) -> bool:
    if hook in getattr(callback, "__dict__", ()):
        return True
    return getattr(type(callback), hook, None) is not getattr(Callback, hook)
