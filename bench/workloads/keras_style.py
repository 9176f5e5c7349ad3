"""Networks and ``fit`` in Keras's style, for Keras on TensorFlow and for ``fovea.keras``."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cases import Case
from bench.nets import NETS, Net
from bench.nets.keras_layers import KerasLayers, keras_model
from bench.workloads import ADAM_EPSILON, ADAM_RATE, LEARNING_RATE, MOMENTUM, Array, Task, load

__all__ = ["FIT_STEPS", "Workload"]

# Batches a call of fit, so that its own start is spread over several steps.
FIT_STEPS = {10: 20, 128: 8}


class Workload:
    """Cases for Keras on TensorFlow or, ``fit`` alone, for ``fovea.keras``.

    Args:
        module: whose they are.
        xla: compile through XLA.
    """

    def __init__(self, module: str, xla: bool = False, threads: int = 0) -> None:
        if module == "tensorflow":
            self.tf = importlib.import_module("tensorflow")
            if threads:
                self.tf.config.threading.set_intra_op_parallelism_threads(threads)
                self.tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.keras = importlib.import_module("keras" if module == "tensorflow" else module)
        self.xla = xla

    def prepare(self, kind: str, **case: Any) -> Task:
        """The case, ready to be timed."""
        if kind == "fit":
            return Task(_fit(self.keras, **case))
        state, data = load(case.pop("weights")), load(case.pop("data"))
        found = Case(kind, **case)
        net = NETS[found.net]
        policy = "float32" if found.dtype == "float32" else f"mixed_{found.dtype}"
        self.keras.mixed_precision.set_global_policy(policy)
        self.keras.backend.clear_session()
        model, layers = keras_model(self.keras, net, state, found.size)
        x = self.tf.constant(data["x"].transpose(0, 2, 3, 1))
        if kind == "infer":
            return self._inference(model, net, x)
        return self._training(model, layers, net, x, self.tf.constant(data["y"]))

    def _inference(self, model: Any, net: Net, x: Any) -> Task:
        call = self.tf.function(lambda x: model(x, training=False), jit_compile=self.xla)

        def run() -> Array:
            return np.asarray(call(x))

        logits, done = run(), time.time()
        return Task(run, {"logits": logits.transpose(0, 3, 1, 2) if net.dense else logits}, done)

    def _training(self, model: Any, layers: KerasLayers, net: Net, x: Any, y: Any) -> Task:
        keras = self.keras
        optimizers = keras.optimizers
        # Keras adds epsilon before it corrects the second moment's bias: by so much in step one.
        epsilon = ADAM_EPSILON * (1 - 0.999) ** 0.5
        optimizer = (
            optimizers.Adam(ADAM_RATE, epsilon=epsilon)
            if net.adam
            else optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss, jit_compile=self.xla)
        model.make_train_function()
        step = model.train_function  # what fit calls for each batch
        batches = iter(self.tf.data.Dataset.from_tensors((x, y)).repeat())
        names = {"first": net.first, "last": net.last}
        before = {key: layers.kernel_of(name) for key, name in names.items()}
        results, done = {"loss": _loss(step(batches))}, time.time()
        results |= {key: layers.kernel_of(name) - before[key] for key, name in names.items()}
        model.reset_metrics()  # its loss is a mean over steps
        results["after"] = _loss(step(batches))

        return Task(lambda: _loss(step(batches)), results, done)


def _loss(logs: Any) -> Array:
    return np.asarray(logs["loss"])


def _fit(keras: Any, batch: int) -> Callable[[], Any]:
    """A call of ``fit`` over several batches of the small CNN."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    n = batch * FIT_STEPS[batch]
    x = np.random.random((n, 28, 28, 1)).astype("float32")
    y = np.random.randint(0, 10, n)
    return lambda: model.fit(x, y, epochs=1, batch_size=batch, verbose=0)
