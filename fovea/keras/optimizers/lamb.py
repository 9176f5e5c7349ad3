"""Lamb."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea.functions.pointwise import where
from fovea.keras.optimizers.arguments import common
from fovea.keras.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Lamb"]


class Lamb(Optimizer):
    """Adam's step, scaled to the weight's norm, for large batches (You et al. 2020).

    Args:
        learning_rate: the step size, relative to the weight's norm.
        beta_1, beta_2: how much of the two averages is kept.
        epsilon: keeps the divisor from 0.
        weight_decay ... name: as of ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **common(locals()))
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: Iterable[Any]) -> None:
        """Make the two averages of every weight."""
        if self.built:
            return
        super().build(variables)
        names = ("momentum", "velocity")
        self._means, self._squares = self.add_optimizer_variables(self._parameters, names)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """One step of the formula."""
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        step = (self.iterations + 1).to(variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (gradient * gradient - square) * (1 - self.beta_2))
        root = (square / (1 - self.beta_2**step)).sqrt() + self.epsilon
        r = mean / (1 - self.beta_1**step) / root
        w_norm, r_norm = (variable * variable).sum().sqrt(), (r * r).sum().sqrt()
        ratio = where((w_norm > 0) & (r_norm > 0), w_norm / r_norm, w_norm * 0 + 1)
        self.assign_sub(variable, r * (ratio * learning_rate))

    def get_config(self) -> dict[str, Any]:
        numbers = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **numbers}
