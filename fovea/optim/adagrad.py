"""Adagrad."""

from __future__ import annotations

from typing import Any

from fovea.functions.creation import full_like
from fovea.ops.optim import AdagradAttrs, adagrad_update
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer, check_lr, check_not_negative, decay_kind
from fovea.tensor import Tensor

__all__ = ["Adagrad"]


class Adagrad(UpdateOptimizer):
    """Adagrad (Duchi, Hazan and Singer 2011): ``p -= lr_t * g / (sqrt(sum of g**2) + eps)``.

    ``lr_t = lr / (1 + (t - 1) * lr_decay)``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        lr_decay: how fast it falls.
        weight_decay: L2 penalty.
        initial_accumulator_value: what the sums start with.
        eps: keeps the divisor from 0.
        maximize: climb instead of descend.
        foreach, fused: accepted for PyTorch's sake; all parameters are updated by one kernel.
        differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.5)
    >>> (w * 4).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    update = adagrad_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr("Adagrad", lr)
        check_not_negative("Adagrad", lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        check_not_negative("Adagrad", initial_accumulator_value=initial_accumulator_value)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state_of(p, self.attributes(group, True))

    def attributes(self, group: Group, fresh: bool) -> AdagradAttrs:
        return AdagradAttrs.of(
            decay_kind(group["weight_decay"]), bool(group["maximize"]), "outside"
        )

    def numbers(self, group: Group) -> tuple[float, ...]:
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(group["lr_decay"]),
            float(group["eps"]),
        )

    def new_state(self, p: Tensor, name: str) -> Tensor:
        if name == "sum":
            return full_like(p.detach(), self.defaults["initial_accumulator_value"])
        return super().new_state(p, name)
