"""``.h5`` files of Keras 1 and 2: configurations, layouts and weights as those versions wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.errors import ArgumentError, FileFormatError, ShapeError

from .compare import data
from .h5_files import (
    CONV,
    DENSE,
    KERNELS,
    NORM,
    SEPARABLE,
    dense,
    dense_model,
    functional,
    layer,
    named,
    norm,
    random_weights,
    source,
    write,
)

pytest.importorskip("h5py")
L = fk.layers


# -- Keras 2 ----------------------------------------------------------------------------------


def xception(path: Path) -> dict[str, Any]:
    """A small network in the form of the mini-XCEPTION classifiers of faces."""
    pool = {"pool_size": [3, 3], "strides": [2, 2], "padding": "same", "trainable": True}
    pool["data_format"] = "channels_last"
    separable = {"depthwise_kernel:0": (3, 3, 4, 1), "pointwise_kernel:0": (1, 1, 4, 6)}
    layers = [
        layer("InputLayer", "input_1", batch_input_shape=[None, 8, 8, 1], dtype="float32", sparse=False),
        layer("Conv2D", "conv2d_1", "input_1", filters=4, **CONV),
        layer("BatchNormalization", "bn_1", "conv2d_1", **NORM),
        layer("Activation", "activation_1", "bn_1", activation="relu", trainable=True),
        layer("SeparableConv2D", "separable_1", "activation_1", filters=6, **SEPARABLE),
        layer("BatchNormalization", "bn_3", "separable_1", **NORM),
        layer("Conv2D", "conv2d_2", "activation_1", filters=6, **{**CONV, "kernel_size": [1, 1], "strides": [2, 2]}),
        layer("MaxPooling2D", "max_pooling2d_1", "bn_3", **pool),
        layer("BatchNormalization", "bn_2", "conv2d_2", **NORM),
        layer("Add", "add_1", "max_pooling2d_1", "bn_2", trainable=True),
        layer("Conv2D", "conv2d_3", "add_1", filters=3, **{**CONV, "use_bias": True}),
        layer("GlobalAveragePooling2D", "pool", "conv2d_3", trainable=True, data_format="channels_last"),
        layer("Activation", "predictions", "pool", activation="softmax", trainable=True),
    ]  # fmt: skip
    weights = {
        "conv2d_1": named("conv2d_1", KERNELS[:1], random_weights((3, 3, 1, 4))),
        "bn_1": norm("bn_1", 4, 1),
        "separable_1": named("separable_1", separable, random_weights(*separable.values(), seed=2)),
        "bn_3": norm("bn_3", 6, 3),
        "conv2d_2": named("conv2d_2", KERNELS[:1], random_weights((1, 1, 4, 6), seed=4)),
        "bn_2": norm("bn_2", 6, 5),
        "conv2d_3": named("conv2d_3", KERNELS, random_weights((3, 3, 6, 3), (3,), seed=6)),
    }
    everything = {entry["name"]: weights.get(entry["name"], []) for entry in layers}
    training = {
        "optimizer_config": {
            "class_name": "Adam",
            "config": {"lr": 0.002, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.0, "epsilon": 1e-8, "amsgrad": False},
        },
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy"],
        "sample_weight_mode": None,
        "loss_weights": None,
    }  # fmt: skip
    config = functional(layers, ["input_1"], ["predictions"])
    write(path, everything, config, "2.0.5", training=training)
    return weights


def in_fovea() -> Any:
    """The same network, made here."""
    x = fk.Input((8, 8, 1))
    conv = {"padding": "same", "use_bias": False}
    y = L.BatchNormalization(name="bn_1")(L.Conv2D(4, 3, name="conv2d_1", **conv)(x))
    y = L.Activation("relu")(y)
    a = L.SeparableConv2D(6, 3, name="separable_1", **conv)(y)
    a = L.MaxPooling2D(3, 2, padding="same")(L.BatchNormalization(name="bn_3")(a))
    b = L.Conv2D(6, 1, 2, name="conv2d_2", **conv)(y)
    z = L.Add()([a, L.BatchNormalization(name="bn_2")(b)])
    z = L.Conv2D(3, 3, padding="same", name="conv2d_3")(z)
    return fk.Model(x, L.Softmax()(L.GlobalAveragePooling2D()(z)))


def test_a_classifier_of_keras_2(tmp_path: Path) -> None:
    weights = xception(tmp_path / "mini_XCEPTION.102-0.66.hdf5")
    wanted = in_fovea()
    for name, entries in weights.items():
        wanted.get_layer(name).set_weights([v for _, v in entries])
    model = fk.models.load_model(tmp_path / "mini_XCEPTION.102-0.66.hdf5")
    x = data((5, 8, 8, 1))
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted.predict(x, verbose=0), rtol=1e-5)
    assert model.output_shape == (None, 3)
    assert abs(float(model.optimizer.learning_rate) - 0.002) < 1e-9
    model.fit(x, np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]], verbose=0)
    assert "accuracy" in model.evaluate(x, np.eye(3)[[0, 1, 2, 0, 1]], verbose=0, return_dict=True)


def test_weights_by_name(tmp_path: Path) -> None:
    weights = xception(tmp_path / "a.hdf5")
    model = in_fovea()
    model.load_weights(tmp_path / "a.hdf5", by_name=True)
    for name, entries in weights.items():
        for own, (_, value) in zip(model.get_layer(name).get_weights(), entries, strict=True):
            np.testing.assert_array_equal(own, value)
    head = fk.Sequential([L.Input((8, 8, 1)), L.Conv2D(4, 3, name="conv2d_1"), L.Dense(2)])
    with pytest.raises(ShapeError, match="conv2d_1: 2 weights, the file has 1"):
        head.load_weights(tmp_path / "a.hdf5", by_name=True)
    with pytest.raises(ShapeError, match="2 layers with weights, the file has 7"):
        head.load_weights(tmp_path / "a.hdf5")
    with pytest.warns(UserWarning, match="left out"):
        head.load_weights(tmp_path / "a.hdf5", by_name=True, skip_mismatch=True)


def test_weights_alone_in_order(tmp_path: Path) -> None:
    """Files such as resnet50_weights_tf_dim_ordering_tf_kernels.h5: no version, other names."""
    values = random_weights((3, 3, 1, 4), (4,), *[(4,)] * 4, (16, 2), (2,))
    stored = {
        "conv1": named("conv1", ("W:0", "b:0"), values[:2]),
        "bn_conv1": list(zip(("gamma", "beta", "running_mean", "running_std"), values[2:6], strict=True)),
        "activation_1": [],
        "fc1000": named("fc1000", ("W:0", "b:0"), values[6:]),
    }  # fmt: skip
    write(tmp_path / "w.h5", stored, version=None, backend=None)
    layers = [L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dense(2)]
    model = fk.Sequential([L.Input((4, 4, 1)), *layers])
    model.load_weights(tmp_path / "w.h5")
    for own, value in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(own, value)
    with pytest.raises(FileFormatError, match="weights without a model"):
        fk.models.load_model(tmp_path / "w.h5")
    model.save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(FileFormatError, match="weights without a model"):
        fk.models.load_model(tmp_path / "new.weights.h5")
    assert fovea.load(tmp_path / "w.h5")["conv1/conv1/W:0"].shape == (3, 3, 1, 4)


@pytest.mark.parametrize("kind", ["Model", "Functional"])
def test_models_within_and_shared_layers(tmp_path: Path, kind: str) -> None:
    """A model within counts its own graph as its first call; layers in it stand in any order."""
    inner = functional(
        [source(3, label="input_2"), *dense_model(3, "b", "a", start="input_2")],
        ["input_2"], ["a"], kind,
    )  # fmt: skip
    inner["config"]["name"] = "inner"
    call = {
        **inner,
        "name": "inner",
        "inbound_nodes": [[["input_1", 0, 0, {}]], [["shared", 0, 0, {}]]],
    }
    shared = layer("Dense", "shared", "input_1", units=3, **DENSE)
    shared["inbound_nodes"] += [[["inner", 1, 0, {}]]]
    layers = [
        source(3),
        shared,
        call,
        layer("Add", "add", ["inner", 2, 0, {}], ["shared", 1, 0, {}]),
    ]
    values = {name: dense(name, 3, 3, seed=i) for i, name in enumerate(("shared", "a", "b"))}
    stored = {
        "input_1": [],
        "shared": values["shared"],
        "inner": values["b"] + values["a"],
        "add": [],
    }
    config = functional(layers, ["input_1"], ["add"], kind)
    write(tmp_path / "m.h5", stored, config, "2.4.0")
    model = fk.models.load_model(tmp_path / "m.h5", compile=False)

    def run(name: str, x: Any) -> Any:
        (_, kernel), (_, bias) = values[name]
        return x @ kernel + bias

    def both(x: Any) -> Any:
        return run("a", run("b", x))

    x = data((4, 3))
    wanted = both(run("shared", x)) + run("shared", both(x))
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5)


def test_functions_of_tensorflow(tmp_path: Path) -> None:
    def op(function: str, label: str, place: list[Any], kind: str = "TFOpLambda") -> dict[str, Any]:
        config = {"name": label, "trainable": True, "dtype": "float32", "function": function}
        return {"class_name": kind, "name": label, "config": config, "inbound_nodes": [place]}

    def at(label: str, **kwargs: Any) -> list[Any]:
        return [label, 0, 0, {**kwargs, "name": None}]

    slices = [{"start": None, "stop": None, "step": None}, {"start": 0, "stop": 2, "step": None}]
    layers = [
        source(4, 3),
        op("math.subtract", "a", at("input_1", y=[0.5, 1.0, 1.5])),
        op("math.truediv", "b", at("a", y=2.0)),
        op("nn.relu", "c", at("b")),
        op("__operators__.getitem", "d", ["c", 0, 0, {"slice_spec": slices}], "SlicingOpLambda"),
        op("math.reduce_mean", "e", at("d", axis=[1], keepdims=True)),
        op("compat.v1.squeeze", "f", at("e", axis=[1])),
        op("math.multiply", "g", ["_CONSTANT_VALUE", -1, 3.0, {"y": ["f", 0, 0], "name": None}]),
        op("concat", "h", [["g", 0, 0, {"axis": -1}], ["f", 0, 0, {"axis": -1}]]),
        op("clip_by_value", "i", at("h", clip_value_min=0.0, clip_value_max=0.4)),
        op("reshape", "j", at("i", shape=[-1, 2, 3])),
        op("__operators__.add", "k", at("j", y=["j", 0, 0])),
        op("transpose", "l", at("k", perm=[0, 2, 1])),
        op("nn.leaky_relu", "m", at("l")),
    ]
    write(tmp_path / "m.h5", {}, functional(layers, ["input_1"], ["m"]), "2.9.0")
    model = fk.models.load_model(tmp_path / "m.h5", compile=False)
    x = data((5, 4, 3))
    f = np.maximum((x - np.float32([0.5, 1.0, 1.5])) / 2, 0)[:, :2].mean(1)
    wanted = np.clip(np.concatenate([3 * f, f], -1), 0, 0.4).reshape(-1, 2, 3) * 2
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted.transpose(0, 2, 1), rtol=1e-5)
    layers[3]["config"]["function"] = "py_function"
    write(tmp_path / "m.h5", {}, functional(layers, ["input_1"], ["m"]), "2.9.0")
    with pytest.raises(ArgumentError, match="'c' is TensorFlow's function 'py_function'"):
        fk.models.load_model(tmp_path / "m.h5")


RNN: dict[str, Any] = {
    **{k: v for k, v in DENSE.items() if k != "activation"},
    "activation": "tanh",
    "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
    "recurrent_regularizer": None,
    "recurrent_constraint": None,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
}
CELL = "kernel:0", "recurrent_kernel:0", "bias:0"


def test_recurrent_layers_of_keras_2(tmp_path: Path) -> None:
    """The hard sigmoid of Keras 2 had another slope than Keras 3's."""
    given = {"implementation": 1, "unit_forget_bias": True, "units": 2}
    given |= {"recurrent_activation": "hard_sigmoid", "batch_input_shape": [None, 5, 3]}
    layers = [{"class_name": "LSTM", "config": {"name": "lstm_1", **RNN, **given}}]
    values = random_weights((3, 8), (2, 8), (8,))
    stored = {"lstm_1": named("lstm_1", CELL, values)}
    write(tmp_path / "m.h5", stored, {"class_name": "Sequential", "config": layers}, "2.1.3")
    x = data((4, 5, 3))
    h = c = np.zeros((4, 2), np.float32)
    for step in x.transpose(1, 0, 2):
        i, f, g, o = np.split(step @ values[0] + h @ values[1] + values[2], 4, -1)
        i, f, o = (np.clip(0.2 * v + 0.5, 0, 1) for v in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    model = fk.models.load_model(tmp_path / "m.h5", compile=False)
    np.testing.assert_allclose(model.predict(x, verbose=0), h, rtol=1e-5)
    model.save(tmp_path / "m.keras")
    again = fk.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), h, rtol=1e-5)


@pytest.mark.parametrize("name", ["CuDNNLSTM", "CuDNNGRU"])
def test_recurrent_layers_of_cudnn(tmp_path: Path, name: str) -> None:
    """CuDNN's matrices stand on their sides, and it has a bias for the input and for the state."""
    gates = 4 if name == "CuDNNLSTM" else 3
    kept = {
        k: v
        for k, v in RNN.items()
        if "dropout" not in k and k not in ("activation", "unroll", "use_bias")
    }
    config = {"name": "r", **kept, "units": 2, "batch_input_shape": [None, 5, 3]}
    values = random_weights((3, 2 * gates), (2, 2 * gates), (4 * gates,))
    stored = {"r": named("r", CELL, values)}
    layers = {"name": "s", "layers": [{"class_name": name, "config": config}]}
    write(tmp_path / "m.h5", stored, {"class_name": "Sequential", "config": layers}, "2.2.4")
    model = fk.models.load_model(tmp_path / "m.h5", compile=False)
    kernels = [
        k.reshape(2, 3).T
        for k in np.split(values[0].reshape(3, gates, 2).transpose(1, 0, 2), gates)
    ]
    plain = (L.LSTM if gates == 4 else L.GRU)(2)
    wanted = fk.Sequential([L.Input((5, 3)), plain])
    bias = values[2].reshape(2, -1)
    turned = np.concatenate([k.T for k in np.split(values[1], gates, 1)], 1)
    plain.set_weights([np.concatenate(kernels, 1), turned, bias.sum(0) if gates == 4 else bias])
    x = data((4, 5, 3))
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted.predict(x, verbose=0), rtol=1e-5)


def test_a_transformer_block(tmp_path: Path) -> None:
    """Tensors among a call's named arguments, layers as activations, NumPy's numbers."""
    kept = {k: v for k, v in DENSE.items() if k != "activation"}
    shapes = {f"{k}_shape": [None, 4, 5] for k in ("query", "key", "value")}
    given = {**kept, **shapes, "num_heads": 2, "key_dim": 3, "value_dim": 3, "dropout": 0.0}
    given |= {"output_shape": None, "attention_axes": [1]}
    centered = {k: v for k, v in NORM.items() if not k.startswith(("moving", "momentum"))}
    leaky = {"class_name": "LeakyReLU", "config": {"name": "l", "dtype": "float32", "alpha": 0.5}}
    number = {"type": "ndarray", "value": 0.0}
    layers = [
        source(4, 5),
        layer(
            "MultiHeadAttention", "mha", ["input_1", 0, 0, {"value": ["input_1", 0, 0]}], **given
        ),
        layer("LayerNormalization", "ln", "mha", **{**centered, "axis": [2]}),
        layer("ReLU", "relu", "ln", max_value=0.5, negative_slope=number, threshold=number),
        layer("Dense", "out", "relu", units=2, **{**DENSE, "activation": leaky}),
        layer("SpatialDropout1D", "drop", "out", rate=0.1, noise_shape=None, seed=None),
    ]
    sizes = [(5, 2, 3), (2, 3)] * 3 + [(2, 3, 5), (5,)]
    names = [f"{p}/{w}:0" for p in ("query", "key", "value", "output") for w in ("kernel", "bias")]
    values = {
        "mha": random_weights(*sizes),
        "ln": random_weights((5,), (5,), seed=1),
        "out": random_weights((5, 2), (2,), seed=2),
    }
    stored = {
        "mha": named("mha", names, values["mha"]),
        "ln": named("ln", ("gamma:0", "beta:0"), values["ln"]),
        "out": named("out", KERNELS, values["out"]),
    }
    config = functional(layers, ["input_1"], ["drop"], "Functional")
    model = fk.models.load_model(write(tmp_path / "m.h5", stored, config, "2.6.0"), compile=False)
    t = fk.Input((4, 5))
    y = L.ReLU(0.5)(L.LayerNormalization()(L.MultiHeadAttention(2, 3)(t, t)))
    wanted = fk.Model(t, L.LeakyReLU(0.5)(L.Dense(2)(y)))
    wanted.set_weights([*values["mha"], *values["ln"], *values["out"]])
    x = data((3, 4, 5))
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted.predict(x, verbose=0), rtol=1e-5)


def test_a_base_within_a_chain(tmp_path: Path) -> None:
    """Transfer learning: a frozen model as the first of a chain, without a version in the names."""
    frozen = {"trainable": False}
    inner = [
        source(4, 4, 2, label="in"),
        layer("Conv2D", "c", "in", filters=3, **{**CONV, **frozen}),
        layer(
            "BatchNormalization", "bn", "c", **{**NORM, **frozen, "axis": [3], "dtype": "float32"}
        ),
    ]
    base = functional(inner, ["in"], ["bn"], "Functional")
    base["config"]["name"] = "base"
    policy = {"class_name": "Policy", "config": {"name": "float32"}}
    head = {"name": "d", **DENSE, "units": 2, "dtype": policy}
    chain = [
        base,
        {"class_name": "Flatten", "config": {"name": "f"}},
        {"class_name": "Dense", "config": head},
    ]
    kernel, *others = random_weights((3, 3, 2, 3), *[(3,)] * 4, (48, 2), (2,))
    stored = {
        "base": [("c/kernel:0", kernel), *norm("bn", 3, 0)],
        "f": [],
        "d": named("d", KERNELS, others[4:]),
    }
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": chain}}
    model = fk.models.load_model(write(tmp_path / "m.h5", stored, config, "2.8.0"), compile=False)
    assert len(model.trainable_weights) == 2 and model.output_shape == (None, 2)
    np.testing.assert_array_equal(model.layers[0].get_layer("c").get_weights()[0], kernel)
    for own, (_, value) in zip(
        model.layers[0].get_layer("bn").get_weights(), norm("bn", 3, 0), strict=True
    ):
        np.testing.assert_array_equal(own, value)


# -- code -------------------------------------------------------------------------------------


def test_lambdas_do_not_run(tmp_path: Path) -> None:
    code = ["4wEAAAAAAAAAAAAAAAEAAAACAAAAQwAAAHMIAAAAfABkARQAUwA=", None, None]
    given = {"function": code, "function_type": "lambda", "output_shape": None, "arguments": {}}
    layers = [source(3), layer("Lambda", "twice", "input_1", **given)]
    path = write(tmp_path / "m.h5", {}, functional(layers, ["input_1"], ["twice"]))
    with pytest.raises(ArgumentError, match="'twice' is a Lambda of Python code") as raised:
        fk.models.load_model(path)
    assert "custom_objects={'twice'" in str(raised.value)
    model = fk.models.load_model(path, custom_objects={"twice": lambda x: x * 2}, compile=False)
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), 2 * np.ones((1, 3)))
    layers[1]["config"]["function"] = "double"
    write(path, {}, functional(layers, ["input_1"], ["twice"]))
    with pytest.raises(ArgumentError, match="the function 'double'"):
        fk.models.load_model(path)
    model = fk.models.load_model(path, custom_objects={"double": lambda x: x * 2}, compile=False)
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), 2 * np.ones((1, 3)))


class Scaled(fk.layers.Layer):  # type: ignore[misc]
    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor


@pytest.mark.parametrize("name", ["Scaled", "Custom>Scaled", "mine>Scaled"])
def test_layers_of_ones_own(tmp_path: Path, name: str) -> None:
    layers = [source(3), layer(name, "s", "input_1", factor=3.0, dtype="float32", trainable=True)]
    path = write(tmp_path / "m.h5", {}, functional(layers, ["input_1"], ["s"]))
    with pytest.raises(ArgumentError, match="the layer 's' is of the class .*Scaled"):
        fk.models.load_model(path)
    model = fk.models.load_model(path, custom_objects={"Scaled": Scaled}, compile=False)
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), 3 * np.ones((1, 3)))
