"""``summary`` prints what Keras prints, character by character."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea import nn


def first_network(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def compiled(k: Any) -> Any:
    model = first_network(k)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((2, 28, 28, 1), "f"), np.zeros(2), verbose=0)
    return model


def branches(k: Any) -> Any:
    layers = k.layers
    i = k.Input(shape=(32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same")(i)
    y = layers.BatchNormalization()(x)
    y = layers.ReLU()(y)
    z = layers.Add()([x, y])
    z = layers.GlobalAveragePooling2D()(z)
    return k.Model(i, [layers.Dense(5)(z), layers.Dense(2, name="aux")(z)])


def chain(k: Any) -> Any:
    i = k.Input(shape=(8,))
    return k.Model(i, k.layers.Dense(3)(k.layers.Dense(4)(i)))


def shared(k: Any) -> Any:
    i = k.Input(shape=(8,))
    layer = k.layers.Dense(8)
    return k.Model(i, layer(layer(i)))


def unbuilt(k: Any) -> Any:
    return k.Sequential([k.layers.Dense(3), k.layers.Dense(2)])


def long_names(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input(shape=(28, 28, 1)),
            layers.GlobalAveragePooling2D(
                name="a_pooling_layer_whose_name_is_too_long_for_the_column"
            ),
            layers.Dense(3, name="the_last_of_all_layers_in_this_model"),
        ]
    )


def nested(k: Any) -> Any:
    return k.Sequential([k.layers.Input(shape=(28, 28, 1)), first_network(k), k.layers.Dense(2)])


def frozen(k: Any) -> Any:
    model = branches(k)
    model.layers[1].trainable = False
    return model


def operations(k: Any) -> Any:
    i = k.Input(shape=(8,))
    x = k.layers.Dense(4)(i)
    return k.Model(i, k.ops.softmax(k.ops.matmul(x, np.ones((4, 2), "f")) / 2.0, axis=-1))


def branching_operations(k: Any) -> Any:
    i = k.Input(shape=(8, 3))
    return k.Model(i, k.ops.concatenate([i[:, 1:3], k.ops.mean(i, axis=1, keepdims=True)], axis=1))


def holding(k: Any) -> Any:
    """A subclass that holds a graph, which it calls with values only."""

    class Net(k.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = chain(k)
            self.last = k.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.last(self.inner(x))

    model = Net()
    model(np.ones((2, 8), "f"))
    return model


MODELS = [
    holding,
    operations,
    branching_operations,
    first_network,
    compiled,
    branches,
    chain,
    shared,
    unbuilt,
    long_names,
    nested,
    frozen,
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"show_trainable": True},
    {"expand_nested": True},
    {"line_length": 70},
    {"positions": [0.5, 0.75, 1.0]},
]


def text(k: Any, make: Callable[[Any], Any], options: dict[str, Any]) -> str:
    k.utils.clear_session()
    lines: list[str] = []
    make(k).summary(print_fn=lines.append, **options)
    return "".join(lines)


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("make", MODELS)
def test_equals_keras(
    keras: Any, monkeypatch: Any, make: Any, options: dict[str, Any], columns: str
) -> None:
    if "positions" in options and make in (branches, shared, frozen, branching_operations):
        pytest.skip("these have four columns")
    monkeypatch.setenv("COLUMNS", columns)
    assert text(fk, make, options) == text(keras, make, options)


def test_layer_range(keras: Any) -> None:
    options = {"layer_range": ["max_pooling2d", "dense"]}
    assert text(fk, first_network, options) == text(keras, first_network, options)
    with pytest.raises(ValueError, match="no layer matches"):
        first_network(fk).summary(layer_range=["x", "y"])


def test_is_printed(capsys: Any) -> None:
    first_network(fk).summary()
    out = capsys.readouterr().out
    assert out.startswith('Model: "sequential"\n┏━') and "347,146" in out


def test_modules(capsys: Any) -> None:
    model = fk.Sequential([fk.Input(shape=(4,)), nn.Linear(4, 3)])
    model.summary()
    assert "linear (TorchModuleWrapper)" in capsys.readouterr().out


def test_subclass(capsys: Any) -> None:
    class Net(fk.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = fk.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Net()
    model(np.ones((2, 4), "f"))
    model.summary()
    out = capsys.readouterr().out
    assert 'Model: "net"' in out and "(2, 3)" in out and "Total params: 15" in out


def test_too_narrow() -> None:
    with pytest.raises(ValueError, match="too short"):
        first_network(fk).summary(line_length=8)
