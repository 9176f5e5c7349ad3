"""Muon."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea.keras.optimizers.arguments import common
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.variables import Variable
from fovea.optim.muon import orthogonalized

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal for matrices (Jordan et al. 2024), AdamW for all other weights.

    Args:
        learning_rate: the step size.
        adam_beta_1, adam_beta_2, adam_weight_decay: of the weights that AdamW takes.
        epsilon: keeps AdamW's divisor from 0.
        weight_decay: of matrices.
        clipnorm ... name: as of ``Optimizer``.
        exclude_layers: patterns; weights whose path one matches are AdamW's.
        exclude_embeddings: so are those with ``embedding`` in their path.
        muon_a, muon_b, muon_c: of the iteration's polynomial.
        adam_lr_ratio: AdamW's rate over the learning rate.
        momentum: how much of the sum of gradients is kept.
        ns_steps: how many iterations.
        nesterov: look ahead by the momentum.
        rms_rate: scales steps by this times ``sqrt(max(rows, columns))``; None leaves them.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: list[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **common(locals()))
        self.adam_beta_1, self.adam_beta_2 = adam_beta_1, adam_beta_2
        self.adam_weight_decay, self.epsilon = adam_weight_decay, epsilon
        self.exclude_layers, self.exclude_embeddings = exclude_layers or [], exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio, self.rms_rate = adam_lr_ratio, rms_rate
        self.momentum, self.ns_steps, self.nesterov = momentum, ns_steps, nesterov

    def _is_adams(self, variable: Any) -> bool:
        path = getattr(variable, "path", "")
        return (
            len(variable.shape) != 2
            or (self.exclude_embeddings and "embedding" in path.lower())
            or any(re.search(pattern, path) for pattern in self.exclude_layers)
        )

    def build(self, variables: Iterable[Any]) -> None:
        """Make the momenta, and the mean squares of the weights that are AdamW's."""
        if self.built:
            return
        super().build(variables)
        self._momenta: list[Variable] = []
        self._squares: list[Variable | None] = []
        for v in self._parameters:
            self._momenta.append(self.add_variable_from_reference(v, "momentum"))
            adams = self._is_adams(v)
            square = self.add_variable_from_reference(v, "velocity") if adams else None
            self._squares.append(square)

    def _apply_weight_decay(self, variables: Iterable[Any]) -> None:
        for v in variables:
            decay = self.adam_weight_decay if self._is_adams(v) else self.weight_decay
            if decay is not None and self._decays(v):
                self._shrink(v, decay)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """One step of the formula that is the weight's."""
        index = self._get_variable_index(variable)
        momentum, square = self._momenta[index], self._squares[index]
        if square is not None:
            rate = learning_rate * self.adam_lr_ratio
            self._adam_step(gradient, variable, rate, momentum, square)
            return
        self.assign_add(momentum, gradient + momentum * (self.momentum - 1))
        step = gradient + self.momentum * momentum if self.nesterov else momentum
        coefficients = (self.muon_a, self.muon_b, self.muon_c)
        step = orthogonalized(step, coefficients, 1e-7, self.ns_steps)
        scale = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(variable.shape))
        self.assign_sub(variable, step * (learning_rate * scale))

    def _adam_step(
        self, gradient: Tensor, variable: Any, rate: Tensor, mean: Variable, square: Variable
    ) -> None:
        step = (self.iterations + 1).to(variable.dtype)
        correction = (1 - self.adam_beta_2**step).sqrt() / (1 - self.adam_beta_1**step)
        self.assign_add(mean, (gradient - mean) * (1 - self.adam_beta_1))
        self.assign_add(square, (gradient * gradient - square) * (1 - self.adam_beta_2))
        self.assign_sub(variable, mean * (rate * correction) / (square.sqrt() + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in _OPTIONS}}


_OPTIONS = (
    "adam_beta_1",
    "adam_beta_2",
    "epsilon",
    "exclude_layers",
    "muon_a",
    "muon_b",
    "muon_c",
    "adam_lr_ratio",
    "momentum",
    "ns_steps",
    "nesterov",
    "exclude_embeddings",
    "adam_weight_decay",
    "rms_rate",
)
