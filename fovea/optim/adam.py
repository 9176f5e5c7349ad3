"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import AdamAttrs, adam_update
from fovea.optim.optimizer import Group
from fovea.optim.update import (
    UpdateOptimizer,
    check_betas,
    check_lr,
    check_not_negative,
    decay_kind,
)

__all__ = ["Adam", "AdamW"]


class Adam(UpdateOptimizer):
    """Adam (Kingma and Ba 2015).

    ``m += (1 - beta1) * (g - m)``, ``v = beta2 * v + (1 - beta2) * g**2``, then
    ``p -= lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the divisor from 0.
        weight_decay: L2 penalty, which joins the gradient (see ``AdamW`` for the other kind).
        amsgrad: divide by the largest v so far (Reddi et al. 2018).
        maximize: climb instead of descend.
        foreach, fused: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.
        decoupled_weight_decay: decay as ``AdamW`` does.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.5000, -1.5000], requires_grad=True)
    """

    update = adam_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        check_lr(name, lr)
        check_not_negative(name, eps=eps, weight_decay=weight_decay)
        check_betas(name, betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> AdamAttrs:
        decay = decay_kind(group["weight_decay"], group["decoupled_weight_decay"])
        return AdamAttrs.of(decay, bool(group["maximize"]), bool(group["amsgrad"]), "corrected")

    def numbers(self, group: Group) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(beta1),
            float(beta2),
            float(group["eps"]),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), ``p -= lr * decay * p``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the divisor from 0.
        weight_decay: how fast parameters shrink, before each update.
        amsgrad: divide by the largest v so far.
        maximize: climb instead of descend.
        foreach, fused: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> AdamW([w]).param_groups[0]["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
