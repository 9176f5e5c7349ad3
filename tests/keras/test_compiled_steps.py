"""`fit` runs its training steps as programs, unless it is told not to; the losses are the same."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.keras import layers, models


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
