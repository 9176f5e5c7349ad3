"""Cross entropy together with the linear layer before it."""

from __future__ import annotations

import math
from typing import Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn import functional as F
from fovea.nn.functional.linear_loss import LinearCrossEntropyOptions
from fovea.nn.linear import Linear
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = ["LinearCrossEntropyLoss", "LinearCrossEntropyOptions"]


class LinearCrossEntropyLoss(Module):
    """Cross entropy of a linear layer's outputs, which need not all be kept at once.

    loss = cross_entropy(x W^T + b, target)

    Args:
        in_features: of the inputs.
        num_classes: C.
        out_features: (d1, ...) for labels (N, d1, ...).
        bias: whether the linear layer has one.
        device: ``None`` or the CPU.
        dtype: of the parameters.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: (C), how much each class counts.
        ignore_index: labels that do not count; -100 unless given.
        label_smoothing: how much of each label is spread over all classes.
        options: take the rows in pieces; see `LinearCrossEntropyOptions`.

    Shapes:
        (N, in_features) or (in_features), and labels (N, d1, ...) or probabilities (N, C, d1, ...).

    Parameters:
        linear.weight (C d1 ..., in_features) and linear.bias.

    >>> import fovea
    >>> loss = LinearCrossEntropyLoss(5, 10, out_features=(4,))
    >>> loss(fovea.randn(2, 5), fovea.zeros(2, 4, dtype=fovea.int64)).shape
    fovea.Size([])
    """

    weight: Tensor | None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        super().__init__()
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise ShapeError(
                f"LinearCrossEntropyLoss: weight must be ({num_classes},), got {describe(weight)}."
            )
        if not 0 <= label_smoothing <= 1:
            raise ArgumentError(
                f"LinearCrossEntropyLoss: label_smoothing must be in [0, 1], got {label_smoothing}."
            )
        self.register_buffer("weight", weight)
        self.reduction, self.num_classes, self.out_features = reduction, num_classes, out_features
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        outputs = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        classes, layer = (self.num_classes, *self.out_features), self.linear
        return F.linear_cross_entropy(
            input,
            layer.weight.reshape(*classes, layer.in_features),
            target,
            linear_bias=None if layer.bias is None else layer.bias.reshape(classes),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )
