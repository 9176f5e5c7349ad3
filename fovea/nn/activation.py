"""Activation layers made of pieces: straight lines, and exponentials below 0."""

from __future__ import annotations

import warnings
from typing import Any

from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init as initializers
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = [
    "CELU",
    "ELU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "InPlace",
    "LeakyReLU",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Softshrink",
    "Threshold",
]


class InPlace(Module):
    """A layer that may write into its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _and_inplace(self, text: str = "") -> str:
        if not self.inplace:
            return text
        return f"{text}, inplace=True" if text else "inplace=True"

    def extra_repr(self) -> str:
        return self._and_inplace()


class ReLU(InPlace):
    """y = max(x, 0)

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> ReLU()(fovea.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class ReLU6(InPlace):
    """y = min(max(x, 0), 6)

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> ReLU6()(fovea.tensor([-1.0, 2.0, 8.0]))
    tensor([0., 2., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, self.inplace)


class SELU(InPlace):
    """y = 1.0507 (x if x > 0 else 1.6733 (exp(x) - 1))

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> import fovea
    >>> SELU()(fovea.tensor([1.0]))
    tensor([1.0507])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class Hardsigmoid(InPlace):
    """y = min(max(x + 3, 0), 6) / 6

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Hardsigmoid()(fovea.tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(InPlace):
    """y = x min(max(x + 3, 0), 6) / 6

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Howard et al., "Searching for MobileNetV3", 2019.

    >>> import fovea
    >>> Hardswish()(fovea.tensor([-4.0, 3.0]))
    tensor([-0.,  3.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class LeakyReLU(InPlace):
    """y = x if x > 0 else negative_slope x

    Args:
        negative_slope: the slope below 0.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> LeakyReLU(0.5)(fovea.tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"negative_slope={self.negative_slope}")


class RReLU(InPlace):
    """A leaky ReLU whose slopes are drawn at random in training, and their mean otherwise.

    Args:
        lower: the smallest slope.
        upper: the largest slope.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> RReLU(0.5, 0.5)(fovea.tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.lower, self.upper = lower, upper

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"lower={self.lower}, upper={self.upper}")


class PReLU(Module):
    """y = x if x > 0 else weight x, with a learned slope.

    Args:
        num_parameters: 1, or the number of channels for a slope each.
        init: the slopes at first.
        device: ``None`` or the CPU.
        dtype: of the slopes.

    Shapes:
        (N, C, ...) or any, to the same.

    Parameters:
        weight (num_parameters).

    Source: He et al., "Delving deep into rectifiers", 2015.

    >>> import fovea
    >>> PReLU()(fovea.tensor([-1.0, 2.0])).detach()
    tensor([-0.2500,  2.0000])
    """

    weight: Parameter

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty((num_parameters,), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to ``init``."""
        initializers.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(InPlace):
    """y = x if x > 0 else alpha (exp(x) - 1)

    Args:
        alpha: minus the limit far below 0.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", 2015.

    >>> import fovea
    >>> ELU()(fovea.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"alpha={self.alpha}")


class CELU(InPlace):
    """y = x if x > 0 else alpha (exp(x / alpha) - 1)

    Args:
        alpha: minus the limit far below 0.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Barron, "Continuously differentiable exponential linear units", 2017.

    >>> import fovea
    >>> CELU(2.0)(fovea.tensor([-2.0]))
    tensor([-1.2642])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"alpha={self.alpha}")


class Hardtanh(InPlace):
    """y = min(max(x, min_val), max_val)

    Args:
        min_val: the lower limit.
        max_val: the upper limit.
        inplace: write the result into the input's memory.
        min_value: an old name of ``min_val``.
        max_value: an old name of ``max_val``.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Hardtanh()(fovea.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        for old, new, given in (
            ("min_value", "min_val", min_value),
            ("max_value", "max_val", max_value),
        ):
            if given is not None:
                warnings.warn(
                    f"Hardtanh: {old} is an old name of {new}.", FutureWarning, stacklevel=2
                )
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"min_val={self.min_val}, max_val={self.max_val}")


class Threshold(InPlace):
    """y = x if x > threshold else value

    Args:
        threshold: what x is compared with.
        value: what stands for smaller ones.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Threshold(1.0, 9.0)(fovea.tensor([0.0, 2.0]))
    tensor([9., 2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold, self.value = threshold, value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return self._and_inplace(f"threshold={self.threshold}, value={self.value}")


class Hardshrink(Module):
    """y = x if |x| > lambd else 0

    Args:
        lambd: the threshold.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Hardshrink()(fovea.tensor([0.3, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Module):
    """y = x - lambd if x > lambd, x + lambd if x < -lambd, else 0

    Args:
        lambd: how far x is moved towards 0.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Softshrink()(fovea.tensor([0.3, 2.0]))
    tensor([0.0000, 1.5000])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"
