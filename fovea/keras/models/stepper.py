"""What one batch does to a model: its loss, what it learns, what the metrics see."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.errors import ArgumentError
from fovea.keras import optimizers
from fovea.keras.layers.layer import Layer
from fovea.keras.masking import attach_mask, mask_of
from fovea.keras.metrics import Mean, Metric
from fovea.keras.models import data
from fovea.keras.tree import flatten, map_structure
from fovea.tensorbase import is_tensor
from fovea.training.metrics import deferred, deliver

if TYPE_CHECKING:
    from fovea.keras.models.compiled import CompiledLoss, CompiledMetrics
    from fovea.tensor import Tensor

__all__ = ["Stepper"]

# Of what is learned, from one `train_on_batch` to the next: more, and steps run eagerly.
_MOST_CHANGES = 8
# Batches of a kind that make a program worth it, where nothing is learned: making it is made up for
# after three to six batches of two images (docs/performance.md), fewer of larger ones.
_WORTH = 4


class Stepper(Layer):
    """The steps of a model, in training, evaluation and prediction. ``compile`` of `Trainer`, which
    runs them over whole data sets, says what they learn.
    """

    warns_of_masks = False  # its layers hand masks on, or do not
    optimizer: Any = None
    compiled = False
    run_eagerly: bool = False
    jit_compile: bool | str = "auto"
    _compiled_loss: CompiledLoss | None = None
    _compiled_metrics: CompiledMetrics | None = None
    _loss_tracker: Mean
    _learn_changes: dict[str, int]  # no number, which a program would be made for
    _coming: int | None = None  # batches that are about to be looked at
    _look_program: Any = None
    _predict_program: Any = None
    # What is noted from step to step: no step computes with it.
    _notes = ("_learn_program", "_learn_basis", "_learned", "_look_program", "_predict_program",
              "_coming")  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take along: no programs, which are of this model's tensors."""
        return {k: None if k in self._notes else v for k, v in self.__dict__.items()}

    # -- metrics ------------------------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The loss's mean, those of the outputs' losses, the compiled metrics, and those that the
        model or its layers hold: the order in which ``evaluate`` returns their values.

        Where steps are the model's own, or the metrics are not found out yet, all compiled ones are
        a single entry, as in Keras: it takes targets and predictions of any kind, and sample
        weights for those metrics that see them.
        """
        found: list[Any] = []
        if self.compiled:
            found.append(self._loss_tracker)
            if self._compiled_loss is not None:
                found.extend(self._compiled_loss.metrics)
            compiled = self._compiled_metrics
            if compiled is not None:
                whole = not compiled.built or self._steps_are_own
                found.extend([compiled] if whole else compiled.metrics)
        for module in self.modules():
            found.extend(
                v for k, v in module.__dict__.items() if isinstance(v, Metric) and k[0] != "_"
            )
        return found

    @property
    def _steps_are_own(self) -> bool:
        kind = type(self)
        return any(getattr(kind, n) is not getattr(Stepper, n) for n in ("train_step", "test_step"))

    @property
    def _each_metric(self) -> list[Any]:
        """``metrics``, the compiled ones one by one."""
        compiled = self._compiled_metrics
        found: list[Any] = []
        for metric in self.metrics:
            whole = compiled is not None and metric is compiled
            found.extend(metric.metrics if whole else [metric])
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of ``metrics``, the compiled ones one by one."""
        return [m.name for m in self._each_metric]

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics' values by name."""
        return {m.name: m.result() for m in self._each_metric}

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
        # What the program of a step was made for, beyond what its guards see.
        basis = [self.optimizer, self._compiles, *own["_learned"]]
        before = own.get("_learn_basis") or ()
        if len(before) != len(basis) or any(a is not b for a, b in zip(before, basis, strict=True)):
            own["_learn_program"] = None
            if self.compiled:
                self._learn_changes["count"] += 1
        own["_learn_basis"] = basis

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
            if self.__dict__.get("_learn_basis") is not None:  # there was an earlier run
                self._refresh()
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
            capturable = capturable and self._learn_changes["count"] <= _MOST_CHANGES
            program = self._learn_eagerly
            if self._compiles and capturable and own.get("_learned") is not None:
                from fovea.compiler import CompiledFunction

                if isinstance(optimizer, optimizers.Optimizer) and not optimizer.built:
                    optimizer.build(self._learned)  # what it makes from numbers is not captured
                program = own["_learn_program"] = CompiledFunction(program, again=True)
        loss, y_pred, masks, updates = program(x, y, weight)
        deliver(updates, _batch_size(x))
        _attach_masks(y_pred, masks)
        return loss, y_pred

    @property
    def _compiles(self) -> bool:
        return not self.run_eagerly and self.jit_compile is not False

    def _learn_eagerly(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
        """What `_learn` makes a program of: loss, predictions, the masks that these carry, and what
        means take in.
        """
        with deferred() as updates:
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
        return loss.detach(), map_structure(_detached, y_pred), _masks(y_pred), updates

    def _clear_step_losses(self) -> None:
        for layer in self._layers_with_losses:
            if layer._losses:
                layer._forget_losses()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Look at one batch; may be overridden. Returns values by name."""
        return {name: m.result() for name, m in self._test_step(data).items()}

    def _test_step(self, batch: Any) -> dict[str, Any]:
        x, y, weight = data.unpack_x_y_sample_weight(batch)
        self._known_layers()
        self._clear_step_losses()
        look = self._without_learning("_look_program", self._look_eagerly)
        loss, y_pred, masks, updates = look(x, y, weight)
        deliver(updates, _batch_size(x))
        _attach_masks(y_pred, masks)
        self._loss_tracker.update_state(loss, _batch_size(x))
        return self._measure(x, y, y_pred, weight)

    def _without_learning(self, name: str, step: Any) -> Any:
        """A step that learns nothing, as programs where that can be: they give the same bits as
        Python does, so it does not matter which batches they are made for.
        """
        if not self._compiles or not self.built or dispatch.grad_enabled():
            return step
        own = self.__dict__
        program = own.get(name)
        if program is None:
            from fovea.compiler import CompiledFunction

            program = CompiledFunction(step, exact=True, worth=_WORTH, quiet=True)
            own[name] = program
        program.coming, own["_coming"] = own.get("_coming") or 1, None
        return program

    def _look_eagerly(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
        """What `_test_step` makes a program of; results as of `_learn_eagerly`."""
        with deferred() as updates:
            y_pred = self(x, training=False)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=False)
        self._clear_step_losses()
        return loss, y_pred, _masks(y_pred), updates

    def predict_step(self, data: Any) -> Any:
        """The output for one batch; may be overridden."""
        x = data[0] if isinstance(data, list | tuple) else data
        return self._without_learning("_predict_program", self)(x, training=False)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics and return their values by name; may be overridden."""
        return {name: m.result() for name, m in self._measured(y, y_pred, sample_weight).items()}

    def _measure(self, x: Any, y: Any, y_pred: Any, weight: Any) -> dict[str, Any]:
        if type(self).compute_metrics is not Stepper.compute_metrics:
            return self.compute_metrics(x, y, y_pred, weight)
        return self._measured(y, y_pred, weight)

    def _measured(self, y: Any, y_pred: Any, weight: Any) -> dict[str, Any]:
        compiled = self._compiled_metrics
        if compiled is not None and y is not None:
            compiled.update_state(y, y_pred, weight)
        found = self.__dict__.get("_named_metrics")
        if not found:
            found = {m.name: m for m in self._each_metric}
            if self._compiled_metrics is None or self._compiled_metrics.built:
                self.__dict__["_named_metrics"] = found
        return found


def _batch_size(x: Any) -> int:
    if is_tensor(x):
        return int(x.shape[0])
    return int(next(t for t in flatten(x) if t is not None).shape[0])


def _masks(y_pred: Any) -> list[Any] | None:
    """The masks that predictions carry; None if none does."""
    masks = [mask_of(t) for t in flatten(y_pred)]
    return masks if any(m is not None for m in masks) else None


def _attach_masks(y_pred: Any, masks: list[Any] | None) -> None:
    """Let predictions that come out of a program carry them, too."""
    if masks is not None:
        for prediction, mask in zip(flatten(y_pred), masks, strict=True):
            attach_mask(prediction, mask)


def _detached(t: Any) -> Any:
    return t.detach() if is_tensor(t) else t
