"""Inception v3.

Source: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception
Architecture for Computer Vision", 2015. Names, first values and the order of layers are
torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from fovea.vision.models import hints
from fovea.vision.models.convolution import BasicConv2d, from_statistics
from fovea.vision.models.loading import WeightsLike, load_weights, of_timm
from fovea.vision.models.registry import register_model
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BasicConv2d",
    "Inception3",
    "InceptionA",
    "InceptionAux",
    "InceptionB",
    "InceptionC",
    "InceptionD",
    "InceptionE",
    "InceptionOutputs",
    "inception_v3",
]

# Kernels that are long in one direction, and the padding that keeps the size.
_ROW3: dict[str, Any] = {"kernel_size": (1, 3), "padding": (0, 1)}
_COLUMN3: dict[str, Any] = {"kernel_size": (3, 1), "padding": (1, 0)}
_ROW7: dict[str, Any] = {"kernel_size": (1, 7), "padding": (0, 3)}
_COLUMN7: dict[str, Any] = {"kernel_size": (7, 1), "padding": (3, 0)}


class InceptionOutputs(NamedTuple):
    """What training returns: logits of the network and of its auxiliary classifier."""

    logits: Tensor
    aux_logits: Tensor | None


class InceptionA(nn.Module):
    """1×1 beside 5×5, two of 3×3 and the mean of the neighbors (the paper's figure 5).

    Args:
        in_channels: channels that come in; 224 and ``pool_features`` go out.
        pool_features: channels of the branch with the pooling.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(
        self, in_channels: int, pool_features: int, conv_block: Layer | None = None
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(avg_pool2d(x, kernel_size=3, stride=1, padding=1)),
        ]
        return cat(branches, 1)


class InceptionB(nn.Module):
    """Half the size: 3×3 of stride 2 beside two of 3×3 and a pooling.

    Args:
        in_channels: channels that come in; 480 more go out.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return cat([self.branch3x3(x), double, max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionC(nn.Module):
    """1×1 beside 7×7 in rows and columns, once and twice, and the mean of the neighbors (the
    paper's figure 6).

    Args:
        in_channels: channels that come in; 768 go out.
        channels_7x7: channels between rows and columns.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(
        self, in_channels: int, channels_7x7: int, conv_block: Layer | None = None
    ) -> None:
        super().__init__()
        conv, c7 = BasicConv2d if conv_block is None else conv_block, channels_7x7
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7_2 = conv(c7, c7, **_ROW7)
        self.branch7x7_3 = conv(c7, 192, **_COLUMN7)
        self.branch7x7dbl_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7dbl_2 = conv(c7, c7, **_COLUMN7)
        self.branch7x7dbl_3 = conv(c7, c7, **_ROW7)
        self.branch7x7dbl_4 = conv(c7, c7, **_COLUMN7)
        self.branch7x7dbl_5 = conv(c7, 192, **_ROW7)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        branches = [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(avg_pool2d(x, kernel_size=3, stride=1, padding=1)),
        ]
        return cat(branches, 1)


class InceptionD(nn.Module):
    """Half the size: 3×3 of stride 2 beside 7×7 with another, and a pooling.

    Args:
        in_channels: channels that come in; 512 more go out.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, **_ROW7)
        self.branch7x7x3_3 = conv(192, 192, **_COLUMN7)
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        branches = [
            self.branch3x3_2(self.branch3x3_1(x)),
            self.branch7x7x3_4(wide),
            max_pool2d(x, kernel_size=3, stride=2),
        ]
        return cat(branches, 1)


class InceptionE(nn.Module):
    """1×1 beside rows and columns of 3×3, once and behind a 3×3, and the mean of the neighbors
    (the paper's figure 7).

    Args:
        in_channels: channels that come in; 2,048 go out.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(self, in_channels: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **_ROW3)
        self.branch3x3_2b = conv(384, 384, **_COLUMN3)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **_ROW3)
        self.branch3x3dbl_3b = conv(384, 384, **_COLUMN3)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(avg_pool2d(x, kernel_size=3, stride=1, padding=1)),
        ]
        return cat(branches, 1)


class InceptionAux(nn.Module):
    """A classifier of features in the middle of the network.

    Args:
        in_channels: channels that come in.
        num_classes: how many there are.
        conv_block: makes the convolutions; None: ``BasicConv2d``.
    """

    def __init__(self, in_channels: int, num_classes: int, conv_block: Layer | None = None) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(adaptive_avg_pool2d(x, (1, 1)).flatten(1))


_BLOCKS: tuple[Layer, ...] = (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionAux,
)


class Inception3(nn.Module):
    """A stem, eleven Inception modules of five kinds, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 75, in training with ``aux_logits``
            299.
        out: float (N, num_classes): logits; in training with ``aux_logits`` InceptionOutputs of
            two such.

    Args:
        num_classes: how many there are.
        aux_logits: another classifier in training, whose loss helps the layers below it.
        transform_input: take color images normalized by ImageNet's statistics, and normalize them
            by 0.5 instead.
        inception_blocks: make convolutions, modules A to E and the auxiliary classifier; None: the
            classes of this file.
        init_weights: draw torchvision's first values (None: do) instead of the layers' own.
        dropout: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: another number of ``inception_blocks``, or ``transform_input`` of gray
            images.

    >>> import fovea
    >>> net = Inception3(num_classes=5, aux_logits=False, init_weights=False)
    >>> net(fovea.zeros(2, 3, 75, 75)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Layer] | None = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        makers = _BLOCKS if inception_blocks is None else tuple(inception_blocks)
        if len(makers) != 7:
            raise ArgumentError(f"Inception3: inception_blocks must be 7, got {len(makers)}.")
        conv, a, b, c, d, e, aux = makers
        if transform_input and in_channels != 3:
            raise ArgumentError("Inception3: transform_input is for color images: in_channels=3.")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(in_channels, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = a(192, pool_features=32)
        self.Mixed_5c = a(256, pool_features=64)
        self.Mixed_5d = a(288, pool_features=64)
        self.Mixed_6a = b(288)
        self.Mixed_6b = c(768, channels_7x7=128)
        self.Mixed_6c = c(768, channels_7x7=160)
        self.Mixed_6d = c(768, channels_7x7=160)
        self.Mixed_6e = c(768, channels_7x7=192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a = d(768)
        self.Mixed_7b = e(1280)
        self.Mixed_7c = e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights is None or init_weights:
            self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, mean=0.0, std=0.1, a=-2, b=2)
        if isinstance(self.AuxLogits, InceptionAux):
            nn.init.trunc_normal_(self.AuxLogits.fc.weight, mean=0.0, std=0.001, a=-2, b=2)

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_side_branches(self.state_dict(), state, ("AuxLogits.",))

    def forward(self, x: Tensor) -> Tensor | InceptionOutputs:
        if self.transform_input:
            x = from_statistics(x)
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        middle = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        aux = self.AuxLogits(middle) if self.training and self.AuxLogits is not None else None
        x = self.avgpool(self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))).flatten(1)
        logits: Tensor = self.fc(self.dropout(x))
        return logits if aux is None else InceptionOutputs(logits, aux)


@register_model()
def inception_v3(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    aux_logits: bool = True,
    transform_input: bool | None = None,
    **config: Any,
) -> Inception3:
    """Inception v3 (27 million parameters), for images of 299.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        aux_logits: as ``Inception3``.
        transform_input: as ``Inception3``; None: if there are ``weights``, as torchvision's expect,
            unless they come from ``hf://timm/``: timm's see images normalized by 0.5, so say False
            for a file of them.
        **config: other arguments of ``Inception3``.
    """
    if transform_input is None:
        transform_input = weights is not None and not of_timm(weights)
    model = Inception3(aux_logits=aux_logits, transform_input=transform_input, **config)
    load_weights(model, weights, () if aux_logits else ("AuxLogits.",))
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
