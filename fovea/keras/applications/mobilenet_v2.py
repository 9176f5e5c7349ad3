"""MobileNetV2 (Sandler et al., https://arxiv.org/abs/1801.04381)."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.image_sizes import default_size, match_input, trained_size
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.models import Functional
from fovea.vision.sizes import make_divisible

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

SIZES = (96, 128, 160, 192, 224)
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
# Filters, blocks, and the stride of the first of them.
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))


@documented
def MobileNetV2(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Functional:
    """MobileNetV2: residuals between narrow layers, for images of 96x96 to 224x224.

    ``alpha`` scales the filters of all layers but, below 1, the last; under published weights it is
    0.35, 0.5, 0.75, 1, 1.3 or 1.4. It wants pixels from ``mobilenet_v2.preprocess_input``.

    >>> model = MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None, include_top=False)
    >>> model.name, model.output_shape
    ('mobilenetv2_0.35_96', (None, 3, 3, 1280))
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    match_input(input_tensor, input_shape)
    wanted = input_shape
    if wanted is None and isinstance(input_tensor, KerasTensor):
        wanted = input_tensor.shape[1:]
    shape = options.shape(default_size(wanted, SIZES))
    if options.pretrained and alpha not in WIDTHS:
        raise ArgumentError(
            "If imagenet weights are being loaded, alpha must be one of `0.35`, `0.50`, `0.75`, "
            f"`1.0`, `1.3` or `1.4` only; Received `alpha={alpha}`"
        )
    size = trained_size(options, shape, SIZES)
    image = options.image(shape)
    x = _features(image, alpha)
    x = options.classifier(layers.GlobalAveragePooling2D()(x)) if include_top else options.pooled(x)
    stem = "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels"
    files = published(f"{stem}_{float(alpha)}_{size}", None, None, "_no_top")
    return options.model(image, x, files, f"mobilenetv2_{alpha:0.2f}_{size}")


def _features(image: KerasTensor, alpha: float) -> Any:
    x = layers.Conv2D(
        make_divisible(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1"
    )(image)
    x = normalized(x, "bn_Conv1", "Conv1_relu")
    number = 0
    for filters, count, first_stride in STAGES:
        for i in range(count):
            x = block(x, int(filters * alpha), first_stride if i == 0 else 1, number)
            number += 1
    last = make_divisible(1280 * alpha) if alpha > 1 else 1280
    x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
    return normalized(x, "Conv_1_bn", "out_relu")


def normalized(x: Any, name: str, activation: str | None = None) -> Any:
    """``x`` after batch normalization, then ReLU6 if that has a name."""
    x = layers.BatchNormalization(axis=channel_axis(), epsilon=1e-3, momentum=0.999, name=name)(x)
    return x if activation is None else layers.ReLU(6.0, name=activation)(x)


def block(x: Any, filters: int, stride: int, number: int) -> Any:
    """A layer widened sixfold, convolved in depth, and narrowed again; its input is added.

    The first is not widened. The input is added where shapes allow.
    """
    start, channels = x, x.shape[channel_axis()]
    filters = make_divisible(filters)
    name = f"block_{number}" if number else "expanded_conv"
    if number:
        x = layers.Conv2D(6 * channels, 1, padding="same", use_bias=False, name=f"{name}_expand")(x)
        x = normalized(x, f"{name}_expand_BN", f"{name}_expand_relu")
    if stride == 2:
        x = layers.ZeroPadding2D(imagenet_utils.correct_pad(x, 3), name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = normalized(x, f"{name}_depthwise_BN", f"{name}_depthwise_relu")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = normalized(x, f"{name}_project_BN")
    return layers.Add(name=f"{name}_add")([start, x]) if channels == filters and stride == 1 else x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as MobileNetV2 wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
