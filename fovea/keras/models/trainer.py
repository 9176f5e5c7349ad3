"""``compile``, ``fit``, ``evaluate``, ``predict``: the part of a model that trains it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dispatch
from fovea.errors import ArgumentError
from fovea.keras import config, optimizers
from fovea.keras.layers.layer import Layer, as_tensor
from fovea.keras.metrics import Mean
from fovea.keras.models import data
from fovea.keras.models.compiled import CompiledLoss, CompiledMetrics
from fovea.keras.models.stepper import Stepper
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.tensorbase import is_tensor
from fovea.training.callbacks import numbers
from fovea.training.history import History
from fovea.training.loop import Loop, Validation

__all__ = ["Trainer"]


class Trainer(Stepper):
    """Training for models; see `fovea.keras.Model`."""

    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    history: History | None = None

    # -- compile ------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how the model is trained.

        Args:
            optimizer: its name or an optimizer (also one of ``fovea.optim``).
            loss: a loss, its name or a function ``f(y_true, y_pred)``; for several outputs a list,
                or a dictionary by their names.
            loss_weights: a factor for each output's loss.
            metrics: metrics, their names or functions; ``"accuracy"`` is chosen by the shapes.
            weighted_metrics: the same, for metrics that see sample weights.
            run_eagerly: do not compile steps, so that a debugger can step through them.
            jit_compile: False does not compile them, either; else those of training are, where they
                can be, and those of evaluation and prediction from the fourth batch of a shape on,
                or from the first of a pass over at least four.
            steps_per_execution: accepted.
            auto_scale_loss: put a ``LossScaleOptimizer`` around the optimizer of a model whose
                policy is ``"mixed_float16"``.

        Raises:
            ArgumentError: an unknown name; the nearest known one is told.
        """
        own = self.__dict__
        own["optimizer"] = optimizers.get(optimizer)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
            own["optimizer"] = optimizers.with_loss_scale(own["optimizer"])
        names = getattr(self, "output_names", None)
        if isinstance(loss, str):  # a wrong name is told here, not after the data is loaded
            from fovea.keras.models.compiled import _CROSSENTROPY

            if loss.lower() not in _CROSSENTROPY:
                from fovea.keras import losses

                losses.get(loss)
        own["_compiled_loss"] = None if loss is None else CompiledLoss(loss, loss_weights, names)
        own["_compiled_metrics"] = None
        if metrics is not None or weighted_metrics is not None:
            own["_compiled_metrics"] = CompiledMetrics(metrics, weighted_metrics, names)
        own["_loss_tracker"] = Mean(name="loss")
        own["_compile_arguments"] = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        own["stop_training"], own["compiled"] = False, True
        own["run_eagerly"], own["jit_compile"] = run_eagerly, jit_compile
        own["_learned"] = own["_learn_program"] = own["_learn_basis"] = None
        own["_look_program"] = own["_predict_program"] = None
        own["_learn_changes"] = {"count": 0}

    def _check_compiled(self, what: str) -> None:
        if not self.compiled:
            raise ArgumentError(
                f"{what}: the model is not compiled.",
                fix="call model.compile(optimizer=..., loss=...) first",
            )

    @property
    def loss(self) -> Any:
        """What ``compile`` was given as the loss."""
        return self._compile_arguments["loss"] if self.compiled else None

    # -- the three verbs ----------------------------------------------------------------------

    def _loop(self) -> Loop:
        """The training loop around this model's steps."""
        own_train = type(self).train_step is Trainer.train_step
        own_test = type(self).test_step is Trainer.test_step
        self.__dict__["_named_metrics"] = {}
        self.__dict__["_learned"] = None  # layers may have been frozen since the last run
        return Loop(
            self,
            self._train_step if own_train else self._as_logs(self.train_step),
            self._without_grad(self._test_step if own_test else self._as_logs(self.test_step)),
            self.reset_metrics,
        )

    @staticmethod
    def _as_logs(step: Any) -> Any:
        def run(batch: Any) -> Any:
            logs = step(_trimmed(batch))
            if not isinstance(logs, dict):
                raise ArgumentError(f"train_step must return a dictionary, got {logs!r}.")
            return logs

        return run

    @staticmethod
    def _without_grad(step: Any) -> Any:
        def run(batch: Any) -> Any:
            before = dispatch.set_grad_enabled(False)
            try:
                return step(batch)
            finally:
                dispatch.set_grad_enabled(before)

        return run

    def _set_mode(self, training: bool) -> None:
        """Tell modules that are no Keras layers whether they are being trained."""
        for module in self.modules():
            if not isinstance(module, Layer) and module.training is not training:
                module.training = training

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train the model.

        Args:
            x, y: arrays or tensors (or lists or dictionaries of them); or as ``x`` a
                ``DataLoader``, a ``PyDataset``, a generator or any iterable of (x, y) or
                (x, y, sample_weight).
            batch_size: samples a step; 32 unless given.
            epochs: how many passes over the data.
            verbose: 0 silent, 1 a progress bar, 2 a line an epoch.
            callbacks: called between steps and epochs.
            validation_split: the share of the samples, at their end, to validate on.
            validation_data: what to validate on: (x, y), or an iterable of batches.
            shuffle: the samples, before each epoch.
            class_weight: class to weight. sample_weight: a weight for each sample.
            initial_epoch: where the count begins, to resume.
            steps_per_epoch, validation_steps: batches an epoch; needed for endless generators.
            validation_batch_size: ``batch_size`` unless given.
            validation_freq: validate every so many epochs, or after these (counted from 1).

        Returns:
            The history: losses and metrics of each epoch.

        Raises:
            ArgumentError, ShapeError: data that does not fit.
        """
        self._check_compiled("fit")
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = data.split_arrays(
                x, y, sample_weight, validation_split
            )
        batches = data.batches_of(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
        )
        validation = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = Validation(
                _validation_batches(validation_data, size, validation_steps), validation_freq
            )
        loop = self._loop()
        self._learn_changes["count"] = 0
        if validation is not None:
            self.__dict__["_coming"] = (validation.batches.steps or 1) * max(1, epochs)
        self._set_mode(True)
        train, test = loop.train_step, loop.test_step
        if any(not isinstance(m, Layer) for m in self.modules()):
            loop.train_step = self._in_mode(train, True)
            loop.test_step = self._in_mode(test, False)
        try:
            history = loop.fit(
                batches,
                epochs=epochs,
                initial_epoch=initial_epoch,
                validation=validation,
                callbacks=callbacks,
                verbose=_verbosity(verbose),
            )
        finally:
            self._set_mode(False)
        if isinstance(self.optimizer, optimizers.Optimizer):
            self.optimizer.finalize_variable_values()
        return history

    def _in_mode(self, step: Any, training: bool) -> Any:
        def run(batch: Any) -> Any:
            self._set_mode(training)
            return step(batch)

        return run

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and metrics on data; arguments as of ``fit``.

        Returns:
            A number if there is only the loss, else a list in the order of ``metrics_names``; a
            dictionary with ``return_dict=True``.
        """
        self._check_compiled("evaluate")
        if kwargs:
            raise ArgumentError(f"evaluate: unknown arguments {sorted(kwargs)}.")
        batches = data.batches_of(x, y, sample_weight, batch_size=batch_size, steps=steps)
        self._set_mode(False)
        self.__dict__["_coming"] = batches.steps or 1
        found = self._loop().evaluate(batches, callbacks=callbacks, verbose=_verbosity(verbose))
        return found if return_dict else self._listed(found)

    def _listed(self, found: dict[str, Any]) -> Any:
        names = [n for n in self.metrics_names if n in found]
        values = [found[n] for n in names] + [found[n] for n in sorted(found) if n not in names]
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as arrays; arguments as of ``fit``."""
        batches = data.batches_of(x, batch_size=batch_size, steps=steps)
        self._set_mode(False)
        step = self._without_grad(lambda batch: self.predict_step(_trimmed(batch)))
        loop = Loop(self, step, step)
        self.__dict__["_coming"] = batches.steps or 1
        results = loop.predict(batches, step, callbacks=callbacks, verbose=_verbosity(verbose))
        if not results:
            raise ArgumentError("predict: the data has no batch.")
        leaves = [[_array(t) for t in flatten(r)] for r in results]
        joined = [np.concatenate(parts) for parts in zip(*leaves, strict=True)]
        return pack_as(results[0], joined)

    # -- single batches -----------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; returns as ``evaluate`` does, for this batch."""
        self._check_compiled("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ArgumentError("class_weight and sample_weight cannot be given together.")
            sample_weight = data.class_weights(y, class_weight)
        self._set_mode(True)
        step = self._loop().train_step
        return self._single(step, (x, y, sample_weight), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and metrics on one batch."""
        self._check_compiled("test_on_batch")
        self._set_mode(False)
        step = self._loop().test_step
        return self._single(step, (x, y, sample_weight), return_dict)

    def _single(self, step: Any, batch: tuple[Any, Any, Any], return_dict: bool) -> Any:
        self.reset_metrics()
        found = numbers(step(data.as_batch(batch)))
        return found if return_dict else self._listed(found)

    def predict_on_batch(self, x: Any) -> Any:
        """The output for one batch, as arrays."""
        self._set_mode(False)
        step = self._without_grad(self.predict_step)
        return map_structure(_array, step((data.leaves_as_tensors(x),)))

    def make_train_function(self, force: bool = False) -> Any:
        """The function that ``fit`` calls for each batch."""
        return self._loop().train_step

    def make_test_function(self, force: bool = False) -> Any:
        """The function that ``evaluate`` calls for each batch."""
        return self._loop().test_step

    def make_predict_function(self, force: bool = False) -> Any:
        """The function that ``predict`` calls for each batch."""
        return self._without_grad(self.predict_step)


def _trimmed(batch: Any) -> Any:
    """(x, y, None) as (x, y): what a ``train_step`` of one's own unpacks."""
    x, y, weight = batch
    return (x, y, weight) if weight is not None else (x, y) if y is not None else (x,)


def _array(t: Any) -> Any:
    return t.detach()._array().copy() if is_tensor(t) else np.asarray(t)


def _verbosity(verbose: int | str) -> int:
    if verbose == "auto":
        return 1 if config.is_interactive_logging_enabled() else 2
    return int(verbose)


def _validation_batches(validation_data: Any, batch_size: int | None, steps: int | None) -> Any:
    """Validation data is (x, y), (x, y, sample_weight), or what ``fit`` takes as ``x``."""
    if isinstance(validation_data, tuple | list) and 2 <= len(validation_data) <= 3:
        x, y, weight = data.unpack_x_y_sample_weight(validation_data)
        if data.are_arrays(x):
            return data.batches_of(x, y, weight, batch_size=batch_size, steps=steps)
    return data.batches_of(validation_data, batch_size=None, steps=steps)


def tensors_of(arrays: Any) -> Any:
    """A structure of arrays as one of tensors."""
    return map_structure(as_tensor, arrays)
