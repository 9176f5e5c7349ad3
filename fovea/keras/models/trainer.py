"""``compile``, ``fit``, ``evaluate``, ``predict``: the part of a model that trains it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch
from fovea.errors import ArgumentError
from fovea.keras import config, optimizers
from fovea.keras.layers.layer import Layer, as_tensor
from fovea.keras.metrics import Mean, Metric
from fovea.keras.models import data
from fovea.keras.models.compiled import CompiledLoss, CompiledMetrics
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.tensorbase import is_tensor
from fovea.training.callbacks import numbers
from fovea.training.history import History
from fovea.training.loop import Loop, Validation

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Trainer"]


class Trainer(Layer):
    """Training for models; see `fovea.keras.Model`."""

    optimizer: Any = None
    compiled = False
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
            run_eagerly: do not compile training steps, so that a debugger can step through them.
            jit_compile: False does not compile them, either; else they are, where they can be.
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
        own["_learned"] = own["_learn_program"] = None

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

    @property
    def metrics(self) -> list[Any]:
        """The loss's mean, the compiled metrics, and those that the model or its layers hold."""
        found: list[Any] = []
        if self.compiled:
            found.append(self._loss_tracker)
            if self._compiled_metrics is not None:
                found.extend(self._compiled_metrics.metrics)
            if self._compiled_loss is not None:
                found.extend(self._compiled_loss.metrics)
        for module in self.modules():
            found.extend(
                v for k, v in module.__dict__.items() if isinstance(v, Metric) and k[0] != "_"
            )
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of ``metrics``."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics' values by name."""
        return {m.name: m.result() for m in self.metrics}

    # -- a step -------------------------------------------------------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled loss plus penalties and what layers added; may be overridden.

        Raises:
            ArgumentError: there is nothing to minimize.
        """
        total = None
        if self._compiled_loss is not None:
            if y is None:
                raise ArgumentError("a loss was compiled, but the data has no targets (y).")
            total = self._compiled_loss(y, y_pred, sample_weight)
        for extra in self._extra_losses():
            total = extra if total is None else total + extra
        if total is None:
            raise ArgumentError(
                "there is no loss to compute.", fix="pass loss=... to compile, or call add_loss"
            )
        return total

    def _extra_losses(self) -> list[Any]:
        found: list[Any] = []
        for layer in self._known_layers():
            if layer._losses:
                found.extend(layer._losses)
        found.extend(w.regularizer(w) for w in self._regularized)
        return found

    def _known_layers(self) -> list[Any]:
        if self.__dict__.get("_learned") is None:
            self._refresh()
        return self._layers_with_losses

    def _refresh(self) -> None:
        """Note what a step needs of the model's parts: it walks them once, not every step."""
        own = self.__dict__
        own["_learned"] = self.trainable_weights
        own["_layers_with_losses"] = [m for m in self.modules() if isinstance(m, Layer)]
        own["_regularized"] = [
            w for w in own["_learned"] if getattr(w, "regularizer", None) is not None
        ]

    def train_step(self, data: Any) -> dict[str, Any]:
        """Learn from one batch; may be overridden. Returns values by name.

        Args:
            data: (x, y, sample_weight), or what the data gave.
        """
        return {name: m.result() for name, m in self._train_step(data).items()}

    def _train_step(self, batch: Any) -> dict[str, Any]:
        """``train_step`` with metrics for values, so that nobody computes what nobody reads."""
        x, y, weight = data.unpack_x_y_sample_weight(batch)
        if self.__dict__.get("_learned") is None:
            self.zero_grad()
            self._clear_losses()
        else:
            for p in self._learned:
                p.grad = None
            self._clear_step_losses()
        loss, y_pred = self._learn(x, y, weight)
        self._loss_tracker.update_state(loss, _batch_size(x))
        if isinstance(self.optimizer, optimizers.Optimizer) and self._learned:
            self.optimizer._count()
        return self._measure(x, y, y_pred, weight)

    def _learn(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        """Forward, backward and update, as one program where that can be; the loss and the
        predictions.
        """
        own, optimizer = self.__dict__, self.optimizer
        program = own.get("_learn_program")
        if program is None:
            capturable = getattr(optimizer, "_capturable", True)
            program = self._learn_eagerly
            if self._compiles and capturable and own.get("_learned") is not None:
                from fovea.compiler import CompiledFunction

                program = own["_learn_program"] = CompiledFunction(program)
        return program(x, y, weight)

    @property
    def _compiles(self) -> bool:
        return not self.run_eagerly and self.jit_compile is not False

    def _learn_eagerly(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        """What `_learn` makes a program of."""
        y_pred = self(x, training=True)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=True)
        if self.__dict__.get("_learned") is None:  # the first call may have made the weights
            self._refresh()
        if self._learned:
            optimizer = self.optimizer
            if isinstance(optimizer, optimizers.Optimizer):
                optimizer.scale_loss(loss).backward()
                if not optimizer.built:
                    optimizer.build(self._learned)
                optimizer._update()
            else:
                loss.backward()
                optimizer.step()
        else:
            warnings.warn("the model has no weights that are learned.", stacklevel=2)
        self._clear_step_losses()
        return loss.detach(), map_structure(_detached, y_pred)

    def _clear_step_losses(self) -> None:
        for layer in self._layers_with_losses:
            if layer._losses:
                layer._losses.clear()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Look at one batch; may be overridden. Returns values by name."""
        return {name: m.result() for name, m in self._test_step(data).items()}

    def _test_step(self, batch: Any) -> dict[str, Any]:
        x, y, weight = data.unpack_x_y_sample_weight(batch)
        self._known_layers()
        self._clear_step_losses()
        y_pred = self(x, training=False)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=False)
        self._loss_tracker.update_state(loss, _batch_size(x))
        return self._measure(x, y, y_pred, weight)

    def predict_step(self, data: Any) -> Any:
        """The output for one batch; may be overridden."""
        x = data[0] if isinstance(data, list | tuple) else data
        return self(x, training=False)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics and return their values by name; may be overridden."""
        return {name: m.result() for name, m in self._measured(y, y_pred, sample_weight).items()}

    def _measure(self, x: Any, y: Any, y_pred: Any, weight: Any) -> dict[str, Any]:
        if type(self).compute_metrics is not Trainer.compute_metrics:
            return self.compute_metrics(x, y, y_pred, weight)
        return self._measured(y, y_pred, weight)

    def _measured(self, y: Any, y_pred: Any, weight: Any) -> dict[str, Any]:
        compiled = self._compiled_metrics
        if compiled is not None and y is not None:
            compiled.update_state(y, y_pred, weight)
        found = self.__dict__.get("_named_metrics")
        if found is None:
            found = {m.name: m for m in self.metrics}
            if self._compiled_metrics is None or self._compiled_metrics.built:
                self.__dict__["_named_metrics"] = found
        return found

    # -- the three verbs ----------------------------------------------------------------------

    def _loop(self) -> Loop:
        """The training loop around this model's steps."""
        own_train = type(self).train_step is Trainer.train_step
        own_test = type(self).test_step is Trainer.test_step
        self.__dict__["_named_metrics"] = None
        self.__dict__["_learned"] = self.__dict__["_learn_program"] = None
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


def _batch_size(x: Any) -> int:
    if is_tensor(x):
        return int(x.shape[0])
    return int(next(t for t in flatten(x) if t is not None).shape[0])


def _detached(t: Any) -> Any:
    return t.detach() if is_tensor(t) else t


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
