"""Adafactor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea.functions.pointwise import minimum
from fovea.keras.optimizers.arguments import common
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.variables import Variable
from fovea.optim.formula import rms

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adam whose second moments are a row and a column for each matrix (Shazeer and Stern 2018).

    Args:
        learning_rate: the largest relative step.
        beta_2_decay: the second moment keeps ``1 - t**beta_2_decay``.
        epsilon_1: joins squares of gradients.
        epsilon_2: what weights count as at least.
        clip_threshold: the largest root mean square of an update.
        relative_step: let the rate fall as ``1 / sqrt(t)`` where it is a number.
        weight_decay ... name: as of ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay, self.clip_threshold = beta_2_decay, clip_threshold
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2
        self.relative_step = relative_step

    def build(self, variables: Iterable[Any]) -> None:
        """Make the second moments: of rows and columns from two dimensions on, and whole."""
        if self.built:
            return
        super().build(variables)
        self._moments: list[tuple[Variable, Variable, Variable]] = []
        for v in self._parameters:
            shape = tuple(v.shape)
            # Keras's files hold these two for every weight, though vectors have no use for them.
            r, c = (shape[:-1], (*shape[:-2], shape[-1])) if len(shape) > 1 else ((), ())
            rows = self.add_variable(r, dtype=v.dtype, name="r")
            columns = self.add_variable(c, dtype=v.dtype, name="c")
            self._moments.append((rows, columns, self.add_variable_from_reference(v, "velocity")))

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """One step of the formula."""
        rows, columns, whole = self._moments[self._get_variable_index(variable)]
        step = (self.iterations + 1).to(variable.dtype)
        relative = minimum(learning_rate.to(variable.dtype), step.rsqrt())
        size = rms(variable).clamp(min=self.epsilon_2) * relative
        kept = 1 - step**self.beta_2_decay
        square = gradient * gradient + self.epsilon_1
        if variable.ndim > 1:
            self.assign(rows, kept * rows + (1 - kept) * square.mean(-1))
            self.assign(columns, kept * columns + (1 - kept) * square.mean(-2))
            share = rows / rows.mean(-1, keepdim=True)
            self.assign(whole, share.unsqueeze(-1) * columns.unsqueeze(-2))
        else:
            self.assign(whole, kept * whole + (1 - kept) * square)
        update = gradient / whole.sqrt()
        clipped = (rms(update) / self.clip_threshold).clamp(min=1.0)
        self.assign_sub(variable, update * (size / clipped))

    def get_config(self) -> dict[str, Any]:
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
