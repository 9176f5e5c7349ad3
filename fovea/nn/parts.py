"""Tensors in parts whose gradients are joined again.

The gradient of one part alone is zeros around it, and that of all parts the sum of as many whole
tensors: a recurrent network of L steps would move L times the bytes of its gates. Here it is one
``cat``. The parts are not to be changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.autograd.function import Function
from fovea.functions.parts import cat, stack

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["chunks", "steps"]


class _Chunks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int, dim: int) -> tuple[Tensor, ...]:
        ctx.dim = dim
        return tuple(x.chunk(count, dim))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return cat(gradients, ctx.dim), None, None


class _Steps(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> tuple[Tensor, ...]:
        ctx.dim = dim
        return tuple(x.unbind(dim))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return stack(gradients, ctx.dim), None


def chunks(x: Tensor, count: int, dim: int = -1) -> tuple[Tensor, ...]:
    """``x.chunk(count, dim)``.

    >>> import fovea
    >>> [part.tolist() for part in chunks(fovea.arange(4.0), 2)]
    [[0.0, 1.0], [2.0, 3.0]]
    """
    found: tuple[Tensor, ...] = _Chunks.apply(x, count, dim)
    return found


def steps(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """``x.unbind(dim)``.

    >>> import fovea
    >>> [step.tolist() for step in steps(fovea.arange(4.0).reshape(2, 2))]
    [[0.0, 1.0], [2.0, 3.0]]
    """
    found: tuple[Tensor, ...] = _Steps.apply(x, dim)
    return found
