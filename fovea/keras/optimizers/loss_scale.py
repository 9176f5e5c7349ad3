"""An optimizer that scales the loss, so that gradients don't vanish in float16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch, watching
from fovea.autograd.grad_mode import no_grad
from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation
from fovea.functions.indexing import copy_
from fovea.functions.pointwise import where
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.optimizers.stateless import check
from fovea.keras.standins import fitted
from fovea.keras.variables import Linked, Variable, assign
from fovea.ops.nonfinite import nonfinite

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LossScaleOptimizer"]

# What the base takes but the inner optimizer does, with the values that old files hold.
_INNER_ARGUMENTS = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a scale, divides the gradients by it, leaves out steps that overflow.

    A step with an infinite or NaN gradient changes nothing and halves the scale;
    ``dynamic_growth_steps`` steps without double it. ``compile`` wraps the optimizer of a model
    with the policy ``"mixed_float16"`` in one.

    Args:
        inner_optimizer: what updates the weights.
        initial_scale: the scale to begin with.
        dynamic_growth_steps: how many good steps in a row it takes to grow.
        name: made up unless given.

    Raises:
        ArgumentError: options that belong to the inner optimizer.

    Source: Micikevicius et al., "Mixed precision training", 2018.

    >>> import fovea
    >>> from fovea.keras.optimizers import SGD
    >>> w, optimizer = Variable([1.0]), LossScaleOptimizer(SGD(0.5), initial_scale=8.0)
    >>> optimizer.apply([fovea.tensor([8.0])], [w])
    >>> optimizer.apply([fovea.tensor([float("inf")])], [w])
    >>> w.numpy().tolist(), optimizer.dynamic_scale.item(), optimizer.iterations.item()
    ([0.5], 4.0, 1)
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ArgumentError(
                "LossScaleOptimizer: dynamic=False is not available.",
                fix="give the inner optimizer a loss_scale_factor instead",
            )
        for key, value in _INNER_ARGUMENTS.items():
            if kwargs.pop(key, value) != value:
                raise ArgumentError(
                    f"LossScaleOptimizer takes no {key}.", fix="give it to the inner optimizer"
                )
        super().__init__(0.0, name=name, **kwargs)
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # or gradients would be scaled twice

    # -- what belongs to the inner optimizer ---------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if "inner_optimizer" in self.__dict__:  # the base sets its own, which is not used, before
            self.inner_optimizer.learning_rate = value

    lr = learning_rate

    @property
    def iterations(self) -> Tensor:
        """How many updates have been made."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, value: Any) -> None:
        self.inner_optimizer.iterations = value

    @property
    def _capturable(self) -> bool:
        return bool(self.inner_optimizer._capturable)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """The inner optimizer's."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Any = None) -> None:
        """The inner optimizer's."""
        self.inner_optimizer.finalize_variable_values(var_list)

    # -- updating -----------------------------------------------------------------------------

    def build(self, variables: Iterable[Any]) -> None:
        """Make the states for these weights, and the scale."""
        if self.built:
            return
        self.inner_optimizer.build(variables)
        self._parameters = self.inner_optimizer._parameters
        self.step_counter = Variable(0, dtype="int32", trainable=False, name="step_counter")
        self.dynamic_scale = Variable(
            self.initial_scale, dtype="float32", trainable=False, name="dynamic_scale"
        )
        self._overflowed = creation.zeros(())
        self.built = True

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss times the scale."""
        return loss * (self.dynamic_scale if self.built else self.initial_scale)

    def _update(self, skip: Tensor | None = None) -> None:
        params = [p for p in self._parameters if p.grad is not None]
        originals = [p.grad for p in params]
        before = dispatch.set_grad_enabled(False)
        try:
            found = nonfinite.bind(tuple(originals))
            for p in params:
                p.grad = p.grad / self.dynamic_scale
            if watching.watcher is not None:  # a captured program decides in each call
                self.inner_optimizer._update(found)
            elif not found.item():
                self.inner_optimizer._update()
            adapted = self._adapted(found > 0, self.step_counter, self.dynamic_scale)
            copy_(self.step_counter, adapted[0])
            copy_(self.dynamic_scale, adapted[1])
            copy_(self._overflowed, found)
        finally:
            for p, g in zip(params, originals, strict=True):
                p.grad = g
            dispatch.set_grad_enabled(before)

    def _adapted(self, overflowed: Tensor, counter: Any, scale: Any) -> tuple[Tensor, Tensor]:
        """Counter and scale after a step; in tensors throughout, so that it can be captured."""
        grows = counter == self.dynamic_growth_steps - 1
        new_scale = where(overflowed, scale * 0.5, where(grows, scale * 2.0, scale))
        return where(overflowed | grows, 0, counter + 1), new_scale

    def _count(self) -> None:
        if not self._overflowed.item():
            self.inner_optimizer._count()

    def _applied(self, variables: Any, grads: Any, weights: Any) -> tuple[list[Any], list[Any]]:
        check(self, variables, grads, weights)
        zero, rate, counter, scale, *inner = variables
        with no_grad():
            overflowed = nonfinite.bind(tuple(g.detach() for g in grads if g is not None)) > 0
            counter, scale = fitted(self.step_counter, counter), fitted(self.dynamic_scale, scale)
            scaled = [None if g is None else g.detach() / scale for g in grads]
            made = self.inner_optimizer._applied(inner, scaled, weights)
            own = self._parameters, self.inner_optimizer.variables
            found = [
                [where(overflowed, fitted(v, old), new) for v, old, new in zip(*three, strict=True)]
                for three in zip(own, (weights, inner), made, strict=True)
            ]
            adapted = self._adapted(overflowed, counter, scale)
        return found[0], [zero, rate, *adapted, *found[1]]

    # -- state --------------------------------------------------------------------------------

    def _own_variables(self) -> list[Any]:
        """Steps and learning rate of its own, which files hold but nothing uses; then the scale."""
        zero, rate = creation.tensor(0, dtype="int32"), creation.tensor(0.0)
        found: list[Any] = [Linked(zero, "iteration"), Linked(rate, "learning_rate")]
        return [*found, self.step_counter, self.dynamic_scale] if self.built else found

    @property
    def variables(self) -> list[Any]:
        """The scale and its counter, then what the inner optimizer has."""
        return self._own_variables() + list(self.inner_optimizer.variables)

    def set_weights(self, weights: Any) -> None:
        """Take values in the order of ``variables``; call ``build`` first.

        Raises:
            ShapeError: another number of arrays, or another shape.
        """
        own, given = self._own_variables(), [np.asarray(w) for w in weights]
        if not self.built or any(g.shape != () for g in given[: len(own)]):
            raise ShapeError(
                f"{self.name}: its states do not take these {len(given)} arrays.",
                fix="build the optimizer with the model's weights first",
            )
        self.inner_optimizer.set_weights(given[len(own) :])
        for v, value in zip(own[2:], given[2 : len(own)], strict=True):
            assign(v, value)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """One with these arguments."""
        inner = deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})
