"""Classifiers of Keras itself in the form of Keras 2: names, nodes and shapes as it wrote them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import FileFormatError, ShapeError

from .h5_files import Weights, functional, write

pytest.importorskip("h5py")
X = np.random.default_rng(0).random((16, 12, 12, 1)).astype(np.float32)
Y = np.arange(16) % 3


def chain(k: Any) -> Any:
    L = k.layers  # noqa: N806
    first = [L.Conv2D(6, 3, padding="same", activation="relu"), L.BatchNormalization()]
    more = [L.MaxPooling2D(), L.Dropout(0.25), L.Conv2D(8, 3, kernel_regularizer="l2")]
    last = [L.Activation("relu"), L.Flatten(), L.Dense(10, activation="relu"), L.Dropout(0.5)]
    return k.Sequential([k.Input((12, 12, 1)), *first, *more, *last, L.Dense(3, "softmax")])


def graph(k: Any) -> Any:
    L = k.layers  # noqa: N806
    x = k.Input((12, 12, 1), name="input_1")
    y = L.BatchNormalization(scale=False)(L.Conv2D(6, 3, 2, padding="same", use_bias=False)(x))
    y = L.ReLU(6.0)(y)
    z = L.DepthwiseConv2D(3, padding="same", use_bias=False)(L.ZeroPadding2D(1)(y))
    z = L.Cropping2D(1)(L.LeakyReLU(negative_slope=0.2)(z))
    z = L.SeparableConv2D(6, 3, padding="same")(z)
    y = L.Concatenate()([L.Add()([y, z]), L.AveragePooling2D(1)(z)])
    y = L.Reshape((12,))(L.GlobalAveragePooling2D()(y))
    return k.Model(x, L.Softmax()(L.Dense(3)(y)))


def trained(keras: Any, make: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = make(keras)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def as_keras_2(config: Any) -> Any:
    """The arguments of a layer as Keras 2 wrote them."""
    found = {}
    for key, value in config.items():
        if key in ("batch_shape", "build_config"):
            continue
        if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
            value = value["config"]["name"]
        elif isinstance(value, dict) and "registered_name" in value:
            given = {k: v for k, v in value["config"].items() if k != "dtype"}
            value = {"class_name": value["class_name"], "config": given}
        found["alpha" if key == "negative_slope" and "max_value" not in config else key] = value
    return found


def described(layer: Any) -> dict[str, Any]:
    config = as_keras_2(layer.get_config())
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        config["axis"] = [3]
    if kind == "InputLayer":
        config = {"batch_input_shape": list(layer.batch_shape), "dtype": "float32", "sparse": False}
        config |= {"ragged": False, "name": layer.name}
    return {"class_name": kind, "config": config}


def model_config(model: Any, kind: str) -> dict[str, Any]:
    layers = [described(layer) for layer in model.layers]
    if kind != "Sequential":
        for layer, entry in zip(model.layers, layers, strict=True):
            calls = [[[o.name, 0, 0, {}] for o in n.parent_nodes_of] for n in _calls(layer)]
            entry |= {"name": layer.name, "inbound_nodes": calls}
        return functional(layers, [model.layers[0].name], [model.layers[-1].name], kind)
    layers[0]["config"]["batch_input_shape"] = [None, 12, 12, 1]
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": layers}}


class _Call:
    def __init__(self, node: Any) -> None:
        self.parent_nodes_of = [p.operation for p in node.parent_nodes]


def _calls(layer: Any) -> list[_Call]:
    return [_Call(node) for node in layer._inbound_nodes if node.parent_nodes]


def weights_of(model: Any) -> Weights:
    """As Keras 2 named them: ``conv2d_1/kernel:0``."""
    return {
        layer.name: [
            (f"{layer.name}/{w.path.rpartition('/')[2]}:0", np.array(w.numpy()))
            for w in layer.weights
            if "seed" not in w.path
        ]
        for layer in model.layers
    }


def file_of(model: Any, path: Path, kind: str, whole: bool = True) -> Path:
    if not whole:
        return write(path, weights_of(model))
    training = {
        "optimizer_config": {"class_name": "Adam", "config": {"lr": 0.001, "decay": 0.0}},
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        "sample_weight_mode": None,
        "loss_weights": None,
    }
    count = [np.asarray(v.numpy()) for v in model.optimizer.variables][2:]
    states = [("training/Adam/Adam/iter:0", np.int64(4))]
    states += [(f"training/Adam/v{i}:0", value) for i, value in enumerate(count)]
    config = model_config(model, kind)
    return write(path, weights_of(model), config, "2.3.1", training=training, optimizer=states)


def agree(found: Any, wanted: Any) -> None:
    a, b = np.asarray(found.predict(X, verbose=0)), np.asarray(wanted.predict(X, verbose=0))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "kind"), [(chain, "Sequential"), (graph, "Model"), (graph, "Functional")]
)
def test_whole_models(keras: Any, tmp_path: Path, make: Any, kind: str) -> None:
    theirs = trained(keras, make)
    path = file_of(theirs, tmp_path / "model.h5", kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = fk.models.load_model(path)
    agree(own, theirs)
    found, wanted = own.evaluate(X, Y, verbose=0), theirs.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    own.fit(X, Y, verbose=0)


@pytest.mark.parametrize("make", [chain, graph])
@pytest.mark.parametrize("by_name", [False, True])
def test_weights_alone(keras: Any, tmp_path: Path, make: Any, by_name: bool) -> None:
    theirs = trained(keras, make)
    path = file_of(theirs, tmp_path / "weights.hdf5", "", whole=False)
    own = make(fk)
    if by_name:
        for layer, other in zip(own.layers, theirs.layers, strict=True):
            layer.name = other.name
    own.load_weights(path, by_name=by_name)
    agree(own, theirs)
    with pytest.raises(FileFormatError, match="holds weights without a model"):
        fk.models.load_model(path)


def test_weights_of_another_size(keras: Any, tmp_path: Path) -> None:
    """Nothing changes unless everything fits; what does fit can be had."""
    theirs = trained(keras, chain)
    path = file_of(theirs, tmp_path / "weights.h5", "", whole=False)
    own = chain(fk)
    wider = fk.Sequential([*own.layers[:-1], fk.layers.Dense(5)])
    wider.build((None, 12, 12, 1))
    before = [w.numpy().copy() for w in wider.weights]
    with pytest.raises(ShapeError, match=r"\(10, 5\)"):
        wider.load_weights(path)
    for a, b in zip(before, wider.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wider.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(wider.weights[0].numpy(), theirs.layers[0].kernel.numpy())
