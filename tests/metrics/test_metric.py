"""What all metrics share: states that merge, copies, collections, and fit loops."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fovea
from fovea import metrics, nn
from fovea.errors import ArgumentError, ShapeError

MAKERS: dict[str, Any] = {
    "accuracy": lambda: metrics.MulticlassAccuracy(3, average="weighted"),
    "samplewise": lambda: metrics.MulticlassRecall(3, multidim_average="samplewise"),
    "matrix": lambda: metrics.MulticlassConfusionMatrix(3, normalize="true"),
    "area": lambda: metrics.MulticlassAUROC(3),
    "binned": lambda: metrics.MulticlassAveragePrecision(3, thresholds=5),
    "calibration": lambda: metrics.MulticlassCalibrationError(3),
    "match": lambda: metrics.MulticlassExactMatch(3),
    "brier": lambda: metrics.MulticlassBrierScore(3),
}


def drawn(seed: int, n: int = 8) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.random((n, 3, 2))
    return scores / scores.sum(1, keepdims=True), rng.integers(0, 3, (n, 2))


@pytest.mark.parametrize("name", MAKERS)
def test_however_it_is_cut(name: str) -> None:
    preds, target = drawn(0, 12)
    whole = MAKERS[name]()
    whole.update(preds, target)

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(0, 12), max_size=4))
    def cut(places: list[int]) -> None:
        parts = []
        for low, high in zip([0, *sorted(places)], [*sorted(places), 12], strict=True):
            part = MAKERS[name]()
            part.update(preds[low:high], target[low:high])
            parts.append(part)
        first, *others = parts
        for other in others:
            first.merge_state(other)
        np.testing.assert_allclose(first.compute().numpy(), whole.compute().numpy(), atol=1e-6)
        assert first.update_count == len(parts)

    cut()


@pytest.mark.parametrize("name", MAKERS)
def test_copies(name: str) -> None:
    metric = MAKERS[name]()
    metric.update(*drawn(1))
    file = io.BytesIO()
    fovea.save(metric.state_dict(), file)
    file.seek(0)
    read = MAKERS[name]()
    read.load_state_dict(fovea.load(file))
    pickled = pickle.loads(pickle.dumps(metric))
    for other in (read, pickled, metric.clone()):
        assert other.compute().tolist() == metric.compute().tolist()
        other.update(*drawn(2))
    metric.update(*drawn(2))
    assert read.compute().tolist() == metric.compute().tolist()
    metric.reset()
    assert not metric.update_called
    metric.update(*drawn(2))
    fresh = MAKERS[name]()
    fresh.update(*drawn(2))
    assert metric.compute().tolist() == fresh.compute().tolist()


def test_a_batch_that_fails_changes_nothing() -> None:
    metric = metrics.MulticlassAccuracy(3)
    metric.update([0, 1], [0, 1])
    with pytest.raises(ShapeError):
        metric([0, 1], [0])
    assert metric.compute().item() == 1
    assert metric.update_count == 1


def test_states_that_do_not_fit() -> None:
    metric = metrics.MulticlassConfusionMatrix(3)
    with pytest.raises(ArgumentError, match="cannot take in"):
        metric.merge_state(metrics.MulticlassAccuracy(3))
    with pytest.raises(ArgumentError, match="lacks 'confmat'"):
        metric.merge_state({})
    with pytest.raises(ArgumentError, match="lacks 'confmat'"):
        metric.load_state_dict({})
    with pytest.raises(ShapeError, match="is of shape"):
        metric.load_state_dict({"confmat": fovea.zeros(2, 2)})
    metric.persistent(False)
    assert "confmat" not in metric.state_dict()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("sum", 9.0), ("mean", 3.0), ("max", 5.0), ("min", 1.0)]
)
def test_states_of_tensors(reduction: str, expected: float) -> None:
    class Last(metrics.Metric):
        def __init__(self) -> None:
            super().__init__()
            self.add_state("seen", fovea.tensor(0.0), reduction)

        def update(self, x: Any) -> None:
            self.seen = fovea.tensor(float(x))

        def compute(self) -> Any:
            return self.seen

    parts = [Last() for _ in range(3)]
    for part, value in zip(parts, (1, 5, 3), strict=True):
        part.update(value)
    parts[0].merge_state(parts[1])
    parts[0].merge_state(parts[2])
    assert parts[0].compute().item() == expected


def test_what_is_given() -> None:
    torch = pytest.importorskip("torch")
    preds, target = drawn(3)
    expected = metrics.MulticlassAccuracy(3)(preds, target).item()
    given = [
        (fovea.tensor(preds, requires_grad=True), fovea.tensor(target)),
        (torch.tensor(preds, requires_grad=True), torch.tensor(target)),
        (fovea.tensor(preds).bfloat16(), fovea.tensor(target)),
        (preds.tolist(), target.tolist()),
    ]
    for p, t in given:
        assert metrics.MulticlassAccuracy(3)(p, t).item() == pytest.approx(expected, abs=0.05)


def test_collection() -> None:
    made = metrics.MetricCollection(
        {"top1": metrics.MulticlassAccuracy(3), "table": metrics.MulticlassConfusionMatrix(3)},
        prefix="val_",
    )
    batch = made(*drawn(4))
    assert set(batch) == {"val_top1", "val_table"} == set(made)
    other = made.clone(prefix="test_")
    made.update(*drawn(5))
    assert set(other.compute()) == {"test_top1", "test_table"}
    other.reset()
    other.update(*drawn(5))
    whole = metrics.MulticlassConfusionMatrix(3)
    whole.update(*drawn(4))
    whole.update(*drawn(5))
    assert made["val_table"].compute().tolist() == whole.compute().tolist()
    read = made.clone()
    read.reset()
    read.load_state_dict(made.state_dict())
    assert read["top1"].compute().item() == made["top1"].compute().item()
    with pytest.raises(ArgumentError, match="two metrics"):
        metrics.MetricCollection([metrics.BinaryAccuracy(), metrics.BinaryAccuracy()])


def test_in_a_trainer_and_in_fit() -> None:
    x, y = fovea.randn(10, 4), fovea.randint(0, 3, (10,))
    model = nn.Linear(4, 3)
    accuracy = metrics.Accuracy(task="multiclass", num_classes=3, name="found")
    trainer = fovea.Trainer(
        model,
        nn.CrossEntropyLoss(),
        lambda p: fovea.optim.SGD(p, lr=0.0),
        metrics=[accuracy, metrics.MulticlassConfusionMatrix(3)],
    )
    logs = trainer.fit((x, y), epochs=1, batch_size=4, verbose=0).history
    right = (model(x).argmax(1) == y).float().mean().item()
    assert logs["found"][0] == pytest.approx(right)  # of 10 samples, however they were batched
    both = metrics.MetricCollection({"a": accuracy, "b": metrics.MulticlassRecall(3)})
    trainer = fovea.Trainer(
        model, nn.CrossEntropyLoss(), lambda p: fovea.optim.SGD(p, lr=0.0), metrics=both
    )
    assert trainer.evaluate((x, y), batch_size=4, verbose=0)["a"] == pytest.approx(right)

    keras, accuracy = fovea.keras, metrics.MulticlassAccuracy(3, average="micro", name="found")
    network = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    network.compile("sgd", "sparse_categorical_crossentropy", metrics=[accuracy])
    found = network.evaluate(x.numpy(), y.numpy(), batch_size=4, verbose=0, return_dict=True)
    scores = network.predict(x.numpy(), verbose=0)
    assert found["found"] == pytest.approx((scores.argmax(1) == y.numpy()).mean(), abs=1e-6)
