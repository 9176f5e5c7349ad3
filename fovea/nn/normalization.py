"""Normalization layers that look at one sample at a time."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = [
    "GroupNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class LayerNorm(Module):
    """Normalizes each sample over its last dimensions.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    Args:
        normalized_shape: the sizes of those dimensions; one number for the last one alone.
        eps: added to the variance.
        elementwise_affine: whether weight and bias are learned.
        bias: whether the bias is, if ``elementwise_affine``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (..., *normalized_shape) to the same.

    Parameters:
        weight and bias of shape normalized_shape, ones and zeros.

    Raises:
        ShapeError: an input whose last dimensions are others.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.

    >>> import fovea
    >>> LayerNorm(4)(fovea.randn(2, 3, 4)).shape
    fovea.Size([2, 3, 4])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, learned in (
            ("weight", elementwise_affine),
            ("bias", elementwise_affine and bias),
        ):
            value = empty(self.normalized_shape, device=device, dtype=dtype) if learned else None
            self.register_parameter(name, None if value is None else Parameter(value))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """Normalizes groups of channels of each sample.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    Args:
        num_groups: how many groups; it divides the channels.
        num_channels: channels.
        eps: added to the variance.
        affine: whether weight and bias are learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.
        bias: whether the bias is, if ``affine``.

    Shapes:
        (N, C, ...) to the same.

    Parameters:
        weight (C) of ones and bias (C) of zeros.

    Source: Wu and He, "Group normalization", 2018.

    >>> import fovea
    >>> GroupNorm(2, 4)(fovea.randn(2, 4, 3, 3)).shape
    fovea.Size([2, 4, 3, 3])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}."
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        for name, learned in (("weight", affine), ("bias", affine and bias)):
            value = empty((num_channels,), device=device, dtype=dtype) if learned else None
            self.register_parameter(name, None if value is None else Parameter(value))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Divides each channel by the energy of its neighbors.

    y = x / (k + alpha mean over size neighboring channels of x^2)^beta

    Args:
        size: how many channels, centered on each.
        alpha: factor of the mean of squares.
        beta: exponent.
        k: added to it.

    Shapes:
        (N, C, ...) to the same.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012, section 3.3.

    >>> import fovea
    >>> LocalResponseNorm(2)(fovea.ones(1, 4, 3, 3)).shape
    fovea.Size([1, 4, 3, 3])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """``LocalResponseNorm`` of images as the first Torch had it: a window of even size is one
    smaller, but its mean divides by the size.

    y = x / (k + alpha / size sum over neighboring channels of x^2)^beta

    Args:
        size: how many channels, centered on each.
        alpha: factor of the mean of squares.
        beta: exponent.
        k: added to it.

    Shapes:
        (N, C, H, W) to the same.

    Raises:
        ShapeError: the input has no four dimensions.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012, section 3.3.

    >>> import fovea
    >>> CrossMapLRN2d(3)(fovea.ones(1, 4, 2, 2)).shape
    fovea.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ShapeError(f"CrossMapLRN2d: input must be (N, C, H, W), got {describe(input)}.")
        window = (self.size - 1) // 2 * 2 + 1
        return F.local_response_norm(
            input, window, self.alpha * window / self.size, self.beta, self.k
        )

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class RMSNorm(Module):
    """Divides each sample by the root of its mean square over the last dimensions.

    y = x / sqrt(mean(x^2) + eps) * weight

    Args:
        normalized_shape: the sizes of those dimensions; one number for the last one alone.
        eps: added to the mean square; None: the smallest step of the dtype above 1.
        elementwise_affine: whether weight is learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (..., *normalized_shape) to the same.

    Parameters:
        weight of shape normalized_shape, ones.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.

    >>> import fovea
    >>> RMSNorm(2)(fovea.tensor([[3.0, 3.0]]))
    tensor([[1., 1.]], grad_fn=<MulBackward0>)
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        value = None
        if elementwise_affine:
            value = Parameter(empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
