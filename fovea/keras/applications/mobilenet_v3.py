"""MobileNetV3 (Howard et al., https://arxiv.org/abs/1905.02244)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import layers
from fovea.keras.applications.image_sizes import match_input, trained_size
from fovea.keras.applications.imagenet_utils import correct_pad, decode_predictions
from fovea.keras.applications.options import Files, Options, channel_axis, documented, published
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.models import Functional
from fovea.vision.sizes import make_divisible

__all__ = ["MobileNetV3Large", "MobileNetV3Small", "decode_predictions", "preprocess_input"]

HASHES = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}
# Of each block: how much it widens, its filters, their size, its stride, whether channels are
# weighed (squeeze and excitation), whether the activation is hard swish.
Block = tuple[float, int, int, int, bool, bool]
SMALL: tuple[Block, ...] = (
    (1, 16, 3, 2, True, False),
    (72 / 16, 24, 3, 2, False, False), (88 / 24, 24, 3, 1, False, False),
    (4, 40, 5, 2, True, True), (6, 40, 5, 1, True, True), (6, 40, 5, 1, True, True),
    (3, 48, 5, 1, True, True), (3, 48, 5, 1, True, True),
    (6, 96, 5, 2, True, True), (6, 96, 5, 1, True, True), (6, 96, 5, 1, True, True),
)  # fmt: skip
LARGE: tuple[Block, ...] = (
    (1, 16, 3, 1, False, False), (4, 24, 3, 2, False, False), (3, 24, 3, 1, False, False),
    (3, 40, 5, 2, True, False), (3, 40, 5, 1, True, False), (3, 40, 5, 1, True, False),
    (6, 80, 3, 2, False, True), (2.5, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True), (2.3, 80, 3, 1, False, True),
    (6, 112, 3, 1, True, True), (6, 112, 3, 1, True, True),
    (6, 160, 5, 2, True, True), (6, 160, 5, 1, True, True), (6, 160, 5, 1, True, True),
)  # fmt: skip


@documented
def MobileNetV3Small(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Small",
) -> Functional:
    """MobileNetV3Small: 11 blocks found by search, for images of any size, best 224x224.

    ``alpha`` scales the filters, ``minimalistic`` leaves hard swish, weighed channels and filters
    of 5x5 out; published weights are there for 0.75 and 1, and for minimalistic ones for 1.
    ``dropout_rate`` is that before the last layer. Pixels are those of images, in [0, 255], unless
    ``include_preprocessing`` is False: then they are in [-1, 1].

    >>> MobileNetV3Small(weights=None, include_top=False, pooling="avg").output_shape
    (None, 576)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    variant = Variant("small", SMALL, 1024, alpha, minimalistic)
    return _network(options, variant, dropout_rate, include_preprocessing)


@documented
def MobileNetV3Large(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    classes: int = 1000,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Any = "softmax",
    include_preprocessing: bool = True,
    name: str = "MobileNetV3Large",
) -> Functional:
    """MobileNetV3Large: 15 blocks instead of the 11 of MobileNetV3Small.

    ``alpha``, ``minimalistic``, ``dropout_rate`` and ``include_preprocessing`` are as there.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    variant = Variant("large", LARGE, 1280, alpha, minimalistic)
    return _network(options, variant, dropout_rate, include_preprocessing)


def _network(
    options: Options, variant: Variant, dropout_rate: float, include_preprocessing: bool
) -> Functional:
    match_input(options.input_tensor, options.input_shape)
    if isinstance(options.input_tensor, KerasTensor):
        options = replace(options, input_shape=options.input_tensor.shape[1:])
    shape = options.shape(require_flatten=False)
    files = variant.files() if options.pretrained else None
    trained_size(options, shape, (224,))
    image = options.image(shape)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image) if include_preprocessing else image
    x = variant.features(x)
    if options.include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        last = variant.last if variant.alpha <= 1 else make_divisible(variant.last * variant.alpha)
        x = layers.Conv2D(last, 1, padding="same", name="conv_2")(x)
        x = variant.activated(x)
        if dropout_rate > 0:
            x = layers.Dropout(dropout_rate)(x)
        x = layers.Conv2D(options.classes, 1, padding="same", name="logits")(x)
        x = layers.Flatten()(x)
        x = layers.Activation(options.classifier_activation, name="predictions")(x)
    else:
        x = options.pooled(x, "avg_pool", "max_pool")
    return options.model(image, x, files)


@dataclass(frozen=True)
class Variant:
    """One of the networks.

    Attributes:
        kind: ``"small"`` or ``"large"``.
        blocks: what it is made of.
        last: filters of the layer before the classifier.
        alpha, minimalistic: as given.
    """

    kind: str
    blocks: tuple[Block, ...]
    last: int
    alpha: float
    minimalistic: bool

    def files(self) -> Files:
        """The published weights.

        Raises:
            ArgumentError: there are none for this width.
        """
        name = f"{self.kind}{'_minimalistic' * self.minimalistic}_224_{float(self.alpha)}"
        if name not in HASHES:
            raise ArgumentError(
                "If imagenet weights are being loaded, alpha can be one of `0.75`, `1.0` for non "
                f"minimalistic or `1.0` for minimalistic only. Received alpha={self.alpha}"
            )
        stem = f"mobilenet_v3/weights_mobilenet_v3_{name}_float"
        return published(stem, *HASHES[name], bare="_no_top_v2")

    def activated(self, x: Any, swish: bool = True) -> Any:
        """``x`` after hard swish if asked for and the variant has it, else after ReLU."""
        swish = swish and not self.minimalistic
        return layers.Activation("hard_swish")(x) if swish else layers.ReLU()(x)

    def features(self, x: Any) -> Any:
        """All before the top."""
        x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
        x = self.activated(normalized(x, "conv_bn"))
        for number, block in enumerate(self.blocks):
            x = self._block(x, block, number)
        channels = make_divisible(6 * x.shape[channel_axis()])
        x = layers.Conv2D(channels, 1, padding="same", use_bias=False, name="conv_1")(x)
        return self.activated(normalized(x, "conv_1_bn"))

    def _block(self, x: Any, block: Block, number: int) -> Any:
        widening, filters, size, stride, weighs, swish = block
        filters = make_divisible(filters * self.alpha)
        size = 3 if self.minimalistic else size
        start, channels = x, x.shape[channel_axis()]
        wide = make_divisible(channels * widening)
        name = f"expanded_conv_{number}" if number else "expanded_conv"
        if number:
            x = layers.Conv2D(wide, 1, padding="same", use_bias=False, name=f"{name}_expand")(x)
            x = self.activated(normalized(x, f"{name}_expand_bn"), swish)
        if stride == 2:
            x = layers.ZeroPadding2D(correct_pad(x, size), name=f"{name}_depthwise_pad")(x)
        x = layers.DepthwiseConv2D(
            size,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            name=f"{name}_depthwise",
        )(x)
        x = self.activated(normalized(x, f"{name}_depthwise_bn"), swish)
        if weighs and not self.minimalistic:
            x = weighed(x, wide, f"{name}_squeeze_excite")
        x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
        x = normalized(x, f"{name}_project_bn")
        if stride == 1 and channels == filters:
            x = layers.Add(name=f"{name}_add")([start, x])
        return x


def normalized(x: Any, name: str) -> Any:
    """``x`` after batch normalization."""
    return layers.BatchNormalization(axis=channel_axis(), epsilon=1e-3, momentum=0.999, name=name)(
        x
    )


def weighed(x: Any, channels: int, name: str) -> Any:
    """``x`` with each channel scaled by what the means of all say: squeeze and excitation."""
    scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_avg_pool")(x)
    scale = layers.Conv2D(make_divisible(channels / 4), 1, padding="same", name=f"{name}_conv")(
        scale
    )
    scale = layers.ReLU(name=f"{name}_relu")(scale)
    scale = layers.Conv2D(channels, 1, padding="same", name=f"{name}_conv_1")(scale)
    scale = layers.ReLU(6.0)(scale + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{name}_mul")([x, scale])


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """``x`` as it is: MobileNetV3 takes pixels in [0, 255] and scales them itself.

    >>> preprocess_input(255)
    255
    """
    return x
