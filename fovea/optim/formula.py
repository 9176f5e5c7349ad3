"""Optimizers whose step is written in tensor functions, one parameter after the other.

For updates that look at a parameter as a whole (its norm, its rows, its products), which the
kernels of ``update`` do not. The numbers of a group that may change between steps are 0-d tensors
to the formulas, so that a program captured from a step follows schedules.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fovea import dtypes, watching
from fovea.autograd import enable_grad, no_grad
from fovea.functions.creation import from_array, scalar_tensor, zeros_like
from fovea.optim.optimizer import Group, Optimizer
from fovea.optim.update import unavailable

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["FormulaOptimizer", "averages", "new_step", "rms"]


class FormulaOptimizer(Optimizer):
    """An optimizer that gives a formula for one parameter, and names the numbers that it reads.

    ``scalars`` are the options of a group that may change between steps.
    """

    scalars: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._numbers: dict[int, tuple[Tensor, np.ndarray[Any, Any]]] = {}
        for flag in ("capturable", "differentiable"):
            unavailable(type(self).__name__, flag, defaults.get(flag))
        super().__init__(params, defaults)

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        """Change a parameter and its state in place.

        Args:
            p, g: the parameter and its gradient, negated where the group climbs.
            state: the parameter's; empty at the first step.
            n: ``scalars`` as 0-d float64 tensors.
            group: the options that stay.
        """
        raise NotImplementedError

    def values(self, group: Group) -> tuple[float, ...]:
        """The numbers of ``scalars`` in a group."""
        return tuple(group[name] for name in self.scalars)

    def attributes(self, group: Group, fresh: bool) -> tuple[Any, ...]:
        """The options that a captured step takes as they are."""
        changing = ("params", "param_names", "initial_lr", "betas", *self.scalars)
        return tuple((k, v) for k, v in sorted(group.items()) if k not in changing)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._numbers = {}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters that have a gradient.

        Args:
            closure: computes the loss and gradients anew; called once, its result returned.
        """
        loss = None
        if watching.watcher is not None:
            watching.watcher.optimizer(self)
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for number, group in enumerate(self.param_groups):
                self._step_group(number, group)
        return loss

    def _step_group(self, number: int, group: Group) -> None:
        n = self._numbers_of(number, group)
        for p in group["params"]:
            if p.grad is not None:
                g = p.grad.detach()
                self.update(p, -g if group.get("maximize") else g, self.state[p], n, group)

    def _numbers_of(self, number: int, group: Group) -> SimpleNamespace:
        if number not in self._numbers:
            with watching.unwatched():  # found by a capture, not made in it
                held = from_array(np.zeros(len(self.scalars)))
                self._numbers[number] = held, held._array()
        held = self._write(number, group)
        return SimpleNamespace(**{name: held[i] for i, name in enumerate(self.scalars)})

    def _write(self, number: int, group: Group) -> Tensor:
        held, array = self._numbers[number]
        values = list(map(float, self.values(group)))
        if array.tolist() != values:
            array[:] = values
            held.storage.version += 1
        return held

    def sync(self) -> None:
        """Write what ``param_groups`` says into the tensors that the formulas read.

        ``step`` does so itself; a program that was captured from one calls this before each run.
        """
        for number in self._numbers:
            self._write(number, self.param_groups[number])


def new_step() -> Tensor:
    """A count of steps, at 0."""
    return scalar_tensor(0.0, dtype=dtypes.float32)


def averages(state: dict[str, Any], p: Tensor, *names: str) -> tuple[Tensor, ...]:
    """The states of these names, zeros at first, after the count of steps has gone up by one."""
    if "step" not in state:
        with watching.unwatched():  # found by a capture, not made in it
            state["step"] = new_step()
            for name in names:
                state[name] = zeros_like(p.detach())
    state["step"].add_(1)
    return tuple(state[name] for name in names)


def rms(x: Tensor) -> Tensor:
    """The root of the mean square of all elements."""
    return (x * x).mean().sqrt()
