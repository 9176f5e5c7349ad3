"""Rprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.creation import full_like
from fovea.ops.optim import RpropAttrs, rprop_update
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer, check_lr

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Rprop"]


class Rprop(UpdateOptimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993): the signs of gradients alone count.

    Each number has a step size, which grows while its gradient keeps its sign and shrinks when that
    turns. It is meant for gradients of whole data sets, not of batches.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the first step size.
        etas: the factors that shrink and grow, below and above 1.
        step_sizes: the smallest and the largest step.
        capturable, differentiable: not available.
        foreach: accepted for PyTorch's sake; all parameters are updated by one kernel.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Rprop([w], lr=0.25)
    >>> (w * fovea.tensor([100.0, -0.01])).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.7500, 1.2500], requires_grad=True)
    """

    update = rprop_update

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr("Rprop", lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ArgumentError(f"Rprop: etas must lie below and above 1, got {etas}.")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> RpropAttrs:
        return RpropAttrs.of("none", bool(group["maximize"]))

    def numbers(self, group: Group) -> tuple[float, ...]:
        return (float(group["lr"]), 0.0, *map(float, (*group["etas"], *group["step_sizes"])))

    def new_state(self, p: Tensor, name: str) -> Tensor:
        if name != "step_size":
            return super().new_state(p, name)
        group = next(g for g in self.param_groups if any(q is p for q in g["params"]))
        return full_like(p.detach(), float(group["lr"]))
