"""The models of ``keras.applications`` and what Keras builds for them (``applications.json``).

    KERAS_BACKEND=torch python tests/keras/application_cases.py     writes the file

Building all of Keras's models takes minutes, so the file keeps a digest of each: of its layers'
classes and names and its weights' paths and shapes. Where a digest differs, the test builds Keras's
model after all and shows the first difference. Beside it stand the layer that
averages features in a model without its top, and the files of published weights, for a model with
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
]


def built(keras: Any, row: Row, **more: Any) -> Any:
    """The small variant of a row, of Keras's or of ours, with new weights."""
    keras.utils.clear_session()
    shape = (row.size, row.size, 3)
    if keras.config.image_data_format() == "channels_first":
        shape = (3, row.size, row.size)
    arguments = {"weights": None, "input_shape": shape, **(row.small or {}), **more}
    return getattr(keras.applications, row.name)(**arguments)


def whole(keras: Any, row: Row, **more: Any) -> Any:
    """The model of a row as it is unless its caller asks for something."""
    keras.utils.clear_session()
    return getattr(keras.applications, row.name)(**{"weights": None, **more})


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
        averaged = structure(pooled)[len(pooled.layers) - 1]
        found[row.name] = {**digest(whole(keras, row)), "averaged": averaged, "files": files}
        gc.collect()
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
