"""The rows of a Jacobian: a gradient for each element of an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.backward import grad
from fovea.functions.creation import zeros
from fovea.functions.joining import cat
from fovea.functions.ranges import eye
from fovea.functions.shaping import reshape

__all__ = ["rows"]


def rows(output: Any, inputs: Sequence[Any], create: bool, chunk: int | None = None) -> list[Any]:
    """The derivatives of one output: for each input a tensor of shape ``output.shape +
    input.shape``. What was saved for backward is kept.

    Args:
        create: record them.
        chunk: how many rows are computed at once; None: all.

    >>> import fovea
    >>> x = fovea.tensor([1.0, 2.0], requires_grad=True)
    >>> rows(x * x, [x], False)
    [tensor([[2., 0.],
            [0., 4.]])]
    """
    count = output.numel()
    found: list[list[Any]] = [[] for _ in inputs]
    if output.requires_grad and count:
        seeds = reshape(eye(count, dtype=output.dtype), (count, *output.shape))
        for start in range(0, count, chunk or count):
            part = seeds[start : start + (chunk or count)]
            gradients = grad(
                output, inputs, part, True, create, allow_unused=True, is_grads_batched=True
            )
            for parts, g in zip(found, gradients, strict=True):
                if g is not None:
                    parts.append(g)
    shapes = [(*output.shape, *t.shape) for t in inputs]
    return [
        reshape(cat(parts) if len(parts) > 1 else parts[0], shape)
        if parts
        else zeros(shape, dtype=t.dtype)
        for parts, shape, t in zip(found, shapes, inputs, strict=True)
    ]
