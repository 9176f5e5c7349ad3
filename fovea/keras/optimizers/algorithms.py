"""Keras's optimizers. Arguments, defaults and formulas are Keras's."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.optimizers.arguments import attributes_of, common
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.variables import Linked, Variable, assign
from fovea.ops.optim import (
    AdagradAttrs,
    AdamAttrs,
    AdamaxAttrs,
    NadamAttrs,
    RmspropAttrs,
    SgdAttrs,
    adagrad_update,
    adam_update,
    adamax_update,
    nadam_update,
    rmsprop_update,
    sgd_update,
)
from fovea.ops.update import UpdateAttrs

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop"]


class SGD(Optimizer):
    """Gradient descent: ``v = momentum * v - rate * g; w += v``.

    Args:
        learning_rate: the step size.
        momentum: how much of the last step is kept.
        nesterov: look ahead by the momentum.
        weight_decay ... name: as of ``Optimizer``.

    >>> from fovea.keras import Variable
    >>> import fovea
    >>> w = Variable([1.0])
    >>> SGD(0.5).apply([fovea.tensor([1.0])], [w])
    >>> w.numpy().tolist()
    [0.5]
    """

    update = sgd_update
    slots = ((("momentum", "momentum_buffer"),),)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"SGD: momentum must lie in [0, 1], got {momentum}.")
        self.momentum, self.nesterov = momentum, nesterov

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(
            SgdAttrs, decay, False, self.momentum != 0, bool(self.nesterov), True, False
        )

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.momentum), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Steps scaled by averages of the gradient and of its square (Kingma and Ba 2015).

    Epsilon is added to the root before its correction for bias, as Keras does.

    Args:
        learning_rate: the step size.
        beta_1, beta_2: how much of the two averages is kept.
        epsilon: keeps the divisor from 0.
        amsgrad: divide by the largest average of squares so far.
        weight_decay ... name: as of ``Optimizer``.
    """

    update = adam_update
    slots = (
        (("momentum", "exp_avg"), ("velocity", "exp_avg_sq")),
        (("velocity_hat", "max_exp_avg_sq"),),
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.amsgrad = amsgrad

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(AdamAttrs, decay, False, bool(self.amsgrad), "raw")

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.beta_1), float(self.beta_2), float(self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """``Adam`` with weight decay (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        if weight_decay is None:
            raise ArgumentError("AdamW: weight_decay must be a number.", fix="use Adam without it")
        shared = common(locals())
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, **shared)


class RMSprop(Optimizer):
    """Steps divided by a moving root mean square of the gradient (Tieleman and Hinton 2012).

    Args:
        learning_rate: the step size.
        rho: how much of the mean square is kept.
        momentum: how much of the last step is kept.
        epsilon: added inside the root.
        centered: subtract the square of the gradient's mean.
        weight_decay ... name: as of ``Optimizer``.
    """

    update = rmsprop_update
    slots = (
        (("velocity", "square_avg"),),
        (("momentum", "momentum_buffer"),),
        (("average_gradient", "grad_avg"),),
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho, self.momentum = rho, momentum
        self.epsilon, self.centered = epsilon, centered

    def _attributes(self, decay: str) -> UpdateAttrs:
        momentum, centered = self.momentum > 0, bool(self.centered)
        return attributes_of(RmspropAttrs, decay, False, momentum, centered, "inside", True)

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.rho), float(self.epsilon), float(self.momentum))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of squared gradients (Duchi et al. 2011).

    Args:
        learning_rate: the step size.
        initial_accumulator_value: what the sums start from.
        epsilon: added inside the root.
        weight_decay ... name: as of ``Optimizer``.
    """

    update = adagrad_update
    slots = ((("accumulator", "sum"),),)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(AdagradAttrs, decay, False, "inside")

    def _numbers(self) -> tuple[float, ...]:
        return (0.0, float(self.epsilon))

    def _initial(self, name: str) -> float | None:
        return self.initial_accumulator_value if name == "sum" else None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adamax(Optimizer):
    """``Adam`` with the largest gradient instead of the mean square (Kingma and Ba, section 7).

    Args:
        learning_rate: the step size.
        beta_1, beta_2: how much of the two averages is kept.
        epsilon: keeps the divisor from 0.
        weight_decay ... name: as of ``Optimizer``.
    """

    update = adamax_update
    slots = ((("momentum", "exp_avg"), ("norm", "exp_inf")),)

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

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(AdamaxAttrs, decay, False, "ratio")

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.beta_1), float(self.beta_2), float(self.epsilon))

    def get_config(self) -> dict[str, Any]:
        numbers = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **numbers}


class Nadam(Optimizer):
    """``Adam`` with Nesterov's momentum (Dozat 2016); arguments as of ``Adamax``."""

    update = nadam_update
    slots = ((("momentum", "exp_avg"), ("velocity", "exp_avg_sq")),)

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

    def _attributes(self, decay: str) -> UpdateAttrs:
        return attributes_of(NadamAttrs, decay, False)

    def _numbers(self) -> tuple[float, ...]:
        return (float(self.beta_1), float(self.beta_2), float(self.epsilon), 1.0)

    def _products(self) -> list[Any]:
        """Each weight's product of the momenta so far; they are all the same."""
        assert self._engine is not None
        return [self._engine.state[p]["mu_product"] for p in self._parameters]

    def _states(self) -> list[Any]:
        return [*super()._states(), self._products()[0]]

    def _restore_steps(self) -> None:
        super()._restore_steps()
        self._share_product()

    def _share_product(self) -> None:
        for product in self._products()[1:]:
            assign(product, self._products()[0])

    def _linked(self, state: Any) -> Variable:
        follow = self._share_product if state is self._products()[0] else None
        return Linked(state, "state", follow)

    def _lend_counts(self, scope: Any, done: Any) -> None:
        super()._lend_counts(scope, done)
        for product in self._products()[1:]:
            scope.lend(product, self._products()[0].detach())

    def get_config(self) -> dict[str, Any]:
        numbers = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **numbers}
