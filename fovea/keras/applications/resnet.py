"""Residual networks (He et al., https://arxiv.org/abs/1512.03385)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]

HASHES = {
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "resnet50v2": ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
    "resnet101v2": ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152v2": ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
}
Stage = Callable[[Any, int, int, int, str], Any]


@documented
def ResNet50(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet50",
) -> Functional:
    """ResNet50: 16 residual blocks of three convolutions, for images of 224x224.

    It wants pixels from ``resnet.preprocess_input``.

    >>> ResNet50(include_top=False, weights=None, pooling="avg").output_shape
    (None, 2048)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return resnet(options, "resnet50", stage, (3, 4, 6, 3), (1, 2, 2, 2))


@documented
def ResNet101(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet101",
) -> Functional:
    """ResNet101: ResNet50 with 23 blocks in its third stage instead of 6.

    It wants pixels from ``resnet.preprocess_input``.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return resnet(options, "resnet101", stage, (3, 4, 23, 3), (1, 2, 2, 2))


@documented
def ResNet152(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet152",
) -> Functional:
    """ResNet152: ResNet50 with 8 and 36 blocks in its middle stages.

    It wants pixels from ``resnet.preprocess_input``.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return resnet(options, "resnet152", stage, (3, 8, 36, 3), (1, 2, 2, 2))


def resnet(
    options: Options,
    weights_name: str,
    stage: Stage,
    blocks: tuple[int, ...],
    strides: tuple[int, ...],
    preactivated: bool = False,
) -> Functional:
    """A residual network.

    Args:
        options: what its caller asked for.
        weights_name: what its published weights are called.
        stage: called with features, filters, blocks, a stride and a name.
        blocks, strides: of each stage.
        preactivated: whether normalization and activation come before convolutions, as in V2.
    """
    image = options.image(options.shape())
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    if not preactivated:
        x = normalized(x, "conv1_bn", "conv1_relu")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for i, (count, stride) in enumerate(zip(blocks, strides, strict=True)):
        x = stage(x, 64 << i, count, stride, f"conv{i + 2}")
    if preactivated:
        x = normalized(x, "post_bn", "post_relu")
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pooled(x, "avg_pool", "max_pool")
    stem = f"resnet/{weights_name}_weights_tf_dim_ordering_tf_kernels"
    return options.model(image, x, published(stem, *HASHES[weights_name]))


def normalized(x: Any, name: str, activation: str | None = None) -> Any:
    """``x`` after batch normalization, then ReLU if that has a name."""
    x = layers.BatchNormalization(axis=channel_axis(), epsilon=1.001e-5, name=name)(x)
    return x if activation is None else layers.Activation("relu", name=activation)(x)


def block(x: Any, filters: int, stride: int, projects: bool, name: str) -> Any:
    """Three convolutions, with their input added: as it is, or projected."""
    shortcut = x
    if projects:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = normalized(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = normalized(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = normalized(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = normalized(x, f"{name}_3_bn")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def stage(x: Any, filters: int, blocks: int, stride: int, name: str) -> Any:
    """Blocks of one size; the first has the stride and a projection."""
    x = block(x, filters, stride, projects=True, name=f"{name}_block1")
    for i in range(2, blocks + 1):
        x = block(x, filters, 1, projects=False, name=f"{name}_block{i}")
    return x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as ResNet wants them: BGR, less the channels' means in ImageNet.

    See `imagenet_utils.preprocess_input`, mode ``"caffe"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")
