"""Metrics of classification: torchmetrics' values, batch by batch and merged."""

from __future__ import annotations

import inspect
import itertools
import re
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import metrics
from fovea.errors import ArgumentError, LabelError, ShapeError
from tests.metrics.conftest import batches_agree, same

torch = pytest.importorskip("torch")
C = 5
COUNTED = [
    "StatScores",
    "Accuracy",
    "HammingDistance",
    "Precision",
    "Recall",
    "Specificity",
    "NegativePredictiveValue",
    "F1Score",
    "FBetaScore",
]


def binary(seed: int, shape: tuple[int, ...], kind: str, ignore: int | None) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        preds = rng.random(shape, np.float32).round(1)  # ties
        if kind == "logits":
            preds = ((rng.random(shape) - 0.5) * 6).astype(
                np.float32
            )  # PyTorch's sigmoid parts ties
        if kind == "labels":
            preds = rng.integers(0, 2, shape)
        target = rng.integers(0, 2, shape)
        if ignore is not None:
            target[rng.random(shape) < 0.2] = ignore
        yield preds, target


def classes(seed: int, shape: tuple[int, ...], kind: str, ignore: int | None) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        target = rng.integers(0, C - 1, shape)  # the last class never is true
        if ignore is not None:
            target[rng.random(shape) < 0.2] = ignore
        if kind == "labels":
            yield rng.integers(0, C - 1, shape), target
            continue
        preds = rng.random((shape[0], C, *shape[1:]), np.float32)
        yield (
            (preds / preds.sum(1, keepdims=True) if kind == "probabilities" else preds * 4),
            target,
        )


def pair(torchmetrics: Any, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    theirs = getattr(torchmetrics.classification, name)(*args, **kwargs)
    return getattr(metrics, name)(*args, **kwargs), theirs


def beta(name: str) -> tuple[float, ...]:
    return (0.5,) if name == "FBetaScore" else ()


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("spread", ["global", "samplewise"])
@pytest.mark.parametrize("ignore", [None, -1, 0])
def test_binary_counts(torchmetrics: Any, name: str, spread: str, ignore: int | None) -> None:
    for kind in ("probabilities", "logits", "labels"):
        kwargs = {"multidim_average": spread, "ignore_index": ignore}
        ours, theirs = pair(torchmetrics, f"Binary{name}", *beta(name), **kwargs)
        batches_agree(ours, theirs, binary(1, (6, 3, 2), kind, ignore))


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("spread", ["global", "samplewise"])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_multiclass_counts(torchmetrics: Any, name: str, spread: str, average: Any) -> None:
    for kind, top_k, ignore in [
        ("probabilities", 1, None),
        ("logits", 2, None),
        ("labels", 1, -1),
        ("probabilities", 1, 1),
        ("probabilities", 2, 1),
    ]:
        kwargs = {"average": average, "multidim_average": spread, "ignore_index": ignore}
        ours, theirs = pair(torchmetrics, f"Multiclass{name}", *beta(name), C, top_k, **kwargs)
        batches_agree(ours, theirs, classes(2, (7, 4), kind, ignore))


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("spread", ["global", "samplewise"])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_multilabel_counts(torchmetrics: Any, name: str, spread: str, average: Any) -> None:
    if (name, spread, average) == ("StatScores", "samplewise", "weighted"):
        pytest.skip("torchmetrics divides by the support of all samples, not by a sample's")
    for kind, ignore in [("probabilities", None), ("logits", -1), ("labels", None)]:
        kwargs = {"average": average, "multidim_average": spread, "ignore_index": ignore}
        ours, theirs = pair(torchmetrics, f"Multilabel{name}", *beta(name), 3, **kwargs)
        batches_agree(ours, theirs, binary(3, (6, 3, 4), kind, ignore))


@pytest.mark.parametrize("zero", [0, 1])
def test_zero_divided_by_zero(torchmetrics: Any, zero: int) -> None:
    for name in ("BinaryPrecision", "BinaryRecall", "BinaryF1Score", "BinaryJaccardIndex"):
        ours, theirs = pair(torchmetrics, name, zero_division=zero)
        batches_agree(ours, theirs, [(np.zeros(4, int), np.zeros(4, int))])


MATRICES: list[tuple[str, tuple[Any, ...], dict[str, list[Any]]]] = [
    ("ConfusionMatrix", (), {"normalize": [None, "true", "pred", "all"]}),
    ("JaccardIndex", (), {"average": ["micro", "macro", "weighted", None]}),
    ("MatthewsCorrCoef", (), {}),
    ("CohenKappa", (), {"weights": [None, "linear", "quadratic"]}),
]


@pytest.mark.parametrize(("name", "args", "options"), MATRICES, ids=lambda v: str(v))
@pytest.mark.parametrize("ignore", [None, -1, 1])
def test_matrices(torchmetrics: Any, name: str, args: Any, options: Any, ignore: Any) -> None:
    made: list[tuple[str, tuple[int, ...], Any]] = [
        ("Binary", (), binary(4, (20,), "probabilities", ignore)),
        ("Multiclass", (C,), classes(5, (20, 2), "probabilities", ignore)),
        ("Multilabel", (3,), binary(6, (9, 3, 2), "logits", ignore)),
    ]
    for task, count, batches in made:
        if not hasattr(metrics, task + name):
            continue
        cases = list(batches)
        for values in itertools.product(*options.values()):
            kwargs = dict(zip(options, values, strict=True))
            if task == "Binary":
                kwargs.pop("average", None)
            ours, theirs = pair(torchmetrics, task + name, *count, ignore_index=ignore, **kwargs)
            batches_agree(ours, theirs, cases)


@pytest.mark.parametrize("preds", itertools.product([0, 1], repeat=3))
def test_correlation_where_rows_are_empty(torchmetrics: Any, preds: tuple[int, ...]) -> None:
    for target in itertools.product([0, 1], repeat=3):
        ours, theirs = pair(torchmetrics, "BinaryMatthewsCorrCoef")
        batches_agree(ours, theirs, [(np.array(preds), np.array(target))])


CURVES = ["ROC", "PrecisionRecallCurve", "AUROC", "AveragePrecision"]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("thresholds", [None, 11, [0.7, 0.1, 0.4]])
@pytest.mark.parametrize("ignore", [None, -1])
def test_curves(torchmetrics: Any, name: str, thresholds: Any, ignore: Any) -> None:
    kwargs = {"thresholds": thresholds, "ignore_index": ignore}
    for kind in ("probabilities", "logits"):
        ours, theirs = pair(torchmetrics, f"Binary{name}", **kwargs)
        batches_agree(ours, theirs, binary(7, (30, 2), kind, ignore))
        area = name in ("AUROC", "AveragePrecision")
        averages = ["macro", "weighted", None] if area else [None, "micro", "macro"]
        for average in averages:
            if average == "micro" and thresholds is not None:
                continue  # torchmetrics' class fails, its function is compared below
            if average == "macro" and isinstance(thresholds, list) and not area:
                continue  # interpolated between points that do not rise
            ours, theirs = pair(torchmetrics, f"Multiclass{name}", C, average=average, **kwargs)
            atol = 3e-5 if average == "macro" and not area else 2e-6
            batches_agree(ours, theirs, classes(8, (20, 2), kind, ignore), atol)
        for average in [*averages, "micro"] if area else [None]:
            more = {"average": average} if area else {}
            ours, theirs = pair(torchmetrics, f"Multilabel{name}", 3, **more, **kwargs)
            batches_agree(ours, theirs, binary(9, (12, 3, 2), kind, ignore))


@pytest.mark.parametrize("name", ["roc", "precision_recall_curve"])
def test_one_curve_of_all_classes_in_bins(torchmetrics: Any, name: str) -> None:
    preds, target = next(classes(8, (20, 2), "probabilities", None))
    function = getattr(torchmetrics.functional.classification, f"multiclass_{name}")
    kwargs = {"num_classes": C, "thresholds": 7, "average": "micro"}
    expected = function(torch.tensor(preds), torch.tensor(target), **kwargs)
    same(getattr(metrics.functional, f"multiclass_{name}")(preds, target, **kwargs), expected)


def test_part_of_an_area(torchmetrics: Any) -> None:
    for most in (0.1, 0.5, 1.0):
        ours, theirs = pair(torchmetrics, "BinaryAUROC", max_fpr=most)
        batches_agree(ours, theirs, binary(10, (40,), "probabilities", None))


@pytest.mark.parametrize("labels", [np.zeros(4, int), np.ones(4, int)])
@pytest.mark.parametrize("thresholds", [None, 5])
def test_curves_of_one_class(torchmetrics: Any, labels: Any, thresholds: Any) -> None:
    for name in CURVES:
        ours, theirs = pair(torchmetrics, f"Binary{name}", thresholds=thresholds)
        batches_agree(ours, theirs, [(np.float32([0.1, 0.4, 0.4, 0.9]), labels)])


def test_areas_are_those_of_scikit_learn() -> None:
    learn = pytest.importorskip("sklearn.metrics")
    (preds, target), *_ = binary(11, (200,), "probabilities", None)
    area = metrics.functional.binary_auroc(preds, target).item()
    assert area == pytest.approx(learn.roc_auc_score(target, preds), abs=1e-6)
    mean = metrics.functional.binary_average_precision(preds, target).item()
    assert mean == pytest.approx(learn.average_precision_score(target, preds), abs=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_calibration(torchmetrics: Any, norm: str) -> None:
    ours, theirs = pair(torchmetrics, "BinaryCalibrationError", 10, norm, ignore_index=-1)
    batches_agree(ours, theirs, binary(12, (60,), "probabilities", -1))
    for kind in ("probabilities", "logits"):
        ours, theirs = pair(torchmetrics, "MulticlassCalibrationError", C, 10, norm)
        batches_agree(ours, theirs, classes(13, (30, 2), kind, None))


@pytest.mark.parametrize("spread", ["global", "samplewise"])
@pytest.mark.parametrize("ignore", [None, 1])
def test_exact_match(torchmetrics: Any, spread: str, ignore: Any) -> None:
    kwargs = {"multidim_average": spread, "ignore_index": ignore}
    ours, theirs = pair(torchmetrics, "MulticlassExactMatch", C, **kwargs)
    batches_agree(ours, theirs, classes(14, (40, 2), "labels", ignore))
    ours, theirs = pair(torchmetrics, "MultilabelExactMatch", 2, **kwargs)
    batches_agree(ours, theirs, binary(15, (20, 2, 3), "probabilities", ignore))


# -- fronts and functions ---------------------------------------------------------------------

# The Brier score is scikit-learn's, see test_brier.
FUNCTIONS = [n for n in metrics.functional.classification.__all__ if "brier" not in n]
CLASSES = [n for n in sorted(metrics.classification.__all__) if "Brier" not in n]


def arguments(function: Any) -> list[tuple[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    missing = inspect.Parameter.empty
    return [
        (p.name, None if p.default is missing else p.default)
        for p in parameters
        if p.kind is not p.VAR_KEYWORD and p.name not in ("self", "cls", "zero_division")
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_of_functions(torchmetrics: Any, name: str) -> None:
    theirs = getattr(torchmetrics.functional.classification, name)
    assert arguments(getattr(metrics.functional, name)) == arguments(theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_of_classes(torchmetrics: Any, name: str) -> None:
    theirs = getattr(torchmetrics.classification, name)
    fronts = not re.match("Binary|Multi", name)
    expected = arguments(theirs.__new__ if fronts else theirs.__init__)
    if name.startswith("Binary") and hasattr(theirs, "thresholds"):
        expected = [e for e in expected if e[0] != "normalization"]
    assert arguments(getattr(metrics, name)) == expected


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if not re.match("binary|multi", n)])
def test_tasks(torchmetrics: Any, name: str) -> None:
    ours, theirs = getattr(metrics.functional, name), getattr(torchmetrics.functional, name)
    tasks: dict[str, tuple[Any, Any]] = {
        "binary": ({}, next(binary(16, (9,), "probabilities", None))),
        "multiclass": ({"num_classes": C}, next(classes(17, (9,), "probabilities", None))),
        "multilabel": ({"num_labels": 3}, next(binary(18, (9, 3), "probabilities", None))),
    }
    for task, (kwargs, (preds, target)) in tasks.items():
        if task not in str(inspect.signature(theirs).parameters["task"]):
            continue
        expected = theirs(torch.tensor(preds), torch.tensor(target), task, **kwargs)
        same(ours(preds, target, task, **kwargs), expected)


# -- what does not fit ------------------------------------------------------------------------


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="task is one of"):
        metrics.Accuracy(task="multi")
    with pytest.raises(ArgumentError, match="needs num_classes"):
        metrics.Accuracy(task="multiclass")
    with pytest.raises(LabelError, match="holds 7"):
        metrics.MulticlassAccuracy(3)([0, 1], [0, 7])
    with pytest.raises(LabelError, match="not only 0 and 1"):
        metrics.BinaryAccuracy()([0, 1], [0, 2])
    with pytest.raises(ShapeError, match="one shape"):
        metrics.BinaryAccuracy()([0, 1], [0, 1, 1])
    with pytest.raises(ShapeError, match="needs scores"):
        metrics.MulticlassAccuracy(3, top_k=2)([0, 1], [0, 1])
    with pytest.raises(ShapeError, match="scores of 3 classes"):
        metrics.MulticlassAccuracy(3)(np.ones((2, 4)), [0, 1])
    with pytest.raises(ArgumentError, match="average is one of"):
        metrics.MulticlassAccuracy(3, average="mean")
    with pytest.raises(ArgumentError, match="thresholds"):
        metrics.BinaryAUROC(thresholds=[2.0])
    with pytest.raises(ArgumentError, match="takes no argument 'classes'"):
        metrics.BinaryAccuracy(classes=2)


def test_nothing_seen() -> None:
    assert metrics.MulticlassAccuracy(3).compute().item() == 0
    assert metrics.BinaryConfusionMatrix().compute().tolist() == [[0, 0], [0, 0]]
    empty = np.zeros((0, 3), np.float32)
    assert metrics.MulticlassAUROC(3)(empty, np.zeros(0, int)).shape == ()
    assert metrics.MulticlassRecall(3, average=None)(empty, np.zeros(0, int)).tolist() == [0, 0, 0]


def test_not_a_number() -> None:
    preds = fovea.tensor([float("nan"), 0.9])
    assert metrics.BinaryRecall()(preds, fovea.tensor([1, 1])).item() == 0.5
    table = metrics.BinaryROC(thresholds=[0.5])(preds, fovea.tensor([1, 1]))
    assert table[1].tolist() == [0.5]
