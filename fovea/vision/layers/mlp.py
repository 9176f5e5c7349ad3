"""Two layers with an activation between them, as transformers and ConvNeXts have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fovea import nn
from fovea.vision.layers.helpers import to_2tuple
from fovea.vision.layers.norms import GlobalResponseNorm

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ConvMlp", "GlobalResponseNormMlp", "Mlp"]

Layer = Callable[..., nn.Module]


def _linear(use_conv: bool) -> Layer:
    return partial(nn.Conv2d, kernel_size=1) if use_conv else nn.Linear


class Mlp(nn.Module):
    """y = drop(fc2(norm(drop(act(fc1(x))))))

    Args:
        in_features: of x.
        hidden_features: between the layers; None for as many.
        out_features: of y; None for as many.
        act_layer: makes the activation.
        norm_layer: makes a normalization from the hidden features; None for none.
        bias: of both layers, or of each.
        drop: dropout's probability, after both layers or after each.
        use_conv: of images (N, C, H, W).

    Shapes:
        (..., in_features) to (..., out_features).

    Parameters:
        fc1, fc2, norm: those of the layers.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    >>> import fovea
    >>> Mlp(4, 8, 2)(fovea.ones(3, 4)).shape
    fovea.Size([3, 2])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Layer = nn.GELU,
        norm_layer: Layer | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        use_conv: bool = False,
    ) -> None:
        super().__init__()
        hidden, linear = hidden_features or in_features, _linear(use_conv)
        biases, drops = to_2tuple(bias), to_2tuple(drop)
        self.fc1 = linear(in_features, hidden, bias=biases[0])
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(hidden)
        self.fc2 = linear(hidden, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.drop1(self.act(self.fc1(x))))
        y: Tensor = self.drop2(self.fc2(x))
        return y


class GlobalResponseNormMlp(nn.Module):
    """y = drop(fc2(grn(drop(act(fc1(x))))))

    Args:
        in_features: of x.
        hidden_features: between the layers; None for as many.
        out_features: of y; None for as many.
        act_layer: makes the activation.
        bias: of both layers, or of each.
        drop: dropout's probability, after both layers or after each.
        use_conv: images are (N, C, H, W), otherwise (N, H, W, C).

    Shapes:
        images to images of out_features channels.

    Parameters:
        fc1, grn, fc2: those of the layers.

    Source: Woo et al., "ConvNeXt V2", CVPR 2023.

    >>> import fovea
    >>> GlobalResponseNormMlp(4, 8)(fovea.ones(1, 2, 2, 4)).shape
    fovea.Size([1, 2, 2, 4])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Layer = nn.GELU,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        use_conv: bool = False,
    ) -> None:
        super().__init__()
        hidden, linear = hidden_features or in_features, _linear(use_conv)
        biases, drops = to_2tuple(bias), to_2tuple(drop)
        self.fc1 = linear(in_features, hidden, bias=biases[0])
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.grn = GlobalResponseNorm(hidden, channels_last=not use_conv)
        self.fc2 = linear(hidden, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.grn(self.drop1(self.act(self.fc1(x))))
        y: Tensor = self.drop2(self.fc2(x))
        return y


class ConvMlp(nn.Module):
    """y = fc2(drop(act(norm(fc1(x))))), convolutions of 1 x 1

    Args:
        in_features: channels of x.
        hidden_features: between the layers; None for as many.
        out_features: of y; None for as many.
        act_layer: makes the activation.
        norm_layer: makes a normalization from the hidden channels; None for none.
        bias: of both layers, or of each.
        drop: dropout's probability.

    Shapes:
        (N, in_features, H, W) to (N, out_features, H, W).

    Parameters:
        fc1, norm, fc2: those of the layers.

    >>> import fovea
    >>> ConvMlp(4, 8, 2)(fovea.ones(1, 4, 3, 3)).shape
    fovea.Size([1, 2, 3, 3])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Layer = nn.ReLU,
        norm_layer: Layer | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        hidden, biases = hidden_features or in_features, to_2tuple(bias)
        self.fc1 = nn.Conv2d(in_features, hidden, 1, bias=biases[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(hidden)
        self.act = act_layer()
        self.drop = nn.Dropout(drop)
        self.fc2 = nn.Conv2d(hidden, out_features or in_features, 1, bias=biases[1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.drop(self.act(self.norm(self.fc1(x)))))
        return y
