"""Parts of detectors: distributions of distances, and pools of several sizes."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.autograd import gradcheck
from fovea.errors import ArgumentError, ShapeError
from fovea.vision.layers import SPPF
from fovea.vision.losses import DistributionFocalLoss
from tests.nn.oracle import torch

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_distributions_cost_the_cross_entropy_of_both_bins(reduction: str) -> None:
    scores, y = RNG.normal(size=(5, 4, 8)), RNG.uniform(0, 7, size=(5, 4))
    y[0] = [0, 7, 3, 6.99]
    p = torch.tensor(scores, requires_grad=True)
    below = torch.tensor(y).floor().clamp(max=6).long()
    part = torch.tensor(y) - below
    entropy = torch.nn.functional.cross_entropy
    rows = p.reshape(-1, 8)
    left, right = (
        entropy(rows, (below + i).reshape(-1), reduction="none").reshape(5, 4) for i in (0, 1)
    )
    wanted = (1 - part) * left + part * right
    wanted = {"mean": wanted.mean(), "sum": wanted.sum(), "none": wanted}[reduction]
    a = fovea.tensor(scores, requires_grad=True)
    loss = DistributionFocalLoss(reduction)(a, fovea.tensor(y))
    np.testing.assert_allclose(loss.detach(), wanted.detach(), rtol=1e-12)
    loss.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(a.grad, p.grad, atol=1e-12)


def test_numbers_outside_of_the_bins_are_moved_in() -> None:
    loss, scores = DistributionFocalLoss("none"), fovea.tensor(RNG.normal(size=(2, 4)))
    found = loss(scores, fovea.tensor([-3.0, 9.0], dtype=fovea.float64))
    np.testing.assert_array_equal(found, loss(scores, fovea.tensor([0.0, 3.0]).double()))


def test_a_distribution_learns_its_number() -> None:
    scores = fovea.zeros(1, 8, requires_grad=True)
    y = fovea.tensor([2.3])
    optimizer = fovea.optim.SGD([scores], 1.0)
    for _ in range(2000):
        optimizer.zero_grad()
        DistributionFocalLoss()(scores, y).backward()
        optimizer.step()
    assert abs((scores.softmax(-1) * fovea.arange(8)).sum().item() - 2.3) < 0.02


def test_mistakes_of_distributions() -> None:
    with pytest.raises(ArgumentError, match="reduction"):
        DistributionFocalLoss("most")
    for shapes in (((3, 4), (2,)), ((3, 1), (3,)), ((3, 4), (3, 4))):
        with pytest.raises(ShapeError, match="no logits of bins"):
            DistributionFocalLoss()(*(fovea.zeros(*s) for s in shapes))


def test_pools_after_each_other_are_larger_pools() -> None:
    layer = SPPF(6, 4).eval()
    x = RNG.normal(size=(2, 6, 9, 7)).astype(np.float32)
    z = torch.tensor(layer.cv1(fovea.tensor(x)).detach().numpy())
    pools = [torch.nn.functional.max_pool2d(z, k, 1, k // 2) for k in (1, 5, 9, 13)]
    wanted = layer.cv2(fovea.tensor(torch.cat(pools, 1).numpy()))
    np.testing.assert_allclose(layer(fovea.tensor(x)).detach(), wanted.detach(), atol=1e-6)
    assert {n.split(".")[1] for n in layer.state_dict()} == {"conv", "bn"}


def test_pools_have_gradients() -> None:
    layer = SPPF(4, 2, k=3, n=1).double().eval()
    x = fovea.tensor(RNG.normal(size=(1, 4, 3, 4)), requires_grad=True)
    assert gradcheck(layer, (x,))
    compiled = fovea.compile(layer, strict=True)
    np.testing.assert_allclose(compiled(x).detach(), layer(x).detach(), atol=1e-12)


def test_mistakes_of_pools() -> None:
    for args in ((4, 2, 4), (1, 2), (4, 2, 5, 0)):
        with pytest.raises(ArgumentError, match="SPPF"):
            SPPF(*args)
