"""Ftrl."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.optimizers.arguments import attributes_of, common
from fovea.keras.optimizers.base import Optimizer
from fovea.ops.optim import FtrlAttrs, ftrl_update
from fovea.ops.update import UpdateAttrs

__all__ = ["Ftrl"]


class Ftrl(Optimizer):
    """Follows the regularized leader (McMahan et al. 2013): weights that L1 makes exactly 0.

    Args:
        learning_rate: the step size.
        learning_rate_power: of the sum of squares in the step's divisor, 0 or less.
        initial_accumulator_value: what the sums of squares start from.
        l1_regularization_strength, l2_regularization_strength: penalties.
        l2_shrinkage_regularization_strength: an L2 penalty that joins the gradient.
        beta: the paper's; adds to the L2 penalty.
        weight_decay ... name: as of ``Optimizer``.

    Raises:
        ArgumentError: a negative number, or a positive power.
    """

    update = ftrl_update
    slots = ((("accumulator", "accumulator"), ("linear", "linear")),)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        if learning_rate_power > 0:
            raise ArgumentError(
                f"Ftrl: learning_rate_power must not be positive, got {learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for key in _NOT_NEGATIVE:
            if getattr(self, key) < 0:
                raise ArgumentError(f"Ftrl: {key} must not be negative, got {getattr(self, key)}.")

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(FtrlAttrs, decay, False)

    def _numbers(self) -> tuple[float, ...]:
        rate = self._rate()
        l2 = self.l2_regularization_strength + (self.beta / (2 * rate) if self.beta else 0.0)
        l1, shrinkage = self.l1_regularization_strength, self.l2_shrinkage_regularization_strength
        return (float(self.learning_rate_power), float(l1), float(l2), float(shrinkage))

    def _initial(self, name: str) -> float | None:
        return self.initial_accumulator_value if name == "accumulator" else None

    def get_config(self) -> dict[str, Any]:
        names = ("learning_rate_power", *_NOT_NEGATIVE, "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


_NOT_NEGATIVE = (
    "initial_accumulator_value",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "l2_shrinkage_regularization_strength",
)
