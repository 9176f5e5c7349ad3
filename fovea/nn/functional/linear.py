"""Matrix layers, and labels as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import zeros
from fovea.ops.linalg import linear as linear_op
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["bilinear", "linear", "one_hot"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``.

    Args:
        input: (..., in).
        weight: (out, in).
        bias: (out,).

    Raises:
        ShapeError: features that do not fit the weight.

    >>> import fovea
    >>> linear(fovea.tensor([1.0, 2.0]), fovea.tensor([[3.0, 4.0]]), fovea.tensor([0.5]))
    tensor([11.5000])
    """
    return linear_op.bind((input, weight, bias))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x1 @ weight[k] @ x2 + bias[k]`` for each output feature k.

    Args:
        input1, input2: (..., in1) and (..., in2).
        weight: (out, in1, in2).
        bias: (out,).
    """
    if (
        weight.ndim != 3
        or input1.shape[-1:] != weight.shape[1:2]
        or input2.shape[-1:] != weight.shape[2:]
        or input1.shape[:-1] != input2.shape[:-1]
    ):
        raise ShapeError(
            "bilinear: input1 (..., in1), input2 (..., in2) and weight (out, in1, in2) must fit.",
            {"input1": describe(input1), "input2": describe(input2), "weight": describe(weight)},
        )
    lead = tuple(input1.shape[:-1])
    one = input1.reshape((-1, 1, input1.shape[-1]))
    two = input2.reshape((-1, input2.shape[-1], 1))
    y = one.unsqueeze(1).matmul(weight).matmul(two.unsqueeze(1))
    y = y.reshape((*lead, weight.shape[0]))
    return y if bias is None else y + bias


def _check_labels(values: Any, classes: int) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= classes:
        raise ArgumentError(
            f"one_hot: label {low if low < 0 else high} is outside the {classes} classes.",
            fix="labels count from 0" if low < 0 else f"num_classes={high + 1}",
        )


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Each label as a row of zeros with a one at its place.

    Args:
        tensor: int64 labels of any shape.
        num_classes: the rows' length; -1 for the largest label plus one.

    >>> import fovea
    >>> one_hot(fovea.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not dtypes.int64:
        raise DTypeError(f"one_hot: labels must be int64, got {describe(tensor)}.", fix="x.long()")
    if not tensor.numel():
        if num_classes <= 0:
            raise ArgumentError("one_hot: no labels to tell num_classes from.", fix="give it")
        return zeros(*tensor.shape, num_classes, dtype=dtypes.int64)
    classes = num_classes
    if num_classes == -1:
        classes = look(tensor, lambda values: int(values.max())) + 1
    look(tensor, lambda values: _check_labels(values, classes), essential=False)
    rows = tensor.new_zeros((*tensor.shape, classes))
    return rows.scatter_(-1, tensor.unsqueeze(-1), 1)
