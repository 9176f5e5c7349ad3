"""k-fold cross-validation, and predictions from several views."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.training import EarlyStopping, folds, kfold, predict_views
from fovea.training.trainer import Trainer
from tests.training.test_trainer import X, Y, batches, make


def check_partition(found: Any, count: int) -> None:
    assert sorted(itertools.chain.from_iterable(held for _, held in found)) == list(range(count))
    for rest, held in found:
        assert sorted([*rest, *held]) == list(range(count)) and held


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_strata(k: int, seed: int) -> None:
    labels = np.random.default_rng(seed).choice(4, 60, p=[0.6, 0.25, 0.1, 0.05]).tolist()
    found = folds(60, k, labels=labels, seed=seed)
    check_partition(found, 60)
    sizes = [len(held) for _, held in found]
    assert max(sizes) - min(sizes) <= 1
    for c in set(labels):
        counts = [sum(labels[i] == c for i in held) for _, held in found]
        assert max(counts) - min(counts) <= 1
    assert found == folds(60, k, labels=labels, seed=seed)
    assert found != folds(60, k, labels=labels, seed=seed + 5)


@pytest.mark.parametrize("stratified", [True, False])
def test_groups_stay_whole(stratified: bool) -> None:
    draw = np.random.default_rng(0)
    groups = draw.integers(0, 30, 300).tolist()
    label_of = draw.choice(3, 30, p=[0.6, 0.3, 0.1])
    labels = [label_of[g] for g in groups]
    found = folds(300, 4, labels=labels if stratified else None, groups=groups)
    check_partition(found, 300)
    for rest, held in found:
        assert not {groups[i] for i in rest} & {groups[i] for i in held}
        assert 300 / 4 * 0.7 < len(held) < 300 / 4 * 1.3
        if stratified:
            assert set(Counter(labels[i] for i in held)) >= {0, 1}


def test_training() -> None:
    made: list[Trainer] = []

    def trainer() -> Trainer:
        made.append(make(metrics=["accuracy"]))
        return made[-1]

    found = kfold(
        trainer, (X, Y), 3, epochs=4, batch_size=10, verbose=0,
        callbacks=lambda: [EarlyStopping("val_loss", patience=9)],
    )  # fmt: skip
    assert found.trainers == made and len(found.histories) == len(found.splits) == 3
    for one, (_, held), score in zip(made, found.splits, found.scores, strict=True):
        again = one.evaluate((X[held], Y[held]), batch_size=10, verbose=0)
        assert score == pytest.approx(again)
        assert score["loss"] == pytest.approx(one.history.history["val_loss"][-1])
    values = [s["accuracy"] for s in found.scores]
    assert found.mean("accuracy") == pytest.approx(np.mean(values))
    assert found.std("accuracy") == pytest.approx(np.std(values, ddof=1))
    assert "accuracy: " in str(found) and "±" in str(found)
    with pytest.raises(ArgumentError, match="no classes"):
        kfold(trainer, (X, X), 3)


@pytest.mark.parametrize("k", [0, 1, 7])
def test_mistakes(k: int) -> None:
    with pytest.raises(ArgumentError, match="folds"):
        folds(6, k)
    with pytest.raises(ArgumentError, match="2 groups"):
        folds(6, 3, groups="aaabbb")
    with pytest.raises(ArgumentError, match="3 labels for 6"):
        folds(6, 2, labels="abc")


@pytest.mark.parametrize("merge", ["mean", "gmean", "max"])
def test_views(merge: str) -> None:
    fovea.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    )
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    x, y = fovea.randn(7, 1, 5, 6), fovea.zeros(7).long()
    names = ("same", "hflip", "vflip", "rot90", "rot180", "rot270", lambda x: x * 2)
    found = predict_views(trainer, (x, y), names, merge=merge, batch_size=3)
    n = x.numpy()
    turned = [
        n, n[..., ::-1], n[..., ::-1, :], np.rot90(n, 1, (2, 3)), n[..., ::-1, ::-1],
        np.rot90(n, 3, (2, 3)), n * 2,
    ]  # fmt: skip
    with fovea.no_grad():
        each = np.stack([model(fovea.tensor(t.copy())).softmax(1).numpy() for t in turned])
    expected = {
        "mean": each.mean(0), "gmean": np.exp(np.log(each).mean(0)), "max": each.max(0)
    }[merge]  # fmt: skip
    np.testing.assert_allclose(found.numpy(), expected, 1e-5, 1e-6)
    raw = predict_views(trainer, x, ["same"], logits=False)
    np.testing.assert_allclose(raw.numpy(), trainer.predict(x).numpy(), 1e-5, 1e-6)


def test_mistaken_views() -> None:
    with pytest.raises(ArgumentError, match="unknown views"):
        predict_views(make(), batches(), ["upside-down"])
    with pytest.raises(ArgumentError, match="unknown merge"):
        predict_views(make(), batches(), merge="median")
    with pytest.raises(ArgumentError, match="no tensor"):
        model = nn.Identity()
        other = Trainer(model, nn.MSELoss(), optim.SGD([fovea.nn.Parameter(fovea.ones(1))], lr=0.1))
        predict_views(other, fovea.ones(2, 1, 2, 2))
