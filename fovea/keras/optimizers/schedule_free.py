"""ScheduleFreeAdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea.keras.optimizers.arguments import common
from fovea.keras.optimizers.base import Optimizer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ScheduleFreeAdamW"]


class ScheduleFreeAdamW(Optimizer):
    """AdamW that averages its weights instead of lowering its rate (Defazio et al. 2024).

    Weights are ``beta_1 * x + (1 - beta_1) * z``: z takes the steps, x is its average.

    Args:
        learning_rate: the step size, which stays.
        beta_1: how much of the average is in the weights.
        beta_2: how much of the mean square is kept.
        epsilon: keeps the divisor from 0.
        warmup_steps: how many steps the rate takes to rise.
        weight_decay ... name: as of ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
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
        self.warmup_steps = warmup_steps

    def build(self, variables: Iterable[Any]) -> None:
        """Make z, which begins as the weights, and the mean squares."""
        if self.built:
            return
        super().build(variables)
        names = ("momentum", "velocity")
        self._z, self._squares = self.add_optimizer_variables(self._parameters, names)
        for z, v in zip(self._z, self._parameters, strict=True):
            self.assign(z, v)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """One step of the formula."""
        index = self._get_variable_index(variable)
        z, square = self._z[index], self._squares[index]
        step = (self.iterations + 1).to(variable.dtype)
        rate = learning_rate
        if self.warmup_steps > 0:
            rate = rate * (step / self.warmup_steps).clamp(max=1.0)
        average = (variable - (1 - self.beta_1) * z) / self.beta_1
        self.assign_add(square, (gradient * gradient - square) * (1 - self.beta_2))
        root = (square / (1 - self.beta_2**step)).sqrt() + self.epsilon
        self.assign_sub(z, rate * gradient / root)
        average = average + (z - average) / step
        self.assign(variable, (1 - self.beta_1) * z + self.beta_1 * average)

    def get_config(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "warmup_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
