"""Averages of weights: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.pointwise import where
from fovea.nn.batch_norm import _BatchNorm
from fovea.nn.module import Module
from fovea.optim.lr_scheduler.base import LRScheduler, per_group
from fovea.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Any, Any, Any], Any]


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ArgumentError(f"decay must lie in [0, 1], got {decay}.")


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * average + (1 - decay) * value``, for ``AveragedModel``'s ``avg_fn``.

    Raises:
        ArgumentError: ``decay`` outside [0, 1].
    """
    _check_decay(decay)

    def average(held: Tensor, value: Tensor, count: Any) -> Tensor:
        return decay * held + (1 - decay) * value

    return average


def get_swa_avg_fn() -> Average:
    """The mean of all values so far, for ``AveragedModel``'s ``avg_fn``."""

    def average(held: Tensor, value: Tensor, count: Any) -> Tensor:
        return held + (value - held) / (count + 1)

    return average


def _in_place(one: Average) -> Average:
    def several(held: list[Tensor], values: list[Tensor], count: Any) -> None:
        with no_grad():
            for h, v in zip(held, values, strict=True):
                h.copy_(one(h, v, count))

    return several


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    """``get_ema_avg_fn`` for lists, in place: for ``AveragedModel``'s ``multi_avg_fn``."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Average:
    """``get_swa_avg_fn`` for lists, in place: for ``AveragedModel``'s ``multi_avg_fn``."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose weights are averages of the model's.

    The first ``update_parameters`` copies, later ones average: equally (Izmailov et al. 2018)
    unless a function says otherwise. Averaging works inside compiled steps.

    Args:
        model: the model, which is copied.
        device: where the copy lives; where the model does unless given.
        avg_fn: ``(average, value, count) -> average``, for one tensor.
        multi_avg_fn: ``(averages, values, count)``, for lists of tensors, in place.
        use_buffers: average buffers, too; otherwise they are copied.

    Raises:
        ArgumentError: both functions.

    >>> import fovea
    >>> model = fovea.nn.Linear(2, 1)
    >>> average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    >>> average.update_parameters(model)
    >>> bool((average(fovea.ones(2)) == model(fovea.ones(2))).all()), int(average.n_averaged)
    (True, 1)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: give one of avg_fn and multi_avg_fn.")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dtypes.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Let the model's present weights into the averages."""
        with no_grad():
            self._average(model)
            self.n_averaged.add_(1)

    def _average(self, model: Module) -> None:
        held: list[Tensor] = list(self.module.parameters())
        given: list[Tensor] = list(model.parameters())
        buffers, others = list(self.module.buffers()), list(model.buffers())
        if self.use_buffers:
            held, given = [*held, *buffers], [*given, *others]
        else:
            for b, other in zip(buffers, others, strict=True):
                b.copy_(other)
        held, given = [t.detach() for t in held], [t.detach() for t in given]
        new = self._averages(held, given)
        # The first time all are copied; it is not asked in Python, so that programs can do this.
        first = self.n_averaged == 0
        for h, n, g in zip(held, new, given, strict=True):
            h.copy_(where(first, g, n.to(h.dtype)))

    def _averages(self, held: list[Tensor], given: list[Tensor]) -> list[Tensor]:
        if self.multi_avg_fn is not None:
            new = [h.clone() for h in held]
            self.multi_avg_fn(new, given, self.n_averaged)
            return new
        one = self.avg_fn or get_swa_avg_fn()
        return [one(h, g, self.n_averaged) for h, g in zip(held, given, strict=True)]


class SWALR(LRScheduler):
    """Goes from the rate that it finds to a constant one.

    Args:
        optimizer: whose rates it sets.
        swa_lr: the rate at the end, one or one a group.
        anneal_epochs: how many steps it takes.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: an unknown strategy, or ``anneal_epochs`` that is no whole number from 0 up.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}."
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(
                f"SWALR: anneal_epochs must be an integer from 0 up, got {anneal_epochs}."
            )
        rates = per_group("swa_lr", optimizer, swa_lr)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: float) -> float:
        """How much of the last rate there is at a step."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            # the rate may have been changed by others: what it began from is worked out anew
            first = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the statistics of a model's batch normalizations to those of a data set.

    Args:
        loader: batches; of a tuple or list the first item is the model's input.
        model: all whose batch normalizations begin anew and take plain means over the batches.
        device: where batches are moved.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    try:
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
