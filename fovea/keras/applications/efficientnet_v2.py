"""EfficientNetV2 (Tan and Le, https://arxiv.org/abs/2104.00298)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fovea.keras import layers
from fovea.keras.applications.efficientnet import (
    DROPPED_BLOCKS,
    KERNELS,
    active,
    added,
    convolved,
    normalized,
    topped,
    weighed,
)
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = [
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "decode_predictions",
    "preprocess_input",
]

HASHES = {
    "b0": ("21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"),
    "b1": ("069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"),
    "b2": ("424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"),
    "b3": ("1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"),
    "s": ("e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"),
    "m": ("a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"),
    "l": ("27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"),
}
MOMENTUM = 0.9  # of the moving statistics
# Of each stage: how many blocks, the filters, how much each block widens, the stride of the first,
# and whether it weighs channels; if not, it widens and convolves in one step. Filters are 3x3.
Stage = tuple[int, int, int, int, bool]
BASE: tuple[Stage, ...] = (
    (1, 16, 1, 1, False), (2, 32, 4, 2, False), (2, 48, 4, 2, False),
    (3, 96, 4, 2, True), (5, 112, 6, 1, True), (8, 192, 6, 2, True),
)  # fmt: skip
SMALL: tuple[Stage, ...] = (
    (2, 24, 1, 1, False), (4, 48, 4, 2, False), (4, 64, 4, 2, False),
    (6, 128, 4, 2, True), (9, 160, 6, 1, True), (15, 256, 6, 2, True),
)  # fmt: skip
MEDIUM: tuple[Stage, ...] = (
    (3, 24, 1, 1, False), (5, 48, 4, 2, False), (5, 80, 4, 2, False),
    (7, 160, 4, 2, True), (14, 176, 6, 1, True), (18, 304, 6, 2, True), (5, 512, 6, 1, True),
)  # fmt: skip
LARGE: tuple[Stage, ...] = (
    (4, 32, 1, 1, False), (7, 64, 4, 2, False), (7, 96, 4, 2, False),
    (10, 192, 4, 2, True), (19, 224, 6, 1, True), (25, 384, 6, 2, True), (7, 640, 6, 1, True),
)  # fmt: skip


@documented
def EfficientNetV2B0(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b0",
) -> Functional:
    """EfficientNetV2B0: 21 blocks found by search, for images of 224x224.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].

    >>> EfficientNetV2B0(include_top=False, weights=None, pooling="avg").output_shape
    (None, 1280)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b0", BASE, 224, 1.0, 1.0), include_preprocessing)


@documented
def EfficientNetV2B1(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b1",
) -> Functional:
    """EfficientNetV2B1: EfficientNetV2B0 1.1 times as deep, for 240x240.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b1", BASE, 240, 1.0, 1.1), include_preprocessing)


@documented
def EfficientNetV2B2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b2",
) -> Functional:
    """EfficientNetV2B2: EfficientNetV2B0 1.1 times as wide, 1.2 times as deep, for 260x260.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b2", BASE, 260, 1.1, 1.2), include_preprocessing)


@documented
def EfficientNetV2B3(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-b3",
) -> Functional:
    """EfficientNetV2B3: EfficientNetV2B0 1.2 times as wide, 1.4 times as deep, for 300x300.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("b3", BASE, 300, 1.2, 1.4), include_preprocessing)


@documented
def EfficientNetV2S(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-s",
) -> Functional:
    """EfficientNetV2S: 40 blocks found by search, for images of 384x384.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("s", SMALL, 384), include_preprocessing)


@documented
def EfficientNetV2M(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-m",
) -> Functional:
    """EfficientNetV2M: 57 blocks found by search, for images of 480x480.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("m", MEDIUM, 480), include_preprocessing)


@documented
def EfficientNetV2L(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "efficientnetv2-l",
) -> Functional:
    """EfficientNetV2L: 79 blocks found by search, for images of 480x480.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are in [-1, 1].
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, Variant("l", LARGE, 480), include_preprocessing)


@dataclass(frozen=True)
class Variant:
    """One of the networks.

    Attributes:
        name: of its weights.
        stages: what it is made of.
        size: rows and columns of images, by default.
        width, depth: what the filters and blocks of the stages are multiplied by.
    """

    name: str
    stages: tuple[Stage, ...]
    size: int
    width: float = 1.0
    depth: float = 1.0

    def filters(self, count: int) -> int:
        """The multiple of 8 nearest to so many filters, scaled."""
        return max(8, int(count * self.width + 4) // 8 * 8)


def _network(options: Options, variant: Variant, include_preprocessing: bool) -> Functional:
    image = options.image(options.shape(default_size=variant.size))
    x = _scaled(image, variant) if include_preprocessing else image
    filters = variant.filters(24 if variant.stages in (SMALL, MEDIUM) else 32)
    x = convolved(x, filters, 3, "stem_conv", strides=2)
    x = active(normalized(x, "stem_bn", MOMENTUM), "stem_activation")
    blocks = sum(stage[0] for stage in variant.stages)  # Keras's, which B1 to B3 exceed
    done = 0
    for i, (repeats, wide, widening, strides, weighs) in enumerate(variant.stages):
        block = _block if weighs else _fused
        for j in range(math.ceil(variant.depth * repeats)):
            given, filters = filters, variant.filters(wide)
            start, name = x, f"block{i + 1}{chr(97 + j)}_"
            stride = 1 if j else strides
            x = block(x, (given, filters), widening, stride, name)
            if stride == 1 and given == filters:
                x = added(start, x, DROPPED_BLOCKS * done / blocks, name)
            done += 1
    x = convolved(x, variant.filters(1280), 1, "top_conv")
    x = active(normalized(x, "top_bn", MOMENTUM), "top_activation")
    x = topped(x, options, dropout=0.2)
    stem = f"efficientnet_v2/efficientnetv2-{variant.name}"
    return options.model(image, x, published(stem, *HASHES[variant.name]))


def _scaled(image: Any, variant: Variant) -> Any:
    """Pixels as the network was trained on them."""
    if variant.stages is not BASE or image.shape[channel_axis()] != 3:
        return layers.Rescaling(scale=1.0 / 128.0, offset=-1)(image)
    x = layers.Rescaling(scale=1.0 / 255)(image)
    return layers.Normalization(
        mean=[0.485, 0.456, 0.406],
        variance=[0.229**2, 0.224**2, 0.225**2],
        axis=channel_axis(),
    )(x)


def _block(x: Any, filters: tuple[int, int], widening: int, strides: int, name: str) -> Any:
    """Channels widened, convolved one by one, weighed, and narrowed."""
    given, wanted = filters
    wide = given * widening
    x = convolved(x, wide, 1, f"{name}expand_conv")
    x = active(normalized(x, f"{name}expand_bn", MOMENTUM), f"{name}expand_activation")
    x = layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=KERNELS,
        name=f"{name}dwconv2",
    )(x)
    x = active(normalized(x, f"{name}bn", MOMENTUM), f"{name}activation")
    x = weighed(x, wide, int(given * 0.25), name)
    x = convolved(x, wanted, 1, f"{name}project_conv")
    return normalized(x, f"{name}project_bn", MOMENTUM)


def _fused(x: Any, filters: tuple[int, int], widening: int, strides: int, name: str) -> Any:
    """Channels widened by a whole convolution, and narrowed; or one convolution that does not."""
    given, wanted = filters
    if widening == 1:
        x = convolved(x, wanted, 3, f"{name}project_conv", strides)
        x = normalized(x, f"{name}project_bn", MOMENTUM)
        return active(x, f"{name}project_activation")
    x = convolved(x, given * widening, 3, f"{name}expand_conv", strides)
    x = active(normalized(x, f"{name}expand_bn", MOMENTUM), f"{name}expand_activation")
    x = convolved(x, wanted, 1, f"{name}project_conv")
    return normalized(x, f"{name}project_bn", MOMENTUM)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """``x`` as it is: EfficientNetV2 takes pixels in [0, 255] and scales them itself.

    >>> preprocess_input(255)
    255
    """
    return x
