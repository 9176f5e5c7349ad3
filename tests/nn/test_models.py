"""Whole networks against PyTorch from the same weights: output, gradients, and a training step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
from tests import models_for_tests as models
from tests.nn.oracle import Array, rng, torch

MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet": (models.lenet, (6, 1, 28, 28)),
    "vgg": (models.vgg, (4, 3, 32, 32)),
    "resnet18": (lambda n: models.resnet18(n, width=8), (4, 3, 32, 32)),
}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def pair(name: str, dtype: str) -> tuple[Any, Any, Array, Array]:
    """The model in both frameworks with PyTorch's first weights, and a batch."""
    build, shape = MODELS[name]
    torch.manual_seed(0)
    theirs = build(torch.nn).to(getattr(torch, dtype))
    ours = build(nn).to(getattr(fovea, dtype))
    state = {k: fovea.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    x = rng().standard_normal(shape).astype(dtype)
    return ours, theirs, x, rng(1).integers(0, 10, shape[0])


def agree(a: Any, b: Any, dtype: str, what: str) -> None:
    """Relative to the largest element: how far sums of thousands of products may drift.

    Biases before batch normalization have gradients of 0, of which only rounding is left.
    """
    a, b = a.detach().numpy(), b.detach().numpy()
    assert a.shape == b.shape, what
    limit = TOLERANCE[dtype] * max(float(np.abs(b).max()), 1e-2)
    assert float(np.abs(a - b).max()) <= limit, f"{what}: {np.abs(a - b).max()} over {limit}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_output_gradients_and_step(name: str, dtype: str) -> None:
    ours, theirs, x, labels = pair(name, dtype)
    y, t = ours(fovea.tensor(x)), theirs(torch.tensor(x))
    agree(y, t, dtype, "output")

    loss = nn.CrossEntropyLoss()(y, fovea.tensor(labels))
    expected = torch.nn.CrossEntropyLoss()(t, torch.tensor(labels))
    agree(loss, expected, dtype, "loss")
    loss.backward()
    expected.backward()
    grads = dict(theirs.named_parameters())
    for key, p in ours.named_parameters():
        agree(p.grad, grads[key].grad, dtype, f"gradient of {key}")

    for p in theirs.parameters():
        p.data.sub_(0.05 * p.grad)
    with fovea.no_grad():
        for p in ours.parameters():
            p.sub_(p.grad, alpha=0.05)
    after = theirs.state_dict()
    for key, value in ours.state_dict().items():
        agree(value, after[key], dtype, key)
    ours.eval()
    theirs.eval()
    agree(ours(fovea.tensor(x)), theirs(torch.tensor(x)), dtype, "output in evaluation")


@pytest.mark.parametrize("name", MODELS)
def test_print_and_state_are_pytorchs(name: str) -> None:
    build, _ = MODELS[name]
    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    assert [tuple(v.shape) for v in state.values()] == [tuple(v.shape) for v in expected.values()]
    assert [v.dtype.name for v in state.values()] == [
        str(v.dtype).removeprefix("torch.") for v in expected.values()
    ]
    assert dict(state._metadata) == dict(expected._metadata)


def test_losses_follow_pytorchs_for_ten_steps() -> None:
    ours, theirs, _, _ = pair("vgg", "float32")
    r = rng(5)
    for step in range(10):
        x = r.standard_normal((8, 3, 32, 32)).astype("float32")
        labels = r.integers(0, 10, 8)
        loss = nn.functional.cross_entropy(ours(fovea.tensor(x)), fovea.tensor(labels))
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
        assert loss.item() == pytest.approx(expected.item(), rel=2e-3), f"step {step}"
        ours.zero_grad()
        theirs.zero_grad()
        loss.backward()
        expected.backward()
        with fovea.no_grad():
            for p in ours.parameters():
                p.sub_(p.grad, alpha=0.02)
        for p in theirs.parameters():
            p.data.sub_(0.02 * p.grad)


def test_overfits_a_batch() -> None:
    fovea.manual_seed(0)
    model = models.lenet(nn)
    x, labels = fovea.randn(16, 1, 28, 28), fovea.arange(16) % 10
    first = None
    for _ in range(80):
        loss = nn.functional.cross_entropy(model(x), labels)
        first = loss.item() if first is None else first
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with fovea.no_grad():
            for p in model.parameters():
                p.sub_(p.grad, alpha=0.1)
    assert first is not None
    assert loss.item() < first / 3
