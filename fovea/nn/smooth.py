"""Smooth activation layers, and those along one dimension."""

from __future__ import annotations

from fovea.errors import ShapeError, describe
from fovea.nn import functional as F
from fovea.nn.activation import InPlace
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "GELU",
    "GLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]


class SiLU(InPlace):
    """y = x sigmoid(x), also called swish.

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    >>> import fovea
    >>> SiLU()(fovea.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Mish(InPlace):
    """y = x tanh(log(1 + exp(x)))

    Args:
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    >>> import fovea
    >>> Mish()(fovea.tensor([1.0]))
    tensor([0.8651])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class GELU(Module):
    """y = x P(X < x) for X normal with mean 0 and variance 1.

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the older formula with tanh.

    Shapes:
        any to the same.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    >>> import fovea
    >>> GELU()(fovea.tensor([1.0]))
    tensor([0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """y = log(1 + exp(beta x)) / beta; x itself where beta x > threshold.

    Args:
        beta: how sharp the bend is.
        threshold: where the function is taken as linear.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Softplus()(fovea.tensor([0.0]))
    tensor([0.6931])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Module):
    """y = 1 / (1 + exp(-x))

    Shapes:
        any to the same.

    >>> import fovea
    >>> Sigmoid()(fovea.tensor([0.0]))
    tensor([0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.sigmoid()


class Tanh(Module):
    """y = tanh(x)

    Shapes:
        any to the same.

    >>> import fovea
    >>> Tanh()(fovea.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.tanh()


class LogSigmoid(Module):
    """y = log(1 / (1 + exp(-x)))

    Shapes:
        any to the same.

    >>> import fovea
    >>> LogSigmoid()(fovea.tensor([0.0]))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Softsign(Module):
    """y = x / (1 + |x|)

    Shapes:
        any to the same.

    >>> import fovea
    >>> Softsign()(fovea.tensor([1.0]))
    tensor([0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanhshrink(Module):
    """y = x - tanh(x)

    Shapes:
        any to the same.

    >>> import fovea
    >>> Tanhshrink()(fovea.tensor([1.0]))
    tensor([0.2384])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class GLU(Module):
    """y = a sigmoid(b), a and b being the halves of x along a dimension.

    Args:
        dim: the dimension.

    Shapes:
        (..., 2 n, ...) to (..., n, ...).

    >>> import fovea
    >>> GLU()(fovea.tensor([2.0, 0.0]))
    tensor([1.])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """y_i = exp(x_i) / sum over j of exp(x_j)

    Args:
        dim: the dimension along which the result sums to one.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Softmax(dim=0)(fovea.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim, _stacklevel=5)


class LogSoftmax(_AlongDim):
    """y_i = log(exp(x_i) / sum over j of exp(x_j))

    Args:
        dim: the dimension along which exp(y) sums to one.

    Shapes:
        any to the same.

    >>> import fovea
    >>> LogSoftmax(dim=0)(fovea.tensor([1.0, 1.0]))
    tensor([-0.6931, -0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim, _stacklevel=5)


class Softmin(_AlongDim):
    """y_i = exp(-x_i) / sum over j of exp(-x_j)

    Args:
        dim: the dimension along which the result sums to one.

    Shapes:
        any to the same.

    >>> import fovea
    >>> Softmin(dim=0)(fovea.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim, _stacklevel=5)


class Softmax2d(Module):
    """Softmax over the channels of each pixel.

    Shapes:
        (N, C, H, W) or (C, H, W) to the same.

    >>> import fovea
    >>> Softmax2d()(fovea.ones(1, 2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected 3D or 4D input, got {describe(input)}.")
        return F.softmax(input, -3)
