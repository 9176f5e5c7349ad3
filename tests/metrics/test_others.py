"""Metrics of segmentations, images, numbers: torchmetrics' values, batch by batch and merged."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import metrics
from fovea.errors import ArgumentError, LabelError, ShapeError
from tests.metrics.conftest import batches_agree, same

torch = pytest.importorskip("torch")
C = 4


def segmentations(seed: int, input_format: str, absent: bool = True) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        made = [rng.integers(0, C - absent, (3, 6, 5)) for _ in range(2)]
        masks = [np.moveaxis(np.eye(C, dtype=int)[m], -1, 1) for m in made]
        if input_format == "index":
            yield made[0], made[1]
        elif input_format == "mixed":
            yield rng.random((3, C, 6, 5), np.float32), made[1]
        else:
            yield masks[0], masks[1]


@pytest.mark.parametrize("input_format", ["one-hot", "index", "mixed"])
@pytest.mark.parametrize("background", [True, False])
def test_mean_iou(torchmetrics: Any, input_format: str, background: bool) -> None:
    for per_class in (True, False):
        kwargs = {"per_class": per_class, "input_format": input_format}
        ours = metrics.MeanIoU(C, background, **kwargs)
        theirs = torchmetrics.segmentation.MeanIoU(C, background, **kwargs)
        batches_agree(ours, theirs, segmentations(0, input_format))
    if input_format == "one-hot":
        ours = metrics.MeanIoU(None, background, True)
        theirs = torchmetrics.segmentation.MeanIoU(C, background, True)
        batches_agree(ours, theirs, segmentations(1, input_format))


@pytest.mark.parametrize("input_format", ["one-hot", "index", "mixed"])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "none"])
def test_dice(torchmetrics: Any, input_format: str, average: str) -> None:
    for background, level in itertools.product([True, False], ["samplewise", "global"]):
        args = (C, background, average, level, input_format)
        ours = metrics.DiceScore(*args)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = torchmetrics.segmentation.DiceScore(*args)
        batches_agree(ours, theirs, segmentations(2, input_format))


@pytest.mark.parametrize("weight_type", ["square", "simple", "linear"])
@pytest.mark.parametrize("per_class", [True, False])
def test_generalized_dice(torchmetrics: Any, weight_type: str, per_class: bool) -> None:
    for background in (True, False):
        args = (C, background, per_class, weight_type, "index")
        ours = metrics.GeneralizedDiceScore(*args)
        theirs = torchmetrics.segmentation.GeneralizedDiceScore(*args)
        batches_agree(ours, theirs, segmentations(3, "index", absent=False))


def test_a_class_that_an_image_lacks() -> None:
    preds, target = np.array([[[0, 0, 1, 2]]]), np.array([[[0, 0, 0, 1]]])
    score = metrics.GeneralizedDiceScore(3, input_format="index")(preds, target).item()
    weights = np.array([1 / 9, 1.0, 1.0])  # the third as the heaviest of the image
    expected = (2 * weights * [2, 0, 0]).sum() / (weights * [5, 2, 1]).sum()
    assert score == pytest.approx(expected)


def images(seed: int, size: int = 24, axes: int = 2) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        target = rng.random((2, 3, *[size] * axes), np.float32)
        noise = rng.normal(0, 0.1, target.shape).astype(np.float32)
        yield np.clip(target + noise, 0, 1), target


@pytest.mark.parametrize("data_range", [1.0, (0.2, 0.8)])
@pytest.mark.parametrize("dim", [None, (1, 2, 3)])
def test_noise(torchmetrics: Any, data_range: Any, dim: Any) -> None:
    for reduction in ("elementwise_mean", "sum", "none") if dim else ("elementwise_mean",):
        kwargs = {"reduction": reduction, "dim": dim, "base": 10.0}
        ours = metrics.PeakSignalNoiseRatio(data_range, **kwargs)
        ours.samplewise = reduction == "none"  # merged halves come in another order
        theirs = torchmetrics.image.PeakSignalNoiseRatio(data_range, **kwargs)
        batches_agree(ours, theirs, images(4, 6), 1e-4)


SIMILAR: list[dict[str, Any]] = [
    {"data_range": 1.0},
    {"data_range": (0.1, 0.9), "sigma": 1.0},
    {"gaussian_kernel": False, "kernel_size": (5, 7), "reduction": "sum", "data_range": 1.0},
    {"data_range": None, "k1": 0.02},
    {"data_range": 1.0, "return_full_image": True},
    {"data_range": 1.0, "return_contrast_sensitivity": True},
]


@pytest.mark.parametrize("kwargs", SIMILAR, ids=str)
def test_similarity(torchmetrics: Any, kwargs: Any) -> None:
    ours = metrics.StructuralSimilarityIndexMeasure(**kwargs)
    ours.samplewise = any(k.startswith("return") for k in kwargs)
    theirs = torchmetrics.image.StructuralSimilarityIndexMeasure(**kwargs)
    batches_agree(ours, theirs, images(5), 1e-4)


def test_similarity_of_volumes(torchmetrics: Any) -> None:
    ours = metrics.StructuralSimilarityIndexMeasure(data_range=1.0)
    theirs = torchmetrics.image.StructuralSimilarityIndexMeasure(data_range=1.0)
    batches_agree(ours, theirs, images(6, 12, 3), 1e-4)


@pytest.mark.parametrize("normalize", ["relu", "simple", None])
def test_similarity_of_several_sizes(torchmetrics: Any, normalize: Any) -> None:
    kwargs = {"data_range": 1.0, "normalize": normalize, "betas": (0.3, 0.4, 0.3)}
    ours = metrics.MultiScaleStructuralSimilarityIndexMeasure(**kwargs)
    theirs = torchmetrics.image.MultiScaleStructuralSimilarityIndexMeasure(**kwargs)
    batches_agree(ours, theirs, images(7, 52), 1e-4)


def numbers(seed: int, shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        target = rng.normal(size=shape).astype(np.float32)
        yield target + 0.3 * rng.normal(size=shape).astype(np.float32), target


@pytest.mark.parametrize("outputs", [1, 3])
def test_errors_of_numbers(torchmetrics: Any, outputs: int) -> None:
    shape = (7, 3)
    for name, kwargs in [
        ("MeanSquaredError", {}),
        ("MeanSquaredError", {"squared": False}),
        ("MeanAbsoluteError", {}),
    ]:
        ours = getattr(metrics, name)(num_outputs=outputs, **kwargs)
        theirs = getattr(torchmetrics.regression, name)(num_outputs=outputs, **kwargs)
        batches_agree(ours, theirs, numbers(8, shape))


@pytest.mark.parametrize("multioutput", ["uniform_average", "variance_weighted", "raw_values"])
@pytest.mark.parametrize("adjusted", [0, 2])
def test_explained_variance(torchmetrics: Any, multioutput: str, adjusted: int) -> None:
    for shape in ((9,), (9, 2)):
        ours = metrics.R2Score(adjusted, multioutput)
        theirs = torchmetrics.regression.R2Score(adjusted, multioutput)
        batches_agree(ours, theirs, numbers(9, shape), 1e-5)
    ours, theirs = metrics.R2Score(), torchmetrics.regression.R2Score()
    batches_agree(ours, theirs, [(np.float32([1, 2]), np.float32([3, 3]))])


@pytest.mark.parametrize("name", ["MeanMetric", "SumMetric", "MaxMetric", "MinMetric", "CatMetric"])
@pytest.mark.parametrize("nan", ["ignore", 0.5])
def test_aggregation(torchmetrics: Any, name: str, nan: Any) -> None:
    ours, theirs = getattr(metrics, name)(nan), getattr(torchmetrics, name)(nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (1.0, [2.0, float("nan"), 5.0], [0.5, -1.0]):
            batch = ours(fovea.tensor(value)), theirs(torch.tensor(value))
            same(*(b.reshape(-1) for b in batch))  # theirs of one value has no axis
    same(ours.compute(), theirs.compute())
    other = ours.clone()
    other.update(7.0)
    ours.merge_state(other)
    read = getattr(metrics, name)(nan)
    read.load_state_dict(ours.state_dict())
    same(read.compute(), ours.compute())


def test_aggregation_of_what_is_no_number() -> None:
    nothing = float("nan")
    with pytest.warns(UserWarning, match="left out"):
        assert metrics.SumMetric()([1.0, nothing]).item() == 1
    with pytest.raises(ArgumentError, match="is NaN"):
        metrics.SumMetric("error")(nothing)
    assert np.isnan(metrics.MaxMetric("disable")([1.0, nothing]).item())
    assert np.isnan(metrics.MeanMetric().compute().item())
    with pytest.raises(ArgumentError, match="nan_strategy"):
        metrics.SumMetric("drop")


def test_weights(torchmetrics: Any) -> None:
    ours, theirs = metrics.MeanMetric(), torchmetrics.MeanMetric()
    for value, weight in (([1.0, 2.0], [3.0, 1.0]), ([5.0, 7.0], 2.0)):
        ours.update(value, weight)
        theirs.update(torch.tensor(value), torch.tensor(weight))
    same(ours.compute(), theirs.compute())


def test_running(torchmetrics: Any) -> None:
    from torchmetrics.aggregation import RunningMean

    ours, theirs = metrics.RunningMean(3), RunningMean(3)
    for value in (1.0, 4.0, 2.0, 8.0, 9.0):
        same(ours(value), theirs(torch.tensor(value)))
        same(ours.compute(), theirs.compute())


def test_mistakes() -> None:
    with pytest.raises(LabelError, match="holds 5"):
        metrics.MeanIoU(3, input_format="index")(np.full((1, 2, 2), 5), np.zeros((1, 2, 2), int))
    with pytest.raises(ArgumentError, match="num_classes is needed"):
        metrics.MeanIoU(input_format="index")
    with pytest.raises(ShapeError, match="masks of 2 classes"):
        metrics.DiceScore(2)(np.zeros((1, 3, 2), int), np.zeros((1, 3, 2), int))
    with pytest.raises(ShapeError, match="smaller than half a window"):
        metrics.StructuralSimilarityIndexMeasure()(np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 4, 4)))
    with pytest.raises(ArgumentError, match="two samples"):
        metrics.R2Score()([1.0], [1.0])
    with pytest.raises(ShapeError, match=r"\(N, 2\)"):
        metrics.MeanSquaredError(num_outputs=2)([1.0], [1.0])
