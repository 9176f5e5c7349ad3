"""Matrix layers."""

from __future__ import annotations

import math
from typing import Any

from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Returns its input: y = x.

    Args:
        args, kwargs: taken and ignored, so that it can stand in for any layer.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Identity()(fovea.ones(1))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """A fully connected layer.

    y = x W^T + b

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether b is learned; without it, b = 0.
        device: ``None`` or the CPU.
        dtype: of the parameters; the default dtype unless given.

    Shapes:
        (..., in_features) to (..., out_features), floating point, the parameters' dtype.

    Parameters:
        weight (out_features, in_features) and bias (out_features), both uniform over
        [-1 / sqrt(in_features), 1 / sqrt(in_features)].

    Raises:
        ShapeError: a last dimension other than ``in_features``.

    >>> import fovea
    >>> Linear(4, 2)(fovea.ones(3, 4)).shape
    fovea.Size([3, 2])
    """

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty((out_features,), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """A layer that is linear in each of two inputs.

    y_k = x1^T W_k x2 + b_k

    Args:
        in1_features: size of the last dimension of the first input.
        in2_features: size of the last dimension of the second input.
        out_features: size of the last dimension of the output.
        bias: whether b is learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (..., in1_features) and (..., in2_features) to (..., out_features).

    Parameters:
        weight (out_features, in1_features, in2_features) and bias (out_features), both uniform
        over [-1 / sqrt(in1_features), 1 / sqrt(in1_features)].

    >>> import fovea
    >>> Bilinear(2, 3, 4)(fovea.ones(5, 2), fovea.ones(5, 3)).shape
    fovea.Size([5, 4])
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty((out_features,), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features) if self.in1_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
