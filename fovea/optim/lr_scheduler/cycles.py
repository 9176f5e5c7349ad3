"""Schedules that rise and fall: warm restarts, triangles, one cycle."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError
from fovea.optim.lr_scheduler import schedules
from fovea.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group, set_value
from fovea.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingWarmRestarts(LRScheduler):
    """A cosine down to ``eta_min``, again and again (Loshchilov and Hutter 2017).

    Args:
        optimizer: whose rates it sets.
        T_0: how long the first cycle is.
        T_mult: how many times longer each is than the one before.
        eta_min: the lowest rate.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: ``T_0`` or ``T_mult`` is no whole number above 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(
                    f"CosineAnnealingWarmRestarts: {name} must be a positive integer, got {value}."
                )
        if not isinstance(eta_min, float | int):
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: eta_min must be a number, got {eta_min!r}."
            )
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def schedule(self, step: float, group: int = 0) -> float:
        """The rate of a step (or of a part of one), for the group of that number."""
        base = float(self.base_lrs[group])
        return schedules.warm_restarts(step, base, self.T_0, self.T_mult, self.eta_min)

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        return [schedules.cosine(self.T_cur, b, self.T_i, self.eta_min) for b in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next step, or of ``epoch``, which may be a fraction.

        Raises:
            ArgumentError: a negative epoch.
        """
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = epoch or 0
            if epoch < 0:
                raise ArgumentError(f"step: the epoch must not be negative, got {epoch}.")
            self.T_cur, self.T_i = schedules.restart_position(epoch, self.T_0, self.T_mult)
        self.last_epoch = math.floor(epoch)
        self._set(self._computed())


class _MomentumCycle(LRScheduler):
    """A scheduler that moves momentum (or beta1) against the rate."""

    cycle_momentum: bool

    def _start_momentum(self, base: Any, top: Any, fresh: bool) -> None:
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ArgumentError(
                f"{type(self).__name__}: the optimizer has neither momentum nor betas to cycle.",
                fix="cycle_momentum=False",
            )
        self.use_beta1 = "betas" in defaults
        self.base_momentums = per_group("base_momentum", self.optimizer, base)
        self.max_momentums = per_group("max_momentum", self.optimizer, top)
        if fresh:
            for number, group in enumerate(self.optimizer.param_groups):
                group["max_momentum"] = self.max_momentums[number]
                group["base_momentum"] = self.base_momentums[number]
                self._set_momentum(group, self.max_momentums[number])

    def _set_momentum(self, group: Group, value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_MomentumCycle):
    """Triangles between ``base_lr`` and ``max_lr`` (Smith 2017).

    Args:
        optimizer: whose rates it sets.
        base_lr, max_lr: the lowest and the highest rate; a list has one for each group.
        step_size_up, step_size_down: how many steps lead up and down (None: as many as up).
        mode: ``"triangular"``, ``"triangular2"`` (half as high each time) or ``"exp_range"``
            (``gamma**step`` as high).
        gamma: for ``"exp_range"``.
        scale_fn: the height as a function of its own, instead of ``mode``.
        scale_mode: whether ``scale_fn`` takes the number of the ``"cycle"`` or of ``"iterations"``.
        cycle_momentum: move momentum the other way, between the two that follow.
        base_momentum, max_momentum: the lowest and the highest momentum.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: an unknown mode; no momentum to cycle.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ArgumentError(f"CyclicLR: mode {mode!r} is unknown and there is no scale_fn.")
        self.optimizer = optimizer
        lowest = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, lowest, strict=True):
                set_value(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        self.step_size_up = float(step_size_up)
        self.step_size_down = float(step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch == -1)
        self._lowest = lowest
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def scale_fn(self, x: float) -> float:
        """The height of cycle (or step) ``x``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x)

    def _height(self, step: int) -> float:
        cycle, height = schedules.cyclic_position(step, self.step_size_up, self.step_size_down)
        return height * self.scale_fn(cycle if self.scale_mode == "cycle" else step)

    def schedule(self, step: int, group: int = 0) -> float:
        """The rate of a step, for the group of that number."""
        low, high = float(self._lowest[group]), float(self.max_lrs[group])
        return low + (high - low) * self._height(step)

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        if self.cycle_momentum:
            height = self._height(self.last_epoch)
            for number, group in enumerate(self.optimizer.param_groups):
                low, high = self.base_momentums[number], self.max_momentums[number]
                self._set_momentum(group, high - (high - low) * height)
        return [self.schedule(self.last_epoch, n) for n in range(len(self.max_lrs))]

    def state_dict(self) -> dict[str, Any]:
        """All that the scheduler knows; a ``scale_fn`` that is a plain function is left out."""
        state = super().state_dict()
        custom = state["_scale_fn_custom"]
        plain = custom is None or isinstance(custom, types.FunctionType)
        state["_scale_fn_custom"] = None if plain else vars(custom).copy()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        saved = rest.pop("_scale_fn_custom")
        if saved is not None:
            vars(self._scale_fn_custom).update(saved)
        super().load_state_dict(rest)


class OneCycleLR(_MomentumCycle):
    """The one-cycle policy (Smith and Topin 2019): up to ``max_lr``, then far down, batch by batch.

    Args:
        optimizer: whose rates it sets.
        max_lr: the highest rate; a list has one for each group.
        total_steps: how many steps there are; or give the next two.
        epochs, steps_per_epoch: their product is ``total_steps``.
        pct_start: the part of the steps that leads up.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: move momentum the other way, between the two that follow.
        base_momentum, max_momentum: the lowest and the highest momentum.
        div_factor: ``max_lr`` over the first rate.
        final_div_factor: the first rate over the last.
        three_phase: go down to the first rate as fast as up, and then on.
        last_epoch: the last step done; -1 starts anew.

    Raises:
        ArgumentError: an option outside its range; no steps given; too many steps done.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must lie in [0, 1], got {pct_start!r}.")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"OneCycleLR: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}."
            )
        self.pct_start, self.three_phase = pct_start, three_phase
        self._anneal_func_type = anneal_strategy
        highest = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _between(self, step: int, values: dict[str, float]) -> float:
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of {self.total_steps} was asked for.")
        cycle = schedules.OneCycle(self.total_steps, self.pct_start, self.three_phase)
        start, end, part = cycle.at(step)
        return schedules.annealed(self._anneal_func_type)(values[start], values[end], part)

    def schedule(self, step: int, group: int = 0) -> float:
        """The rate of a step, for the group of that number."""
        held = self.optimizer.param_groups[group]
        names = {"initial": "initial_lr", "max": "max_lr", "min": "min_lr"}
        return self._between(step, {n: float(held[key]) for n, key in names.items()})

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        rates = [self.schedule(self.last_epoch, number) for number in range(len(groups))]
        if self.cycle_momentum:
            for group in groups:
                high, low = group["max_momentum"], group["base_momentum"]
                values = {"initial": high, "max": low, "min": high}
                self._set_momentum(group, self._between(self.last_epoch, values))
        return rates


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is None and (epochs is None or steps_per_epoch is None):
        raise ArgumentError("OneCycleLR needs total_steps, or epochs and steps_per_epoch.")
    given: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total is not None:
        given = {"total_steps": total}
    product = 1
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ArgumentError(f"OneCycleLR: {name} must be a positive integer, got {value!r}.")
        product *= value
    return product
