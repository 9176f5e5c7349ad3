"""Schedules that lead one way: steps, lines, powers, half a cosine; and functions of one's own."""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.optim.lr_scheduler import schedules
from fovea.optim.lr_scheduler.base import FollowingScheduler, LRScheduler, per_group, values_of
from fovea.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
]

Factor = Callable[[int], float]


class _FunctionScheduler(LRScheduler):
    """A scheduler with a function for each group. Functions are not saved; callable objects are."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas: list[Factor] = per_group("lr_lambda", optimizer, lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function, got {type(function).__name__}.")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(f, types.FunctionType) else vars(f).copy() for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, rest.pop("lr_lambdas"), strict=True):
            if saved is not None:
                vars(function).update(saved)
        super().load_state_dict(rest)


class LambdaLR(_FunctionScheduler):
    """The initial rate times a function of the step.

    Args:
        optimizer: whose rates it sets.
        lr_lambda: the function, or one for each group.
        last_epoch: the last step done; -1 starts anew.

    >>> import fovea
    >>> sgd = fovea.optim.SGD([fovea.zeros(1, requires_grad=True)], lr=0.5)
    >>> LambdaLR(sgd, lambda t: 1 / (t + 1)).schedule(4)
    0.1
    """

    def schedule(self, step: int, group: int = 0) -> float:
        """The rate of a step, for the group of that number."""
        return float(self.base_lrs[group]) * self.lr_lambdas[group](step)

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        return self._get_closed_form_lr()


class MultiplicativeLR(_FunctionScheduler):
    """The present rate times a function of the step.

    Args:
        optimizer: whose rates it sets.
        lr_lambda: the function, or one for each group.
        last_epoch: the last step done; -1 starts anew.
    """

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        if self._is_initial:
            return values_of(self.optimizer, "lr")
        groups = self.optimizer.param_groups
        return [g["lr"] * f(self.last_epoch) for f, g in zip(self.lr_lambdas, groups, strict=True)]


class StepLR(FollowingScheduler):
    """Times ``gamma`` every ``step_size`` steps.

    Args:
        optimizer: whose rates it sets.
        step_size: how many steps a rate lasts.
        gamma: the factor between one rate and the next.
        last_epoch: the last step done; -1 starts anew.

    >>> import fovea
    >>> sgd = fovea.optim.SGD([fovea.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(sgd, step_size=2, gamma=0.5).schedule
    >>> [schedule(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        base = float(self.base_lrs[group])
        return schedules.step_decay(step, base, self.step_size, self.gamma)

    def _changes_at_start(self) -> bool:
        return self.last_epoch > 0


class MultiStepLR(FollowingScheduler):
    """Times ``gamma`` at each milestone.

    Args:
        optimizer: whose rates it sets.
        milestones: the steps at which the rate changes; one that is given twice counts twice.
        gamma: the factor.
        last_epoch: the last step done; -1 starts anew.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        rising = sorted(self.milestones.elements())
        return schedules.multi_step(step, float(self.base_lrs[group]), rising, self.gamma)

    def _changes_at_start(self) -> bool:
        return True


class ConstantLR(FollowingScheduler):
    """``factor`` times the rate for the first ``total_iters`` steps.

    Args:
        optimizer: whose rates it sets.
        factor: between 0 and 1.
        total_iters: how many steps it lasts.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: a factor outside [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor must lie between 0 and 1, got {factor}.")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        base = float(self.base_lrs[group])
        return schedules.constant(step, base, self.factor, self.total_iters)

    def _changes_at_start(self) -> bool:
        return True


class LinearLR(FollowingScheduler):
    """From ``start_factor`` to ``end_factor`` times the rate along a line: warm-up.

    Args:
        optimizer: whose rates it sets.
        start_factor: the first factor, above 0 and at most 1.
        end_factor: the last, between 0 and 1.
        total_iters: how many steps lie between them.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: a factor outside its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ArgumentError(f"LinearLR: start_factor must lie in (0, 1], got {start_factor}.")
        if not 0 <= end_factor <= 1:
            raise ArgumentError(f"LinearLR: end_factor must lie in [0, 1], got {end_factor}.")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        base = float(self.base_lrs[group])
        return schedules.linear(step, base, self.start_factor, self.end_factor, self.total_iters)

    def _changes_at_start(self) -> bool:
        return self.last_epoch == 0


class ExponentialLR(FollowingScheduler):
    """Times ``gamma`` at every step.

    Args:
        optimizer: whose rates it sets.
        gamma: the factor.
        last_epoch: the last step done; -1 starts anew.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        return schedules.exponential(step, float(self.base_lrs[group]), self.gamma)


class PolynomialLR(FollowingScheduler):
    """Down to 0 in ``total_iters`` steps, as a power of what is left of them.

    Args:
        optimizer: whose rates it sets.
        total_iters: when 0 is reached.
        power: 1 is a line.
        last_epoch: the last step done; -1 starts anew.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        base = float(self.base_lrs[group])
        return schedules.polynomial(step, base, self.total_iters, self.power)


class CosineAnnealingLR(FollowingScheduler):
    """Half a wave of the cosine from the rate down to ``eta_min`` (Loshchilov and Hutter 2017).

    Args:
        optimizer: whose rates it sets.
        T_max: how many steps lead down; as many lead up again if the training goes on.
        eta_min: the lowest rate.
        last_epoch: the last step done; -1 starts anew.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: int, group: int = 0) -> float:
        return schedules.cosine(step, float(self.base_lrs[group]), self.T_max, self.eta_min)

    def _scaled(self, lr: float, now: float, before: float, number: int) -> float:
        # What is scaled is the part above eta_min; from the bottom of the wave it rises anew.
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            return lr + now - before
        return self.eta_min + (lr - self.eta_min) * (now - self.eta_min) / (before - self.eta_min)
