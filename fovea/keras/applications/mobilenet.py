"""MobileNet (Howard et al., https://arxiv.org/abs/1704.04861)."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.image_sizes import default_size, trained_size
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

SIZES = (128, 160, 192, 224)
WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
BLOCKS = (  # filters and stride
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
    (1024, 1),
)  # fmt: skip


@documented
def MobileNet(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Functional:
    """MobileNet: depthwise and pointwise convolutions, for images of 128x128 to 224x224.

    ``alpha`` scales the filters of all layers, and ``depth_multiplier`` those that a depthwise
    convolution has for each channel; under published weights they are 0.25, 0.5, 0.75 or 1, and 1.
    ``dropout`` is the rate before the last layer. It wants pixels from
    ``mobilenet.preprocess_input``.

    >>> model = MobileNet(input_shape=(128, 128, 3), alpha=0.25, weights=None)
    >>> model.name, model.output_shape
    ('mobilenet_0.25_128', (None, 1000))
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    shape = options.shape(default_size(input_shape, SIZES))
    if options.pretrained:
        _check_published(alpha, depth_multiplier)
    size = trained_size(options, shape, SIZES)
    image = x = options.image(shape)
    x = layers.Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(
        x
    )
    x = _activated(x, "conv1")
    for i, (filters, stride) in enumerate(BLOCKS, 1):
        x = block(x, int(filters * alpha), depth_multiplier, stride, i)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        x = layers.Activation(classifier_activation, name="predictions")(x)
    else:
        x = options.pooled(x)
    stem = f"mobilenet/mobilenet_{WIDTHS.get(alpha)}_{size}_tf"
    files = published(stem, None, None, "_no_top")
    return options.model(image, x, files, f"mobilenet_{alpha:0.2f}_{size}")


def _check_published(alpha: float, depth_multiplier: int) -> None:
    if depth_multiplier != 1:
        raise ArgumentError(
            "If imagenet weights are being loaded, depth multiplier must be 1. "
            f"Received depth_multiplier={depth_multiplier}"
        )
    if alpha not in WIDTHS:
        raise ArgumentError(
            "If imagenet weights are being loaded, alpha can be one of `0.25`, `0.50`, `0.75` or "
            f"`1.0` only. Received alpha={alpha}"
        )


def _activated(x: Any, name: str) -> Any:
    x = layers.BatchNormalization(axis=channel_axis(), name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def block(x: Any, filters: int, depth_multiplier: int, stride: int, number: int) -> Any:
    """A depthwise convolution, then a pointwise one."""
    if stride > 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        depth_multiplier=depth_multiplier,
        use_bias=False,
        name=f"conv_dw_{number}",
    )(x)
    x = _activated(x, f"conv_dw_{number}")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"conv_pw_{number}")(x)
    return _activated(x, f"conv_pw_{number}")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as MobileNet wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
