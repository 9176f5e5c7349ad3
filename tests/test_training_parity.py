"""Whole training runs beside PyTorch's: from the same weights and batches, the same losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from tests.models_for_tests import lenet, resnet18, vgg

torch = pytest.importorskip("torch")


def twins(build: Any, dtype: str = "float32", **kwargs: Any) -> tuple[Any, Any]:
    """The network in both frameworks, with PyTorch's initial weights."""
    torch.manual_seed(0)
    theirs = build(torch.nn, **kwargs).to(getattr(torch, dtype))
    ours = build(fovea.nn, **kwargs).to(getattr(fovea, dtype))
    ours.load_state_dict(
        {k: fovea.from_numpy(v.detach().numpy().copy()) for k, v in theirs.state_dict().items()}
    )
    return ours, theirs


def batches(shape: tuple[int, ...], steps: int, dtype: str = "float32") -> list[Any]:
    rng = np.random.default_rng(3)
    fixed = rng.standard_normal((10, *shape[1:]))  # learnable: each class has its own picture
    out = []
    for _ in range(steps):
        y = rng.integers(0, 10, shape[0])
        x = fixed[y] + 0.5 * rng.standard_normal(shape)
        out.append((x.astype(dtype), y))
    return out


def losses(ns: Any, model: Any, optimizer: Any, data: list[Any]) -> list[float]:
    criterion = ns.nn.CrossEntropyLoss()
    found = []
    for x, y in data:
        optimizer.zero_grad()
        loss = criterion(model(ns.from_numpy(x.copy())), ns.from_numpy(y.copy()))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def race(
    build: Any, shape: tuple[int, ...], steps: int, optimizer: str, dtype: str, **options: Any
) -> Any:
    width = options.pop("width", None)
    ours, theirs = twins(build, dtype, **({} if width is None else {"width": width}))
    data = batches(shape, steps, dtype)
    a = losses(fovea, ours, getattr(fovea.optim, optimizer)(ours.parameters(), **options), data)
    b = losses(torch, theirs, getattr(torch.optim, optimizer)(theirs.parameters(), **options), data)
    return a, b, ours, theirs


def agree(ours: Any, theirs: Any, rtol: float, atol: float) -> None:
    """All parameters and statistics are close."""
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), rtol, atol, err_msg=name)


@pytest.mark.parametrize("build", [lenet, vgg, resnet18])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-4), ("float64", 1e-10)])
def test_one_step(build: Any, dtype: str, rtol: float) -> None:
    shape = (4, 1, 28, 28) if build is lenet else (4, 3, 32, 32)
    options = {"width": 16} if build is resnet18 else {}
    a, b, ours, theirs = race(build, shape, 1, "SGD", dtype, lr=0.1, momentum=0.9, **options)
    assert a == pytest.approx(b, rel=rtol)
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, p in ours.named_parameters():
        reference = expected[name].numpy()
        error = np.abs(p.grad.numpy() - reference).max()
        # Relative to the gradient's size; a bias before batch norm has none but rounding.
        assert error <= rtol * max(np.abs(reference).max(), 0.1), name
    agree(ours, theirs, rtol, rtol * 0.1)


def test_first_example_follows_for_50_steps() -> None:
    def network(nn: Any) -> Any:
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(32 * 13 * 13, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip

    a, b, ours, theirs = race(network, (10, 1, 28, 28), 50, "Adam", "float32")
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)
    assert a[-1] < a[0] / 2
    agree(ours, theirs, 0.05, 2e-3)


def test_resnet18_follows_for_50_steps() -> None:
    """Rounding flips a ReLU here and there, so float32 runs drift apart by some percent, PyTorch's
    own from its float64 run too: ours may be no further from the float64 truth than PyTorch's."""
    options: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "width": 16}
    a, b, _, _ = race(resnet18, (8, 3, 32, 32), 50, "SGD", "float32", **options)
    _, truth, _, _ = race(resnet18, (8, 3, 32, 32), 50, "SGD", "float64", **options)
    np.testing.assert_allclose(a[:1], truth[:1], rtol=1e-5)
    ours, theirs = (np.abs(np.array(x) - truth).mean() for x in (a, b))
    assert ours <= 3 * theirs + 1e-3
    assert a[-1] < a[0] / 2


def test_resnet18_follows_exactly_in_float64() -> None:
    a, b, _, _ = race(
        resnet18, (4, 3, 16, 16), 50, "SGD", "float64", lr=0.01, momentum=0.9, width=8
    )
    np.testing.assert_allclose(a, b, rtol=1e-9)
