"""VGG with 19 layers that have weights (Simonyan and Zisserman, https://arxiv.org/abs/1409.1556)."""

from __future__ import annotations

from typing import Any

from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, documented, published
from fovea.keras.applications.vgg16 import vgg
from fovea.keras.models import Functional

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

FILES = published(
    "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels",
    "cbe5617147190e668d6c5d5026f83318",
    "253f8cb515780f3b799900260a226db6",
)


@documented
def VGG19(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg19",
) -> Functional:
    """VGG19: VGG16 with a fourth convolution in each of the last three blocks.

    It wants pixels from ``vgg19.preprocess_input``.

    >>> VGG19(include_top=False, weights=None, input_shape=(32, 32, 3)).output_shape
    (None, 1, 1, 512)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return vgg(options, (2, 2, 4, 4, 4), FILES)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as VGG19 wants them: BGR, less the channels' means in ImageNet.

    See `imagenet_utils.preprocess_input`, mode ``"caffe"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")
