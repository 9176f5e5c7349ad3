"""The models of ``keras.applications`` and what Keras builds for them (``applications.json``).

    KERAS_BACKEND=torch python tests/keras/application_cases.py     writes the file

Building all of Keras's models takes minutes, so the file keeps a digest of each, as it is with
published weights: of its layers' classes and names and its weights' paths and shapes. Where a
digest differs, the test builds Keras's model after all and shows the first difference. Beside it
stand the layer that averages features in a model without its top, and the files of published weights, for a model with
its top and without: name in the cache, address, MD5.
"""

from __future__ import annotations

import gc
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

FILE = Path(__file__).with_name("applications.json")


class Row(NamedTuple):
    """A function that makes a model.

    Attributes:
        name: the function.
        module: where it is.
        small: arguments that make a small variant, whose values are compared; None for the larger
            siblings of a model, whose structure is compared.
        size: height and width of that variant's images.
        preprocessing: the mode of its ``preprocess_input``; None: it changes nothing.
    """

    name: str
    module: str
    small: dict[str, Any] | None
    size: int
    preprocessing: str | None


ROWS = [
    Row("VGG16", "vgg16", {"include_top": False, "pooling": "avg"}, 32, "caffe"),
    Row("VGG19", "vgg19", None, 32, "caffe"),
    Row("ResNet50", "resnet", {}, 32, "caffe"),
    Row("ResNet101", "resnet", None, 32, "caffe"),
    Row("ResNet152", "resnet", None, 32, "caffe"),
    Row("ResNet50V2", "resnet_v2", {}, 32, "tf"),
    Row("ResNet101V2", "resnet_v2", None, 32, "tf"),
    Row("ResNet152V2", "resnet_v2", None, 32, "tf"),
    Row("DenseNet121", "densenet", {}, 32, "torch"),
    Row("DenseNet169", "densenet", None, 32, "torch"),
    Row("DenseNet201", "densenet", None, 32, "torch"),
    Row("MobileNet", "mobilenet", {"alpha": 0.25, "dropout": 0.0}, 32, "tf"),
    Row("MobileNetV2", "mobilenet_v2", {"alpha": 0.35}, 32, "tf"),
    Row("MobileNetV3Small", "mobilenet_v3", {"alpha": 0.75, "dropout_rate": 0.0}, 32, None),
    Row("MobileNetV3Large", "mobilenet_v3", None, 32, None),
    Row("InceptionV3", "inception_v3", {}, 75, "tf"),
    Row("InceptionResNetV2", "inception_resnet_v2", {}, 75, "tf"),
    Row("Xception", "xception", {}, 71, "tf"),
    Row("NASNetMobile", "nasnet", {}, 32, "tf"),
    Row("NASNetLarge", "nasnet", None, 32, "tf"),
    Row("EfficientNetB0", "efficientnet", {}, 32, None),
    Row("EfficientNetB1", "efficientnet", None, 32, None),
    Row("EfficientNetB2", "efficientnet", None, 32, None),
    Row("EfficientNetB3", "efficientnet", None, 32, None),
    Row("EfficientNetB4", "efficientnet", None, 32, None),
    Row("EfficientNetB5", "efficientnet", None, 32, None),
    Row("EfficientNetB6", "efficientnet", None, 32, None),
    Row("EfficientNetB7", "efficientnet", None, 32, None),
    Row("EfficientNetV2B0", "efficientnet_v2", {}, 32, None),
    Row("EfficientNetV2B1", "efficientnet_v2", None, 32, None),
    Row("EfficientNetV2B2", "efficientnet_v2", None, 32, None),
    Row("EfficientNetV2B3", "efficientnet_v2", None, 32, None),
    Row("EfficientNetV2S", "efficientnet_v2", None, 32, None),
    Row("EfficientNetV2M", "efficientnet_v2", None, 32, None),
    Row("EfficientNetV2L", "efficientnet_v2", None, 32, None),
    Row("ConvNeXtTiny", "convnext", {}, 32, None),
    Row("ConvNeXtSmall", "convnext", None, 32, None),
    Row("ConvNeXtBase", "convnext", None, 32, None),
    Row("ConvNeXtLarge", "convnext", None, 32, None),
    Row("ConvNeXtXLarge", "convnext", None, 32, None),
]


def built(keras: Any, row: Row, **more: Any) -> Any:
    """The small variant of a row, of Keras's or of ours, with new weights."""
    keras.utils.clear_session()
    shape = (row.size, row.size, 3)
    if keras.config.image_data_format() == "channels_first":
        shape = (3, row.size, row.size)
    arguments = {"weights": None, "input_shape": shape, **(row.small or {}), **more}
    return _made(keras, row, arguments)


def whole(keras: Any, row: Row, **more: Any) -> Any:
    """The model of a row as it is unless its caller asks for something."""
    keras.utils.clear_session()
    return _made(keras, row, {"weights": None, **more})


def pretrained(keras: Any, row: Row) -> Any:
    """Keras's model of a row as it is with published weights, which are not loaded."""
    from keras.src.utils import file_utils

    with mock.patch.object(file_utils, "get_file"), mock.patch.object(keras.Model, "load_weights"):
        return whole(keras, row, weights="imagenet")


class _Renamed:
    """Keras's backend by another name: on PyTorch it refuses NASNetMobile, which works."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def backend(self) -> str:
        return "another"


def _made(keras: Any, row: Row, arguments: dict[str, Any]) -> Any:
    make = getattr(keras.applications, row.name)
    if row.name != "NASNetMobile" or keras.__name__ != "keras":
        return make(**arguments)
    from keras.src.applications import nasnet

    with mock.patch.object(nasnet, "backend", _Renamed(nasnet.backend)):
        return make(**arguments)


def pooling_layer(model: Any) -> Any:
    """The last layer that averages features over all pixels."""
    return [m for m in model.layers if type(m).__name__ == "GlobalAveragePooling2D"][-1]


def structure(model: Any) -> list[str]:
    """A line for each layer and for each weight."""
    found = [f"{type(layer).__name__} {layer.name}" for layer in model.layers]
    return found + [f"{w.path} {tuple(w.shape)}" for w in model.weights]


def digest(model: Any) -> dict[str, Any]:
    """What identifies a structure, and what helps to see where it went wrong."""
    lines = structure(model)
    return {
        "layers": len(model.layers),
        "parameters": model.count_params(),
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


class _AskedError(Exception):
    """A file was asked for."""


def published_file(keras: Any, row: Row, **more: Any) -> list[Any]:
    """Name, address and MD5 of the weights that Keras asks for."""
    from keras.src.utils import file_utils

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise _AskedError([args[0], args[1], kwargs.get("file_hash")])

    with mock.patch.object(file_utils, "get_file", refuse):
        try:
            whole(keras, row, weights="imagenet", **more)
        except _AskedError as asked:
            return list(asked.args[0])
    raise AssertionError(f"{row.name} asked for no weights")


def main() -> None:
    import keras

    found = {}
    for row in ROWS:
        files = [published_file(keras, row, include_top=top) for top in (True, False)]
        pooled = whole(keras, row, include_top=False, pooling="avg")
        averaged = f"GlobalAveragePooling2D {pooling_layer(pooled).name}"
        found[row.name] = {**digest(pretrained(keras, row)), "averaged": averaged, "files": files}
        gc.collect()
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
