"""Files as Keras 1 and 2 wrote them, put together with h5py from configurations and arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = dict[str, list[tuple[str, Array]]]  # by layer: names and values


def write(
    path: Path,
    weights: Weights,
    config: Any = None,
    version: str | None = "2.2.4",
    backend: str | None = "tensorflow",
    training: Any = None,
    optimizer: list[tuple[str, Array]] | None = None,
) -> Path:
    """A file of a model, or without a configuration of weights alone."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            group = file.create_group("model_weights")
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        for key, value in (("keras_version", version), ("backend", backend)):
            if value is not None:
                file.attrs[key] = group.attrs[key] = value.encode()
        group.attrs["layer_names"] = np.array([n.encode() for n in weights])
        for layer, entries in weights.items():
            fill(group.create_group(layer), entries)
        if optimizer is not None:
            fill(file.create_group("optimizer_weights"), optimizer)
    return path


def fill(group: Any, entries: list[tuple[str, Array]]) -> None:
    group.attrs["weight_names"] = np.array([n.encode() for n, _ in entries])
    for name, value in entries:
        group.create_dataset(name, data=value)


def random_weights(*shapes: tuple[int, ...], seed: int = 0) -> list[Array]:
    """Positive numbers, which do for variances, too."""
    rng = np.random.default_rng(seed)
    return [(rng.random(s) + 0.1).astype(np.float32) for s in shapes]


def layer(name: str, label: str, *inputs: Any, **config: Any) -> dict[str, Any]:
    """A layer of a functional model, as Keras 2 describes it; inputs are names or full places."""
    places = [[i, 0, 0, {}] if isinstance(i, str) else i for i in inputs]
    return {
        "class_name": name,
        "name": label,
        "config": {"name": label, **config},
        "inbound_nodes": [places] if places else [],
    }


def functional(
    layers: list[Any], inputs: list[str], outputs: list[Any], kind: str = "Model"
) -> dict[str, Any]:
    """A functional model, as Keras 2 describes it."""
    ends = [[[n, 0, 0] if isinstance(n, str) else n for n in names] for names in (inputs, outputs)]
    config = {"name": "model_1", "layers": layers}
    config |= {"input_layers": ends[0], "output_layers": ends[1]}
    return {"class_name": kind, "config": config}


INIT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
}
ZEROS = {"class_name": "Zeros", "config": {}}
L2 = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}
CONV: dict[str, Any] = {
    "trainable": True,
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "padding": "same",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "activation": "linear",
    "use_bias": False,
    "kernel_initializer": INIT,
    "bias_initializer": ZEROS,
    "kernel_regularizer": L2,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}
SEPARABLE: dict[str, Any] = {
    **{k: v for k, v in CONV.items() if not k.startswith("kernel_") or k == "kernel_size"},
    "kernel_initializer": INIT,
    "kernel_regularizer": None,
    "kernel_constraint": None,
    "depth_multiplier": 1,
    "depthwise_initializer": INIT,
    "pointwise_initializer": INIT,
    "depthwise_regularizer": L2,
    "pointwise_regularizer": L2,
    "depthwise_constraint": None,
    "pointwise_constraint": None,
}
NORM: dict[str, Any] = {
    "trainable": True,
    "axis": -1,
    "momentum": 0.99,
    "epsilon": 0.001,
    "center": True,
    "scale": True,
    "beta_initializer": ZEROS,
    "gamma_initializer": {"class_name": "Ones", "config": {}},
    "moving_mean_initializer": ZEROS,
    "moving_variance_initializer": {"class_name": "Ones", "config": {}},
    "beta_regularizer": None,
    "gamma_regularizer": None,
    "beta_constraint": None,
    "gamma_constraint": None,
}
DENSE: dict[str, Any] = {
    "trainable": True,
    "activation": "linear",
    "use_bias": True,
    "kernel_initializer": INIT,
    "bias_initializer": ZEROS,
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}

KERNELS = "kernel:0", "bias:0"


def named(label: str, names: Any, values: Any) -> list[Any]:
    return [(f"{label}/{n}", v) for n, v in zip(names, values, strict=True)]


def norm(label: str, size: int, seed: int) -> list[Any]:
    names = "gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"
    return named(label, names, random_weights(*[(size,)] * 4, seed=seed))


def dense_model(units: int, *names: str, start: str = "input_1") -> list[Any]:
    found = []
    for name in names:
        found.append(layer("Dense", name, start, units=units, **DENSE))
        start = name
    return found


def source(*shape: int | None, label: str = "input_1") -> dict[str, Any]:
    return layer("InputLayer", label, batch_input_shape=[None, *shape], dtype="float32")


def dense(label: str, *shape: int, seed: int) -> list[Any]:
    return named(label, KERNELS, random_weights(shape, shape[1:], seed=seed))
