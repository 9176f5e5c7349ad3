"""Training steps in Keras's style, for Keras on TensorFlow and for ``fovea.keras``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Workload"]

STEPS = {
    10: 20,
    128: 8,
}  # batches a call of fit, so that its own start is spread over several steps


class Workload:
    """Cases for ``keras`` or for ``fovea.keras``."""

    def __init__(self, module: str) -> None:
        self.keras = importlib.import_module("keras" if module == "tensorflow" else module)

    def prepare(self, kind: str, batch: int) -> Callable[[], Any]:
        """A call of ``fit`` over several batches (see ``units``)."""
        layers = self.keras.layers
        model = self.keras.models.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(32, (3, 3), activation="relu"),
                layers.MaxPooling2D((2, 2)),
                layers.Flatten(),
                layers.Dense(64, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(
            optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        n = batch * STEPS[batch]
        x = np.random.random((n, 28, 28, 1)).astype("float32")
        y = np.random.randint(0, 10, n)
        return lambda: model.fit(x, y, epochs=1, batch_size=batch, verbose=0)
