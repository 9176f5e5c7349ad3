"""Adadelta."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.ops.optim import AdadeltaAttrs, adadelta_update
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer, check_lr, check_not_negative, decay_kind

__all__ = ["Adadelta"]


class Adadelta(UpdateOptimizer):
    """Adadelta (Zeiler 2012): steps as large as the average of the last ones.

    ``v = rho * v + (1 - rho) * g**2``, ``d = sqrt(u + eps) / sqrt(v + eps) * g``,
    ``u = rho * u + (1 - rho) * d**2``, then ``p -= lr * d``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: scales the step.
        rho: how much of the averages of squares is kept, in [0, 1].
        eps: keeps the divisor from 0, and the first steps from being 0.
        weight_decay: L2 penalty, which joins the gradient.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> Adadelta([w]).param_groups[0]["rho"]
    0.9
    """

    update = adadelta_update

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("Adadelta", lr)
        check_not_negative("Adadelta", eps=eps, weight_decay=weight_decay)
        if not 0 <= rho <= 1:
            raise ArgumentError(f"Adadelta: rho must lie in [0, 1], got {rho}.")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> AdadeltaAttrs:
        return AdadeltaAttrs.of(decay_kind(group["weight_decay"]), bool(group["maximize"]))

    def numbers(self, group: Group) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in ("lr", "weight_decay", "rho", "eps"))
