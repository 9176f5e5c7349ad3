"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer, check_lr, check_not_negative, decay_kind

__all__ = ["SGD"]


class SGD(UpdateOptimizer):
    """Stochastic gradient descent, with momentum if asked for.

    ``g += weight_decay * p``, ``buf = momentum * buf + (1 - dampening) * g`` (``g`` at first), then
    ``p -= lr * buf``, or ``p -= lr * (g + momentum * buf)`` with ``nesterov``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        momentum: how much of the sum of gradients is kept.
        dampening: how much of a new gradient is left out of the sum.
        weight_decay: L2 penalty.
        nesterov: look ahead by one step of momentum (needs momentum and no dampening).
        maximize: climb instead of descend.
        foreach, fused: accepted for PyTorch's sake; all parameters are updated by one kernel.
        differentiable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000, 1.6000], requires_grad=True)
    """

    update = sgd_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr("SGD", lr)
        check_not_negative("SGD", momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("SGD: Nesterov momentum requires a momentum and zero dampening.")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> SgdAttrs:
        momentum = group["momentum"] != 0
        first = fresh and momentum and group["dampening"] != 0
        decay = decay_kind(group["weight_decay"])
        return SgdAttrs.of(
            decay, bool(group["maximize"]), momentum, bool(group["nesterov"]), False, first
        )

    def numbers(self, group: Group) -> tuple[float, ...]:
        return (
            float(group["lr"]),
            float(group["weight_decay"]),
            float(group["momentum"]),
            float(group["dampening"]),
        )
