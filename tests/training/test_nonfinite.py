"""``LocateNaN``: the op, the layer, the sample, the step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.finite import NonFiniteError
from fovea.training import LocateNaN
from fovea.training.trainer import Trainer
from tests.training.test_resuming import loader, same, trainer_of


class Root(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.sqrt()


def trainer(**options: Any) -> Trainer:
    fovea.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Sequential(nn.Identity(), Root()))
    with fovea.no_grad():
        model[0].weight.copy_(fovea.eye(2))
    return Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.001), **options)


def data(bad: int, value: float) -> tuple[Any, Any]:
    x = fovea.ones(12, 2)
    x[bad, 1] = value
    return x, fovea.ones(12, 2)


def batches(bad: int, value: float) -> list[Any]:
    x, y = data(bad, value)
    return [(x[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4)]


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_forward_pass(tmp_path: Path, compile: bool, accumulate: int) -> None:
    run = trainer(compile=compile, accumulate=accumulate)
    before: dict[str, Any] = {}

    class Watch(LocateNaN):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_begin(batch, logs)
            before[str(batch)] = run.model[0].weight.detach().numpy().copy()

    with pytest.raises(NonFiniteError, match="^sqrt: the result is NaN in 1 of 8") as caught:
        run.fit(
            batches(6, -3.0), epochs=2, callbacks=Watch(tmp_path / "nan.pt"), verbose=0,
        )  # fmt: skip
    text = str(caught.value)
    assert re.search(r"at +1\.1 \(test_nonfinite\.py:\d+\)", text), text
    assert caught.value.details["sample"] == "2"
    assert caught.value.details["step"] == "2 of epoch 1"
    written = fovea.load(tmp_path / "nan.pt")
    np.testing.assert_array_equal(written["batch"][0].numpy(), data(6, -3.0)[0][4:8].numpy())
    for held in (run.model[0].weight.detach(), written["model"]["0.weight"]):
        np.testing.assert_array_equal(held.numpy(), before["1"])


def test_a_gradient() -> None:
    """The loss of the step is finite; the gradient of a root at 0 is not."""
    with pytest.raises(NonFiniteError) as caught:
        trainer().fit(batches(9, 0.0), epochs=2, callbacks=LocateNaN(), verbose=0)
    assert "sqrt" in str(caught.value) and caught.value.details["step"] == "3 of epoch 1"


def test_data_and_weights() -> None:
    with pytest.raises(NonFiniteError, match="x holds NaN already") as caught:
        trainer().fit(batches(1, float("nan")), callbacks=LocateNaN(), verbose=0)
    assert "NaN at (1, 1)" in str(caught.value)
    run = trainer()
    with fovea.no_grad():
        run.model[0].weight.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="weight holds NaN already"):
        run.fit(batches(0, 1.0), callbacks=LocateNaN(), verbose=0)


def test_it_changes_nothing() -> None:
    plain = trainer_of()
    plain.fit(loader(), validation=loader(), epochs=2, verbose=0)
    watched = trainer_of()
    watched.fit(loader(), validation=loader(), epochs=2, callbacks=LocateNaN(), verbose=0)
    same(plain, watched)


def test_one_for_several_models() -> None:
    watch = LocateNaN()
    for width in (1, 2):
        model = fovea.nn.Linear(2, width)
        run = Trainer(model, fovea.nn.MSELoss(), fovea.optim.SGD(model.parameters(), lr=0.1))
        run.fit((fovea.ones(4, 2), fovea.ones(4, width)), callbacks=watch, verbose=0)
    assert watch._before[0].shape == (2, 2)


def test_what_it_watches() -> None:
    from fovea import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match=r"fovea\.Trainer"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), callbacks=[LocateNaN()], verbose=0)
