"""RAdam."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import RadamAttrs, radam_update
from fovea.optim.optimizer import Group
from fovea.optim.update import (
    UpdateOptimizer,
    check_betas,
    check_lr,
    check_not_negative,
    decay_kind,
)

__all__ = ["RAdam"]


class RAdam(UpdateOptimizer):
    """Adam that warms itself up (Liu et al. 2020): its divisor counts once it is known well enough.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the divisor from 0.
        weight_decay: L2 penalty, or what ``decoupled_weight_decay`` says.
        decoupled_weight_decay: decay as ``AdamW`` does.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        maximize: climb instead of descend.
        capturable, differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer = RAdam([w], lr=0.5)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()  # the first steps are those of momentum
    >>> w
    tensor([-0.5000], requires_grad=True)
    """

    update = radam_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("RAdam", lr)
        check_not_negative("RAdam", eps=eps, weight_decay=weight_decay)
        check_betas("RAdam", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> RadamAttrs:
        decay = decay_kind(group["weight_decay"], group["decoupled_weight_decay"])
        return RadamAttrs.of(decay, bool(group["maximize"]))

    def numbers(self, group: Group) -> tuple[float, ...]:
        values = (group["lr"], group["weight_decay"], *group["betas"], group["eps"])
        return tuple(map(float, values))
