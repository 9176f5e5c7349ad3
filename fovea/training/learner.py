"""`Learner`: what a trainer does with one batch, as plain Python or as one program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fovea import autograd, dtypes
from fovea.amp import GradScaler, autocast
from fovea.compiler import CompiledFunction
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions import creation
from fovea.nn.utils import clip_grad_norm_
from fovea.tensorbase import is_tensor
from fovea.training.moving_average import MovingAverage

__all__ = ["Learner", "as_tensors", "split_batch"]

_PRECISIONS = {
    "float32": None, "32": None, "bf16": dtypes.bfloat16, "bfloat16": dtypes.bfloat16,
    "bf16-mixed": dtypes.bfloat16, "fp16": dtypes.float16, "float16": dtypes.float16,
    "16-mixed": dtypes.float16,
}  # fmt: skip


class Learner:
    """Forward, loss, backward and update for a batch.

    Args:
        model: a module; with ``loss`` None it has ``training_step(batch)`` and may have
            ``validation_step`` and ``predict_step``.
        loss: ``f(outputs, targets)``, or None.
        optimizer: of ``fovea.optim``.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``: weights stay float32.
        accumulate: batches an update.
        clip: the largest norm of all gradients together, or None.
        compile: make programs of the steps.
        average: takes part in every update.

    Raises:
        ArgumentError: an unknown precision, or a model that does not say how it learns.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[..., Any] | None,
        optimizer: Any,
        *,
        precision: str = "float32",
        accumulate: int = 1,
        clip: float | None = None,
        compile: bool = True,
        average: MovingAverage | None = None,
    ) -> None:
        if precision not in _PRECISIONS:
            raise ArgumentError(
                f"Trainer: unknown precision {precision!r}.", fix="'float32', 'bf16' or 'fp16'"
            )
        if accumulate < 1:
            raise ArgumentError(f"Trainer: accumulate must be at least 1, got {accumulate}.")
        if loss is None and not hasattr(model, "training_step"):
            raise ArgumentError(
                f"Trainer: {type(model).__name__} has no training_step, and there is no loss.",
                fix="pass a loss such as fovea.nn.CrossEntropyLoss()",
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        lower = _PRECISIONS[precision]
        self.region = autocast("cpu", lower, enabled=lower is not None)
        self.scaler = GradScaler(enabled=lower is dtypes.float16)
        self.accumulate, self.clip, self.average = accumulate, clip, average
        self._learn: Callable[..., Any] = self._learn_batch
        self._look: Callable[..., Any] = self._look_at_batch
        if compile:
            self._learn = CompiledFunction(self._learn_batch, again=True)
            self._look = CompiledFunction(self._look_at_batch, again=True)

    # -- steps --------------------------------------------------------------------------------

    def learn(self, batch: Any, number: int, first: bool, last: bool) -> tuple[Any, Any, Any]:
        """Learn from a batch.

        Args:
            number: the batch's number in its epoch.
            first: whether gradients begin with it.
            last: whether the weights are updated after it.

        Returns:
            The loss, what else is to be noted by name, and the outputs (None if the model's own
            step did not tell).
        """
        if self.accumulate > 1:
            self._hold_gradients()
        rest = (*self._number("training_step", number), first, last)
        return self._learn(as_tensors(batch), *rest)

    def look(self, batch: Any, number: int) -> tuple[Any, Any, Any]:
        """Loss and outputs for a batch, learning nothing."""
        with autograd.no_grad():
            rest = self._number(self._own_look, number)
            return self._look(as_tensors(batch), *rest)

    def predict(self, batch: Any, number: int) -> Any:
        """The outputs for a batch; its targets, if it has any, are left out."""
        batch = as_tensors(batch)
        with autograd.no_grad(), self.region:
            if self.loss is None and hasattr(self.model, "predict_step"):
                return self.model.predict_step(batch, *self._number("predict_step", number)[:1])
            return self.model(*split_batch(batch)[0])

    def _number(self, step: str, number: int) -> tuple[Any]:
        """The batch's number for a step of the model's own that takes it; None for one that does
        not, so that a program serves all batches.
        """
        function = getattr(self.model, step, None) if self.loss is None else None
        takes = function is not None and len(inspect.signature(function).parameters) > 1
        return (number if takes else None,)

    @property
    def _own_look(self) -> str:
        has = hasattr(self.model, "validation_step")
        return "validation_step" if has else "training_step"

    def _hold_gradients(self) -> None:
        """Give every parameter a gradient to add to, which stays the same tensor: one program then
        serves all batches.
        """
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None and p.requires_grad:
                    p.grad = creation.zeros_like(p.detach())

    def _learn_batch(
        self, batch: Any, number: int | None, first: bool, last: bool
    ) -> tuple[Any, Any, Any]:
        if first:
            self.optimizer.zero_grad(set_to_none=self.accumulate == 1)
        with self.region:
            loss, notes, outputs = self._loss(batch, number, "training_step")
        self.scaler.scale(loss / self.accumulate if self.accumulate > 1 else loss).backward()
        if last:
            if self.clip is not None:
                self.scaler.unscale_(self.optimizer)
                clip_grad_norm_(self.model.parameters(), self.clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.average is not None:
                self.average.update()
        return loss, notes, outputs

    def _look_at_batch(self, batch: Any, number: int | None) -> tuple[Any, Any, Any]:
        with self.region:
            return self._loss(batch, number, self._own_look)

    def _loss(self, batch: Any, number: int | None, step: str) -> tuple[Any, Any, Any]:
        if self.loss is None:
            rest = () if number is None else (number,)
            return _noted(getattr(self.model, step)(batch, *rest))
        inputs, target = split_batch(batch)
        if target is None:
            raise ArgumentError(
                "Trainer: a batch has no targets for the loss.",
                fix="give batches of (inputs, targets)",
            )
        outputs = self.model(*inputs)
        check_alike(self.loss, outputs, target)
        return self.loss(outputs, target), {}, outputs


def check_alike(loss: Any, outputs: Any, target: Any) -> None:
    """Refuse outputs (n, 1) for targets (n,), or the other way: they would be broadcast to (n, n).

    Raises:
        ShapeError: they differ so.
    """
    if not (is_tensor(outputs) and is_tensor(target)) or not target.dtype.is_floating_point:
        return
    a, b = tuple(outputs.shape), tuple(target.shape)
    if (a == (*b, 1) or b == (*a, 1)) and a != b:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise ShapeError(
            f"{name}: outputs and targets differ by a last dimension of 1.",
            {"outputs": describe(outputs), "targets": describe(target)},
            "outputs.squeeze(-1) or targets.unsqueeze(-1)",
        )


def _noted(found: Any) -> tuple[Any, Any, Any]:
    """Loss, notes and outputs from what a model's own step returned."""
    if isinstance(found, dict):
        if "loss" not in found:
            raise ArgumentError(
                f"Trainer: the step returned {sorted(found)}, and no 'loss'.",
                fix="return the loss, or a dictionary with it",
            )
        notes = {k: v for k, v in found.items() if k != "loss"}
        return found["loss"], {k: v.detach() if is_tensor(v) else v for k, v in notes.items()}, None
    return found, {}, None


def as_tensors(batch: Any) -> Any:
    """A batch with tensors in place of arrays."""
    if is_tensor(batch):
        return batch
    if isinstance(batch, dict):
        return {k: as_tensors(v) for k, v in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(as_tensors(v) for v in batch)
    return creation.as_tensor(batch) if hasattr(batch, "__array__") else batch


def split_batch(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Inputs and target: the last of several is the target.

    >>> split_batch((1, 2)), split_batch((1, 2, 3)), split_batch(1)
    (((1,), 2), ((1, 2), 3), ((1,), None))
    """
    if not isinstance(batch, list | tuple):
        return (batch,), None
    if len(batch) == 1:
        return (batch[0],), None
    return tuple(batch[:-1]), batch[-1]
