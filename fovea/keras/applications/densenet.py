"""Densely connected networks (Huang et al., https://arxiv.org/abs/1608.06993)."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import config, layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, documented, published
from fovea.keras.applications.resnet import normalized
from fovea.keras.models import Functional

__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

GROWTH = 32  # channels that a block adds
HASHES = {
    "densenet121": ("9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
    "densenet169": ("d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "densenet201": ("1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
}


@documented
def DenseNet121(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet121",
) -> Functional:
    """DenseNet121: 58 blocks that each see all before them in their stage, for images of 224x224.

    It wants pixels from ``densenet.preprocess_input``, channels last.

    >>> DenseNet121(include_top=False, weights=None, pooling="max").output_shape
    (None, 1024)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "densenet121", (6, 12, 24, 16))


@documented
def DenseNet169(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet169",
) -> Functional:
    """DenseNet169: DenseNet121 with 32 blocks in each of its last two stages.

    It wants pixels from ``densenet.preprocess_input``, channels last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "densenet169", (6, 12, 32, 32))


@documented
def DenseNet201(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "densenet201",
) -> Functional:
    """DenseNet201: DenseNet169 with 48 blocks in its third stage.

    It wants pixels from ``densenet.preprocess_input``, channels last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "densenet201", (6, 12, 48, 32))


def _network(options: Options, weights_name: str, blocks: tuple[int, ...]) -> Functional:
    if config.image_data_format() == "channels_first":
        raise ArgumentError(
            "DenseNet does not support the `channels_first` image data format.",
            fix='keras.config.set_image_data_format("channels_last")',
        )
    image = options.image(options.shape())
    x = layers.ZeroPadding2D(3)(image)
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = normalized(x, "conv1_bn", "conv1_relu")
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, count in enumerate(blocks, 2):
        if stage > 2:
            x = transition(x, f"pool{stage - 1}")
        for i in range(1, count + 1):
            x = block(x, f"conv{stage}_block{i}")
    x = normalized(x, "bn", "relu")
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pooled(x, "avg_pool", "max_pool")
    stem = f"densenet/{weights_name}_weights_tf_dim_ordering_tf_kernels"
    return options.model(image, x, published(stem, *HASHES[weights_name]))


def block(x: Any, name: str) -> Any:
    """``x`` with channels added that are computed from it."""
    new = normalized(x, f"{name}_0_bn", f"{name}_0_relu")
    new = layers.Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(new)
    new = normalized(new, f"{name}_1_bn", f"{name}_1_relu")
    new = layers.Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(new)
    return layers.Concatenate(name=f"{name}_concat")([x, new])


def transition(x: Any, name: str) -> Any:
    """Half the channels, rows and columns."""
    x = normalized(x, f"{name}_bn", f"{name}_relu")
    x = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as DenseNet wants them: scaled to [0, 1] and normalized.

    See `imagenet_utils.preprocess_input`, mode ``"torch"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="torch")
