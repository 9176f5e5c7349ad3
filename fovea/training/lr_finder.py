"""The range test of learning rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, MissingExtraError
from fovea.nn.utils.freezing import train_unfrozen
from fovea.training.feeding import as_loader
from fovea.training.monitor import set_learning_rate
from fovea.training.untouched import untouched

if TYPE_CHECKING:
    from fovea.training.trainer import Trainer

__all__ = ["LearningRates", "lr_find"]


@dataclass(frozen=True)
class LearningRates:
    """The curve of a range test.

    Attributes:
        rates: the learning rates, rising.
        losses: the smoothed loss at each.
        suggestion: the rate where the loss falls most steeply over the logarithm of the rate; None
            if there are too few points, or it never falls.
    """

    rates: list[float]
    losses: list[float]

    @property
    def suggestion(self) -> float | None:
        return self.suggest()

    def suggest(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at the steepest fall, some points at both ends left out."""
        stop = len(self.losses) - skip_end
        slopes = {
            i: (self.losses[i + 1] - self.losses[i - 1])
            / math.log(self.rates[i + 1] / self.rates[i - 1])
            for i in range(max(1, skip_begin), min(stop, len(self.losses) - 1))
        }
        best = min(slopes, key=slopes.__getitem__, default=None)
        return None if best is None or slopes[best] >= 0 else self.rates[best]

    def plot(self, path: str | None = None) -> Any:
        """Draw the losses over the rates, with the suggestion marked.

        Args:
            path: a file to write (PNG, SVG ...); None only returns the figure.

        Returns:
            A Matplotlib figure.

        Raises:
            MissingExtraError: Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError(
                "LearningRates.plot needs Matplotlib.", fix="pip install 'fovea[vision]'"
            ) from error
        figure = Figure(figsize=(5.0, 3.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(self.rates, self.losses)
        if self.suggestion is not None:
            at = self.rates.index(self.suggestion)
            axis.plot(self.suggestion, self.losses[at], "o", label=f"{self.suggestion:.2g}")
            axis.legend()
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axis.grid(alpha=0.3)
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure


def lr_find(
    trainer: Trainer,
    train: Any,
    *,
    min_lr: float = 1e-7,
    max_lr: float = 1.0,
    steps: int = 100,
    batch_size: int = 32,
    smooth: float = 0.9,
    stop_at: float = 4.0,
) -> LearningRates:
    """Find a learning rate by training a little while it rises from step to step (Smith 2017,
    "Cyclical Learning Rates for Training Neural Networks", section 3.3).

    The trainer, its model, its optimizer and all random numbers are then what they were before, to
    the same bits. Groups of the optimizer keep their proportions; the schedule is left out.

    Args:
        trainer: what would train.
        train: data, as ``Trainer.fit`` takes it.
        min_lr, max_lr: the rates of the first and the last step; those between have equal ratios.
        steps: how many updates, unless the loss explodes before.
        batch_size: for data that is not batched yet.
        smooth: how much of the mean loss stays from step to step.
        stop_at: stop once the mean loss is so many times its least value.

    Raises:
        ArgumentError: rates that do not rise from above 0, fewer than 3 steps, no data.

    >>> import fovea
    >>> from fovea import nn
    >>> x = fovea.randn(64, 3)
    >>> y = (x.sum(1) > 0).long()
    >>> model = nn.Linear(3, 2)
    >>> trainer = fovea.Trainer(model, nn.CrossEntropyLoss(), fovea.optim.SGD(model.parameters()))
    >>> found = lr_find(trainer, (x, y), min_lr=1e-3, max_lr=100.0)
    >>> 1e-3 < found.suggestion < 100
    True
    """
    if not 0 < min_lr < max_lr:
        raise ArgumentError(f"lr_find: rates from {min_lr} to {max_lr} do not rise from above 0.")
    if steps < 3:
        raise ArgumentError(f"lr_find: at least 3 steps are needed, got {steps}.")
    if not 0 <= smooth < 1:
        raise ArgumentError(f"lr_find: smooth lies from 0 to below 1, got {smooth}.")
    rates, losses = list[float](), list[float]()
    mean = least = 0.0
    with untouched(trainer):
        trainer.scheduler = None
        train_unfrozen(trainer.model)
        batches = _endless(as_loader(train, batch_size, True))
        for number in range(steps):
            rate = min_lr * (max_lr / min_lr) ** (number / (steps - 1))
            set_learning_rate(trainer.optimizer, rate)
            loss = _update(trainer, batches, number)
            mean = smooth * mean + (1 - smooth) * loss
            value = mean / (1 - smooth ** (number + 1))
            least = value if number == 0 else min(least, value)
            if not math.isfinite(value) or (number > 0 and value > stop_at * least > 0):
                break
            rates.append(rate)
            losses.append(value)
    return LearningRates(rates, losses)


def _update(trainer: Trainer, batches: Iterator[Any], number: int) -> float:
    """One update of the weights; returns the mean loss of its batches."""
    learner, total = trainer.learner, 0.0
    for part in range(learner.accumulate):
        last = part + 1 == learner.accumulate
        batch = trainer._paired(next(batches))
        loss = learner.learn(batch, number * learner.accumulate + part, part == 0, last)[0]
        total += float(loss)
    return total / learner.accumulate


def _endless(source: Any) -> Iterator[Any]:
    """Pass after pass over the data."""
    taken = 0
    for passes in itertools.count():
        before = taken
        for batch in source:
            taken += 1
            yield batch
        if taken == before:
            raise ArgumentError(
                "lr_find: the data ran out." if passes else "lr_find: the data has no batch.",
                fix="a list of batches, a dataset or a DataLoader",
            )
