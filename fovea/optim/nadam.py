"""NAdam."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import NadamAttrs, nadam_update
from fovea.optim.optimizer import Group
from fovea.optim.update import (
    UpdateOptimizer,
    check_betas,
    check_lr,
    check_not_negative,
    decay_kind,
)

__all__ = ["NAdam"]


class NAdam(UpdateOptimizer):
    """Adam with Nesterov's momentum (Dozat 2016).

    With ``mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)`` and ``P_t`` their product up to t,
    ``p -= lr * ((1 - mu_t) * g / (1 - P_t) + mu_{t+1} * m / (1 - P_{t+1}))``
    over ``sqrt(v / (1 - beta2**t)) + eps``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the divisor from 0.
        weight_decay: L2 penalty.
        momentum_decay: how fast the momentum grows to ``beta1``.
        decoupled_weight_decay: decay as ``AdamW`` does.
        maximize: climb instead of descend.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> NAdam([w]).param_groups[0]["momentum_decay"]
    0.004
    """

    update = nadam_update

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("NAdam", lr)
        check_not_negative(
            "NAdam", eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        check_betas("NAdam", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> NadamAttrs:
        decay = decay_kind(group["weight_decay"], group["decoupled_weight_decay"])
        return NadamAttrs.of(decay, bool(group["maximize"]))

    def numbers(self, group: Group) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(beta1),
            float(beta2),
            float(group["eps"]),
            float(group["momentum_decay"]),
        )
