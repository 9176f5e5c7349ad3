"""How much work an op is: the multiply-adds of contractions, which is what takes time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops.op import numel

__all__ = ["multiply_adds"]


def multiply_adds(
    name: str, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...], attrs: Any
) -> int:
    """Multiply-adds of a contraction that is done directly; 0 for other ops.

    Args:
        name: the op's.
        inputs: the shapes of its operands (those that are there).
        output: the shape of its first result.
        attrs: its attributes.

    >>> multiply_adds("linear", [(8, 3), (5, 3)], (8, 5), None)
    120
    """
    if name.startswith("conv2d_weight_grad"):
        return numel(inputs[0]) * (inputs[1][1] // attrs.groups) * numel(attrs.kernel)
    if name.startswith("conv2d_input_grad"):
        return numel(inputs[0]) * numel(inputs[1][1:])
    if name == "conv2d_max_pool":
        return numel(output) * numel(attrs.pool_kernel) * numel(inputs[1][1:])
    if name.startswith("conv2d") and len(inputs) > 1 and len(inputs[1]) == 4:
        return numel(output) * numel(inputs[1][1:])
    if name.startswith(("matmul", "linear")) and inputs[0]:
        return numel(output) * inputs[0][-1]
    if name in ("lstm", "gru", "rnn"):
        return numel(inputs[0]) * output[-1]
    return 0
