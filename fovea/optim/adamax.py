"""Adamax."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import AdamaxAttrs, adamax_update
from fovea.optim.optimizer import Group
from fovea.optim.update import (
    UpdateOptimizer,
    check_betas,
    check_lr,
    check_not_negative,
    decay_kind,
)

__all__ = ["Adamax"]


class Adamax(UpdateOptimizer):
    """Adam with the largest recent gradient in place of the root (Kingma and Ba 2015, section 7).

    ``u = max(beta2 * u, |g| + eps)``, ``p -= lr / (1 - beta1**t) * m / u``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the average of the gradient and of its norm is kept.
        eps: keeps the divisor from 0.
        weight_decay: L2 penalty.
        maximize: climb instead of descend.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer = Adamax([w], lr=0.5)
    >>> (w * 4).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    update = adamax_update

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr("Adamax", lr)
        check_not_negative("Adamax", eps=eps, weight_decay=weight_decay)
        check_betas("Adamax", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> AdamaxAttrs:
        return AdamaxAttrs.of(decay_kind(group["weight_decay"]), bool(group["maximize"]), "norm")

    def numbers(self, group: Group) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(beta1),
            float(beta2),
            float(group["eps"]),
        )
