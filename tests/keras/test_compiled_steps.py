"""`fit` runs its training steps as programs, unless it is told not to; the losses are the same."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.keras import layers, metrics, models


def fitted(**how: Any) -> tuple[Any, list[float]]:
    fovea.manual_seed(1)
    model = models.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", **how)
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 6, 6, 1)).astype(np.float32), rng.integers(0, 3, 40)
    return model, model.fit(x, y, epochs=3, batch_size=10, shuffle=False, verbose=0).history["loss"]


def test_steps_are_programs() -> None:
    model, _ = fitted()
    assert len(model._learn_program.programs) == 1


@pytest.mark.parametrize("how", [{"jit_compile": False}, {"run_eagerly": True}])
def test_they_are_not(how: dict[str, Any]) -> None:
    _, expected = fitted()
    model, losses = fitted(**how)
    assert model._learn_program is None
    assert np.allclose(losses, expected, rtol=1e-5)


def test_models_compile_by_themselves() -> None:
    """A softmax's output carries its logits along for the loss; that is no result left behind."""
    model = models.Sequential([layers.Input((4,)), layers.Dense(3, activation="softmax")])
    compiled = fovea.compile(model, strict=True)
    x = fovea.randn(5, 4)
    for _ in range(3):
        np.testing.assert_allclose(
            compiled(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-6
        )
    assert compiled.programs


def test_batches_of_other_sizes_run_no_more_python() -> None:
    """Batch normalization, dropout, a mean over the batch; sizes that were never captured."""
    sizes = (8, 8, 8, 5, 8, 9, 7, 3, 8, 2, 12, 9)

    class Counts(layers.Layer):
        def call(self, x: Any) -> Any:
            next(runs)  # a number of our own would be guarded
            return x

    def train(compiled: bool) -> list[float]:
        fovea.manual_seed(0)
        parts = [layers.Input((6,)), layers.Dense(8, activation="relu"), Counts()]
        parts += [layers.BatchNormalization(), layers.Dropout(0.0), layers.Dense(3)]
        model = models.Sequential(parts)
        model.compile("sgd", "mse", jit_compile=compiled)
        rng = np.random.default_rng(0)
        batches = [(rng.normal(size=(n, 6)), rng.normal(size=(n, 3))) for n in sizes]
        return model.fit(iter(batches), epochs=1, steps_per_epoch=12, verbose=0).history["loss"]

    runs = itertools.count()
    eager = train(False)
    assert next(runs) >= len(sizes)
    runs = itertools.count()
    np.testing.assert_allclose(train(True), eager, rtol=1e-4)
    # building the model, what makes the optimizer's states, what finds them, and two captures
    assert next(runs) <= 5


class Tracking(models.Model):
    """A model whose step tells means of its own: tensors, numbers, and one that it reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.twice, self.number = metrics.Mean(name="twice"), metrics.Mean(name="number")

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        loss = super().compute_loss(x, y, y_pred)
        self.twice.update_state(loss * 2, sample_weight=float(x.shape[0]))
        self.number.update_state(3.0)
        return loss


def test_means_within_steps_of_several_outputs() -> None:
    """They do not keep the step from being a program, and sizes of batches may differ."""
    x = np.random.default_rng(0).random((44, 4)).astype(np.float32)
    found = []
    for how in ({}, {"run_eagerly": True}):
        fovea.manual_seed(1)
        i = layers.Input((4,))
        model = Tracking(i, [layers.Dense(1, name="a")(i), layers.Dense(2, name="b")(i)])
        model.compile("sgd", "mse", **how)
        y = [x[:, :1], x[:, 1:3]]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.append(model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0).history)
        if not how:
            assert model._learn_program.programs
            assert not any(e.eager for e in model._learn_program._entries.values())
    assert list(found[0]) == ["a_loss", "b_loss", "loss", "number", "twice"]
    for key, values in found[0].items():
        np.testing.assert_allclose(values, found[1][key], rtol=1e-5)
    np.testing.assert_allclose(np.array(found[0]["loss"]) * 2, found[0]["twice"], rtol=1e-5)
    assert found[0]["number"] == [3.0] * 4


def test_means_that_are_read_within_a_step() -> None:
    """Values are those that an eager step would see."""

    class Reading(Tracking):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            self.seen.append(float(self.twice.result()))
            self.number.reset_state()
            self.number.update_state(5.0)
            return loss

    i = layers.Input((4,))
    model = Reading(i, layers.Dense(1)(i))
    model.__dict__["seen"] = []
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((4, 4), np.float32)
    h = model.fit(x, x[:, :1], batch_size=2, verbose=0).history
    assert h["number"] == [5.0] and model.seen[-1] == pytest.approx(h["twice"][0])
    assert model.seen[0] > 0


def test_a_program_serves_further_runs() -> None:
    """Until another optimizer, other weights that are learned, or ``compile``."""

    def model_of(reset: bool) -> tuple[Any, list[float]]:
        fovea.manual_seed(1)
        model = models.Sequential(
            [layers.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        losses = []
        x = np.random.default_rng(0).random((16, 4)).astype(np.float32)
        for run in range(6):
            if run == 3:
                model.layers[0].trainable = False
            if run == 5:
                model.run_eagerly = True
            if reset:
                model.__dict__["_learn_program"] = None
            losses += model.fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0).history["loss"]
            programs.append(model._learn_program)
            if programs[-1] is not None:
                assert len(programs[-1].programs) == 1  # captured once
        return model, losses

    programs: list[Any] = []
    _, found = model_of(False)
    assert programs[0] is programs[1] is programs[2]
    assert programs[3] is programs[4] is not programs[2]
    assert programs[5] is None
    _, want = model_of(True)
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_single_batches_are_programs_too() -> None:
    """Unless what is learned changes from one to the next all the time."""

    def run(**how: Any) -> tuple[Any, list[float]]:
        fovea.manual_seed(1)
        model = models.Sequential(
            [layers.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(1)]
        )
        model.compile("adam", "mse", **how)
        x = np.random.default_rng(0).random((8, 4)).astype(np.float32)
        losses = [model.train_on_batch(x, x[:, :1]) for _ in range(5)]
        made.append(model._learn_program)
        for _ in range(8):
            for frozen in (True, False):
                model.layers[0].trainable = not frozen
                losses.append(model.train_on_batch(x, x[:, :1]))
        made.append(model._learn_program)
        return model, losses

    made: list[Any] = []
    _, found = run()
    assert len(made[0].programs) == 1 and made[1] is None
    _, want = run(run_eagerly=True)
    assert made[2] is None
    np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lamb", "adafactor"])
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_of_trained_models_go_on(how: str, optimizer: str) -> None:
    """Each by itself, with the optimizer's state."""
    fovea.manual_seed(1)
    model = models.Sequential(
        [layers.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(1)]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    x = np.random.default_rng(0).random((16, 4)).astype(np.float32)
    options: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0, "epochs": 2}
    model.fit(x, x[:, :1], **options)
    twin = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    found = twin.fit(x, x[:, :1], **options).history
    want = model.fit(x, x[:, :1], **options).history
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
    assert twin.optimizer is not model.optimizer


def test_a_loss_without_compile() -> None:
    """That of layers and regularizers."""
    model = models.Sequential(
        [layers.Input((3,)), layers.Dense(1, kernel_initializer="ones", kernel_regularizer="l2")]
    )
    found = model.compute_loss(y=np.ones((2, 1)), y_pred=model(np.ones((2, 3))))
    assert float(found) == pytest.approx(0.03)
