"""Residual networks that normalize first (He et al., https://arxiv.org/abs/1603.05027)."""

from __future__ import annotations

from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, documented
from fovea.keras.applications.resnet import normalized, resnet
from fovea.keras.models import Functional

__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]


@documented
def ResNet50V2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50v2",
) -> Functional:
    """ResNet50V2: 16 residual blocks that normalize before they convolve, for images of 224x224.

    It wants pixels from ``resnet_v2.preprocess_input``.

    >>> ResNet50V2(include_top=False, weights=None, pooling="avg").output_shape
    (None, 2048)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "resnet50v2", (3, 4, 6, 3))


@documented
def ResNet101V2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101v2",
) -> Functional:
    """ResNet101V2: ResNet50V2 with 23 blocks in its third stage instead of 6.

    It wants pixels from ``resnet_v2.preprocess_input``.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "resnet101v2", (3, 4, 23, 3))


@documented
def ResNet152V2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152v2",
) -> Functional:
    """ResNet152V2: ResNet50V2 with 8 and 36 blocks in its middle stages.

    It wants pixels from ``resnet_v2.preprocess_input``.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "resnet152v2", (3, 8, 36, 3))


def _network(options: Options, weights_name: str, blocks: tuple[int, ...]) -> Functional:
    return resnet(options, weights_name, stage, blocks, (2, 2, 2, 1), preactivated=True)


def block(x: Any, filters: int, stride: int, projects: bool, name: str) -> Any:
    """Three convolutions of what is normalized, with the input added: as it is, or projected."""
    before = normalized(x, f"{name}_preact_bn", f"{name}_preact_relu")
    shortcut = x
    if projects:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(before)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(before)
    x = normalized(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(x)
    x = normalized(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def stage(x: Any, filters: int, blocks: int, stride: int, name: str) -> Any:
    """Blocks of one size: the first projects its input, the last has the stride."""
    for i in range(1, blocks + 1):
        last = i == blocks
        x = block(x, filters, stride if last else 1, projects=i == 1, name=f"{name}_block{i}")
    return x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as ResNet V2 wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
