"""Losses of embeddings against pytorch_metric_learning: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import LabelError, ShapeError
from fovea.gradcheck import gradcheck
from fovea.vision import losses
from tests.nn.oracle import compare, rng, torch

LABELS = {
    "several": [0, 1, 0, 2, 1, 0, 3],
    "one class": [0, 0, 0, 0, 0, 0, 0],
    "each its own": [0, 1, 2, 3, 4, 5, 6],
}
PAIRS = [
    ("ContrastiveLoss", {}),
    ("ContrastiveLoss", {"pos_margin": 0.3, "neg_margin": 1.4}),
    ("NTXentLoss", {}),
    ("NTXentLoss", {"temperature": 0.5}),
    ("SupConLoss", {}),
    ("SupConLoss", {"temperature": 0.7}),
]


@pytest.fixture(scope="module")
def reference() -> Any:
    return pytest.importorskip("pytorch_metric_learning.losses")


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("name", "options"), PAIRS)
def test_pairs(reference: Any, labels: str, name: str, options: dict[str, Any]) -> None:
    x, t = rng().normal(size=(7, 4)), np.array(LABELS[labels])
    ours, theirs = getattr(losses, name)(**options), getattr(reference, name)(**options)
    compare(lambda x, t: ours(x, t), lambda x, t: theirs(x, t), x, t)


@pytest.mark.parametrize(
    ("name", "options"), [("ArcFaceLoss", {}), ("ArcFaceLoss", {"margin": 90.0, "scale": 8}),
                          ("CosFaceLoss", {}), ("CosFaceLoss", {"margin": 0.1, "scale": 30})],
)  # fmt: skip
def test_margins(reference: Any, name: str, options: dict[str, Any]) -> None:
    x, t = rng().normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2])
    weights = rng(3).normal(size=(4, 3))
    ours, theirs = getattr(losses, name)(3, 4, **options), getattr(reference, name)(3, 4, **options)
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 2e-4)):
        a, b = fovea.tensor(x.astype(dtype)), torch.tensor(x.astype(dtype))
        a.requires_grad_(), b.requires_grad_()
        ours.W = fovea.nn.Parameter(fovea.tensor(weights.astype(dtype)))
        theirs.W = torch.nn.Parameter(torch.tensor(weights.astype(dtype)))
        loss, wanted = ours(a, fovea.tensor(t)), theirs(b, torch.tensor(t))
        loss.backward(), wanted.backward()
        for found, expected in (
            (loss, wanted), (a.grad, b.grad), (ours.W.grad, theirs.W.grad),
            (ours.get_logits(a), theirs.get_logits(b)),
        ):  # fmt: skip
            found, expected = found.detach().numpy(), expected.detach().numpy()
            np.testing.assert_allclose(found, expected, tolerance, tolerance)


@pytest.mark.parametrize("name", ["ContrastiveLoss", "NTXentLoss", "SupConLoss"])
def test_gradients_and_programs(name: str) -> None:
    x, t = fovea.tensor(rng().normal(size=(7, 4))), fovea.tensor(LABELS["several"])
    loss = getattr(losses, name)()
    assert gradcheck(lambda x: loss(x, t), (x.requires_grad_(),))
    compiled = fovea.compile(loss, strict=True)(x, t)
    assert compiled.item() == pytest.approx(loss(x, t).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["ContrastiveLoss", "NTXentLoss", "SupConLoss"])
def test_equal_embeddings_have_gradients(name: str) -> None:
    x = fovea.ones(4, 3, requires_grad=True)
    getattr(losses, name)()(x, fovea.tensor([0, 0, 1, 1])).backward()
    assert x.grad.isfinite().all()


def test_a_right_answer_has_a_gradient() -> None:
    loss = losses.ArcFaceLoss(2, 2)
    with fovea.no_grad():
        loss.W.copy_(fovea.eye(2))
    x = fovea.eye(2, requires_grad=True)
    loss(x, fovea.tensor([0, 1])).backward()
    assert x.grad.isfinite().all() and loss.W.grad.isfinite().all()


def test_mistakes() -> None:
    with pytest.raises(ShapeError, match=r"embeddings \(N, D\) and labels \(N,\)"):
        losses.NTXentLoss()(fovea.ones(2, 3), fovea.tensor([0]))
    for label in (-1, 2):
        with pytest.raises(LabelError, match=f"ArcFaceLoss: label {label} at position"):
            losses.ArcFaceLoss(2, 3)(fovea.ones(1, 3), fovea.tensor([label]))
