"""RMSprop."""

from __future__ import annotations

from typing import Any

from fovea.ops.optim import RmspropAttrs, rmsprop_update
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer, check_lr, check_not_negative, decay_kind

__all__ = ["RMSprop"]


class RMSprop(UpdateOptimizer):
    """RMSprop (Tieleman and Hinton 2012): ``p -= lr * g / (sqrt(v) + eps)``.

    ``v = alpha * v + (1 - alpha) * g**2``; ``centered`` takes the squared average of g from v.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        alpha: how much of the average of squares is kept.
        eps: keeps the divisor from 0.
        weight_decay: L2 penalty.
        momentum: how much of the sum of quotients is kept.
        centered: divide by the standard deviation (Graves 2013).
        maximize: climb instead of descend.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        capturable, differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000], requires_grad=True)
    """

    update = rmsprop_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("RMSprop", lr)
        check_not_negative(
            "RMSprop", eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> RmspropAttrs:
        return RmspropAttrs.of(
            decay_kind(group["weight_decay"]),
            bool(group["maximize"]),
            group["momentum"] > 0,
            bool(group["centered"]),
            "outside",
            False,
        )

    def numbers(self, group: Group) -> tuple[float, ...]:
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(group["alpha"]),
            float(group["eps"]),
            float(group["momentum"]),
        )
