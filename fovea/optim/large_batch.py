"""LAMB and LARS: steps in proportion to each layer's norm, for large batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.functions.creation import zeros_like
from fovea.functions.pointwise import where
from fovea.optim.formula import FormulaOptimizer, averages
from fovea.optim.optimizer import Group
from fovea.optim.update import check_betas, check_lr, check_not_negative

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LAMB", "LARS"]


def _norm(x: Tensor) -> Tensor:
    return (x * x).sum().sqrt()


class LAMB(FormulaOptimizer):
    """Adam's step, scaled to the parameter's norm (You et al. 2020).

    ``r = m_hat / (sqrt(v_hat) + eps) + weight_decay * p``, ``p -= lr * |p| / |r| * r``; where a
    norm is 0, the ratio is 1.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size, relative to the parameter's norm.
        betas: how much of the averages of the gradient and of its square is kept.
        eps: keeps the divisor from 0.
        weight_decay: joins the step before it is scaled.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = LAMB([w], lr=0.1, weight_decay=0.0)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.6464, 3.6464], requires_grad=True)
    """

    scalars = ("lr", "beta1", "beta2", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
    ) -> None:
        check_lr("LAMB", lr)
        check_not_negative("LAMB", eps=eps, weight_decay=weight_decay)
        check_betas("LAMB", betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def values(self, group: Group) -> tuple[float, ...]:
        return (group["lr"], *group["betas"], group["eps"], group["weight_decay"])

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        mean, square = averages(state, p, "exp_avg", "exp_avg_sq")
        step = state["step"].to(dtypes.float64)
        mean.lerp_(g, (1 - n.beta1).to(p.dtype))
        square.lerp_(g * g, (1 - n.beta2).to(p.dtype))
        divisor = (square / (1 - n.beta2**step)).sqrt() + n.eps
        r = mean / (1 - n.beta1**step) / divisor + n.weight_decay * p
        p_norm, r_norm = _norm(p), _norm(r)
        ratio = where((p_norm > 0) & (r_norm > 0), p_norm / r_norm, p_norm * 0 + 1)
        p.sub_(r * (n.lr * ratio))


class LARS(FormulaOptimizer):
    """Momentum with a rate for each layer, in proportion to its norm (You, Gitman, Ginsburg 2017).

    ``g += weight_decay * p``, scaled by ``trust_coefficient * |p| / (|g| + weight_decay * |p| +
    eps)`` where both norms are above 0 (``|g|``: before the decay joins), then as ``SGD``.

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        momentum: how much of the sum of gradients is kept.
        weight_decay: L2 penalty, which joins the gradient.
        trust_coefficient: the share of a layer's norm that a step may be.
        eps: keeps the divisor from 0.
        nesterov: look ahead by the momentum.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = LARS([w], lr=1.0, momentum=0.0, trust_coefficient=0.1)
    >>> (w * fovea.tensor([0.0, 2.0])).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([3.0000, 3.5000], requires_grad=True)
    """

    scalars = ("lr", "momentum", "weight_decay", "trust_coefficient", "eps")

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
        *,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        check_lr("LARS", lr)
        check_not_negative(
            "LARS",
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            eps=eps,
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        if not state:
            state["momentum_buffer"] = zeros_like(p.detach())
        p_norm, g_norm = _norm(p), _norm(g)
        trust = n.trust_coefficient * p_norm / (g_norm + n.weight_decay * p_norm + n.eps)
        trust = where((p_norm > 0) & (g_norm > 0), trust, trust * 0 + 1)
        g = (g + n.weight_decay * p) * trust
        total = state["momentum_buffer"]
        total.mul_(n.momentum).add_(g)
        p.sub_(n.lr * (g + n.momentum * total if group["nesterov"] else total))
