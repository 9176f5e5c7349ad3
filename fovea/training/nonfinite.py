"""The callback that names where a run's first NaN was made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import random
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.finite import NonFiniteError, detect_nonfinite
from fovea.interop import save
from fovea.training.callbacks import Callback
from fovea.training.learner import as_tensors

if TYPE_CHECKING:
    from fovea.training.trainer import Trainer

__all__ = ["LocateNaN"]


class LocateNaN(Callback):
    """Ends a run with an error that names the op, the layer and the sample that made its first NaN.

    Before each step of a ``fovea.Trainer`` its weights, buffers and random numbers are copied. If
    the loss or a weight is then not finite, they are put back and the step is done again, op by op.
    Copying takes as long as reading and writing the weights once.

    Args:
        dump: a file for what the step learned from (``batch``) and the weights before it
            (``model``), as ``fovea.load`` reads them.

    Raises:
        NonFiniteError: (within ``fit``) with epoch and step; the model then has the weights from
            before the step.

    >>> import fovea
    >>> from fovea import nn
    >>> class Log(nn.Module):
    ...     def forward(self, x):
    ...         return x.log()
    >>> model = nn.Sequential(nn.Linear(2, 2), Log())
    >>> with fovea.no_grad(): _ = model[0].weight.fill_(0.0), model[0].bias.fill_(-1.0)
    >>> trainer = fovea.Trainer(model, nn.MSELoss(), fovea.optim.SGD(model.parameters()))
    >>> trainer.fit((fovea.ones(3, 2), fovea.ones(3, 2)), callbacks=LocateNaN(), verbose=0)
    Traceback (most recent call last):
        ...
    fovea.finite.NonFiniteError: log: the result is NaN in 6 of 6 elements, first at (0, 0).
      ...
    """

    def __init__(self, dump: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.dump = dump
        self._before: list[Any] = []
        self._random: Any = None
        self._epoch = 0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._before = []  # of another model, perhaps
        if not hasattr(model, "learner"):
            raise ArgumentError(
                "LocateNaN: it watches a fovea.Trainer.",
                fix="run fit(run_eagerly=True) within fovea.detect_nonfinite()",
            )

    def wants_batch_logs(self) -> bool:
        return True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        tensors = self._tensors()
        self._random = random.get_rng_state()
        if len(self._before) != len(tensors):
            self._before = [t.detach().clone() for t in tensors]
            return
        with no_grad():
            for held, t in zip(self._before, tensors, strict=True):
                held.copy_(t)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss) and all(_finite(p) for p in self.model.model.parameters()):
            return
        trainer: Trainer = self.model
        with no_grad():
            for held, t in zip(self._before, self._tensors(), strict=True):
                t.copy_(held)
        random.set_rng_state(self._random)
        details = {"step": f"{batch + 1} of epoch {self._epoch + 1}"}
        if self.dump is not None:
            state = {"batch": as_tensors(trainer.batch), "model": trainer.model.state_dict()}
            save(state, self.dump)
            details["batch"] = f"written to {os.fspath(self.dump)}"
        try:
            self._again(trainer, batch)
        except NonFiniteError as error:
            error.details = {**error.details, **details}
            raise
        finally:
            with no_grad():
                for held, t in zip(self._before, self._tensors(), strict=True):
                    t.copy_(held)
        raise NonFiniteError(
            "the loss or a weight is not finite, and no op made NaN when the step was done again.",
            details,
            "look for infinities with fovea.detect_nonfinite(infinities=True)",
        )

    @staticmethod
    def _again(trainer: Trainer, number: int) -> None:
        """The step once more, watched; gradients that were gathered before it are left out."""
        learner = trainer.learner
        batch = as_tensors(trainer._paired(trainer.batch))
        with detect_nonfinite():
            learner._learn_batch(batch, *learner._number("training_step", number), True, True)

    def _tensors(self) -> list[Any]:
        model = self.model.model
        return [t.detach() for t in (*model.parameters(), *model.buffers())]


def _finite(t: Any) -> bool:
    if not t.dtype.is_floating_point:
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(t.detach()._array().sum(dtype=np.float64)))
