"""ASGD."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.functions.creation import ones, scalar_tensor, zeros_like
from fovea.functions.pointwise import where
from fovea.optim.formula import FormulaOptimizer, new_step
from fovea.optim.optimizer import Group
from fovea.optim.update import check_lr, check_not_negative

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ASGD"]


class ASGD(FormulaOptimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992).

    The rate of step t is ``lr / (1 + lambd * lr * t)**alpha``; the average of the parameters from
    step ``t0`` on is ``optimizer.state[p]["ax"]``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the first step size.
        lambd: how fast parameters shrink, and the rate with them.
        alpha: the power of the rate's decay.
        t0: the step at which averaging begins.
        weight_decay: L2 penalty, which joins the gradient.
        foreach: accepted for PyTorch's sake.
        maximize: climb instead of descend.
        differentiable, capturable: not available.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer = ASGD([w], lr=0.5, lambd=0.0, t0=0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w, optimizer.state[w]["ax"]
    (tensor([0.], requires_grad=True), tensor([0.]))
    """

    scalars = ("lr", "lambd", "alpha", "t0", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr("ASGD", lr)
        check_not_negative("ASGD", weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        if not state:
            state["step"] = new_step()
            state["eta"] = scalar_tensor(1.0, dtype=dtypes.float32) * n.lr.to(dtypes.float32)
            state["mu"] = ones((), dtype=dtypes.float32)
            state["ax"] = zeros_like(p.detach())
        eta, mu, average = state["eta"], state["mu"], state["ax"]
        step = state["step"].add_(1).to(dtypes.float64)
        g = g + n.weight_decay * p
        p.mul_(1 - n.lambd * eta)
        p.sub_(eta * g)
        average.copy_(where(mu == 1, p, average + (p - average) * mu))
        eta.copy_(n.lr / (1 + n.lambd * n.lr * step) ** n.alpha)
        mu.copy_(1 / (step - n.t0).clamp(min=1))
