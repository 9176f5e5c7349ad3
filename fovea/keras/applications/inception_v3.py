"""Inception v3 (Szegedy et al., https://arxiv.org/abs/1512.00567)."""

from __future__ import annotations

from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

FILES = published(
    "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels",
    "9a0d58056eeedaa3f26cb7ebd46da564",
    "bcbd6486424b2319ff4ef7d526e38f63",
)


@documented
def InceptionV3(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_v3",
) -> Functional:
    """InceptionV3: 11 blocks of parallel convolutions, for images of 299x299, at least 75x75.

    It wants pixels from ``inception_v3.preprocess_input``.

    >>> InceptionV3(include_top=False, weights=None, pooling="avg").output_shape
    (None, 2048)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options)


def _network(options: Options) -> Functional:
    image = options.image(options.shape(default_size=299, min_size=75))
    x = convolved(image, 32, 3, strides=2, padding="valid")
    x = convolved(x, 32, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolved(x, 64, 3))
    x = convolved(x, 80, 1, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolved(x, 192, 3, padding="valid"))
    for i, last in enumerate((32, 64, 64)):
        x = _wide(x, last, f"mixed{i}")
    x = _halved(x, "mixed3")
    for i, inner in enumerate((128, 160, 160, 192)):
        x = _factored(x, inner, f"mixed{i + 4}")
    x = _halved_again(x, "mixed8")
    for i in range(2):
        x = _spread(x, f"mixed9_{i}", f"mixed{i + 9}")
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pooled(x)
    return options.model(image, x, FILES)


def convolved(
    x: Any, filters: int, size: Any, strides: int = 1, padding: str = "same", name: Any = None
) -> Any:
    """``x`` after a convolution without a bias, batch normalization without a scale, and ReLU."""
    x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name)(x)
    normalization = None if name is None else f"{name}_bn"
    x = layers.BatchNormalization(axis=channel_axis(), scale=False, name=normalization)(x)
    return layers.Activation("relu", name=None if name is None else f"{name}_ac")(x)


def chain(x: Any, *steps: tuple[int, Any]) -> Any:
    """``x`` after convolutions, given by their filters and sizes."""
    for filters, size in steps:
        x = convolved(x, filters, size)
    return x


def joined(branches: list[Any], name: str | None = None) -> Any:
    """All channels of several."""
    return layers.Concatenate(axis=channel_axis(), name=name)(branches)


def averaged(x: Any, filters: int) -> Any:
    """Means over 3x3 pixels, then a convolution of single pixels."""
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return convolved(x, filters, 1)


def _wide(x: Any, last: int, name: str) -> Any:
    one = convolved(x, 64, 1)
    five = chain(x, (48, 1), (64, 5))
    three = chain(x, (64, 1), (96, 3), (96, 3))
    return joined([one, five, three, averaged(x, last)], name)


def _halved(x: Any, name: str) -> Any:
    once = convolved(x, 384, 3, strides=2, padding="valid")
    twice = chain(x, (64, 1), (96, 3))
    twice = convolved(twice, 96, 3, strides=2, padding="valid")
    return joined([once, twice, layers.MaxPooling2D(3, strides=2)(x)], name)


def _factored(x: Any, inner: int, name: str) -> Any:
    row, column = (1, 7), (7, 1)
    one = convolved(x, 192, 1)
    once = chain(x, (inner, 1), (inner, row), (192, column))
    twice = chain(x, (inner, 1), (inner, column), (inner, row), (inner, column), (192, row))
    return joined([one, once, twice, averaged(x, 192)], name)


def _halved_again(x: Any, name: str) -> Any:
    three = convolved(convolved(x, 192, 1), 320, 3, strides=2, padding="valid")
    seven = chain(x, (192, 1), (192, (1, 7)), (192, (7, 1)))
    seven = convolved(seven, 192, 3, strides=2, padding="valid")
    return joined([three, seven, layers.MaxPooling2D(3, strides=2)(x)], name)


def _spread(x: Any, inner: str, name: str) -> Any:
    one = convolved(x, 320, 1)
    three = _row_and_column(convolved(x, 384, 1), inner)
    double = _row_and_column(chain(x, (448, 1), (384, 3)))
    return joined([one, three, double, averaged(x, 192)], name)


def _row_and_column(x: Any, name: str | None = None) -> Any:
    return joined([convolved(x, 384, (1, 3)), convolved(x, 384, (3, 1))], name)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as Inception v3 wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
