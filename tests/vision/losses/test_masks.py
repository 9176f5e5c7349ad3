"""Losses of masks against segmentation_models_pytorch: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, LabelError, ShapeError
from fovea.gradcheck import gradcheck
from fovea.vision import losses
from tests.nn.oracle import Array, compare, rng

SHAPES = {"binary": (2, 1, 5, 4), "multiclass": (2, 3, 5, 4), "multilabel": (2, 3, 5, 4)}


@pytest.fixture(scope="module")
def reference() -> Any:
    from bench.nets.models import torchvision_models

    torchvision_models()  # finds out how torchvision can be imported
    return pytest.importorskip("segmentation_models_pytorch.losses")


def case(mode: str, ignored: int | None = None) -> tuple[Array, Array]:
    """Scores, and labels of which some are to be ignored."""
    shape = SHAPES[mode]
    target_shape = (shape[0], *shape[2:]) if mode == "multiclass" else shape
    target = rng(1).integers(0, 3 if mode == "multiclass" else 2, target_shape)
    if ignored is not None:
        target[rng(2).random(target_shape) < 0.3] = ignored
    return rng().normal(size=shape) * 2, target


def both(
    reference: Any,
    name: str,
    arrays: tuple[Array, Array],
    dtypes: tuple[str, ...] = ("float64", "float32"),
    **options: Any,
) -> None:
    ours, theirs = getattr(losses, name)(**options), getattr(reference, name)(**options)
    compare(lambda x, t: ours(x, t), lambda x, t: theirs(x, t), *arrays, dtypes=dtypes)


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("ignored", [None, 255])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DiceLoss", {}),
        ("DiceLoss", {"log_loss": True, "smooth": 0.5}),
        ("JaccardLoss", {"smooth": 1.0}),
        ("TverskyLoss", {"alpha": 0.3, "beta": 0.7, "gamma": 1.5}),
    ],
)
def test_overlap(
    reference: Any, mode: str, ignored: int | None, name: str, options: dict[str, Any]
) -> None:
    both(reference, name, case(mode, ignored), mode=mode, ignore_index=ignored, **options)


@pytest.mark.parametrize("mode", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", ["DiceLoss", "JaccardLoss", "TverskyLoss"])
def test_some_classes_with_weights(reference: Any, mode: str, name: str) -> None:
    weights = [1.0, 2.0, 0.5]
    both(reference, name, case(mode), mode=mode, classes=[0, 2], class_weights=weights)


def test_probabilities_and_a_class_that_is_not_there(reference: Any) -> None:
    p, target = rng().dirichlet(np.ones(3), (2, 7)).transpose(0, 2, 1), np.zeros((2, 7), np.int64)
    both(reference, "DiceLoss", (p, target), mode="multiclass", from_logits=False)


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("ignored", [None, 255])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.25, "gamma": 1.5, "reduction": "sum"},
        {"normalized": True},
        {"reduced_threshold": 0.6, "reduction": "sum"},
    ],
)
def test_focal(reference: Any, mode: str, ignored: int | None, options: dict[str, Any]) -> None:
    if mode == "multilabel" and ignored is not None:
        pytest.skip("the reference has no pixels to ignore in several labels")
    both(reference, "FocalLoss", case(mode, ignored), mode=mode, ignore_index=ignored, **options)


def test_focal_of_ignored_labels_among_several() -> None:
    x, t = (fovea.tensor(a) for a in case("multilabel", 255))
    loss = losses.FocalLoss("multilabel", ignore_index=255, reduction="sum")
    planes = [
        losses.FocalLoss("binary", ignore_index=255, reduction="sum")(x[:, c], t[:, c])
        for c in range(3)
    ]
    assert loss(x, t).item() == pytest.approx(sum(p.item() for p in planes) / 3)


def test_focal_a_pixel() -> None:
    x, t = (fovea.tensor(a) for a in case("multiclass", 255))
    each = losses.FocalLoss("multiclass", ignore_index=255, reduction="none")(x, t)
    whole = losses.FocalLoss("multiclass", ignore_index=255)(x, t)
    kept = t != 255
    assert each.shape == t.shape and not each[~kept].any()
    assert each.sum().item() / kept.sum().item() == pytest.approx(whole.item())


def test_focal_of_probabilities_with_weights(reference: Any) -> None:
    p, target = rng().dirichlet(np.ones(3), (2, 7)).transpose(0, 2, 1), rng().integers(0, 3, (2, 7))
    options = {"mode": "multiclass", "from_logits": False, "class_weights": [1.0, 2.0, 3.0]}
    both(reference, "FocalLoss", (p, target), **options)


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("ignored", [None, 255])
@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz(reference: Any, mode: str, ignored: int | None, per_image: bool) -> None:
    options = {"mode": mode, "ignore_index": ignored, "per_image": per_image}
    # the reference multiplies by float32, whatever it is given
    both(reference, "LovaszLoss", case(mode, ignored), ("float32",), **options)


def test_lovasz_extends_the_jaccard_index() -> None:
    """Where each pixel is right or wrong it is the Jaccard loss itself."""
    truth, found = rng().integers(0, 2, 30), rng(1).integers(0, 2, 30)
    p = np.stack([1 - found, found]).astype(np.float64)[None]
    loss = losses.LovaszLoss("multiclass", from_logits=False)
    jaccard = [
        1 - ((truth == c) & (found == c)).sum() / ((truth == c) | (found == c)).sum()
        for c in (0, 1)
    ]
    value = loss(fovea.tensor(p), fovea.tensor(truth[None])).item()
    assert value == pytest.approx(np.mean(jaccard))


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("name", ["DiceLoss", "JaccardLoss", "FocalLoss", "LovaszLoss"])
def test_gradients_and_programs(mode: str, name: str) -> None:
    x, t = (fovea.tensor(a) for a in case(mode, 255))
    loss = getattr(losses, name)(mode, ignore_index=255)
    assert gradcheck(lambda x: loss(x, t), (x.double().requires_grad_(),))
    compiled = fovea.compile(loss, strict=True)(x, t)
    assert compiled.item() == pytest.approx(loss(x, t).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["DiceLoss", "JaccardLoss", "FocalLoss", "LovaszLoss"])
def test_nothing_but_ignored_pixels(name: str) -> None:
    x = fovea.randn(2, 3, 4, requires_grad=True)
    loss = getattr(losses, name)("multiclass", ignore_index=0)(x, fovea.zeros(2, 4).long())
    loss.backward()
    assert loss.item() == 0 and not x.grad.any()


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="mode must be one of"):
        losses.DiceLoss("multi")
    with pytest.raises(ArgumentError, match="no classes to choose"):
        losses.JaccardLoss("binary", classes=[1])
    with pytest.raises(ArgumentError, match="reduction"):
        losses.FocalLoss("binary", reduction="average")
    with pytest.raises(ShapeError, match=r"class numbers \(N, \.\.\.\)"):
        losses.LovaszLoss("multiclass")(fovea.ones(2, 3, 4), fovea.zeros(2, 5).long())
    with pytest.raises(ShapeError, match="as many labels as scores"):
        losses.DiceLoss("binary")(fovea.ones(2, 1, 4), fovea.zeros(2, 3))
    for label in (-1, 3):
        with pytest.raises(LabelError, match=f"DiceLoss: label {label} at position"):
            losses.DiceLoss("multiclass")(fovea.ones(2, 3, 4), fovea.full((2, 4), label))
