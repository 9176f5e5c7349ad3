"""The models of ``keras.applications`` and what Keras builds for them (``applications.json``).

    KERAS_BACKEND=torch python tests/keras/application_cases.py     writes the file

Building all of Keras's models takes minutes, so the file keeps a digest of each: of its layers'
classes and names and its weights' paths and shapes. Where a digest differs, the test builds Keras's
model after all and shows the first difference.
"""

from __future__ import annotations

import gc
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("applications.json")


class Row(NamedTuple):
    """A function that makes a model.

    Attributes:
        name: the function.
        module: where it is.
        small: arguments that make a small variant, whose values are compared; None for the larger
            siblings of a model, whose structure is compared.
        size: height and width of the images of both.
        preprocessing: the mode of its ``preprocess_input``; None: it changes nothing.
    """

    name: str
    module: str
    small: dict[str, Any] | None
    size: int
    preprocessing: str | None


ROWS = [
    Row("VGG16", "vgg16", {}, 32, "caffe"),
    Row("VGG19", "vgg19", None, 32, "caffe"),
]


def built(keras: Any, row: Row, **more: Any) -> Any:
    """The model of a row, of Keras or of ours, with new weights for small images."""
    keras.utils.clear_session()
    shape = (row.size, row.size, 3)
    if keras.config.image_data_format() == "channels_first":
        shape = (3, row.size, row.size)
    make = getattr(keras.applications, row.name)
    return make(**{"weights": None, "input_shape": shape, **more})


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


def main() -> None:
    import keras

    found = {}
    for row in ROWS:
        found[row.name] = digest(built(keras, row))
        gc.collect()
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
