"""``.h5`` files of Keras 1: its names of arguments, orders of dimensions and layouts of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import ArgumentError

from .compare import data
from .h5_files import random_weights, write

pytest.importorskip("h5py")
L = fk.layers
Array = np.ndarray[Any, Any]


def of_keras_1(name: str, label: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": {"name": label, "trainable": True, **config}}


def stored(label: str, values: list[Array]) -> list[Any]:
    return [(f"{label}_{i}", v) for i, v in enumerate(values)]


def read(
    path: Path, layers: list[Any], values: dict[str, list[Array]], backend: str | None = None
) -> Any:
    """The Sequential that Keras 1 would have written."""
    weights = {
        e["config"]["name"]: stored("w", values.get(e["config"]["name"], [])) for e in layers
    }
    config = {"class_name": "Sequential", "config": layers}
    write(path / "m.h5", weights, config, "1.2.2", backend)
    return fk.models.load_model(path / "m.h5", compile=False)


CONV = {
    "init": "glorot_uniform",
    "activation": "relu",
    "border_mode": "valid",
    "subsample": [1, 1],
    "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.0005},
    "b_regularizer": None,
    "activity_regularizer": None,
    "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0},
    "b_constraint": None,
    "bias": True,
}
POOL = {"pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid"}
DENSE = {
    "init": "zero",
    "activation": "softmax",
    "W_regularizer": None,
    "b_regularizer": None,
    "activity_regularizer": None,
    "W_constraint": None,
    "b_constraint": None,
    "bias": True,
}


@pytest.mark.parametrize("ordering", ["tf", "th"])
@pytest.mark.parametrize("backend", ["tensorflow", "theano", None])
def test_a_classifier(tmp_path: Path, ordering: str, backend: str | None) -> None:
    """VGG's kind of network. With channels in front kernels had them there, too; Theano turned
    kernels around.
    """
    first = ordering == "th"
    shape = (2, 8, 8) if first else (8, 8, 2)
    layers = [
        of_keras_1("ZeroPadding2D", "pad", padding=[1, 1], dim_ordering=ordering, batch_input_shape=[None, *shape], input_dtype="float32"),
        of_keras_1("Convolution2D", "conv", nb_filter=4, nb_row=3, nb_col=2, dim_ordering=ordering, **CONV),
        of_keras_1("BatchNormalization", "bn", axis=1 if first else -1, mode=0, epsilon=0.01, momentum=0.9,
                   gamma_regularizer=None, beta_regularizer=None),
        of_keras_1("MaxPooling2D", "pool", dim_ordering=ordering, **POOL),
        of_keras_1("Dropout", "drop", p=0.5),
        of_keras_1("Flatten", "flat"),
        of_keras_1("Dense", "fc", output_dim=3, input_dim=None, **DENSE),
    ]  # fmt: skip
    kernel, bias = random_weights((3, 2, 2, 4), (4,))
    kernel -= 0.6
    given = kernel[::-1, ::-1] if backend == "theano" else kernel
    values = {
        "conv": [given.transpose(3, 2, 0, 1) if first else given, bias],
        "bn": random_weights(*[(4,)] * 4, seed=1),
        "fc": random_weights((64, 3), (3,), seed=2),
    }
    model = read(tmp_path, layers, values, backend)
    kind = {"data_format": "channels_first" if first else "channels_last"}
    wanted = fk.Sequential(
        [
            L.Input(shape),
            L.ZeroPadding2D(**kind),
            L.Conv2D(4, (3, 2), activation="relu", **kind),
            L.BatchNormalization(1 if first else -1, epsilon=0.01),
            L.MaxPooling2D(**kind),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    wanted.set_weights([kernel, bias, *values["bn"], *values["fc"]])
    x = data((5, *shape))
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted.predict(x, verbose=0), rtol=1e-5)
    conv = model.get_layer("conv")
    assert abs(float(conv.kernel_regularizer.l2) - 0.0005) < 1e-9
    assert conv.kernel_constraint.max_value == 2


RNN = {
    "init": "glorot_uniform",
    "inner_init": "orthogonal",
    "activation": "tanh",
    "inner_activation": "hard_sigmoid",
    "W_regularizer": None,
    "U_regularizer": None,
    "b_regularizer": None,
    "dropout_W": 0.0,
    "dropout_U": 0.0,
    "return_sequences": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "consume_less": "cpu",
    "output_dim": 2,
    "input_dim": 3,
    "input_length": None,
    "batch_input_shape": [None, 5, 3],
}


def hard(x: Array) -> Array:
    return np.clip(0.2 * x + 0.5, 0, 1)


def test_lstm(tmp_path: Path) -> None:
    """A kernel, a matrix for the state and a bias for each gate: input, cell, forget, output."""
    parts = random_weights(*[(3, 2), (2, 2), (2,)] * 4)
    layers = [of_keras_1("LSTM", "lstm", forget_bias_init="one", **RNN)]
    model = read(tmp_path, layers, {"lstm": parts})
    x = data((4, 5, 3))
    h = c = np.zeros((4, 2), np.float32)
    for step in x.transpose(1, 0, 2):
        i, g, f, o = (step @ parts[n] + h @ parts[n + 1] + parts[n + 2] for n in (0, 3, 6, 9))
        c = hard(f) * c + hard(i) * np.tanh(g)
        h = hard(o) * np.tanh(c)
    np.testing.assert_allclose(model.predict(x, verbose=0), h, rtol=1e-5)


def test_gru(tmp_path: Path) -> None:
    """The state is reset before its matrix is applied, as it no longer is by default."""
    parts = random_weights(*[(3, 2), (2, 2), (2,)] * 3)
    model = read(tmp_path, [of_keras_1("GRU", "gru", **RNN)], {"gru": parts})
    x = data((4, 5, 3))
    h = np.zeros((4, 2), np.float32)
    for step in x.transpose(1, 0, 2):
        z, r = (hard(step @ parts[n] + h @ parts[n + 1] + parts[n + 2]) for n in (0, 3))
        new = np.tanh(step @ parts[6] + (r * h) @ parts[7] + parts[8])
        h = z * h + (1 - z) * new
    np.testing.assert_allclose(model.predict(x, verbose=0), h, rtol=1e-5)


def test_wrapped_lstm(tmp_path: Path) -> None:
    inner = {k: v for k, v in RNN.items() if k != "batch_input_shape"}
    wrapped = of_keras_1("LSTM", "lstm", forget_bias_init="one", **inner)
    layers = [
        of_keras_1(
            "Bidirectional", "both", merge_mode="sum", layer=wrapped, batch_input_shape=[None, 5, 3]
        )
    ]
    parts = random_weights(*[(3, 2), (2, 2), (2,)] * 8)
    model = read(tmp_path, layers, {"both": parts})
    plain = [of_keras_1("LSTM", "lstm", forget_bias_init="one", **RNN)]
    x = data((4, 5, 3))
    one = read(tmp_path, plain, {"lstm": parts[:12]}).predict(x, verbose=0)
    other = read(tmp_path, plain, {"lstm": parts[12:]}).predict(x[:, ::-1], verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), one + other, rtol=1e-5)


def test_convolutions_of_sequences(tmp_path: Path) -> None:
    """Keras 1 saw a sequence as an image of width 1."""
    given = {k: v for k, v in CONV.items() if k != "subsample"}
    layers = [
        of_keras_1("Embedding", "words", input_dim=7, output_dim=3, input_length=6, init="uniform",
                   W_regularizer=None, activity_regularizer=None, W_constraint=None, mask_zero=False,
                   dropout=0.2, batch_input_shape=[None, 6], input_dtype="int32"),
        of_keras_1("Convolution1D", "conv", nb_filter=4, filter_length=2, subsample_length=1,
                   input_dim=3, input_length=None, **given),
        of_keras_1("MaxPooling1D", "pool", pool_length=2, stride=2, border_mode="valid"),
        of_keras_1("LeakyReLU", "leaky", alpha=0.25),
        of_keras_1("TimeDistributedDense", "dense", output_dim=2, **DENSE),
    ]  # fmt: skip
    kernel, bias, table = random_weights((2, 1, 3, 4), (4,), (7, 3))
    values = {"words": [table], "conv": [kernel, bias], "dense": random_weights((4, 2), (2,))}
    model = read(tmp_path, layers, values)
    words = np.arange(12).reshape(2, 6) % 7
    x = table[words]
    y = np.maximum(x[:, :-1] @ kernel[0, 0] + x[:, 1:] @ kernel[1, 0] + bias, 0)
    y = np.maximum(y[:, 0:4:2], y[:, 1:4:2]) @ values["dense"][0] + values["dense"][1]
    wanted = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    np.testing.assert_allclose(model.predict(words, verbose=0), wanted, rtol=1e-5)
    turned = values | {"conv": [kernel.transpose(3, 2, 0, 1), bias]}  # as Keras 1.1 had it
    again = read(tmp_path, layers, turned)
    np.testing.assert_allclose(again.predict(words, verbose=0), wanted, rtol=1e-5)


def test_graphs_that_merge(tmp_path: Path) -> None:
    def joined(entry: Any, *inputs: str) -> Any:
        nodes = [[[name, 0, 0] for name in inputs]] if inputs else []
        return {**entry, "name": entry["config"]["name"], "inbound_nodes": nodes}

    merge = {"mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "output_shape": None}
    merge |= {
        "output_shape_type": "raw",
        "output_mask": None,
        "output_mask_type": "raw",
        "arguments": {},
    }
    layers = [
        joined(of_keras_1("InputLayer", "x", batch_input_shape=[None, 3], input_dtype="float32", sparse=False)),
        joined(of_keras_1("Dense", "a", output_dim=3, input_dim=3, **DENSE | {"activation": "linear"}), "x"),
        joined(of_keras_1("Merge", "sum", mode="sum", **merge), "x", "a"),
        joined(of_keras_1("Merge", "cat", mode="concat", **merge), "sum", "a"),
        joined(of_keras_1("Highest", "no"), "cat"),
    ]  # fmt: skip
    kernel, bias = random_weights((3, 3), (3,))
    config = {
        "name": "m",
        "layers": layers[:4],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["cat", 0, 0]],
    }
    weights = {"x": [], "a": stored("a", [kernel, bias]), "sum": [], "cat": []}
    path = write(
        tmp_path / "m.h5", weights, {"class_name": "Model", "config": config}, "1.1.0", None
    )
    x = data((4, 3))
    a = x @ kernel + bias
    model = fk.models.load_model(path, compile=False)
    wanted = np.concatenate([x + a, a], -1)
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5)
    config["layers"] = layers
    write(path, weights, {"class_name": "Model", "config": config}, "1.1.0", None)
    with pytest.raises(ArgumentError, match="the layer 'no' is of the class 'Highest'"):
        fk.models.load_model(path)
    layers[3]["config"]["mode_type"] = "lambda"
    config["layers"] = layers[:4]
    write(path, weights, {"class_name": "Model", "config": config}, "1.1.0", None)
    with pytest.raises(ArgumentError, match="'cat' merges by code"):
        fk.models.load_model(path)


@pytest.mark.parametrize("ordering", ["tf", "th"])
def test_transposed_convolutions(tmp_path: Path, ordering: str) -> None:
    first = ordering == "th"
    shape = (2, 4, 4) if first else (4, 4, 2)
    given = CONV | {"subsample": [2, 2], "output_shape": [None, 9, 9, 3], "dim_ordering": ordering}
    layers = [
        of_keras_1(
            "Deconvolution2D",
            "up",
            nb_filter=3,
            nb_row=3,
            nb_col=3,
            batch_input_shape=[None, *shape],
            **given,
        )
    ]
    kernel, bias = random_weights((3, 3, 3, 2), (3,))
    old = kernel.transpose(2, 3, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
    model = read(tmp_path, layers, {"up": [old, bias]})
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
    assert model.predict(data((1, *shape)), verbose=0).shape == (
        (1, 3, 9, 9) if first else (1, 9, 9, 3)
    )


def test_ways_of_normalizing_that_are_gone(tmp_path: Path) -> None:
    layers = [of_keras_1("BatchNormalization", "bn", mode=2, axis=-1, batch_input_shape=[None, 3])]
    with pytest.raises(ArgumentError, match=r"'bn' \(BatchNormalization\) has mode=2"):
        read(tmp_path, layers, {"bn": random_weights(*[(3,)] * 4)})
