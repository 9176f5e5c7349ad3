"""What all schedulers share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.optim.optimizer import Group, Optimizer
from fovea.tensorbase import is_tensor

__all__ = ["FollowingScheduler", "LRScheduler", "per_group", "set_value", "values_of"]

_ORDER = (
    "lr_scheduler.step() was called before optimizer.step(): the first value of the schedule is "
    "skipped. Call optimizer.step() first."
)
_REPLACED = (
    "optimizer.step was replaced after the scheduler was made: make sure that it is called before "
    "lr_scheduler.step()."
)
_EPOCH = "scheduler.step(epoch) is on its way out: call scheduler.step()."


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """What each group holds under ``key``; tensors are copied."""
    return [g[key].clone() if is_tensor(g[key]) else g[key] for g in optimizer.param_groups]


def set_value(group: Group, key: str, value: Any) -> None:
    """Write a number into a group; a tensor there keeps its identity."""
    if is_tensor(group[key]):
        group[key].fill_(float(value))
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group, from one for all or a list.

    Raises:
        ArgumentError: a list of another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ArgumentError(f"{name} has {len(value)} values for {groups} parameter groups.")
    return list(value)


class LRScheduler:
    """Base of schedulers: sets ``lr`` in the optimizer's groups each time that ``step`` is called.

    A subclass gives ``get_lr``, from ``last_epoch`` and ``base_lrs``; and ``schedule(step, group)``
    where the rate depends on the step alone.

    Args:
        optimizer: whose rates it sets; each group's first one is kept as ``initial_lr``.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        TypeError: something that is no optimizer.
        KeyError: going on without ``initial_lr`` in a group.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if is_tensor(lr) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param_groups[{number}] has no 'initial_lr', which going on from epoch "
                    f"{last_epoch} needs: load the optimizer's state first."
                )
        self.base_lrs: list[Any] = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not getattr(optimizer, "_scheduled", False):
            optimizer._scheduled = True  # type: ignore[attr-defined]
            optimizer._opt_called = False
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All that the scheduler knows, but for the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that it set last, one a group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of step ``last_epoch``, one a group: what ``step`` calls."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr.")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("to see the last learning rate use get_last_lr().", stacklevel=3)

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step. Call it after ``optimizer.step``.

        Args:
            epoch: set those of this step instead (on its way out in PyTorch, too).
        """
        if self._step_count == 1:
            if not getattr(self.optimizer.step, "_notes_calls", False):
                warnings.warn(_REPLACED, stacklevel=2)
            elif not self.optimizer._opt_called:
                warnings.warn(_ORDER, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(_EPOCH, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        closed = epoch is not None and hasattr(self, "schedule")
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set(self._get_closed_form_lr() if closed else self._computed())

    def _computed(self) -> list[Any]:
        self._get_lr_called_within_step = True
        try:
            return self.get_lr()
        finally:
            self._get_lr_called_within_step = False

    def _get_closed_form_lr(self) -> list[Any]:
        schedule = self.schedule  # type: ignore[attr-defined]
        return [schedule(self.last_epoch, number) for number in range(len(self.base_lrs))]

    def _set(self, values: Sequence[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", value)
        self._last_lr: list[Any] = values_of(self.optimizer, "lr")


def check_optimizer(optimizer: Any) -> None:
    """TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a scheduler needs an Optimizer, got {type(optimizer).__name__}.")


class FollowingScheduler(LRScheduler):
    """A scheduler with a pure ``schedule`` that still respects changes others make to the rate.

    As long as a group's rate is the one that the schedule gave for the step before, the next comes
    from ``schedule`` itself, so that rounding does not add up. Where somebody else changed it (a
    second scheduler, the user), the change is kept and the rate multiplied by the schedule's ratio.
    """

    def schedule(self, step: int, group: int = 0) -> float:
        """The rate of a step, for the group of that number."""
        raise NotImplementedError(f"{type(self).__name__} has no schedule.")

    def _changes_at_start(self) -> bool:
        """Whether making the scheduler changes the rates (PyTorch's schedulers differ in this)."""
        return False

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        if self._is_initial and not self._changes_at_start():
            return values_of(self.optimizer, "lr")
        groups = self.optimizer.param_groups
        return [self._following(float(g["lr"]), number) for number, g in enumerate(groups)]

    def _following(self, lr: float, number: int) -> float:
        step = self.last_epoch
        now = self.schedule(step, number)
        before = self.schedule(step - 1, number) if step > 0 else float(self.base_lrs[number])
        return now if lr == before else self._scaled(lr, now, before, number)

    def _scaled(self, lr: float, now: float, before: float, number: int) -> float:
        return lr * (now / before) if before else lr
