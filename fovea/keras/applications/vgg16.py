"""VGG with 16 layers that have weights (Simonyan and Zisserman, https://arxiv.org/abs/1409.1556)."""

from __future__ import annotations

from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Files, Options, documented, published
from fovea.keras.models import Functional

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]

FILES = published(
    "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels",
    "64373286793e3c8b2b4e3219cbf3544b",
    "6d6bbae143d832006294945121d1f1fc",
)


@documented
def VGG16(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg16",
) -> Functional:
    """VGG16: five blocks of 3x3 convolutions, each followed by pooling, for images of 224x224.

    It wants pixels from ``vgg16.preprocess_input``.

    >>> VGG16(include_top=False, weights=None, input_shape=(32, 32, 3)).output_shape
    (None, 1, 1, 512)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return vgg(options, (2, 2, 3, 3, 3), FILES)


def vgg(options: Options, convolutions: tuple[int, ...], files: Files) -> Functional:
    """A VGG with so many convolutions in each block."""
    image = x = options.image(options.shape())
    for block, count in enumerate(convolutions, 1):
        filters = min(512, 32 << block)
        for i in range(1, count + 1):
            x = layers.Conv2D(
                filters, 3, activation="relu", padding="same", name=f"block{block}_conv{i}"
            )(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    if options.include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = options.classifier(x)
    else:
        x = options.pooled(x)
    return options.model(image, x, files)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as VGG16 wants them: BGR, less the channels' means in ImageNet.

    See `imagenet_utils.preprocess_input`, mode ``"caffe"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")
