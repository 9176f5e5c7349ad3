"""Optimizers as functions of weights, gradients and their own variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes, watching
from fovea.autograd.grad_mode import no_grad
from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.keras.optimizers.schedules import LearningRateSchedule
from fovea.keras.standins import StandIns, check_count, fitted
from fovea.keras.variables import Variable

if TYPE_CHECKING:
    from fovea.keras.optimizers.base import Optimizer
    from fovea.tensor import Tensor

__all__ = ["applied", "as_rate", "check"]

Both = tuple[list[Any], list[Any]]


def applied(optimizer: Optimizer, variables: Any, grads: Any, weights: Any) -> Both:
    """New weights, and new variables of the optimizer; see `Optimizer.stateless_apply`.

    All is tensors, the number of steps, too, so that it can be part of a compiled function.
    """
    own, params = optimizer.variables, optimizer._parameters
    check(optimizer, variables, grads, weights)
    iterations, *rest = variables
    iterations = fitted(own[0], iterations)
    states = optimizer._states()
    fixed = isinstance(optimizer._learning_rate, Variable)
    given, rest = (rest[:1], rest[1:]) if fixed else ([], rest)
    with no_grad(), StandIns() as scope:
        for v, value in zip([*params, *states], [*weights, *rest], strict=True):
            scope.lend(v, value)
        rate = given[0] if fixed else _scheduled(optimizer, iterations)
        optimizer._update_with(scope, grads, rate, iterations)
        steps = iterations + 1
    return scope.values(params), [steps, *given, *scope.values(states)]


def check(optimizer: Optimizer, variables: Any, grads: Any, weights: Any) -> None:
    """ArgumentError unless an optimizer is built and given as many tensors as it has variables."""
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
    schedule = optimizer._learning_rate
    if not isinstance(schedule, LearningRateSchedule):
        return schedule()
    own = type(schedule).__module__ == LearningRateSchedule.__module__
    if own and watching.watcher is None:
        return schedule(int(iterations.item()))
    return schedule(iterations)


def as_rate(rate: Any) -> Tensor:
    """A learning rate as a float32 tensor of its own."""
    found: Tensor = rate.detach() if hasattr(rate, "detach") else creation.tensor(float(rate))
    return found.to(dtypes.float32).clone()
