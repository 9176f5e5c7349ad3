"""Optimizers as functions of weights, gradients and their own variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes, watching
from fovea.autograd.grad_mode import no_grad
from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.keras.optimizers.schedules import LearningRateSchedule
from fovea.keras.standins import StandIns, check_count, fitted
from fovea.keras.variables import Variable, assign

if TYPE_CHECKING:
    from fovea.keras.optimizers.base import Optimizer
    from fovea.tensor import Tensor

__all__ = ["applied", "applied_by_values"]

Both = tuple[list[Any], list[Any]]


def applied(optimizer: Optimizer, variables: Any, grads: Any, weights: Any) -> Both:
    """New weights, and new variables of the optimizer; see `Optimizer.stateless_apply`.

    All is tensors, the number of steps, too, so that it can be part of a compiled function.
    """
    own, params = optimizer.variables, optimizer._parameters
    _check(optimizer, variables, grads, weights)
    iterations, *rest = variables
    iterations = fitted(own[0], iterations)
    states = optimizer._states()
    rate: Any = None
    if isinstance(optimizer._learning_rate, Variable):
        rate, *rest = rest
    with no_grad(), StandIns() as scope:
        for v, value in zip([*params, *states], [*weights, *rest], strict=True):
            scope.lend(v, value)
        if rate is None:
            rate = _scheduled(optimizer, iterations)
        optimizer._update_with(scope, grads, rate, iterations)
        steps = iterations + 1
    given = [variables[1]] if len(own) == len(states) + 2 else []
    return scope.values(params), [steps, *given, *scope.values(states)]


def _check(optimizer: Optimizer, variables: Any, grads: Any, weights: Any) -> None:
    if not optimizer.built:
        raise ArgumentError(
            f"stateless_apply: {optimizer.name} has no variables yet.",
            fix="call optimizer.build(trainable_variables) first",
        )
    check_count("optimizer_variables", optimizer, variables, optimizer.variables)
    check_count("trainable_variables", optimizer, weights, optimizer._parameters)
    check_count("grads", optimizer, grads, optimizer._parameters)


def _scheduled(optimizer: Optimizer, iterations: Tensor) -> Any:
    """The learning rate that a schedule, or a function, gives for a number of steps."""
    schedule, every = optimizer._learning_rate, optimizer.gradient_accumulation_steps or 1
    if not isinstance(schedule, LearningRateSchedule):
        return schedule()
    done = iterations if every == 1 else iterations // every
    own = type(schedule).__module__ == LearningRateSchedule.__module__
    if own and watching.watcher is None:
        return schedule(int(done.item()))
    return schedule(done)


def applied_by_values(optimizer: Optimizer, variables: Any, grads: Any, weights: Any) -> Both:
    """The same for optimizers of optimizers: the values are set, and set back."""
    _check(optimizer, variables, grads, weights)
    params = optimizer._parameters
    states, kept = optimizer.get_weights(), [p.detach().clone() for p in params]
    try:
        optimizer.set_weights([_array(v) for v in variables])
        for p, value in zip(params, weights, strict=True):
            assign(p, fitted(p, value))
        optimizer.apply(list(grads), params)
        made = [p.detach().clone() for p in params]
        return made, [creation.tensor(a) for a in optimizer.get_weights()]
    finally:
        optimizer.set_weights(states)
        for p, value in zip(params, kept, strict=True):
            assign(p, value)


def _array(value: Any) -> np.ndarray[Any, Any]:
    return value.detach()._array() if hasattr(value, "detach") else np.asarray(value)


def as_rate(rate: Any) -> Tensor:
    """A learning rate as a float32 tensor of its own."""
    found: Tensor = rate.detach() if hasattr(rate, "detach") else creation.tensor(float(rate))
    return found.to(dtypes.float32).clone()
