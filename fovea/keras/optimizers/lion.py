"""Lion."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.optimizers.arguments import attributes_of, common
from fovea.keras.optimizers.base import Optimizer
from fovea.ops.optim import LionAttrs, lion_update
from fovea.ops.update import UpdateAttrs

__all__ = ["Lion"]


class Lion(Optimizer):
    """Every number moves by the learning rate, in the direction of a sign (Chen et al. 2023).

    Args:
        learning_rate: the step size, 3 to 10 times smaller than ``AdamW``'s.
        beta_1: how much of the average counts in the step, in (0, 1].
        beta_2: how much of the average is kept.
        weight_decay ... name: as of ``Optimizer``.

    Raises:
        ArgumentError: ``beta_1`` out of its range.
    """

    update = lion_update
    slots = ((("momentum", "exp_avg"),),)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        if not 0 < beta_1 <= 1:
            raise ArgumentError(f"Lion: beta_1 must lie in (0, 1], got {beta_1}.")
        self.beta_1, self.beta_2 = beta_1, beta_2

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(LionAttrs, decay, False)

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.beta_1), float(self.beta_2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
