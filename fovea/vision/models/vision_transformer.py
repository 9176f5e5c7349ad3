"""Vision Transformer.

Source: A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at
Scale", 2021; ViT-Ti: H. Touvron et al., "Training data-efficient image transformers & distillation
through attention", 2021. Names, first values and the order of layers are torchvision's, so its
weights fit.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty, zeros
from fovea.functions.parts import cat
from fovea.vision.models.registry import variant
from fovea.vision.ops.misc import MLP, Conv2dNormActivation, Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ConvStemConfig",
    "Encoder",
    "EncoderBlock",
    "MLPBlock",
    "VisionTransformer",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "vit_ti_16",
]

_NORM = partial(nn.LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """A convolution of a stem that is made of several (T. Xiao et al., "Early Convolutions Help
    Transformers See Better", 2021).
    """

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Layer = nn.BatchNorm2d
    activation_layer: Layer = nn.ReLU


class MLPBlock(MLP):
    """The two linear layers of a block, with GELU in between.

    Args:
        in_dim: features that come in and go out.
        mlp_dim: features in between.
        dropout: part of the features that training leaves out.

    >>> import fovea
    >>> MLPBlock(4, 8, 0.0)(fovea.zeros(2, 3, 4)).shape
    fovea.Size([2, 3, 4])
    """

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, dropout=dropout)
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, std=1e-6)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if (local_metadata.get("version") or 1) < 2:  # torchvision once named the layers
            for old, new in (("linear_1", "0"), ("linear_2", "3")):
                for kind in ("weight", "bias"):
                    if f"{prefix}{old}.{kind}" in state_dict:
                        value = state_dict.pop(f"{prefix}{old}.{kind}")
                        state_dict[f"{prefix}{new}.{kind}"] = value
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)


class EncoderBlock(nn.Module):
    """Self-attention and ``MLPBlock``, each behind a normalization and beside a shortcut.

    Args:
        num_heads: heads of attention.
        hidden_dim: features.
        mlp_dim: features inside ``MLPBlock``.
        dropout: part of the features that training leaves out.
        attention_dropout: part of the weights of attention that it leaves out.
        norm_layer: makes the normalizations.

    Shapes:
        (N, L, hidden_dim) to the same.

    >>> import fovea
    >>> EncoderBlock(2, 8, 16, 0.0, 0.0)(fovea.zeros(1, 3, 8)).shape
    fovea.Size([1, 3, 8])
    """

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = _NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Learned positions, blocks, a normalization.

    Args:
        seq_length: positions.
        num_layers: blocks.
        num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer: as
            ``EncoderBlock``.

    Shapes:
        (N, seq_length, hidden_dim) to the same.

    >>> import fovea
    >>> Encoder(3, 2, 2, 8, 16, 0.0, 0.0)(fovea.zeros(1, 3, 8)).shape
    fovea.Size([1, 3, 8])
    """

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = _NORM,
    ) -> None:
        super().__init__()
        positions = empty((1, seq_length, hidden_dim))
        self.pos_embedding = nn.Parameter(nn.init.normal_(positions, std=0.02))
        self.dropout = nn.Dropout(dropout)
        sizes = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", EncoderBlock(*sizes)) for i in range(num_layers))
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches as a sequence, a class token, an encoder, a linear layer on the class token.

    Shapes:
        in: float (N, in_channels, image_size, image_size).
        out: float (N, num_classes): logits.

    Args:
        image_size: height and width of images, a multiple of ``patch_size``.
        patch_size: height and width of patches.
        num_layers: blocks of the encoder.
        num_heads, hidden_dim, mlp_dim, dropout, attention_dropout: as ``EncoderBlock``.
        num_classes: how many there are.
        representation_size: features of a layer before the last one; None: there is none.
        norm_layer: makes the normalizations.
        conv_stem_configs: convolutions that make the patches; None: one of ``patch_size``.
        in_channels: 1 for gray images, 3 for color.

    Raises:
        ArgumentError: patches that do not fill the image.
        ShapeError: images of another size.

    >>> import fovea
    >>> net = VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    >>> net(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 1000])
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Layer = _NORM,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ArgumentError(
                f"VisionTransformer: image_size={image_size} must be a multiple of "
                f"patch_size={patch_size}."
            )
        self.image_size, self.patch_size = image_size, patch_size
        self.hidden_dim, self.mlp_dim = hidden_dim, mlp_dim
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.num_classes, self.representation_size = num_classes, representation_size
        self.class_token = nn.Parameter(zeros((1, 1, hidden_dim)))
        self.conv_proj: nn.Module
        if conv_stem_configs is None:
            self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, stride=patch_size)
        else:
            self.conv_proj = _stem(conv_stem_configs, in_channels, hidden_dim)
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length,
            num_layers,
            num_heads,
            hidden_dim,
            mlp_dim,
            dropout,
            attention_dropout,
            norm_layer,
        )
        self.heads = _heads(hidden_dim, representation_size, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        """torchvision's first values: the class scores start as zeros."""
        stem = self.conv_proj
        if isinstance(stem, nn.Conv2d):
            fan_in = stem.in_channels * stem.kernel_size[0] * stem.kernel_size[1]
            nn.init.trunc_normal_(stem.weight, std=math.sqrt(1 / fan_in))
            last = stem
        else:
            last = stem.conv_last
            nn.init.normal_(last.weight, std=math.sqrt(2.0 / last.out_channels))
        nn.init.zeros_(last.get_parameter("bias"))
        if self.representation_size is not None:
            layer = self.heads.pre_logits
            nn.init.trunc_normal_(layer.weight, std=math.sqrt(1 / layer.in_features))
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _patches(self, x: Tensor) -> Tensor:
        """(N, patches, hidden_dim)."""
        if x.ndim != 4 or tuple(x.shape[2:]) != (self.image_size, self.image_size):
            raise ShapeError(
                f"VisionTransformer: images must be {self.image_size} × {self.image_size}, got "
                f"{describe(x)}.",
                fix="resize them, or make the network with another image_size",
            )
        return self.conv_proj(x).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self._patches(x)
        token = self.class_token.expand(x.shape[0], -1, -1)
        return self.heads(self.encoder(cat([token, x], 1))[:, 0])


def _stem(configs: Sequence[ConvStemConfig], channels: int, hidden_dim: int) -> nn.Sequential:
    stem = nn.Sequential()
    for i, c in enumerate(configs):
        unit = Conv2dNormActivation(
            channels,
            c.out_channels,
            c.kernel_size,
            c.stride,
            norm_layer=c.norm_layer,
            activation_layer=c.activation_layer,
        )
        stem.add_module(f"conv_bn_relu_{i}", unit)
        channels = c.out_channels
    stem.add_module("conv_last", nn.Conv2d(channels, hidden_dim, 1))
    return stem


def _heads(features: int, representation_size: int | None, classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if representation_size is not None:
        layers["pre_logits"] = nn.Linear(features, representation_size)
        layers["act"] = nn.Tanh()
        features = representation_size
    layers["head"] = nn.Linear(features, classes)
    return nn.Sequential(layers)


def _vision_transformer(
    patch_size: int,
    num_layers: int,
    num_heads: int,
    hidden_dim: int,
    mlp_dim: int,
    image_size: int = 224,
    **config: Any,
) -> VisionTransformer:
    """The network of these sizes; arguments as ``VisionTransformer``."""
    sizes = (patch_size, num_layers, num_heads, hidden_dim, mlp_dim)
    return VisionTransformer(image_size, *sizes, **config)


vit_ti_16 = variant(
    "vit_ti_16",
    _vision_transformer,
    "ViT-Ti with patches of 16 (5.7 million parameters), for images of ``image_size``.",
    patch_size=16,
    num_layers=12,
    num_heads=3,
    hidden_dim=192,
    mlp_dim=768,
)
vit_b_16 = variant(
    "vit_b_16",
    _vision_transformer,
    "ViT-B with patches of 16 (87 million parameters), for images of ``image_size``.",
    patch_size=16,
    num_layers=12,
    num_heads=12,
    hidden_dim=768,
    mlp_dim=3072,
)
vit_b_32 = variant(
    "vit_b_32",
    _vision_transformer,
    "ViT-B with patches of 32 (88 million parameters), for images of ``image_size``.",
    patch_size=32,
    num_layers=12,
    num_heads=12,
    hidden_dim=768,
    mlp_dim=3072,
)
vit_l_16 = variant(
    "vit_l_16",
    _vision_transformer,
    "ViT-L with patches of 16 (304 million parameters), for images of ``image_size``.",
    patch_size=16,
    num_layers=24,
    num_heads=16,
    hidden_dim=1024,
    mlp_dim=4096,
)
vit_l_32 = variant(
    "vit_l_32",
    _vision_transformer,
    "ViT-L with patches of 32 (307 million parameters), for images of ``image_size``.",
    patch_size=32,
    num_layers=24,
    num_heads=16,
    hidden_dim=1024,
    mlp_dim=4096,
)
vit_h_14 = variant(
    "vit_h_14",
    _vision_transformer,
    "ViT-H with patches of 14 (632 million parameters), for images of ``image_size``.",
    patch_size=14,
    num_layers=32,
    num_heads=16,
    hidden_dim=1280,
    mlp_dim=5120,
)


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
