"""Adafactor."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros, zeros_like
from fovea.functions.pointwise import maximum, minimum
from fovea.optim.formula import FormulaOptimizer, new_step, rms
from fovea.optim.optimizer import Group
from fovea.optim.update import check_lr, check_not_negative

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Adafactor"]


class Adafactor(FormulaOptimizer):
    """Adam whose second moments are a row and a column for each matrix (Shazeer and Stern 2018).

    Args:
        params: tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the largest relative step; step t takes ``min(lr, 1 / sqrt(t))`` of the parameter's
            root mean square.
        beta2_decay: the second moment keeps ``1 - t**beta2_decay``.
        eps: what squares are at least (None: the dtype's), and what parameters count as at least.
        d: the largest root mean square of an update.
        weight_decay: how fast parameters shrink, before each update.
        foreach: accepted for PyTorch's sake.
        maximize: climb instead of descend.

    Raises:
        ArgumentError: an option outside its range, or no parameters.

    >>> import fovea
    >>> w = fovea.zeros(3, 4, requires_grad=True)
    >>> optimizer = Adafactor([w])
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> sorted((k, tuple(v.shape)) for k, v in optimizer.state[w].items())
    [('col_var', (1, 4)), ('row_var', (3, 1)), ('step', ())]
    """

    scalars = ("lr", "beta2_decay", "d", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr("Adafactor", lr)
        check_not_negative("Adafactor", weight_decay=weight_decay)
        if not beta2_decay <= 0:
            raise ArgumentError(f"Adafactor: beta2_decay must not be positive, got {beta2_decay}.")
        if (eps[0] is not None and not eps[0] >= 0) or not eps[1] >= 0:
            raise ArgumentError(f"Adafactor: eps must not be negative, got {eps}.")
        if not d >= 1:
            raise ArgumentError(f"Adafactor: d must be at least 1, got {d}.")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        smallest, scale = group["eps"]
        if smallest is None:
            smallest = dtypes.finfo(p.dtype).eps
        if not state:
            state["step"] = new_step()
            state.update(_moments(p))
        step = state["step"].add_(1).to(dtypes.float64)
        relative = minimum(n.lr, step.rsqrt())
        p_size = rms(p).clamp(min=scale)
        p.mul_(1 - n.lr * n.weight_decay)
        variance = _track(state, g, step**n.beta2_decay, smallest)
        update = variance.clamp(min=smallest * smallest).rsqrt() * g
        p.sub_(update * (relative * p_size / maximum(rms(update) / n.d, relative * 0 + 1)))


def _moments(p: Tensor) -> dict[str, Tensor]:
    if p.ndim < 2:
        return {"variance": zeros_like(p.detach())}
    shape = tuple(p.shape)
    return {
        "row_var": zeros((*shape[:-1], 1), dtype=p.dtype),
        "col_var": zeros((*shape[:-2], 1, shape[-1]), dtype=p.dtype),
    }


def _track(state: dict[str, Any], g: Tensor, share: Tensor, smallest: float) -> Tensor:
    """Let a share of the squared gradient into the second moments, and say what they amount to."""
    square = g * g
    if g.ndim < 2:
        return state["variance"].lerp_(square, share.to(g.dtype))
    rows, columns = state["row_var"], state["col_var"]
    rows.lerp_(square.mean(-1, keepdim=True), share.to(g.dtype))
    columns.lerp_(square.mean(-2, keepdim=True), share.to(g.dtype))
    return rows * columns / rows.mean(-2, keepdim=True).clamp(min=smallest)
