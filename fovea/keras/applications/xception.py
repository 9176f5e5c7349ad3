"""Xception (Chollet, https://arxiv.org/abs/1610.02357)."""

from __future__ import annotations

from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = ["Xception", "decode_predictions", "preprocess_input"]

FILES = published(
    "xception/xception_weights_tf_dim_ordering_tf_kernels",
    "0a58e3b7378bc2990ea3b43d5981f1f6",
    "b0042744bf5b25fce3cb969f33bebb97",
)


@documented
def Xception(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "xception",
) -> Functional:
    """Xception: 14 blocks, all but the first of separable convolutions, for images of 299x299.

    They may be smaller, down to 71x71. It wants pixels from ``xception.preprocess_input``.

    >>> Xception(include_top=False, weights=None, pooling="avg").output_shape
    (None, 2048)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options)


def _network(options: Options) -> Functional:
    image = options.image(options.shape(default_size=299, min_size=71))
    x = layers.Conv2D(32, 3, strides=2, use_bias=False, name="block1_conv1")(image)
    x = _active(_normalized(x, "block1_conv1_bn"), "block1_conv1")
    x = layers.Conv2D(64, 3, use_bias=False, name="block1_conv2")(x)
    x = _active(_normalized(x, "block1_conv2_bn"), "block1_conv2")
    x = _halved(x, 128, 128, "block2")
    x = _halved(x, 256, 256, "block3")
    x = _halved(x, 728, 728, "block4")
    for i in range(5, 13):
        x = _middle(x, f"block{i}")
    x = _halved(x, 728, 1024, "block13")
    for filters, name in ((1536, "block14_sepconv1"), (2048, "block14_sepconv2")):
        x = _active(_separable(x, filters, name), name)
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pooled(x)
    return options.model(image, x, FILES)


def _normalized(x: Any, name: str | None = None) -> Any:
    return layers.BatchNormalization(axis=channel_axis(), name=name)(x)


def _active(x: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _separable(x: Any, filters: int, name: str) -> Any:
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return _normalized(x, f"{name}_bn")


def _halved(x: Any, first: int, second: int, name: str) -> Any:
    """Two separable convolutions and a pool, with the input added, projected."""
    shortcut = layers.Conv2D(second, 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = _normalized(shortcut)
    if name != "block2":  # whose input is active as it comes
        x = _active(x, f"{name}_sepconv1")
    x = _active(_separable(x, first, f"{name}_sepconv1"), f"{name}_sepconv2")
    x = _separable(x, second, f"{name}_sepconv2")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return layers.Add()([x, shortcut])


def _middle(x: Any, name: str) -> Any:
    """Three separable convolutions, with the input added."""
    start = x
    for i in range(1, 4):
        x = _separable(_active(x, f"{name}_sepconv{i}"), 728, f"{name}_sepconv{i}")
    return layers.Add()([x, start])


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as Xception wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
