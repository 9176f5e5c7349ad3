"""Averages of a trainer's weights, and when the model holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.nn.module import Module
from fovea.optim.swa_utils import AveragedModel
from fovea.training.statistics import refresh_statistics

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["EpochMean", "MovingAverage", "WeightAverage", "average_of"]


class WeightAverage:
    """A model's average, which changes places with the model in place, so that compiled steps go
    on.

    Attributes:
        averaged: the average.
    """

    def __init__(self, model: Module, averaged: AveragedModel) -> None:
        self.model, self.averaged = model, averaged
        self.averaged.eval()
        self._inside = False

    def update(self) -> None:
        """Let the present weights into the average."""
        self.averaged.update_parameters(self.model)

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states of the model with its own weights and of the average, wherever they lie."""
        model, averaged = self.model.state_dict(), self.averaged.state_dict()
        if not self._inside:
            return model, averaged
        count = {k: v for k, v in averaged.items() if not k.startswith("module.")}
        moved = {f"module.{k}": v for k, v in model.items()}
        return dict(self.averaged.module.state_dict()), {**count, **moved}

    def restore(self, averaged: dict[str, Any]) -> None:
        """Take the second state that ``states`` gave; the model has its own weights."""
        self.averaged.load_state_dict(averaged)

    @property
    def ready(self) -> bool:
        """Whether there is an average."""
        return True

    def swap(self, inside: bool) -> None:
        """Let the model hold the average, or its own weights again."""
        if inside == self._inside or (inside and not self.ready):
            return
        with no_grad():
            for a, b in zip(_tensors(self.model), _tensors(self.averaged.module), strict=True):
                kept = a.clone()
                a.copy_(b)
                b.copy_(kept)
        self._inside = inside

    @contextmanager
    def used(self, inside: bool = True) -> Iterator[None]:
        """The model holds the average (``inside=False``: its own weights) within the block."""
        before = self._inside
        self.swap(inside)
        try:
            yield
        finally:
            self.swap(before)


class MovingAverage(WeightAverage):
    """An exponential moving average of a model's weights and buffers (Polyak and Juditsky 1992).

    After each update ``average = decay * average + (1 - decay) * weight``, the first of which
    copies; buffers of whole numbers (counts, tables of indices) are copied each time.

    Args:
        model: the model.
        decay: how much of the average stays, from 0 to below 1.

    Raises:
        ArgumentError: another ``decay``.

    >>> import fovea
    >>> model = fovea.nn.Linear(1, 1)
    >>> average = MovingAverage(model, 0.9)
    >>> average.update()
    >>> with fovea.no_grad(): _ = model.weight.fill_(5.0)
    >>> with average.used():
    ...     held = float(model.weight)
    >>> held != 5.0, float(model.weight)
    (True, 5.0)
    """

    def __init__(self, model: Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(
                f"Trainer: ema is a decay from 0 to below 1, got {decay}.", fix="such as ema=0.999"
            )

        def average(held: list[Tensor], values: list[Tensor], count: Any) -> None:
            for h, v in zip(held, values, strict=True):
                if h.dtype.is_floating_point:
                    h.copy_(decay * h + (1 - decay) * v)
                else:
                    h.copy_(v)

        super().__init__(model, AveragedModel(model, multi_avg_fn=average, use_buffers=True))


class EpochMean(WeightAverage):
    """The mean of a model's weights at the ends of epochs: stochastic weight averaging (Izmailov et
    al. 2018). Statistics of batch normalization are those of the data under the mean.

    Args:
        model: the model.
        first: the first epoch (from 1) that counts.

    Raises:
        ArgumentError: ``first`` below 1.
    """

    def __init__(self, model: Module, first: int) -> None:
        if first < 1:
            raise ArgumentError(f"Trainer: swa is the first epoch to average, got {first}.")
        super().__init__(model, AveragedModel(model))
        self.first = first
        self._taken = 0

    def restore(self, averaged: dict[str, Any]) -> None:
        super().restore(averaged)
        self._taken = 0

    @property
    def ready(self) -> bool:
        return bool(self.averaged.n_averaged > 0)

    def take(self, epoch: int, batches: Any, forward: Callable[[Any], Any]) -> None:
        """Let the weights at the end of an epoch (from 1) into the mean, if they count and are not
        in it.

        Args:
            batches: the training data.
            forward: runs the model on a batch.
        """
        if epoch < self.first or epoch == self._taken:
            return
        self.update()
        self._taken = epoch
        with self.used():
            refresh_statistics(self.model, batches, forward)


def average_of(model: Module, ema: float | None, swa: int | None) -> WeightAverage | None:
    """What a trainer averages by.

    Raises:
        ArgumentError: both, or a number out of its range.
    """
    if ema is not None and swa is not None:
        raise ArgumentError("Trainer: give one of ema and swa.")
    if ema is not None:
        return MovingAverage(model, ema)
    return None if swa is None else EpochMean(model, swa)


def _tensors(model: Module) -> list[Tensor]:
    return [t.detach() for t in (*model.parameters(), *model.buffers())]
