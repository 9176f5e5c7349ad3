"""Inception with residual connections (Szegedy et al., https://arxiv.org/abs/1602.07261)."""

from __future__ import annotations

from typing import Any

from fovea.keras import layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.inception_v3 import averaged, chain, convolved, joined
from fovea.keras.applications.options import Options, channel_axis, documented, published
from fovea.keras.models import Functional

__all__ = ["CustomScaleLayer", "InceptionResNetV2", "decode_predictions", "preprocess_input"]

FILES = published(
    "inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels",
    "e693bd0210a403b3192acc6073ad2e96",
    "d19885ff4a710c122648d3b5c3b684e4",
)


@documented
def InceptionResNetV2(  # noqa: N802 - Keras's name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_resnet_v2",
) -> Functional:
    """InceptionResNetV2: 40 residual blocks of parallel convolutions, for images of 299x299.

    They may be smaller, down to 75x75. It wants pixels from
    ``inception_resnet_v2.preprocess_input``.

    >>> InceptionResNetV2(include_top=False, weights=None, pooling="avg").output_shape
    (None, 1536)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options)


def _network(options: Options) -> Functional:
    image = options.image(options.shape(default_size=299, min_size=75))
    x = _stem(image)
    for i in range(1, 11):
        x = _block35(x, f"block35_{i}")
    x = _halved(x, "mixed_6a")
    for i in range(1, 21):
        x = _block17(x, f"block17_{i}")
    x = _halved_again(x, "mixed_7a")
    for i in range(1, 11):
        x = _block8(x, f"block8_{i}", last=i == 10)
    x = convolved(x, 1536, 1, name="conv_7b")
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    else:
        x = options.pooled(x)
    return options.model(image, x, FILES)


def _stem(x: Any) -> Any:
    x = convolved(x, 32, 3, strides=2, padding="valid")
    x = convolved(x, 32, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolved(x, 64, 3))
    x = convolved(x, 80, 1, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolved(x, 192, 3, padding="valid"))
    one = convolved(x, 96, 1)
    five = chain(x, (48, 1), (64, 5))
    three = chain(x, (64, 1), (96, 3), (96, 3))
    return joined([one, five, three, averaged(x, 64)], "mixed_5b")


def _halved(x: Any, name: str) -> Any:
    once = convolved(x, 384, 3, strides=2, padding="valid")
    thrice = chain(x, (256, 1), (256, 3))
    thrice = convolved(thrice, 384, 3, strides=2, padding="valid")
    return joined([once, thrice, layers.MaxPooling2D(3, strides=2)(x)], name)


def _halved_again(x: Any, name: str) -> Any:
    first = convolved(convolved(x, 256, 1), 384, 3, strides=2, padding="valid")
    second = convolved(convolved(x, 256, 1), 288, 3, strides=2, padding="valid")
    third = chain(x, (256, 1), (288, 3))
    third = convolved(third, 320, 3, strides=2, padding="valid")
    return joined([first, second, third, layers.MaxPooling2D(3, strides=2)(x)], name)


def _block35(x: Any, name: str) -> Any:
    one = convolved(x, 32, 1)
    three = chain(x, (32, 1), (32, 3))
    twice = chain(x, (32, 1), (48, 3), (64, 3))
    return _added(x, [one, three, twice], 0.17, name)


def _block17(x: Any, name: str) -> Any:
    one = convolved(x, 192, 1)
    seven = chain(x, (128, 1), (160, (1, 7)), (192, (7, 1)))
    return _added(x, [one, seven], 0.1, name)


def _block8(x: Any, name: str, last: bool) -> Any:
    one = convolved(x, 192, 1)
    three = chain(x, (192, 1), (224, (1, 3)), (256, (3, 1)))
    return _added(x, [one, three], 1.0 if last else 0.2, name, active=not last)


def _added(x: Any, branches: list[Any], scale: float, name: str, active: bool = True) -> Any:
    """``x`` with what the branches say of it, scaled; then ReLU."""
    mixed = joined(branches, f"{name}_mixed")
    mixed = layers.Conv2D(x.shape[channel_axis()], 1, padding="same", name=f"{name}_conv")(mixed)
    x = CustomScaleLayer(scale)([x, mixed])
    return layers.Activation("relu", name=f"{name}_ac")(x) if active else x


class CustomScaleLayer(layers.Layer):
    """``x + scale * y`` of two inputs ``[x, y]`` of one shape.

    Args:
        scale: what ``y`` is multiplied by.

    >>> import fovea
    >>> CustomScaleLayer(0.5)([fovea.tensor([1.0]), fovea.tensor([4.0])])
    tensor([3.])
    """

    keras_module = "keras.src.applications.inception_resnet_v2"

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs[0] + inputs[1] * self.scale

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as Inception-ResNet wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
