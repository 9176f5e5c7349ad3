"""The Brier score: scikit-learn's, of two classes and more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fovea import metrics
from fovea.errors import ArgumentError

learn = pytest.importorskip("sklearn.metrics")


def drawn(seed: int, n: int = 60, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.random((n, classes))
    return scores / scores.sum(1, keepdims=True), rng.integers(0, classes, n)


@pytest.mark.parametrize("half", ["auto", True, False])
@pytest.mark.parametrize("cut", [0, 13, 60])
def test_is_scikit_learns(half: Any, cut: int) -> None:
    preds, target = drawn(0)
    expected = learn.brier_score_loss(target, preds, labels=[0, 1, 2], scale_by_half=half)
    metric = metrics.MulticlassBrierScore(3, half)
    for part in (slice(0, cut), slice(cut, None)):
        metric.update(preds[part], target[part])
    assert metric.compute().item() == pytest.approx(expected, abs=1e-6)
    truth = target % 2
    expected = learn.brier_score_loss(truth, preds[:, 0], scale_by_half=half)
    ours = metrics.functional.binary_brier_score(preds[:, 0], truth, half)
    assert ours.item() == pytest.approx(expected, abs=1e-6)
    ours = metrics.functional.brier_score(preds[:, 0], truth, "binary", scale_by_half=half)
    assert ours.item() == pytest.approx(expected, abs=1e-6)


def test_pixels_logits_and_what_does_not_count() -> None:
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(2, 4, 3, 5)) * 3, rng.integers(-1, 4, (2, 3, 5))
    kept = target >= 0
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    flat = np.moveaxis(chances, 1, -1)[kept]
    expected = ((flat - np.eye(4)[target[kept]]) ** 2).sum(1).mean()
    ours = metrics.MulticlassBrierScore(4, ignore_index=-1)(logits, target)
    assert ours.item() == pytest.approx(expected, abs=1e-6)
    metric = metrics.BrierScore(task="multiclass", num_classes=4, ignore_index=-1)
    assert metric(logits, target).item() == pytest.approx(expected, abs=1e-6)
    ours = metrics.BinaryBrierScore(ignore_index=-1)([3.0, -2.0, 9.0], [1, 0, -1])
    chance = 1 / (1 + np.exp([-3.0, 2.0]))
    assert ours.item() == pytest.approx(((chance - [1, 0]) ** 2).mean(), abs=1e-6)


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="scale_by_half"):
        metrics.BinaryBrierScore("half")
    with pytest.raises(ArgumentError, match="task is one of"):
        metrics.BrierScore(task="multilabel", num_classes=2)
    assert np.isnan(metrics.BinaryBrierScore().compute().item())
