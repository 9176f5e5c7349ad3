"""EfficientNet (Tan and Le, https://arxiv.org/abs/1905.11946)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fovea.keras import config, layers
from fovea.keras.applications.imagenet_utils import correct_pad, decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional
from fovea.vision.sizes import make_divisible

__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "decode_predictions",
    "preprocess_input",
]

STORE = "https://storage.googleapis.com/keras-applications/"
HASHES = {
    "b0": ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    "b1": ("1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    "b2": ("b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "b3": ("ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
    "b4": ("18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "b5": ("ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"),
    "b6": ("165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"),
    "b7": ("8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
}
# Of each stage: the filters' size, how many blocks, the filters, how much each block widens, the
# stride of the first.
STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
KERNELS = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
CLASSIFIER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0 / 3.0, "mode": "fan_out", "distribution": "uniform"},
}
DROPPED_BLOCKS = 0.2  # the last block's share of samples that skip it


@documented
def EfficientNetB0(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb0",
) -> Functional:
    """EfficientNetB0: 16 blocks found by search, for images of 224x224.

    Pixels are those of images, in [0, 255]: the network scales them itself.

    >>> EfficientNetB0(include_top=False, weights=None, pooling="avg").output_shape
    (None, 1280)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b0", 1.0, 1.0, 224, 0.2))


@documented
def EfficientNetB1(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb1",
) -> Functional:
    """EfficientNetB1: EfficientNetB0 1.1 times as deep, for 240x240.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b1", 1.0, 1.1, 240, 0.2))


@documented
def EfficientNetB2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb2",
) -> Functional:
    """EfficientNetB2: EfficientNetB0 1.1 times as wide, 1.2 times as deep, for 260x260.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b2", 1.1, 1.2, 260, 0.3))


@documented
def EfficientNetB3(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb3",
) -> Functional:
    """EfficientNetB3: EfficientNetB0 1.2 times as wide, 1.4 times as deep, for 300x300.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b3", 1.2, 1.4, 300, 0.3))


@documented
def EfficientNetB4(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb4",
) -> Functional:
    """EfficientNetB4: EfficientNetB0 1.4 times as wide, 1.8 times as deep, for 380x380.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b4", 1.4, 1.8, 380, 0.4))


@documented
def EfficientNetB5(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb5",
) -> Functional:
    """EfficientNetB5: EfficientNetB0 1.6 times as wide, 2.2 times as deep, for 456x456.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b5", 1.6, 2.2, 456, 0.4))


@documented
def EfficientNetB6(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb6",
) -> Functional:
    """EfficientNetB6: EfficientNetB0 1.8 times as wide, 2.6 times as deep, for 528x528.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b6", 1.8, 2.6, 528, 0.5))


@documented
def EfficientNetB7(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "efficientnetb7",
) -> Functional:
    """EfficientNetB7: EfficientNetB0 2.0 times as wide, 3.1 times as deep, for 600x600.

    Pixels are those of images, in [0, 255]: the network scales them itself.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b7", 2.0, 3.1, 600, 0.5))


@dataclass(frozen=True)
class Variant:
    """One of the networks.

    Attributes:
        name: of its weights.
        width, depth: what filters and blocks of EfficientNetB0 are multiplied by.
        size: rows and columns of images, by default.
        dropout: before the last layer.
    """

    name: str
    width: float
    depth: float
    size: int
    dropout: float


def _network(options: Options, variant: Variant) -> Functional:
    image = options.image(options.shape(default_size=variant.size))
    x = layers.Rescaling(1.0 / 255.0)(image)
    x = layers.Normalization(axis=channel_axis())(x)
    if options.pretrained:  # which were trained on pixels divided by variances
        x = layers.Rescaling([1.0 / math.sqrt(s) for s in (0.229, 0.224, 0.225)])(x)
    filters = make_divisible(32 * variant.width)
    x = layers.ZeroPadding2D(correct_pad(x, 3), name="stem_conv_pad")(x)
    x = convolved(x, filters, 3, "stem_conv", strides=2, padding="valid")
    x = active(normalized(x, "stem_bn"), "stem_activation")
    repeats = [math.ceil(variant.depth * stage[1]) for stage in STAGES]
    done = 0
    for i, (size, _, wide, widening, strides) in enumerate(STAGES):
        for j in range(repeats[i]):
            given, filters = filters, make_divisible(wide * variant.width)
            start, name = x, f"block{i + 1}{chr(97 + j)}_"
            stride = 1 if j else strides
            x = _block(x, (given, filters), size, widening, stride, name)
            if stride == 1 and given == filters:
                x = added(start, x, DROPPED_BLOCKS * done / sum(repeats), name)
            done += 1
    x = convolved(x, make_divisible(1280 * variant.width), 1, "top_conv")
    x = topped(active(normalized(x, "top_bn"), "top_activation"), options, variant.dropout)
    stem = f"{STORE}efficientnet{variant.name}"
    return options.model(image, x, published(stem, *HASHES[variant.name], bare="_notop"))


def _block(
    x: Any, filters: tuple[int, int], size: int, widening: int, strides: int, name: str
) -> Any:
    """Channels widened, convolved one by one, weighed, and narrowed."""
    given, wanted = filters
    wide = given * widening
    if widening != 1:
        x = convolved(x, wide, 1, f"{name}expand_conv")
        x = active(normalized(x, f"{name}expand_bn"), f"{name}expand_activation")
    if strides == 2:
        x = layers.ZeroPadding2D(correct_pad(x, size), name=f"{name}dwconv_pad")(x)
    x = layers.DepthwiseConv2D(
        size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        depthwise_initializer=KERNELS,
        name=f"{name}dwconv",
    )(x)
    x = active(normalized(x, f"{name}bn"), f"{name}activation")
    x = weighed(x, wide, int(given * 0.25), name)
    return normalized(convolved(x, wanted, 1, f"{name}project_conv"), f"{name}project_bn")


def convolved(
    x: Any, filters: int, size: int, name: str, strides: int = 1, padding: str = "same"
) -> Any:
    """``x`` after a convolution without a bias."""
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=KERNELS,
        name=name,
    )(x)


def normalized(x: Any, name: str, momentum: float = 0.99) -> Any:
    """``x`` after batch normalization."""
    return layers.BatchNormalization(axis=channel_axis(), momentum=momentum, name=name)(x)


def active(x: Any, name: str) -> Any:
    """``x * sigmoid(x)``."""
    return layers.Activation("swish", name=name)(x)


def weighed(x: Any, channels: int, inner: int, name: str) -> Any:
    """``x`` with each channel scaled by what the means of all say: squeeze and excitation."""
    scale = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    first = config.image_data_format() == "channels_first"
    shape = (channels, 1, 1) if first else (1, 1, channels)
    scale = layers.Reshape(shape, name=f"{name}se_reshape")(scale)
    for filters, activation, part in (
        (inner, "swish", "se_reduce"),
        (channels, "sigmoid", "se_expand"),
    ):
        scale = layers.Conv2D(
            filters,
            1,
            padding="same",
            activation=activation,
            kernel_initializer=KERNELS,
            name=f"{name}{part}",
        )(scale)
    return layers.Multiply(name=f"{name}se_excite")([x, scale])


def added(start: Any, x: Any, dropped: float, name: str) -> Any:
    """A block's input and output, which in training this share of the samples lacks."""
    if dropped > 0:
        x = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.Add(name=f"{name}add")([x, start])


def topped(x: Any, options: Options, dropout: float) -> Any:
    """Scores of the classes, or features pooled as asked."""
    if not options.include_top:
        return options.pooled(x, "avg_pool", "max_pool")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(dropout, name="top_dropout")(x)
    return options.classifier(x, initializer=CLASSIFIER)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """``x`` as it is: EfficientNet takes pixels in [0, 255] and scales them itself.

    >>> preprocess_input(255)
    255
    """
    return x
