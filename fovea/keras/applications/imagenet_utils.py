"""What ImageNet asks of its models: pixels scaled as each was trained, sizes, names of classes."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.keras import activations, config, ops
from fovea.keras.utils.downloads import get_file

__all__ = ["decode_predictions", "preprocess_input"]

CLASSES = (  # address and MD5
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)
# By mode: what pixels are divided by, then each channel's mean and standard deviation.
_SCALES: dict[str, tuple[float, Any, Any]] = {
    "caffe": (1.0, (103.939, 116.779, 123.68), None),  # of blue, green, red
    "tf": (127.5, (1.0, 1.0, 1.0), None),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Pixels as a model was trained on them.

    Args:
        x: an array or tensor, with values or symbolic, of one image or a batch in RGB: 3 or 4
            dimensions, values in [0, 255]. Integers become ``floatx()``. An array of floats is
            overwritten, as Keras does: pass a copy to keep it.
        data_format: ``"channels_last"`` or ``"channels_first"``; None: the default one.
        mode: ``"caffe"``: channels in the order BGR, less their means in ImageNet;
            ``"tf"``: scaled to [-1, 1]; ``"torch"``: scaled to [0, 1], then normalized by the
            means and standard deviations in ImageNet.

    Returns:
        What ``x`` is, of the same shape.

    Raises:
        ArgumentError: an unknown mode or data format.

    >>> preprocess_input(np.array([[[0, 128, 255]]], np.uint8), mode="tf").round(3)
    array([[[-1.   ,  0.004,  1.   ]]], dtype=float32)
    """
    if mode not in _SCALES:
        raise ArgumentError(
            f"preprocess_input: mode must be one of `caffe`, `tf` or `torch`, got {mode!r}."
        )
    first = config.standardize_data_format(data_format) == "channels_first"
    axis = -3 if first else -1
    if isinstance(x, np.ndarray):
        return _scaled_array(x, axis, mode)
    return _scaled_tensor(x, axis, mode)


def _along(values: Any, axis: int) -> np.ndarray[Any, Any]:
    """A number for each channel, shaped to meet the channels at ``axis``."""
    return np.reshape(np.array(values), (3, 1, 1) if axis == -3 else (3,))


def _scaled_array(x: np.ndarray[Any, Any], axis: int, mode: str) -> np.ndarray[Any, Any]:
    divisor, mean, deviation = _SCALES[mode]
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(config.floatx())
    if mode == "caffe":
        x = np.flip(x, axis)
    else:
        x /= divisor
    x -= _along(mean, axis).astype(x.dtype)
    if deviation is not None:
        x /= _along(deviation, axis).astype(x.dtype)
    return x


def _scaled_tensor(x: Any, axis: int, mode: str) -> Any:
    divisor, mean, deviation = _SCALES[mode]
    dtype = config.standardize_dtype(x.dtype)
    if "float" not in dtype:
        dtype = config.floatx()
        x = ops.cast(x, dtype)
    x = ops.flip(x, axis) if mode == "caffe" else x / divisor
    x = x - ops.convert_to_tensor(_along(mean, axis), dtype=dtype)
    if deviation is not None:
        x = x / ops.convert_to_tensor(_along(deviation, axis), dtype=dtype)
    return x


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, Any]]]:
    """The likeliest classes of ImageNet by name.

    The names are downloaded once, into Keras's cache.

    Args:
        preds: an array or tensor (images, 1000): what a model with its top returned.
        top: how many classes for each image.

    Returns:
        For each image ``(class in WordNet, name, score)``, the highest score first:
        ``[("n02504458", "African_elephant", 0.82), ...]``.

    Raises:
        ShapeError: another shape. DownloadError: the names cannot be fetched.
        FileFormatError: the file of names is broken.
    """
    shape = tuple(preds.shape)
    if len(shape) != 2 or shape[1] != 1000:
        raise ShapeError(
            "decode_predictions: expects a batch of predictions, an array (samples, 1000).",
            {"preds": str(shape)},
            "call it on what a model with include_top=True and classes=1000 returned",
        )
    names = _class_names()
    found = []
    for scores in ops.convert_to_numpy(preds):
        best = scores.argsort()[::-1][:top]
        found.append([(*names[i], scores[i]) for i in best])
    return found


def _class_names() -> list[tuple[str, str]]:
    """The 1000 classes: their numbers in WordNet and their names."""
    address, md5 = CLASSES
    path = get_file("imagenet_class_index.json", address, cache_subdir="models", file_hash=md5)
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
        return [(str(index[str(i)][0]), str(index[str(i)][1])) for i in range(1000)]
    except (ValueError, LookupError, TypeError) as wrong:
        raise FileFormatError(f"{path} does not list the classes of ImageNet: {wrong}") from wrong


Shape = tuple[int | None, ...]


def obtain_input_shape(
    input_shape: Any,
    default_size: int,
    min_size: int,
    data_format: str,
    require_flatten: bool,
    weights: Any = None,
) -> Shape:
    """The shape of one image that a model is built for.

    Args:
        input_shape: what its caller asks for; None for the default.
        default_size: height and width that the model is made for.
        min_size: the least height and width that it can take.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        require_flatten: whether the size must be known, as for a model with its top.
        weights: ``"imagenet"`` fixes the channels at 3, and with a top the size as well.

    Raises:
        ArgumentError: a shape that does not fit.

    >>> obtain_input_shape(None, 224, 32, "channels_last", require_flatten=True)
    (224, 224, 3)
    >>> obtain_input_shape(None, 224, 32, "channels_last", require_flatten=False)
    (None, None, 3)
    """
    given = tuple(input_shape) if input_shape else None
    channel = 0 if data_format == "channels_first" else -1
    published = weights == "imagenet"
    channels = 3
    if given is not None and not published and len(given) == 3:
        channels = given[channel]
        if channels not in (1, 3):
            warnings.warn(
                "This model usually expects 1 or 3 input channels. However, it was passed an "
                f"input_shape with {channels} input channels.",
                stacklevel=4,
            )
    default = _image_shape(default_size, channels, channel)
    if published and require_flatten and given not in (None, default):
        raise ArgumentError(
            "When setting `include_top=True` and loading `imagenet` weights, `input_shape` "
            f"should be {default}. Received: input_shape={given}"
        )
    if given is not None:
        _check_shape(given, channel, min_size, published)
    shape = given or (default if require_flatten else _image_shape(None, 3, channel))
    if require_flatten and None in shape:
        raise ArgumentError(
            "If `include_top` is True, you should specify a static `input_shape`. "
            f"Received: input_shape={shape}"
        )
    return shape


def _image_shape(size: int | None, channels: int | None, channel: int) -> Shape:
    return (channels, size, size) if channel == 0 else (size, size, channels)


def _check_shape(shape: Shape, channel: int, min_size: int, published: bool) -> None:
    if len(shape) != 3:
        raise ArgumentError(
            f"`input_shape` must be a tuple of three integers. Received: input_shape={shape}"
        )
    if published and shape[channel] != 3:
        raise ArgumentError(
            f"The input must have 3 channels; Received `input_shape={shape}`",
            fix="weights=None takes any number of channels",
        )
    sizes = shape[1:] if channel == 0 else shape[:2]
    if any(size is not None and size < min_size for size in sizes):
        raise ArgumentError(
            f"Input size must be at least {min_size}x{min_size}; Received: input_shape={shape}"
        )


def correct_pad(inputs: Any, kernel_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros around an image that make a convolution with stride 2 cover it as ``"same"`` does.

    Args:
        inputs: symbolic images, in the default data format; an unknown size counts as even.
        kernel_size: rows and columns of the filters.

    >>> from fovea.keras import Input
    >>> correct_pad(Input((32, 31, 3)), 3)
    ((0, 1), (1, 1))
    """
    at = 2 if config.image_data_format() == "channels_first" else 1
    half = kernel_size // 2
    rows, columns = (half - 1 + (size or 0) % 2 for size in inputs.shape[at : at + 2])
    return (rows, half), (columns, half)


def validate_activation(classifier_activation: Any, weights: Any) -> None:
    """Check that published or saved weights fit what is computed on top of them.

    Raises:
        ArgumentError: weights are loaded under neither ``"softmax"`` nor None.
    """
    if weights is None:
        return
    chosen = activations.get(classifier_activation)
    if chosen not in (activations.softmax, activations.linear):
        raise ArgumentError(
            "Only `None` and `softmax` activations are allowed for the `classifier_activation` "
            "argument when using pretrained weights, with `include_top=True`; Received: "
            f"classifier_activation={classifier_activation}"
        )
