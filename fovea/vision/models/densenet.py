"""DenseNet.

Source: G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, "Densely Connected Convolutional
Networks", 2017; recomputation: G. Pleiss et al., "Memory-Efficient Implementation of DenseNets",
2017. Names, first values and the order of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.functions.parts import cat
from fovea.utils.checkpoint import checkpoint
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]


class _DenseLayer(nn.Module):
    """A 1×1 and a 3×3 convolution, each behind a normalization and ReLU, of all features so far."""

    def __init__(
        self,
        num_input_features: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        inside = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, inside, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inside)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(inside, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def _narrow(self, *features: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(cat(features, 1))))

    def forward(self, input: Tensor | Sequence[Tensor]) -> Tensor:
        features = tuple(input) if isinstance(input, list | tuple) else (input,)
        if self.memory_efficient and any(f.requires_grad for f in features):
            narrow = checkpoint(self._narrow, *features, use_reentrant=False)
        else:
            narrow = self._narrow(*features)
        new: Tensor = self.conv2(self.relu2(self.norm2(narrow)))
        if self.drop_rate > 0:
            new = nn.functional.dropout(new, self.drop_rate, self.training)
        return new


class _DenseBlock(nn.ModuleDict):
    """Layers each of which sees the features of all before it."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            inputs = num_input_features + i * growth_rate
            layer = _DenseLayer(inputs, growth_rate, bn_size, drop_rate, memory_efficient)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Fewer channels, half the size."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)


class DenseNet(nn.Module):
    """A stem, dense blocks with halvings in between, the mean over all places, a linear layer.

    Within a dense block, layer i computes x_i = H_i([x_0, x_1, ..., x_{i-1}]).

    Shapes:
        in: float (N, in_channels, H, W), H and W at least 29.
        out: float (N, num_classes): logits.

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers of each dense block.
        num_init_features: channels of the stem.
        bn_size: channels between a layer's convolutions, in growth rates.
        drop_rate: part of each layer's features that training leaves out.
        num_classes: how many there are.
        memory_efficient: compute normalizations again in backward instead of keeping them.
        in_channels: 1 for gray images, 3 for color.

    >>> import fovea
    >>> net = DenseNet(8, (2, 2), num_init_features=16, num_classes=5)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, num_init_features, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(num_init_features),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = num_init_features
        for i, count in enumerate(block_config, 1):
            layers[f"denseblock{i}"] = _DenseBlock(
                count, channels, bn_size, growth_rate, drop_rate, memory_efficient
            )
            channels += count * growth_rate
            if i < len(block_config):
                layers[f"transition{i}"] = _Transition(channels, channels // 2)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.features(x), inplace=True)
        return self.classifier(nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # torchvision's files have a dot within the names of dense layers: norm.1 for norm1.
        for key in [key for key in state_dict if key.startswith(prefix)]:
            new = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)
            if new != key:
                state_dict[new] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _initialize(module: nn.Module) -> None:
    """torchvision's first values."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


densenet121 = variant(
    "densenet121", DenseNet, "DenseNet-121 (8 million parameters), for images of 224."
)
densenet161 = variant(
    "densenet161",
    DenseNet,
    "DenseNet-161 (29 million parameters), for images of 224.",
    growth_rate=48,
    block_config=(6, 12, 36, 24),
    num_init_features=96,
)
densenet169 = variant(
    "densenet169",
    DenseNet,
    "DenseNet-169 (14 million parameters), for images of 224.",
    block_config=(6, 12, 32, 32),
)
densenet201 = variant(
    "densenet201",
    DenseNet,
    "DenseNet-201 (20 million parameters), for images of 224.",
    block_config=(6, 12, 48, 32),
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
