"""Blocks of a few layers that many networks are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.functions.creation import ones, zeros
from fovea.nn.parameter import Buffer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "ConvNormActivation",
    "FrozenBatchNorm2d",
    "Layer",
    "Permute",
    "SqueezeExcitation",
]

Ints = int | tuple[int, ...]
Layer = Callable[..., nn.Module]  # a class of layers, or what makes one


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalization and an activation: y = activation(norm(conv(x))).

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: of the convolution.
        padding: of the convolution; None keeps the size where the stride is 1.
        norm_layer: makes the normalization from the channels; None leaves it out.
        activation_layer: makes the activation; None leaves it out.
        inplace: given to ``activation_layer``, unless it is None.
        bias: whether the convolution has one; None: if there is no normalization.
        conv_layer: the class of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints = 3,
        stride: Ints = 1,
        padding: Ints | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: Ints = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
        conv_layer: Layer = nn.Conv2d,
    ) -> None:
        layers = [
            conv_layer(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                _same_size(kernel_size, dilation) if padding is None else padding,
                dilation=dilation,
                groups=groups,
                bias=norm_layer is None if bias is None else bias,
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**_inplace(inplace)))
        super().__init__(*layers)
        self.out_channels = out_channels


def _same_size(kernel: Ints, dilation: Ints) -> Ints:
    """The padding that keeps the size of an image at stride 1."""
    if isinstance(kernel, int) and isinstance(dilation, int):
        return (kernel - 1) // 2 * dilation
    n = len(kernel) if isinstance(kernel, Sequence) else len(dilation)  # type: ignore[arg-type]
    kernels = (kernel,) * n if isinstance(kernel, int) else kernel
    dilations = (dilation,) * n if isinstance(dilation, int) else dilation
    return tuple((k - 1) // 2 * d for k, d in zip(kernels, dilations, strict=True))


def _inplace(inplace: bool | None) -> dict[str, bool]:
    return {} if inplace is None else {"inplace": inplace}


class Conv2dNormActivation(ConvNormActivation):
    """A 2-D convolution, a normalization and an activation: y = activation(norm(conv(x))).

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: of the convolution.
        padding: of the convolution; None keeps the size where the stride is 1.
        norm_layer: makes the normalization from the channels; None leaves it out.
        activation_layer: makes the activation; None leaves it out.
        inplace: given to ``activation_layer``, unless it is None.
        bias: whether the convolution has one; None: if there is no normalization.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H', W').

    >>> import fovea
    >>> Conv2dNormActivation(3, 8, stride=2)(fovea.zeros(1, 3, 8, 8)).shape
    fovea.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints = 3,
        stride: Ints = 1,
        padding: Ints | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: Ints = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            groups,
            norm_layer,
            activation_layer,
            dilation,
            inplace,
            bias,
            nn.Conv2d,
        )


class Conv3dNormActivation(ConvNormActivation):
    """`ConvNormActivation` of volumes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints = 3,
        stride: Ints = 1,
        padding: Ints | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm3d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: Ints = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            groups,
            norm_layer,
            activation_layer,
            dilation,
            inplace,
            bias,
            nn.Conv3d,
        )


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what the whole image holds: y = x sigmoid(W2 relu(W1 mean(x))).

    Args:
        input_channels: of the image.
        squeeze_channels: of the layer in between.
        activation: makes the activation in between.
        scale_activation: makes the activation of the weights.

    Shapes:
        (N, input_channels, H, W) to the same.

    Source: J. Hu, L. Shen and G. Sun, "Squeeze-and-Excitation Networks", 2018, equation 3.

    >>> import fovea
    >>> SqueezeExcitation(4, 2)(fovea.zeros(1, 4, 3, 3)).shape
    fovea.Size([1, 4, 3, 3])
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        scale = self.fc2(self.activation(self.fc1(self.avgpool(input))))
        return self.scale_activation(scale) * input


class MLP(nn.Sequential):
    """Linear layers with normalization, activation and dropout in between.

    Args:
        in_channels: features that come in.
        hidden_channels: features of each layer; the last ones come out.
        norm_layer: makes the normalization after each layer but the last; None leaves it out.
        activation_layer: makes the activation after each layer but the last.
        inplace: given to activation and dropout, unless it is None.
        bias: whether the layers have one.
        dropout: part of the features that training leaves out.

    Shapes:
        (..., in_channels) to (..., hidden_channels[-1]).

    >>> import fovea
    >>> MLP(4, [8, 2])(fovea.zeros(3, 4)).shape
    fovea.Size([3, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        for hidden in hidden_channels[:-1]:
            layers.append(nn.Linear(in_channels, hidden, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(hidden))
            layers.append(activation_layer(**_inplace(inplace)))
            layers.append(nn.Dropout(dropout, **_inplace(inplace)))
            in_channels = hidden
        layers.append(nn.Linear(in_channels, hidden_channels[-1], bias=bias))
        layers.append(nn.Dropout(dropout, **_inplace(inplace)))
        super().__init__(*layers)


class Permute(nn.Module):
    """A view with the dimensions in another order.

    Args:
        dims: the order.

    >>> import fovea
    >>> Permute([0, 2, 1])(fovea.zeros(2, 3, 4)).shape
    fovea.Size([2, 4, 3])
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(*self.dims)


class FrozenBatchNorm2d(nn.Module):
    """Batch normalization whose statistics, weight and bias never change.

    y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    Args:
        num_features: channels.
        eps: added to the variance.

    Shapes:
        (N, num_features, H, W) to the same.

    >>> import fovea
    >>> FrozenBatchNorm2d(2, eps=0.0)(fovea.ones(1, 2, 1, 1)).flatten()
    tensor([1., 1.])
    """

    weight: Buffer
    bias: Buffer
    running_mean: Buffer
    running_var: Buffer

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", ones(num_features))
        self.register_buffer("bias", zeros(num_features))
        self.register_buffer("running_mean", zeros(num_features))
        self.register_buffer("running_var", ones(num_features))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)  # of a batch normalization that learns
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"
