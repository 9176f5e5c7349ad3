"""NASNet-A, cells found by search (Zoph et al., https://arxiv.org/abs/1707.07012)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import config, layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.applications.imagenet_utils import correct_pad, decode_predictions
from fovea.keras.applications.options import Options, Published, documented
from fovea.keras.models import Functional
from fovea.keras.naming import name_scope

__all__ = ["NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]

MOBILE = (
    Published("nasnet/NASNet-mobile.h5", "020fb642bf7360b370c678b08e0adf61", "nasnet_mobile.h5"),
    Published(
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        "nasnet_mobile_no_top.h5",
    ),
)
LARGE = (
    Published("nasnet/NASNet-large.h5", "11577c9a518f0070763c2b964a382f17", "nasnet_large.h5"),
    Published(
        "nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        "nasnet_large_no_top.h5",
    ),
)


@documented
def NASNetMobile(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "nasnet_mobile",
) -> Functional:
    """NASNetMobile: 12 normal cells and 4 that halve sizes, for images of 224x224.

    ``input_shape`` must say all sizes. Channels come last. It wants pixels from
    ``nasnet.preprocess_input``.

    >>> NASNetMobile(include_top=False, weights=None, pooling="avg").output_shape
    (None, 1056)
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, 224, 1056, 4, MOBILE)


@documented
def NASNetLarge(  # noqa: N802 - Keras's name
    input_shape: Any = None,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "nasnet_large",
) -> Functional:
    """NASNetLarge: NASNetMobile with 18 normal cells, four times as wide, for images of 331x331.

    ``input_shape`` must say all sizes. Channels come last. It wants pixels from
    ``nasnet.preprocess_input``.
    """
    options = Options(
        include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip
    return _network(options, 331, 4032, 6, LARGE)


def _network(
    options: Options, size: int, last: int, cells: int, files: tuple[Published, Published]
) -> Functional:
    """The network.

    Args:
        options: what its caller asked for.
        size: rows and columns of images, by default.
        last: channels of the last cell.
        cells: how many normal ones stand in a row.
        files: published weights.
    """
    shape = _shape(options, size)
    options = replace(options, input_shape=shape)
    mobile = files is MOBILE
    image = options.image(options.shape(default_size=size, min_size=32))
    x = layers.Conv2D(
        32 if mobile else 96,
        3,
        strides=2,
        use_bias=False,
        kernel_initializer="he_normal",
        name="stem_conv1",
    )(image)
    x, before = _normalized(x, "stem_bn1"), None
    filters = last // 24
    x, before = _reduction(x, before, filters // 4, "stem_1")
    x, before = _reduction(x, before, filters // 2, "stem_2")
    for stage in range(3):
        first = stage * cells + (stage > 0)
        for i in range(cells):
            x, before = _normal(x, before, filters << stage, str(first + i))
        if stage < 2:
            wide = filters << (stage + 1)
            x, skipped = _reduction(x, before, wide, f"reduce_{(stage + 1) * cells}")
            before = skipped if mobile else before
    x = layers.Activation("relu")(x)
    if options.include_top:
        x = options.classifier(layers.GlobalAveragePooling2D()(x))
    else:
        x = options.pooled(x)
    return options.model(image, x, files)


def _shape(options: Options, size: int) -> tuple[int, ...]:
    """The shape of one image.

    Raises:
        ArgumentError: it is not known, or channels come first.
    """
    if config.image_data_format() == "channels_first":
        raise ArgumentError(
            "NASNet does not support the `channels_first` image data format.",
            fix="fovea.keras.config.set_image_data_format('channels_last')",
        )
    given = options.input_shape
    if given is None and options.input_tensor is not None:
        given = getattr(options.input_tensor, "shape", (None,))[1:]
    shape = tuple(given) if given is not None else (size, size, 3)
    if None in shape:
        raise ArgumentError(
            "The input shape of a NASNet must be static (no None entries). "
            f"Got: `input_shape={shape}`.",
            fix=f"input_shape=({size}, {size}, 3)",
        )
    return shape


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _pointwise(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _separable(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    """Twice ReLU, a separable convolution and batch normalization; the first has the strides."""
    with name_scope(f"separable_conv_block_{name}"):
        x = layers.Activation("relu")(x)
        if strides == 2:
            x = layers.ZeroPadding2D(correct_pad(x, size), name=f"separable_conv_1_pad_{name}")(x)
        x = layers.SeparableConv2D(
            filters,
            size,
            strides=strides,
            padding="same" if strides == 1 else "valid",
            use_bias=False,
            name=f"separable_conv_1_{name}",
        )(x)
        x = layers.Activation("relu")(_normalized(x, f"separable_conv_1_bn_{name}"))
        x = layers.SeparableConv2D(
            filters, size, padding="same", use_bias=False, name=f"separable_conv_2_{name}"
        )(x)
        return _normalized(x, f"separable_conv_2_bn_{name}")


def _adjusted(before: Any, x: Any, filters: int, name: str) -> Any:
    """What the cell before the last gave, with the sizes of ``x`` and this many channels."""
    with name_scope("adjust_block"):
        if before is None:
            return x
        if before.shape[-2] != x.shape[-2]:
            with name_scope(f"adjust_reduction_block_{name}"):
                return _every_second(before, filters, name)
        if before.shape[-1] != filters:
            with name_scope(f"adjust_projection_block_{name}"):
                before = layers.Activation("relu")(before)
                before = _pointwise(before, filters, f"adjust_conv_projection_{name}")
                return _normalized(before, f"adjust_bn_{name}")
        return before


def _every_second(x: Any, filters: int, name: str) -> Any:
    """Half of the channels from every second pixel, half from those beside."""
    x = layers.Activation("relu", name=f"adjust_relu_1_{name}")(x)
    halves = []
    for i in (1, 2):
        if i == 2:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
            x = layers.Cropping2D(((1, 0), (1, 0)))(x)
        half = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_{i}_{name}")(x)
        halves.append(_pointwise(half, filters // 2, f"adjust_conv_{i}_{name}"))
    return _normalized(layers.Concatenate()(halves), f"adjust_bn_{name}")


def _normal(x: Any, before: Any, filters: int, name: str) -> tuple[Any, Any]:
    """A cell that keeps sizes; also what it was called on."""
    with name_scope(f"normal_A_block_{name}"):
        p = _adjusted(before, x, filters, name)
        h = _pointwise(layers.Activation("relu")(x), filters, f"normal_conv_1_{name}")
        h = _normalized(h, f"normal_bn_1_{name}")
        with name_scope("block_1"):
            a = _separable(h, filters, 5, f"normal_left1_{name}")
            b = _separable(p, filters, 3, f"normal_right1_{name}")
            x1 = layers.Add(name=f"normal_add_1_{name}")([a, b])
        with name_scope("block_2"):
            a = _separable(p, filters, 5, f"normal_left2_{name}")
            b = _separable(p, filters, 3, f"normal_right2_{name}")
            x2 = layers.Add(name=f"normal_add_2_{name}")([a, b])
        a = _mean(h, f"normal_left3_{name}")
        x3 = layers.Add(name=f"normal_add_3_{name}")([a, p])
        a, b = _mean(p, f"normal_left4_{name}"), _mean(p, f"normal_right4_{name}")
        x4 = layers.Add(name=f"normal_add_4_{name}")([a, b])
        with name_scope("block_5"):
            a = _separable(h, filters, 3, f"normal_left5_{name}")
            x5 = layers.Add(name=f"normal_add_5_{name}")([a, h])
        return layers.Concatenate(name=f"normal_concat_{name}")([p, x1, x2, x3, x4, x5]), x


def _mean(x: Any, name: str) -> Any:
    return layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)


def _reduction(x: Any, before: Any, filters: int, name: str) -> tuple[Any, Any]:
    """A cell that halves sizes; also what it was called on."""
    with name_scope(f"reduction_A_block_{name}"):
        p = _adjusted(before, x, filters, name)
        h = _pointwise(layers.Activation("relu")(x), filters, f"reduction_conv_1_{name}")
        h = _normalized(h, f"reduction_bn_1_{name}")
        padded = layers.ZeroPadding2D(correct_pad(h, 3), name=f"reduction_pad_1_{name}")(h)
        with name_scope("block_1"):
            a = _separable(h, filters, 5, f"reduction_left1_{name}", strides=2)
            b = _separable(p, filters, 7, f"reduction_right1_{name}", strides=2)
            x1 = layers.Add(name=f"reduction_add_1_{name}")([a, b])
        with name_scope("block_2"):
            a = layers.MaxPooling2D(3, strides=2, name=f"reduction_left2_{name}")(padded)
            b = _separable(p, filters, 7, f"reduction_right2_{name}", strides=2)
            x2 = layers.Add(name=f"reduction_add_2_{name}")([a, b])
        with name_scope("block_3"):
            a = layers.AveragePooling2D(3, strides=2, name=f"reduction_left3_{name}")(padded)
            b = _separable(p, filters, 5, f"reduction_right3_{name}", strides=2)
            x3 = layers.Add(name=f"reduction_add3_{name}")([a, b])
        x4 = layers.Add()([x2, _mean(x1, f"reduction_left4_{name}")])
        with name_scope("block_5"):
            a = _separable(x1, filters, 3, f"reduction_left4_{name}")
            b = layers.MaxPooling2D(3, strides=2, name=f"reduction_right5_{name}")(padded)
            x5 = layers.Add(name=f"reduction_add4_{name}")([a, b])
        return layers.Concatenate(name=f"reduction_concat_{name}")([x2, x3, x4, x5]), x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels in [0, 255] as NASNet wants them: scaled to [-1, 1].

    See `imagenet_utils.preprocess_input`, mode ``"tf"``.
    """
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
