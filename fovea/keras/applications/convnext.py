"""ConvNeXt (Liu et al., https://arxiv.org/abs/2201.03545)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.random import rand
from fovea.keras import config, initializers, layers
from fovea.keras.applications.imagenet_utils import decode_predictions
from fovea.keras.applications.options import Options, documented, published
from fovea.keras.models import Functional, Sequential

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "LayerScale",
    "StochasticDepth",
    "decode_predictions",
    "preprocess_input",
]

HASHES = {  # SHA-256
    "tiny": (
        "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "small": (
        "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "base": (
        "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "large": (
        "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "xlarge": (
        "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
}
EPSILON = 1e-6


@documented
def ConvNeXtTiny(  # noqa: N802 - Keras's name
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "convnext_tiny",
) -> Functional:
    """ConvNeXtTiny: 18 blocks with filters of 7x7, for images of 224x224.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are normalized. Channels come last.

    >>> ConvNeXtTiny(include_top=False, weights=None, pooling="avg").output_shape
    (None, 768)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "tiny", 96, 9, include_preprocessing)


@documented
def ConvNeXtSmall(  # noqa: N802 - Keras's name
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "convnext_small",
) -> Functional:
    """ConvNeXtSmall: ConvNeXtTiny with 27 blocks in its third stage instead of 9.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are normalized. Channels come last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "small", 96, 27, include_preprocessing)


@documented
def ConvNeXtBase(  # noqa: N802 - Keras's name
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "convnext_base",
) -> Functional:
    """ConvNeXtBase: ConvNeXtSmall with 128 filters in its first stage instead of 96.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are normalized. Channels come last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "base", 128, 27, include_preprocessing)


@documented
def ConvNeXtLarge(  # noqa: N802 - Keras's name
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "convnext_large",
) -> Functional:
    """ConvNeXtLarge: ConvNeXtSmall, twice as wide.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are normalized. Channels come last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "large", 192, 27, include_preprocessing)


@documented
def ConvNeXtXLarge(  # noqa: N802 - Keras's name
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "convnext_xlarge",
) -> Functional:
    """ConvNeXtXLarge: ConvNeXtBase, twice as wide.

    Pixels are those of images, in [0, 255], unless ``include_preprocessing`` is False: then they
    are normalized. Channels come last.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, "xlarge", 256, 27, include_preprocessing)


def _network(
    options: Options, variant: str, width: int, third: int, include_preprocessing: bool
) -> Functional:
    """The network.

    Args:
        options: what its caller asked for.
        variant: the name of its weights.
        width: filters of the first stage; each stage doubles them.
        third: blocks of the third stage.
        include_preprocessing: whether to normalize pixels.
    """
    if config.image_data_format() == "channels_first":
        raise ArgumentError(
            "ConvNeXt does not support the `channels_first` image data format.",
            fix="fovea.keras.config.set_image_data_format('channels_last')",
        )
    image = options.image(options.shape())
    name = options.name or f"convnext_{variant}"
    x = image
    if include_preprocessing and image.shape[-1] == 3:
        x = layers.Normalization(
            mean=[0.485 * 255, 0.456 * 255, 0.406 * 255],
            variance=[(0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2],
            name=f"{name}_prestem_normalization",
        )(x)
    for i, (entry, blocks) in enumerate(zip(_entries(width, name), (3, 3, third, 3), strict=True)):
        x = entry(x)
        for j in range(blocks):
            x = _block(x, width << i, f"{name}_stage_{i}_block_{j}")
    if options.include_top:
        x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
        x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_head_layernorm")(x)
        x = options.classifier(x, f"{name}_head_dense")
    else:
        x = layers.LayerNormalization(epsilon=EPSILON)(options.pooled(x))
    files = published(f"convnext/convnext_{variant}", *HASHES[variant])
    return options.model(image, x, files, name=name)


def _entries(width: int, name: str) -> list[Sequential]:
    """What each stage begins with: a convolution that makes images smaller."""
    stem = Sequential(
        [
            layers.Conv2D(width, 4, strides=4, name=f"{name}_stem_conv"),
            layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_stem_layernorm"),
        ],
        name=f"{name}_stem",
    )
    return [stem] + [
        Sequential(
            [
                layers.LayerNormalization(
                    epsilon=EPSILON, name=f"{name}_downsampling_layernorm_{i}"
                ),
                layers.Conv2D(width << (i + 1), 2, strides=2, name=f"{name}_downsampling_conv_{i}"),
            ],
            name=f"{name}_downsampling_block_{i}",
        )
        for i in range(3)
    ]


def _block(x: Any, filters: int, name: str) -> Any:
    """Each channel convolved, all mixed by two layers, scaled, with the input added."""
    start = x
    x = layers.Conv2D(filters, 7, padding="same", groups=filters, name=f"{name}_depthwise_conv")(x)
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm")(x)
    x = layers.Dense(4 * filters, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(filters, name=f"{name}_pointwise_conv_2")(x)
    x = LayerScale(1e-6, filters, name=f"{name}_layer_scale")(x)
    x = layers.Activation("linear", name=f"{name}_identity")(x)
    return start + x


class LayerScale(layers.Layer):
    """``x * gamma``: each channel by a factor of its own that is learned.

    Args:
        init_values: the factors at first.
        projection_dim: how many channels there are.

    Shapes: (..., projection_dim) in and out. Weights: gamma (projection_dim,).

    Source: Touvron et al., "Going deeper with Image Transformers", 2021.

    >>> import fovea
    >>> LayerScale(0.5, 2)(fovea.tensor([[2.0, 4.0]])).tolist()
    [[1.0, 2.0]]
    """

    keras_module = "keras.src.applications.convnext"

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, input_shape: Any) -> None:
        self.gamma = self.add_weight(
            shape=(self.projection_dim,), initializer=initializers.Constant(self.init_values)
        )

    def call(self, x: Tensor) -> Tensor:
        return x * self.gamma

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"init_values": self.init_values, "projection_dim": self.projection_dim}
        return {**super().get_config(), **own}


class StochasticDepth(layers.Layer):
    """In training, zeros in place of some samples; the others are divided by what is kept.

    Keras's ConvNeXt holds it where a rate other than 0 was asked of it.

    Args:
        drop_path_rate: the probability of zeros, in [0, 1).

    Raises:
        ArgumentError: another rate.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016.

    >>> import fovea
    >>> StochasticDepth(0.5)(fovea.ones(2, 3), training=True).sum(1).remainder(6)
    tensor([0., 0.])
    """

    keras_module = "keras.src.applications.convnext"

    def __init__(self, drop_path_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= drop_path_rate < 1:
            raise ArgumentError(
                f"StochasticDepth: drop_path_rate must lie in [0, 1), got {drop_path_rate}."
            )
        self.drop_path_rate = drop_path_rate
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training:
            return x
        keep = 1 - self.drop_path_rate
        kept = rand(x.shape[0], *(1,) * (x.ndim - 1)) < keep
        return x / keep * kept.to(x.dtype)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "drop_path_rate": self.drop_path_rate}


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """``x`` as it is: ConvNeXt takes pixels in [0, 255] and scales them itself.

    >>> preprocess_input(255)
    255
    """
    return x
