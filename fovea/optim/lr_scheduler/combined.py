"""Schedulers made of schedulers: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.optim.lr_scheduler.base import LRScheduler, set_value, values_of
from fovea.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fovea.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Combined(LRScheduler):
    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ArgumentError(f"{name} expects at least one scheduler.")
        for number, s in enumerate(schedulers):
            if not hasattr(s, "optimizer"):
                raise TypeError(f"{name}: number {number} is no scheduler: {type(s).__name__}.")
            if isinstance(s, ReduceLROnPlateau):
                raise ArgumentError(f"{name} cannot hold ReduceLROnPlateau: it needs a metric.")
            if s.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ArgumentError(f"{name}: scheduler {number} belongs to another optimizer.")

    def state_dict(self) -> dict[str, Any]:
        """All that the scheduler and those in it know, but for the optimizer."""
        state = super().state_dict()
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, rest.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(rest)


class SequentialLR(_Combined):
    """One scheduler after the other.

    Args:
        optimizer: whose rates they set.
        schedulers: in order; each counts its steps from where it takes over.
        milestones: the steps at which the second, third ... take over.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: schedulers of different optimizers; not one milestone fewer than schedulers.

    >>> import fovea
    >>> from fovea.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> sgd = fovea.optim.SGD([fovea.zeros(1, requires_grad=True)], lr=1.0)
    >>> parts = [ConstantLR(sgd, 0.5, 10), ExponentialLR(sgd, 0.5)]
    >>> schedule = SequentialLR(sgd, parts, milestones=[2]).schedule
    >>> [schedule(t) for t in range(5)]
    [0.5, 0.5, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers need one milestone fewer, "
                f"got {len(milestones)}."
            )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Making the schedulers changed the rates and counted a step in each: undo both.
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: LRScheduler | None = None) -> None:
        """Take back the step that each scheduler did when it was made."""
        scheduler = self if sched is None else sched
        if isinstance(scheduler, _Combined):
            for s in scheduler._schedulers:
                self.recursive_undo(s)
        else:
            scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Set the rates of the next step. Call it after ``optimizer.step``."""
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def schedule(self, step: int, group: int = 0) -> float:
        """The rate of a step, where all schedulers are functions of the step."""
        number = bisect_right(self._milestones, step)
        start = self._milestones[number - 1] if number else 0
        return float(self._schedulers[number].schedule(step - start, group))  # type: ignore[attr-defined]


class ChainedScheduler(_Combined):
    """All schedulers at once, each changing the rates that the one before it left.

    Args:
        schedulers: in order.
        optimizer: whose rates they set (default: the first scheduler's).

    Raises:
        ArgumentError: no schedulers, or of different optimizers.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer or schedulers[0].optimizer
        self._last_lr = values_of(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Let each scheduler do its step. Call it after ``optimizer.step``."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")
