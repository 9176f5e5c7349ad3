"""GoogLeNet (Inception v1) with batch normalization.

Source: C. Szegedy et al., "Going Deeper with Convolutions", 2014. Names, first values and the
order of layers are torchvision's, so its weights fit; as there, what the paper filters with 5×5 is
filtered with 3×3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.parts import cat
from fovea.vision.models import hints
from fovea.vision.models.convolution import BasicConv2d, from_statistics
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.ops.misc import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BasicConv2d",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "Inception",
    "InceptionAux",
    "googlenet",
]


class GoogLeNetOutputs(NamedTuple):
    """What training returns: logits of the network and of its two auxiliary classifiers."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class Inception(nn.Module):
    """Four branches side by side: 1×1, 3×3, a second 3×3, and a pooling.

    Args:
        in_channels: channels that come in.
        ch1x1, ch3x3, ch5x5, pool_proj: channels that go out of each branch.
        ch3x3red, ch5x5red: what 1×1 convolutions narrow the second and third branch to.
        conv_block: makes the convolutions; None: ``BasicConv2d``.

    >>> import fovea
    >>> Inception(8, 1, 2, 3, 2, 4, 5)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 13, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Layer | None = None,
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.branch1 = conv(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, ch3x3red, kernel_size=1),
            conv(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, ch5x5red, kernel_size=1),
            conv(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            conv(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier of features in the middle of the network.

    Args:
        in_channels: channels that come in.
        num_classes: how many there are.
        conv_block: makes the convolution; None: ``BasicConv2d``.
        dropout: part of the features that training leaves out.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        conv_block: Layer | None = None,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        conv = BasicConv2d if conv_block is None else conv_block
        self.conv = conv(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        x = nn.functional.relu(self.fc1(x), inplace=True)
        return self.fc2(self.dropout(x))


class GoogLeNet(nn.Module):
    """A stem, nine ``Inception`` modules, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 15.
        out: float (N, num_classes): logits; in training with ``aux_logits`` GoogLeNetOutputs of
            three such.

    Args:
        num_classes: how many there are.
        aux_logits: two more classifiers in training, whose losses help the layers below them.
        transform_input: take color images normalized by ImageNet's statistics, and normalize them
            by 0.5 instead.
        init_weights: draw torchvision's first values (None: do) instead of the layers' own.
        blocks: make convolutions, modules and auxiliary classifiers; None: ``BasicConv2d``,
            ``Inception`` and ``InceptionAux``.
        dropout, dropout_aux: part of the features that training leaves out.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: another number of ``blocks``, or ``transform_input`` of gray images.

    >>> import fovea
    >>> GoogLeNet(num_classes=5, init_weights=False)(fovea.zeros(2, 3, 32, 32)).aux_logits1.shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Sequence[Layer] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        makers = [BasicConv2d, Inception, InceptionAux] if blocks is None else list(blocks)
        if len(makers) != 3:
            raise ArgumentError(f"GoogLeNet: blocks must be 3, got {len(makers)}.")
        conv, inception, aux = makers
        if transform_input and in_channels != 3:
            raise ArgumentError("GoogLeNet: transform_input is for color images: in_channels=3.")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        halve = partial(nn.MaxPool2d, stride=2, ceil_mode=True)
        self.conv1 = conv(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = halve(3)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = halve(3)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = halve(3)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = halve(2)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights is None or init_weights:
            self.apply(_initialize)

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_side_branches(self.state_dict(), state, ("aux1.", "aux2."))

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            x = from_statistics(x)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        middle = self.inception4a(x)
        late = self.inception4d(self.inception4c(self.inception4b(middle)))
        x = self.maxpool4(self.inception4e(late))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        logits: Tensor = self.fc(self.dropout(x))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(late), self.aux1(middle))


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)


@register_model()
def googlenet(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    aux_logits: bool | None = None,
    transform_input: bool | None = None,
    **config: Any,
) -> GoogLeNet:
    """GoogLeNet (6.6 million parameters, 13 with the auxiliary classifiers), for images of 224.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        aux_logits, transform_input: as ``GoogLeNet``; None: as torchvision's weights are used:
            without auxiliary classifiers and with the transform if there are ``weights``.
        **config: other arguments of ``GoogLeNet``.
    """
    given = weights is not None
    aux_logits = not given if aux_logits is None else aux_logits
    transform_input = given if transform_input is None else transform_input
    model = GoogLeNet(aux_logits=aux_logits, transform_input=transform_input, **config)
    load_weights(model, weights, () if aux_logits else ("aux1.", "aux2."))
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
