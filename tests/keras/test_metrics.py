"""Metrics against Keras's, over several batches, with and without weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk

from .compare import data
from .test_losses import BITS, LABELS, LOGITS, REAL, SCORES, P, one_hot, probabilities

CLASSES = [
    ("Accuracy", LABELS.astype("f"), np.roll(LABELS, 1).astype("f"), {}),
    ("BinaryAccuracy", BITS, SCORES, {"threshold": 0.4}),
    ("CategoricalAccuracy", one_hot(LABELS, 4), P, {}),
    ("SparseCategoricalAccuracy", LABELS, P, {}),
    ("SparseCategoricalAccuracy", LABELS[:, None], P, {}),
    ("TopKCategoricalAccuracy", one_hot(LABELS, 4), P, {"k": 2}),
    ("SparseTopKCategoricalAccuracy", LABELS, P, {"k": 2}),
    ("MeanSquaredError", REAL, REAL[::-1].copy(), {}),
    ("RootMeanSquaredError", REAL, REAL[::-1].copy(), {}),
    ("MeanAbsoluteError", REAL, REAL[::-1].copy(), {}),
    ("MeanAbsolutePercentageError", REAL, REAL[::-1].copy(), {}),
    ("MeanSquaredLogarithmicError", SCORES, SCORES[::-1].copy(), {}),
    ("LogCoshError", REAL, REAL[::-1].copy(), {}),
    ("CosineSimilarity", REAL, REAL[::-1].copy(), {}),
    ("KLDivergence", P, P[::-1].copy(), {}),
    ("Poisson", SCORES, SCORES[::-1].copy(), {}),
    ("Hinge", BITS, REAL, {}),
    ("SquaredHinge", BITS, REAL, {}),
    ("CategoricalHinge", one_hot(LABELS, 4), LOGITS, {}),
    ("BinaryCrossentropy", BITS, SCORES, {}),
    ("CategoricalCrossentropy", one_hot(LABELS, 4), P, {"label_smoothing": 0.1}),
    ("SparseCategoricalCrossentropy", LABELS, P, {}),
    ("Precision", BITS, SCORES, {}),
    ("Precision", BITS, SCORES, {"thresholds": [0.3, 0.7, 0.5]}),
    ("Precision", one_hot(LABELS, 4), P, {"top_k": 2}),
    ("Precision", one_hot(LABELS, 4), P, {"class_id": 1, "thresholds": 0.2}),
    ("Recall", BITS, SCORES, {}),
    ("Recall", BITS, SCORES, {"thresholds": [0.2, 0.8]}),
    ("Recall", one_hot(LABELS, 4), P, {"top_k": 1, "class_id": 2}),
    ("TruePositives", BITS, SCORES, {}),
    ("FalsePositives", BITS, SCORES, {"thresholds": [0.1, 0.6]}),
    ("TrueNegatives", BITS, SCORES, {}),
    ("FalseNegatives", BITS, SCORES, {}),
    ("AUC", BITS, SCORES, {}),
    ("AUC", BITS, SCORES, {"curve": "PR"}),
    ("AUC", BITS, SCORES, {"curve": "PR", "summation_method": "majoring"}),
    ("AUC", BITS, SCORES, {"summation_method": "minoring", "num_thresholds": 20}),
    ("AUC", BITS, REAL, {"from_logits": True}),
    ("AUC", BITS, SCORES, {"thresholds": [0.2, 0.4, 0.9]}),
    ("AUC", BITS, SCORES, {"multi_label": True}),
    ("F1Score", one_hot(LABELS, 4), P, {}),
    ("F1Score", one_hot(LABELS, 4), P, {"average": "weighted"}),
    ("FBetaScore", one_hot(LABELS, 4), P, {"average": "macro", "beta": 2.0, "threshold": 0.3}),
    ("FBetaScore", one_hot(LABELS, 4), P, {"average": "micro"}),
    ("SensitivityAtSpecificity", BITS, SCORES, {"specificity": 0.4}),
    ("SpecificityAtSensitivity", BITS, SCORES, {"sensitivity": 0.6, "num_thresholds": 50}),
    ("PrecisionAtRecall", BITS, SCORES, {"recall": 0.5}),
    ("PrecisionAtRecall", BITS, SCORES, {"recall": 0.5, "num_thresholds": 1}),
    ("RecallAtPrecision", BITS, SCORES, {"precision": 0.6}),
    ("RecallAtPrecision", one_hot(LABELS, 4), P, {"precision": 0.3, "class_id": 1}),
    ("PearsonCorrelation", REAL, REAL[::-1].copy(), {}),
    ("ConcordanceCorrelation", REAL, REAL[::-1].copy(), {"axis": -1}),
    ("R2Score", REAL, REAL * 0.7 + 0.1, {}),
    ("R2Score", REAL, REAL * 0.7 + 0.1, {"class_aggregation": None}),
    ("R2Score", REAL, SCORES, {"class_aggregation": "variance_weighted_average"}),
    ("R2Score", REAL, SCORES, {"num_regressors": 1}),
]
UNWEIGHTED = {"F1Score", "FBetaScore"}
OVERLAP = [
    ("IoU", LABELS, np.roll(LABELS, 1), {"num_classes": 4, "target_class_ids": [0, 2]}),
    ("MeanIoU", LABELS, np.roll(LABELS, 2), {"num_classes": 4}),
    ("MeanIoU", LABELS, np.roll(LABELS, 2), {"num_classes": 4, "ignore_class": 1}),
    ("OneHotMeanIoU", one_hot(LABELS, 4), P, {"num_classes": 4}),
    ("OneHotIoU", one_hot(LABELS, 4), P, {"num_classes": 4, "target_class_ids": [1]}),
    ("BinaryIoU", BITS.astype(int), SCORES, {"threshold": 0.3}),
]
WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0, 1.0, 3.0], np.float32)


def batches(y_true: Any, y_pred: Any, weights: Any = None) -> Any:
    """Uneven batches: a mean of their means would be wrong."""
    for part in (slice(0, 4), slice(4, 5), slice(5, 6)):
        yield y_true[part], y_pred[part], None if weights is None else weights[part]


def number(x: Any) -> Any:
    return np.asarray(x.detach().numpy() if hasattr(x, "detach") else x, dtype=np.float64)


def compare(own: Any, theirs: Any, y_true: Any, y_pred: Any, weights: Any = None) -> None:
    for metric in (own, theirs):
        for t, p, w in batches(y_true, y_pred, weights):
            metric.update_state(t, p, sample_weight=w)
    np.testing.assert_allclose(number(own.result()), number(theirs.result()), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(number(own.value()), number(own.result()), rtol=1e-6)
    own.reset_state()
    theirs.reset_state()
    own.update_state(y_true[:2], y_pred[:2])
    theirs.update_state(y_true[:2], y_pred[:2])
    np.testing.assert_allclose(number(own.result()), number(theirs.result()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CLASSES + OVERLAP)
def test_values(keras: Any, name: str, y_true: Any, y_pred: Any, options: Any) -> None:
    own, theirs = getattr(fk.metrics, name)(**options), getattr(keras.metrics, name)(**options)
    compare(own, theirs, y_true, y_pred)
    if hasattr(theirs, "_direction"):
        assert own.direction == theirs._direction


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CLASSES)
def test_weights(keras: Any, name: str, y_true: Any, y_pred: Any, options: Any) -> None:
    if name in UNWEIGHTED:
        pytest.skip("Keras weighs these differently")
    own, theirs = getattr(fk.metrics, name)(**options), getattr(keras.metrics, name)(**options)
    compare(own, theirs, y_true, y_pred, WEIGHTS)


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CLASSES + OVERLAP)
def test_configurations(keras: Any, name: str, y_true: Any, y_pred: Any, options: Any) -> None:
    own = getattr(fk.metrics, name)(**options)
    twin = fk.metrics.deserialize(fk.metrics.serialize(own))
    assert type(twin) is type(own)
    assert twin.get_config() == own.get_config()
    for metric in (own, twin):
        metric.update_state(y_true, y_pred)
    np.testing.assert_allclose(number(own.result()), number(twin.result()))


def test_names(keras: Any) -> None:
    for which in (fk, keras):
        which.utils.clear_session()
    seen = {keras.metrics.Metric, keras.metrics.MeanMetricWrapper}
    for name in dir(keras.metrics):
        theirs = getattr(keras.metrics, name)
        if not isinstance(theirs, type) or not hasattr(fk.metrics, name) or theirs in seen:
            continue
        seen.add(theirs)  # some have several names
        try:
            expected = theirs()
        except TypeError:
            continue
        assert getattr(fk.metrics, name)().name == expected.name, name


class TestMean:
    def test_weights(self, keras: Any) -> None:
        own, theirs = fk.metrics.Mean(), keras.metrics.Mean()
        for m in (own, theirs):
            m.update_state([1.0, 2.0, 3.0], sample_weight=[1.0, 0.0, 2.0])
            m.update_state(10.0, sample_weight=4.0)
            m.update_state(np.ones((2, 3), "f"), sample_weight=[1.0, 2.0])
            m.update_state(np.full((2, 2), 7, "f"), sample_weight=3.0)
        assert float(own.result()) == pytest.approx(float(theirs.result()), rel=1e-6)

    def test_pending_values_are_settled(self) -> None:
        m = fk.metrics.Mean()
        for i in range(2000):
            m.update_state(fovea.tensor(float(i)), sample_weight=2)
        assert m.value() == pytest.approx(999.5)
        assert len(m._pending) == 0

    def test_keeps_no_tape(self) -> None:
        w = fovea.ones(3, requires_grad=True)
        m = fk.metrics.Mean()
        m.update_state((w * 2).sum())
        assert not m._pending[0][0].requires_grad

    def test_empty(self) -> None:
        assert fk.metrics.Mean().value() == 0.0

    def test_precision(self) -> None:
        """The sum is in float64: a million small values are not lost."""
        m = fk.metrics.Mean()
        m.update_state(1e8)
        for _ in range(100):
            m.update_state(np.full(100, 0.5, np.float32))
        assert m.total == 1e8 + 5000

    def test_sum(self, keras: Any) -> None:
        own, theirs = fk.metrics.Sum(), keras.metrics.Sum()
        for m in (own, theirs):
            m.update_state([1.0, 2.0], sample_weight=[3.0, 1.0])
            m.update_state(np.ones((2, 3), "f"), sample_weight=[1.0, 2.0])
        assert float(own.result()) == float(theirs.result()) == 14.0


def test_custom_metric() -> None:
    class Hits(fk.metrics.Metric):
        def __init__(self, name: str = "hits", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.hits = self.add_weight(name="hits")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.hits.assign_add((y_pred.argmax(-1) == y_true).sum().float())

        def result(self) -> Any:
            return self.hits

    m = Hits()
    m.update_state(fovea.tensor([1, 0]), fovea.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert m.value() == 1.0
    m.reset_state()
    assert m.value() == 0.0 and [v.name for v in m.variables] == ["hits"]


def test_call_returns_the_value() -> None:
    assert float(fk.metrics.SparseCategoricalAccuracy()([1], [[0.2, 0.8]])) == 1.0


def test_labels_of_another_shape() -> None:
    with pytest.raises(ValueError, match="labels' shape"):
        fk.metrics.SparseCategoricalAccuracy().update_state(np.zeros((2, 3)), np.zeros((2, 4)))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        fk.metrics.get("acuracy")


def test_many_samples_auc(keras: Any) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(5000).astype("f")
    labels = (rng.random(5000) < scores).astype("f")
    own, theirs = fk.metrics.AUC(), keras.metrics.AUC()
    for m in (own, theirs):
        m.update_state(labels, scores)
    assert own.value() == pytest.approx(float(theirs.result()), abs=1e-4)


def test_segmentation_accuracy(keras: Any) -> None:
    p, labels = probabilities((2, 5, 4, 3)), np.random.default_rng(1).integers(0, 3, (2, 5, 4))
    own = fk.metrics.SparseCategoricalAccuracy()
    theirs = keras.metrics.SparseCategoricalAccuracy()
    for m in (own, theirs):
        m.update_state(labels, p)
    assert own.value() == pytest.approx(float(theirs.result()))
    assert data((1,)).dtype == np.float32
