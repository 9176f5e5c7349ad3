"""The schedule that listens: lower the rate when a metric stops improving."""

from __future__ import annotations

import math
import warnings
from typing import Any

from fovea.errors import ArgumentError
from fovea.optim.lr_scheduler.base import LRScheduler, check_optimizer, set_value, values_of
from fovea.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` when a metric has not improved for more than ``patience`` steps.

    Args:
        optimizer: whose rates it sets.
        mode: ``"min"`` if smaller is better, ``"max"`` if larger.
        factor: what a rate is multiplied by, below 1.
        patience: how many steps without improvement are let pass.
        threshold: by how much a metric has to be better to count.
        threshold_mode: ``"rel"``: of the best so far; ``"abs"``: as it is.
        cooldown: how many steps after a change are not judged.
        min_lr: the lowest rate; a list has one for each group.
        eps: smaller changes are left out.

    Raises:
        ArgumentError: an option outside its range.

    >>> import fovea
    >>> sgd = fovea.optim.SGD([fovea.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(sgd, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}.")
        if mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau: mode is 'min' or 'max', got {mode!r}.")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: threshold_mode is 'rel' or 'abs', got {threshold_mode!r}."
            )
        check_optimizer(optimizer)
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        listed = isinstance(min_lr, list | tuple)
        if listed and len(min_lr) != groups:
            raise ArgumentError(f"ReduceLROnPlateau: {len(min_lr)} min_lrs for {groups} groups.")
        self.default_min_lr = None if listed else min_lr
        self.min_lrs = list(min_lr) if listed else [min_lr] * groups
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.last_epoch = 0
        self._last_lr = values_of(optimizer, "lr")
        self._reset()

    def _reset(self) -> None:
        """Forget what metrics there were."""
        self.best = math.inf if self.mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether steps are not judged because the rate has just changed."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Judge a metric, and lower the rates if it is time.

        Args:
            metrics: the metric's value: a number or a tensor of one.
            epoch: the number of this step (on its way out in PyTorch, too).
        """
        current = float(metrics)
        if epoch is not None:
            warnings.warn("scheduler.step(epoch) is on its way out.", stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = values_of(self.optimizer, "lr")

    def _is_better(self, a: float, best: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            bound = best * (1.0 + sign * self.threshold)
        else:
            bound = best + sign * self.threshold
        return a > bound if sign > 0 else a < bound

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: {len(self.min_lrs)} min_lrs for {len(groups)} groups.",
                    fix="set scheduler.min_lrs after adding a group",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                set_value(group, "lr", new)
