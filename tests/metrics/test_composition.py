"""Metrics of metrics, and their pictures."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from fovea import metrics
from fovea.errors import ArgumentError

PREDS, TARGET = [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]


def test_values() -> None:
    precision, recall = metrics.BinaryPrecision(), metrics.BinaryRecall()
    mean, missed, f1 = (precision + recall) / 2, 1 - metrics.BinaryRecall(), metrics.BinaryF1Score()
    harmonic = 2 * precision * recall / (precision + recall)
    for metric in (missed, f1, harmonic):
        metric.update(PREDS, TARGET)
    assert harmonic.compute().item() == pytest.approx(f1.compute().item())
    assert mean.compute().item() == pytest.approx((2 / 3 + 1) / 2)
    assert missed.compute().item() == 0
    assert (-(abs(recall - 2) ** 2)).compute().item() == -1
    row = metrics.MulticlassRecall(2, average=None)[0]
    assert row(PREDS, TARGET).item() == pytest.approx(2 / 3)


def test_states() -> None:
    first, second, whole = (metrics.BinaryAccuracy() - metrics.BinaryRecall() for _ in range(3))
    for metric in (first, whole):
        metric.update(PREDS, TARGET)
    for metric in (second, whole):
        metric.update([0, 0], [1, 0])
    first.merge_state(second)
    assert first.compute().item() == whole.compute().item()
    assert first.update_count == 2
    read = metrics.BinaryAccuracy() - metrics.BinaryRecall()
    read.load_state_dict(first.state_dict())
    assert read.compute().item() == whole.compute().item()
    assert pickle.loads(pickle.dumps(first)).compute().item() == whole.compute().item()
    read.reset()
    assert not read.update_called
    assert read.compute().item() == 0
    with pytest.raises(ArgumentError, match="composed in the same way"):
        first.merge_state(metrics.BinaryAccuracy())


def test_one_part_twice() -> None:
    accuracy = metrics.BinaryAccuracy()
    (accuracy + accuracy).update(PREDS, TARGET)
    assert accuracy.update_count == 1


def drawn(metric: Any, *args: Any) -> Any:
    pytest.importorskip("matplotlib")
    metric.update(np.random.default_rng(0).random((20, 3)), np.arange(20) % 3)
    return metric.plot(*args)[1]


def test_pictures() -> None:
    axis = drawn(metrics.MulticlassConfusionMatrix(3))
    assert axis.get_xlabel() == "predicted"
    assert len(drawn(metrics.MulticlassConfusionMatrix(3, normalize="true")).images) == 1
    metric = metrics.MulticlassROC(3)
    axis = drawn(metric)
    assert axis.get_ylabel() == "true positive rate"
    fpr, tpr, _ = metric.compute()
    assert [len(line.get_xdata()) for line in axis.get_lines()] == [len(f) for f in fpr]
    assert axis.get_lines()[1].get_ydata().tolist() == tpr[1].tolist()
    axis = drawn(metrics.MulticlassPrecisionRecallCurve(3, average="micro"))
    assert (axis.get_xlabel(), len(axis.get_lines())) == ("recall", 1)
    accuracy = metrics.MulticlassAccuracy(3, average=None)
    axis = drawn(accuracy)
    assert axis.get_lines()[0].get_ydata().tolist() == accuracy.compute().tolist()
    axis = drawn(metrics.MulticlassAccuracy(3), [0.1, 0.5, 0.7])
    assert axis.get_lines()[0].get_ydata().tolist() == [0.1, 0.5, 0.7]
    again = drawn(metrics.MulticlassAccuracy(3), [0.2], axis)
    assert again is axis
    assert len(axis.get_lines()) == 2
    with pytest.raises(ArgumentError, match="cannot be drawn"):
        drawn(metrics.MulticlassAccuracy(3), np.zeros((2, 3)))
