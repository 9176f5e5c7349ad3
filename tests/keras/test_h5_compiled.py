"""How models in ``.h5`` files of Keras 2 were compiled: optimizers, losses and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk

from .h5_files import dense, dense_model, functional, random_weights, source, write

pytest.importorskip("h5py")


def test_optimizers_of_keras_2(tmp_path: Path) -> None:
    """Their states came as one list a kind."""
    names = ["m", "v"]
    shapes = [(3, 2), (2,), (2, 2), (2,)]
    layers = [source(3), *dense_model(2, "a", "b")]
    stored = {"input_1": [], "a": dense("a", 3, 2, seed=0), "b": dense("b", 2, 2, seed=1)}
    values = {n: random_weights(*shapes, seed=i) for i, n in enumerate(names)}
    states = [("Adam/iter:0", np.int64(7))]
    states += [(f"Adam/x{i}/{n}:0", v) for n in names for i, v in enumerate(values[n])]
    config = {
        "name": "Adam",
        "learning_rate": 0.01,
        "decay": 0.1,
        "epsilon": 1e-7,
        "amsgrad": False,
    }
    mean = {"name": "accuracy", "dtype": "float32", "fn": "binary_accuracy"}
    training = {
        "loss": {"class_name": "BinaryCrossentropy", "config": {"reduction": "auto", "name": "b", "from_logits": True, "label_smoothing": 0}},
        "metrics": [[{"class_name": "MeanMetricWrapper", "config": mean}]],
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": {"class_name": "Adam", "config": config},
    }  # fmt: skip
    write(tmp_path / "m.h5", stored, functional(layers, ["input_1"], ["b"]), "2.4.0",
          training=training, optimizer=states)  # fmt: skip
    model = fk.models.load_model(tmp_path / "m.h5")
    assert int(model.optimizer.iterations) == 7
    held = [v._array() for v in model.optimizer.variables if v.ndim]
    wanted = [values[n][i] for i in range(4) for n in names]
    for own, value in zip(held, wanted, strict=True):
        np.testing.assert_array_equal(own, value)
    assert model.loss.from_logits
    assert abs(float(model.optimizer.learning_rate) - 0.01 / 1.7) < 1e-6


def test_a_loss_that_is_not_known(tmp_path: Path) -> None:
    layers = [source(3), *dense_model(2, "a")]
    training = {
        "loss": "my_loss",
        "metrics": [],
        "optimizer_config": {"class_name": "SGD", "config": {"lr": 0.1}},
    }
    config = functional(layers, ["input_1"], ["a"])
    path = write(tmp_path / "m.h5", {"a": dense("a", 3, 2, seed=0)}, config, training=training)
    with pytest.warns(UserWarning, match="not compiled .*my_loss"):
        assert not fk.models.load_model(path).compiled

    def my_loss(y_true: Any, y_pred: Any) -> Any:
        return (y_true - y_pred).abs().mean(-1)

    assert fk.models.load_model(path, custom_objects={"my_loss": my_loss}).compiled


def test_several_outputs(tmp_path: Path) -> None:
    """Losses, weights and metrics by output; states of the optimizers of Keras 2.11."""
    layers = [source(3), *dense_model(2, "a"), *dense_model(1, "b")]
    rate = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9, "staircase": False}
    config = {
        "name": "Adam",
        "is_legacy_optimizer": False,
        "jit_compile": False,
        "weight_decay": None,
    }
    config["learning_rate"] = {"class_name": "ExponentialDecay", "config": rate}
    training = {
        "loss": {"a": "categorical_crossentropy", "b": "mse"},
        "metrics": {"a": ["accuracy"], "b": ["mae"]},
        "loss_weights": {"a": 1.0, "b": 0.5},
        "optimizer_config": {"class_name": "Custom>Adam", "config": config},
    }
    stored = {"a": dense("a", 3, 2, seed=0), "b": dense("b", 3, 1, seed=1)}
    states = [("iteration:0", np.int64(5)), ("learning_rate:0", np.float32(0.1))]
    for i, (name, value) in enumerate([*stored["a"], *stored["b"]]):
        states += [
            (f"Adam/m/{name}", np.full_like(value, i)),
            (f"Adam/v/{name}", np.full_like(value, -i)),
        ]
    config = functional(layers, ["input_1"], ["a", "b"])
    path = write(tmp_path / "m.h5", stored, config, "2.11.0", training=training, optimizer=states)
    model = fk.models.load_model(path)
    targets = [np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)]
    found = model.evaluate(np.ones((2, 3)), targets, verbose=0, return_dict=True)
    assert set(found) == {"a_accuracy", "a_loss", "b_loss", "b_mae", "loss"}
    assert abs(found["loss"] - found["a_loss"] - 0.5 * found["b_loss"]) < 1e-5
    assert int(model.optimizer.iterations) == 5
    held = [float(v._array().flat[0]) for v in model.optimizer.variables if v.ndim]
    assert held == [0, 0, 1, -1, 2, -2, 3, -3]
