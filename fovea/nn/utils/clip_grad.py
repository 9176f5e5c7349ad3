"""Limiting gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from fovea.autograd import no_grad
from fovea.errors import GradientError
from fovea.functions.creation import tensor
from fovea.functions.parts import stack
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _gradients(parameters: Any) -> list[Tensor]:
    listed: Iterable[Tensor] = [parameters] if is_tensor(parameters) else parameters
    return [p.grad for p in listed if p.grad is not None]


def get_total_norm(
    tensors: Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors together.

    Args:
        norm_type: which norm; may be ``inf``.
        error_if_nonfinite: raise GradientError if it is NaN or infinite.
        foreach: taken as PyTorch takes it; has no effect.

    >>> import fovea
    >>> get_total_norm([fovea.tensor([3.0]), fovea.tensor([4.0])])
    tensor(5.)
    """
    with no_grad():
        norms = [t.norm(float(norm_type)) for t in tensors]
        if not norms:
            return tensor(0.0)
        total = stack(norms).norm(float(norm_type))
    if error_if_nonfinite and not total.isfinite().item():
        raise GradientError(
            f"the total norm of order {norm_type} of the gradients is {total.item()}.",
            fix="lower the learning rate, or pass error_if_nonfinite=False to go on",
        )
    return total


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their norm together is at most ``max_norm``.

    Args:
        parameters: a tensor or several; those without gradients are skipped.
        norm_type: which norm; may be ``inf``.
        error_if_nonfinite: raise GradientError if the norm is NaN or infinite.
        foreach: taken as PyTorch takes it; has no effect.

    Returns:
        The norm before.

    >>> import fovea
    >>> p = fovea.nn.Parameter(fovea.zeros(2))
    >>> p.grad = fovea.tensor([3.0, 4.0])
    >>> clip_grad_norm_(p, 1.0), p.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    gradients = _gradients(parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    _scale_down(gradients, max_norm, total)
    return total


def _scale_down(gradients: list[Tensor], max_norm: float, total_norm: Tensor) -> None:
    with no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for g in gradients:
            g.mul_(factor.to(g.dtype))


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """``clip_grad_norm_``, where the norm is known (from ``get_total_norm``).

    Args:
        parameters: a tensor or several; those without gradients are skipped.
        total_norm: of all gradients together.
        foreach: taken as PyTorch takes it; has no effect.
    """
    _scale_down(_gradients(parameters), max_norm, total_norm)


def clip_grad_norm(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """``clip_grad_norm_`` under its old name, with a FutureWarning."""
    warnings.warn(
        "nn.utils.clip_grad_norm is deprecated: use nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of all gradients to [-clip_value, clip_value].

    Args:
        parameters: a tensor or several; those without gradients are skipped.
        foreach: taken as PyTorch takes it; has no effect.
    """
    with no_grad():
        for g in _gradients(parameters):
            g.clamp_(-float(clip_value), float(clip_value))
