"""The networks written once, over layers that a framework supplies.

Each takes ``f``, whose methods are the framework's layers (see ``Layers``), and an image batch. A
layer finds its weights by name in the state that all contestants share; shapes follow from them.
torchvision's and fovea's models run these networks from their own code.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = [
    "Layers",
    "convnext_tiny",
    "efficientnet_b0",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "small_cnn",
    "unet",
    "vgg11_bn",
    "vit_ti_16",
]


class Layers(Protocol):
    """What a framework supplies. Images are channels-last; ``name`` finds the weights."""

    def has(self, name: str) -> bool:
        """Whether the state holds ``name``."""

    def kernel(self, name: str) -> int:
        """The height of a convolution's kernel."""

    def conv(self, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
        """Convolution; depthwise where each filter has one input channel."""

    def conv_transpose(self, name: str, x: Any) -> Any:
        """Transposed convolution whose stride is its kernel's size."""

    def norm(self, name: str, x: Any) -> Any:
        """Batch normalization, eps 1e-5."""

    def layer_norm(self, name: str, x: Any) -> Any:
        """Layer normalization over the last dimension, eps 1e-6."""

    def linear(self, name: str, x: Any) -> Any:
        """Linear layer on the last dimension."""

    def flat_linear(self, name: str, x: Any) -> Any:
        """Linear layer on a whole image; its weights count channels first."""

    def act(self, kind: str, x: Any) -> Any:
        """``relu``, ``relu6``, ``silu``, ``sigmoid`` or ``gelu``."""

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        """The largest of each window."""

    def mean(self, x: Any, keep: bool = False) -> Any:
        """The mean over all places, (N, C), or (N, 1, 1, C) with ``keep``."""

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""

    def multiply(self, x: Any, y: Any) -> Any:
        """x * y."""

    def cat(self, x: Any, y: Any) -> Any:
        """Channels of x, then those of y."""

    def scale(self, name: str, x: Any) -> Any:
        """Each channel times a learned factor."""

    def tokens(self, token: str, positions: str, x: Any) -> Any:
        """Places as a sequence behind a learned token, plus learned positions."""

    def attention(self, name: str, x: Any, heads: int) -> Any:
        """Self-attention."""

    def first(self, x: Any) -> Any:
        """The first element of a sequence."""


def small_cnn(f: Layers, x: Any) -> Any:
    x = f.max_pool(f.act("relu", f.conv("conv1", x)), 2, 2)
    return f.linear("fc2", f.act("relu", f.flat_linear("fc1", x)))


def _resnet(f: Layers, x: Any, layers: tuple[int, ...], convolutions: int) -> Any:
    small = f.kernel("conv1") == 3  # a stem for small images
    x = f.conv("conv1", x, *((1, 1) if small else (2, 3)))
    x = f.act("relu", f.norm("bn1", x))
    if not small:
        x = f.max_pool(x, 3, 2, 1)
    for stage, count in enumerate(layers, 1):
        for i in range(count):
            stride = 2 if stage > 1 and i == 0 else 1
            x = _residual(f, f"layer{stage}.{i}", x, stride, convolutions)
    return f.linear("fc", f.mean(x))


def _residual(f: Layers, name: str, x: Any, stride: int, convolutions: int) -> Any:
    y = x
    for i in range(1, convolutions + 1):
        wide = convolutions == 2 or i == 2  # 3×3
        here = stride if i == convolutions - 1 else 1
        y = f.norm(f"{name}.bn{i}", f.conv(f"{name}.conv{i}", y, here, int(wide)))
        if i < convolutions:
            y = f.act("relu", y)
    if f.has(f"{name}.downsample.0.weight"):
        x = f.norm(f"{name}.downsample.1", f.conv(f"{name}.downsample.0", x, stride))
    return f.act("relu", f.add(y, x))


def resnet18(f: Layers, x: Any) -> Any:
    return _resnet(f, x, (2, 2, 2, 2), 2)


def resnet50(f: Layers, x: Any) -> Any:
    return _resnet(f, x, (3, 4, 6, 3), 3)


def vgg11_bn(f: Layers, x: Any) -> Any:
    at = 0
    for count in (1, 1, 2, 2, 2):
        for _ in range(count):
            x = f.conv(f"features.{at}", x, padding=1)
            x = f.act("relu", f.norm(f"features.{at + 1}", x))
            at += 3
        x = f.max_pool(x, 2, 2)
        at += 1
    if not f.has("classifier.0.weight"):  # for small images
        return f.linear("classifier.1", f.mean(x))
    x = f.act("relu", f.flat_linear("classifier.0", x))
    return f.linear("classifier.6", f.act("relu", f.linear("classifier.3", x)))


def _unit(f: Layers, name: str, x: Any, act: str = "", stride: int = 1, padding: int = 0) -> Any:
    """torchvision's Conv2dNormActivation."""
    x = f.norm(f"{name}.1", f.conv(f"{name}.0", x, stride, padding))
    return f.act(act, x) if act else x


def mobilenet_v2(f: Layers, x: Any) -> Any:
    x = _unit(f, "features.0", x, "relu6", 2, 1)
    at = 1
    for count, stride in ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)):
        for i in range(count):
            y, name = x, f"features.{at}.conv"
            last = 1
            if at > 1:
                y, last = _unit(f, f"{name}.0", y, "relu6"), 2
            y = _unit(f, f"{name}.{last - 1}", y, "relu6", stride if i == 0 else 1, 1)
            y = f.norm(f"{name}.{last + 1}", f.conv(f"{name}.{last}", y))
            x = f.add(x, y) if i else y
            at += 1
    return f.linear("classifier.1", f.mean(_unit(f, f"features.{at}", x, "relu6")))


def efficientnet_b0(f: Layers, x: Any) -> Any:
    x = _unit(f, "features.0", x, "silu", 2, 1)
    stages = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
    for stage, (count, kernel, stride) in enumerate(stages, 1):
        for i in range(count):
            y, name, at = x, f"features.{stage}.{i}.block", 0
            if stage > 1:
                y, at = _unit(f, f"{name}.0", y, "silu"), 1
            y = _unit(f, f"{name}.{at}", y, "silu", stride if i == 0 else 1, kernel // 2)
            s = f.act("silu", f.conv(f"{name}.{at + 1}.fc1", f.mean(y, keep=True)))
            y = f.multiply(y, f.act("sigmoid", f.conv(f"{name}.{at + 1}.fc2", s)))
            y = _unit(f, f"{name}.{at + 2}", y)
            x = f.add(x, y) if i else y
    return f.linear("classifier.1", f.mean(_unit(f, "features.8", x, "silu")))


def convnext_tiny(f: Layers, x: Any) -> Any:
    x = f.layer_norm("features.0.1", f.conv("features.0.0", x, 4))
    for stage, count in zip((1, 3, 5, 7), (3, 3, 9, 3), strict=True):
        for i in range(count):
            name = f"features.{stage}.{i}"
            y = f.layer_norm(f"{name}.block.2", f.conv(f"{name}.block.0", x, padding=3))
            y = f.act("gelu", f.linear(f"{name}.block.3", y))
            x = f.add(x, f.scale(f"{name}.layer_scale", f.linear(f"{name}.block.5", y)))
        if stage < 7:
            x = f.layer_norm(f"features.{stage + 1}.0", x)
            x = f.conv(f"features.{stage + 1}.1", x, 2)
    return f.linear("classifier.2", f.layer_norm("classifier.0", f.mean(x)))


def vit_ti_16(f: Layers, x: Any) -> Any:
    x = f.tokens("class_token", "encoder.pos_embedding", f.conv("conv_proj", x, 16))
    for i in range(12):
        name = f"encoder.layers.encoder_layer_{i}"
        y = f.layer_norm(f"{name}.ln_1", x)
        x = f.add(x, f.attention(f"{name}.self_attention", y, 3))
        y = f.act("gelu", f.linear(f"{name}.mlp.0", f.layer_norm(f"{name}.ln_2", x)))
        x = f.add(x, f.linear(f"{name}.mlp.3", y))
    return f.linear("heads.head", f.first(f.layer_norm("encoder.ln", x)))


def _double(f: Layers, name: str, x: Any) -> Any:
    for at in (0, 3):
        x = f.act("relu", f.norm(f"{name}.{at + 1}", f.conv(f"{name}.{at}", x, padding=1)))
    return x


def unet(f: Layers, x: Any) -> Any:
    x, seen = _double(f, "stem", x), []
    for i in range(4):
        seen.append(x)
        x = _double(f, f"down.{i}", f.max_pool(x, 2, 2))
    for i in range(4):
        x = _double(f, f"merge.{i}", f.cat(seen.pop(), f.conv_transpose(f"up.{i}", x)))
    return f.conv("head", x)
