"""Training in mixed precision beside PyTorch's autocast: the same weights and batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from tests.models_for_tests import lenet, resnet18
from tests.test_training_parity import batches, twins

torch = pytest.importorskip("torch")


def losses(ns: Any, model: Any, optimizer: Any, data: list[Any]) -> list[float]:
    criterion = ns.nn.CrossEntropyLoss()
    found = []
    for x, y in data:
        optimizer.zero_grad()
        with ns.autocast("cpu", dtype=ns.bfloat16):
            output = model(ns.from_numpy(x.copy()))
            loss = criterion(output, ns.from_numpy(y.copy()))
        assert output.dtype is ns.bfloat16
        assert loss.dtype is ns.float32
        loss.backward()
        assert all(p.grad.dtype is ns.float32 for p in model.parameters())
        optimizer.step()
        found.append(loss.item())
    return found


def race(build: Any, shape: tuple[int, ...], steps: int, **options: Any) -> tuple[Any, Any]:
    width = options.pop("width", None)
    ours, theirs = twins(build, **({} if width is None else {"width": width}))
    data = batches(shape, steps)
    a = losses(fovea, ours, fovea.optim.SGD(ours.parameters(), **options), data)
    b = losses(torch, theirs, torch.optim.SGD(theirs.parameters(), **options), data)
    return np.array(a), np.array(b)


def test_small_network_follows_pytorch() -> None:
    a, b = race(lenet, (16, 1, 28, 28), 60, lr=0.03, momentum=0.9)
    np.testing.assert_allclose(a[:3], b[:3], rtol=1e-2)
    assert np.abs(a - b).mean() < 0.05 * b[0]
    assert a[-5:].mean() < a[0] / 2


def test_resnet18_follows_pytorch() -> None:
    a, b = race(resnet18, (8, 3, 16, 16), 20, lr=0.02, momentum=0.9, width=16)
    np.testing.assert_allclose(a[0], b[0], rtol=1e-2)
    assert np.abs(a - b).mean() < 0.1 * b[0]
    assert a[-3:].mean() < a[0] / 2
