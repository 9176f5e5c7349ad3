"""Adadelta."""

from __future__ import annotations

from typing import Any

from fovea.keras.optimizers.arguments import attributes_of, common
from fovea.keras.optimizers.base import Optimizer
from fovea.ops.optim import AdadeltaAttrs, adadelta_update
from fovea.ops.update import UpdateAttrs

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps as large as the average of the last ones (Zeiler 2012).

    Args:
        learning_rate: scales the step; the paper's is 1.
        rho: how much of the averages of squares is kept.
        epsilon: keeps the divisor from 0, and the first steps from being 0.
        weight_decay ... name: as of ``Optimizer``.
    """

    update = adadelta_update
    slots = ((("accumulated_grad", "square_avg"), ("accumulated_delta_var", "acc_delta")),)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
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
        self.rho, self.epsilon = rho, epsilon

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(AdadeltaAttrs, decay, False)

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.rho), float(self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}
