"""Lion."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import LionAttrs, lion_update
from fovea.optim.optimizer import Group
from fovea.optim.update import (
    UpdateOptimizer,
    check_betas,
    check_lr,
    check_not_negative,
    decay_kind,
)

__all__ = ["Lion"]


class Lion(UpdateOptimizer):
    """Lion (Chen et al. 2023): every number moves by the learning rate, in the sign's direction.

    ``p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)``, then
    ``m = beta2 * m + (1 - beta2) * g``. It wants a learning rate 3 to 10 times smaller than
    ``AdamW``'s, and a weight decay as much larger.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        betas: how much of the average counts in the step, and how much is kept.
        weight_decay: how fast parameters shrink, before each update.
        foreach: accepted; all parameters are updated by one kernel.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Lion([w], lr=0.25)
    >>> (w * fovea.tensor([100.0, -0.01])).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.7500, 1.2500], requires_grad=True)
    """

    update = lion_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr("Lion", lr)
        check_not_negative("Lion", weight_decay=weight_decay)
        check_betas("Lion", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> LionAttrs:
        return LionAttrs.of(decay_kind(group["weight_decay"], True), bool(group["maximize"]))

    def numbers(self, group: Group) -> tuple[float, ...]:
        return (float(group["lr"]), float(group["weight_decay"]), *map(float, group["betas"]))
