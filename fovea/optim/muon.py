"""Muon."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fovea import watching
from fovea.dtypes import finfo
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros_like
from fovea.optim.formula import FormulaOptimizer
from fovea.optim.optimizer import Group
from fovea.optim.update import check_lr, check_not_negative

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MUON_DEFAULTS", "Muon", "orthogonalized"]

MUON_DEFAULTS: dict[str, Any] = {
    "momentum": 0.95,
    "nesterov": True,
    "ns_coefficients": (3.4445, -4.775, 2.0315),
    "eps": 1e-7,
    "ns_steps": 5,
    "adjust_lr_fn": None,
}
_SCALES = {
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


def orthogonalized(
    x: Tensor, coefficients: tuple[float, float, float], eps: float, steps: int
) -> Tensor:
    """A matrix (or several) with its singular values brought near 1, by Newton-Schulz iterations.

    Each step maps a singular value s to ``a * s + b * s**3 + c * s**5`` (Jordan et al. 2024).
    """
    tall = x.shape[-2] > x.shape[-1]
    y = x.transpose(-2, -1) if tall else x
    y = y / (y * y).sum((-2, -1), keepdim=True).sqrt().clamp(min=eps)
    turn = _steps_in_squares(y.shape[-2], y.shape[-1], coefficients[0], finfo(y.dtype).eps)
    while steps > 0:
        count = min(steps, turn)
        y = _step(y, coefficients) if count == 1 else _several_steps(y, coefficients, count)
        steps -= count
    return y.transpose(-2, -1) if tall else y


def _steps_in_squares(rows: int, columns: int, a: float, eps: float) -> int:
    """How many steps `_several_steps` is to take at once: 1 where it isn't worth it.

    What rounding adds to the squares of small singular values grows by ``a * a`` a step: it has to
    stay small beside 1. K steps are 4 * rows**2 * columns operations and some 8 * K * rows**3, one
    by one K times 4 * rows**2 * columns and 2 * K * rows**3.
    """
    if columns < 2.5 * rows:
        return 1
    return max(int(math.log(0.05 / eps) / math.log(max(a * a, 2.0))), 1)


def _step(y: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    a, b, c = coefficients
    gram = y @ y.transpose(-2, -1)
    return a * y + (b * gram + c * (gram @ gram)) @ y


def _several_steps(y: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """So many steps of a wide matrix by products of square ones: each multiplies y by a polynomial
    of its Gram matrix, and the next Gram matrix follows from the last.
    """
    a, b, c = coefficients
    gram = y @ y.transpose(-2, -1)
    scale, total = 1.0, None  # y becomes (scale + total) @ y
    for left in reversed(range(steps)):
        factor = b * gram + c * (gram @ gram)  # and a on the diagonal
        total = factor if total is None else a * total + scale * factor + factor @ total
        scale *= a
        if left:
            half = a * gram + factor @ gram
            gram = a * half + half @ factor
    return scale * y + total @ y


class Muon(FormulaOptimizer):
    """Momentum whose step is made orthogonal (Jordan et al. 2024), for the matrices of a network.

    Other parameters (biases, norms, embeddings) are another optimizer's. PyTorch iterates in
    bfloat16; here it is the parameter's dtype.

    Args:
        params: 2-d tensors, (name, tensor) pairs, or dicts that are groups.
        lr: the step size.
        weight_decay: how fast parameters shrink, before each update.
        momentum: how much of the average of gradients is kept.
        nesterov: look ahead by the momentum.
        ns_coefficients: of the iteration's polynomial.
        eps: keeps the norm that the first step divides by from 0.
        ns_steps: how many iterations, below 100.
        adjust_lr_fn: ``"original"`` (the default) scales steps by ``sqrt(max(1, rows / columns))``,
            ``"match_rms_adamw"`` by ``0.2 * sqrt(max(rows, columns))``.

    Raises:
        ArgumentError: an option outside its range, no parameters, or one that is no matrix.

    >>> import fovea
    >>> w = fovea.zeros(2, 2, requires_grad=True)
    >>> optimizer = Muon([w], lr=0.5)
    >>> (w * fovea.eye(2)).sum().backward()
    >>> optimizer.step()
    >>> bool((w.diagonal() < -0.3).all())
    True
    """

    scalars = ("lr", "weight_decay", "momentum")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr("Muon", lr)
        check_not_negative("Muon", weight_decay=weight_decay, momentum=momentum)
        if adjust_lr_fn is not None and adjust_lr_fn not in _SCALES:
            known = " or ".join(map(repr, _SCALES))
            raise ArgumentError(f"Muon: adjust_lr_fn must be {known}, got {adjust_lr_fn!r}.")
        if not 0 <= ns_steps < 100:
            raise ArgumentError(f"Muon: ns_steps must lie in [0, 100), got {ns_steps}.")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ArgumentError(
                        f"Muon: parameters must be matrices, got one of shape {tuple(p.shape)}.",
                        fix="give the others to AdamW",
                    )

    def update(
        self, p: Tensor, g: Tensor, state: dict[str, Any], n: SimpleNamespace, group: Group
    ) -> None:
        if not state:
            with watching.unwatched():  # found by a capture, not made in it
                state["momentum_buffer"] = zeros_like(p.detach())
        average = state["momentum_buffer"]
        momentum = n.momentum.to(g.dtype)
        average.lerp_(g, 1 - momentum)
        step = g.lerp(average, momentum) if group["nesterov"] else average
        matrix = step.reshape(len(step), -1)  # filters, too
        scale = _SCALES[group["adjust_lr_fn"] or "original"](*matrix.shape)
        step = orthogonalized(matrix, group["ns_coefficients"], group["eps"], group["ns_steps"])
        p.mul_(1 - n.lr * n.weight_decay)
        p.sub_(step.reshape(p.shape) * (n.lr * scale))
