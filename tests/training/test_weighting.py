"""Samples and classes that count more than others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.training import balanced_class_weights, lr_find, memory_plan
from fovea.training.trainer import Trainer
from tests.training.test_trainer import X, Y, net, sgd

W = fovea.rand(50) + 0.1


def weighted(size: int = 10) -> list[Any]:
    return [(X[i : i + size], Y[i : i + size], W[i : i + size]) for i in range(0, 50, size)]


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_are_pytorchs(compile: bool, loss: Any, accumulate: int) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    )
    trainer = Trainer(
        net(), loss, sgd, sample_weight=True, compile=compile, metrics=["accuracy"],
        accumulate=accumulate,
    )  # fmt: skip
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy().copy()) for k, v in trainer.model.state_dict().items()}
    )
    trainer.fit(weighted(), validation=weighted(), epochs=2, verbose=0)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)
    for _ in range(2):
        for n, part in enumerate(weighted()):
            x, y, w = (torch.tensor(t.numpy()) for t in part)
            each = torch.nn.functional.cross_entropy(theirs(x), y, reduction="none")
            ((each * w).sum() / w.sum() / accumulate).backward()
            if (n + 1) % accumulate == 0 or n == 4:
                optimizer.step()
                optimizer.zero_grad()
    for name, value in trainer.model.state_dict().items():
        other = theirs.state_dict()[name].numpy()
        np.testing.assert_allclose(value.numpy(), other, 2e-5, 2e-6, err_msg=name)
    out = trainer.predict(weighted())
    np.testing.assert_array_equal(trainer.predict(X, batch_size=10).numpy(), out.numpy())
    accuracy = float((out.argmax(1) == Y).float().mean())
    assert trainer.history.history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_weights_of_classes_are_those_of_the_loss() -> None:
    """Weights by class are what ``CrossEntropyLoss(weight=)`` does."""
    table = balanced_class_weights(Y)
    first = Trainer(net(), nn.CrossEntropyLoss(weight=table), sgd)
    first.fit([(x, y) for x, y, _ in weighted()], epochs=2, verbose=0)
    second = Trainer(net(), nn.CrossEntropyLoss(), sgd, sample_weight=True)
    second.fit([(x, y, table[y]) for x, y, _ in weighted()], epochs=2, verbose=0)
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-5, 1e-6)


def test_losses_a_pixel() -> None:
    model = nn.Conv2d(1, 2, 1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), sgd, sample_weight=True)
    x, y, w = fovea.randn(3, 1, 4, 4), fovea.zeros(3, 4, 4).long(), fovea.tensor([1.0, 0.0, 2.0])
    found = trainer.evaluate([(x, y, w)], verbose=0)["loss"]
    with fovea.no_grad():
        each = F.cross_entropy(model(x), y, reduction="none").mean((1, 2))
    assert found == pytest.approx(float((each[0] + 2 * each[2]) / 3), rel=1e-5)


def test_balanced_weights() -> None:
    utils = pytest.importorskip("sklearn.utils.class_weight")
    y = np.random.default_rng(0).choice(4, 100, p=[0.5, 0.3, 0.15, 0.05])
    expected = utils.compute_class_weight("balanced", classes=np.arange(4), y=y)
    np.testing.assert_allclose(balanced_class_weights(fovea.tensor(y)).numpy(), expected, 1e-6)
    assert balanced_class_weights([0, 2], 4).tolist() == [1.0, 0.0, 1.0, 0.0]
    for bad in ([], [0.5], [-1]):
        with pytest.raises(ArgumentError, match="whole numbers"):
            balanced_class_weights(bad)
    with pytest.raises(ArgumentError, match="class 2 of 2"):
        balanced_class_weights([0, 2], 2)


def test_searches_know_weights() -> None:
    trainer = Trainer(net(), nn.CrossEntropyLoss(), sgd, sample_weight=True)
    assert lr_find(trainer, weighted(), steps=5).losses
    plan = memory_plan(trainer, weighted()[0], 64)
    assert plan.batch == 64 * (4 * 4 + 8 + 4)


def test_mistakes() -> None:
    trainer = Trainer(net(), nn.CrossEntropyLoss(), sgd, sample_weight=True)
    with pytest.raises(ArgumentError, match="no sample weights"):
        trainer.fit([(X, Y)], verbose=0)
    with pytest.raises(ShapeError, match="one a sample"):
        trainer.fit([(X, Y, W[:7])], verbose=0)
