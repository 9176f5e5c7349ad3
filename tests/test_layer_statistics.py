"""``fovea.layer_statistics``: what hooks of PyTorch see, and what it says of a broken network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras, nn
from fovea.summaries.statistics import Spread


def layers(lib: Any) -> list[Any]:
    return [
        lib.Conv2d(3, 5, 3), lib.BatchNorm2d(5), lib.ReLU(), lib.Flatten(), lib.Linear(80, 4),
    ]  # fmt: skip


def test_what_hooks_of_pytorch_see() -> None:
    torch = pytest.importorskip("torch")
    twin = torch.nn.Sequential(*layers(torch.nn))
    net = nn.Sequential(*layers(nn))
    net.load_state_dict({k: fovea.from_numpy(v.numpy()) for k, v in twin.state_dict().items()})
    batches = np.random.default_rng(0).normal(size=(2, 6, 3, 6, 6)).astype(np.float32)
    outputs: list[list[Any]] = [[] for _ in twin]
    gradients: list[list[Any]] = [[] for _ in twin]
    for n, layer in enumerate(twin):

        def note(module: Any, given: Any, out: Any, n: int = n) -> None:
            outputs[n].append(out.detach().numpy().copy())
            out.register_hook(lambda g: gradients[n].append(g.numpy().copy()))

        layer.register_forward_hook(note)
    for x in batches:
        twin(torch.from_numpy(x)).square().sum().backward()
    with fovea.layer_statistics(net) as seen:
        for x in batches:
            net(fovea.from_numpy(x)).square().sum().backward()
    assert [row.path for row in seen.rows] == ["0", "1", "2", "3", "4"]
    for row, layer, out, gradient in zip(seen.rows, twin, outputs, gradients, strict=True):
        y, g = np.stack(out), np.stack(gradient)
        assert row.calls == 2 and row.output.count == y.size
        np.testing.assert_allclose(row.output.mean, y.mean(dtype=np.float64), 1e-4, 1e-6)
        np.testing.assert_allclose(row.output.std, y.std(dtype=np.float64), 1e-4)
        np.testing.assert_allclose(row.output.largest, np.abs(y).max(), 1e-4)
        np.testing.assert_allclose(row.gradient.rms, np.sqrt(np.square(g).mean()), 1e-3, 1e-6)
        assert abs(row.output.zero_share - (y == 0).mean()) < 0.01
        weights = [p.grad.numpy().ravel() for p in layer.parameters()]
        if weights:
            rms = np.sqrt(np.square(np.concatenate(weights)).mean())
            np.testing.assert_allclose(row.weight_gradient.rms, rms, 1e-3)


def test_remarks() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with fovea.no_grad():
        net[0].bias.fill_(-9.0)
    with fovea.layer_statistics(net) as seen:
        net(fovea.ones(4, 2)).sum().backward()
    assert [row.remark for row in seen.rows] == [
        "no gradient arrives", "dead: every output is zero", "",
    ]  # fmt: skip
    assert "dead: every output is zero" in str(seen) and "1: ReLU" in str(seen)
    with fovea.layer_statistics(net) as seen:
        net(fovea.tensor([[1.0, float("nan")]]))
    assert seen.rows[0].remark == "3 of its outputs not finite"
    assert "0/gradient_rms" not in seen.scalars()


def test_spread_adds_up() -> None:
    x = fovea.tensor([0.0, 3.0, -4.0, float("inf")], dtype=fovea.float16)
    spread = Spread()
    spread.add(x[:2])
    spread.add(x[2:])
    assert (spread.count, spread.nonfinite, spread.zeros, spread.largest) == (4, 1, 1, 4.0)
    assert spread.mean == pytest.approx(-1 / 3) and spread.rms == pytest.approx((25 / 3) ** 0.5)
    empty = Spread()
    empty.add(fovea.zeros(0))
    assert np.isnan([empty.mean, empty.std, empty.rms, empty.zero_share]).all()


def test_compiled_functions_and_keras_models_are_seen() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    call = fovea.compile(net)
    x = fovea.randn(5, 2)
    call(x)
    with fovea.layer_statistics(net) as seen:
        call(x)
    assert [row.type for row in seen.rows] == ["Linear", "Tanh"]
    model = keras.Sequential([keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    model(x)
    with fovea.layer_statistics(model) as seen:
        model(x)
    assert [row.type for row in seen.rows] == ["Dense", "Dense"]
    model.compile("sgd", "mse")
    with fovea.layer_statistics(model) as seen:
        model.fit(x.numpy(), np.ones((5, 1), np.float32), epochs=2, batch_size=5, verbose=0)
    assert [row.calls for row in seen.rows] == [2, 2] and seen.rows[1].gradient.rms > 0
