"""Averages of weights follow PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import optim
from fovea.errors import ArgumentError
from fovea.optim import swa_utils

torch = pytest.importorskip("torch")
from torch.optim import swa_utils as reference  # noqa: E402


def network(lib: Any) -> Any:
    return lib.nn.Sequential(
        lib.nn.Conv2d(1, 3, 3), lib.nn.BatchNorm2d(3), lib.nn.Flatten(), lib.nn.Linear(48, 2)
    )


def twins() -> tuple[Any, Any]:
    theirs = network(torch)
    mine = network(fovea)
    mine.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return mine, theirs


KINDS = {
    "equal": lambda u: {},
    "swa": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "swa lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "ema": lambda u: {"avg_fn": u.get_ema_avg_fn(0.7)},
    "ema lists": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7)},
    "ema buffers": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7), "use_buffers": True},
    "own": lambda u: {"avg_fn": lambda held, value, count: 0.25 * held + 0.75 * value},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_averages_follow_pytorch(kind: str) -> None:
    torch.manual_seed(0)
    mine, theirs = twins()
    ours = swa_utils.AveragedModel(mine, **KINDS[kind](swa_utils))
    expected = reference.AveragedModel(theirs, **KINDS[kind](reference))
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.normal(size=(5, 1, 6, 6)).astype("f4")
        for net, lib in ((mine, fovea), (theirs, torch)):
            net(lib.tensor(x))  # moves the statistics
            with lib.no_grad():
                for p in net.parameters():
                    p.mul_(0.9).add_(0.1)
        ours.update_parameters(mine)
        expected.update_parameters(theirs)
    saved = ours.state_dict()
    assert list(saved) == list(expected.state_dict())
    for key, value in expected.state_dict().items():
        np.testing.assert_allclose(
            saved[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key
        )


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_rates_follow_pytorch(strategy: str, epochs: int) -> None:
    rates = []
    for lib, utils in ((fovea, swa_utils), (torch, reference)):
        params = [lib.zeros(2, requires_grad=True), lib.zeros(3, requires_grad=True)]
        groups = [{"params": params[:1], "lr": 0.5}, {"params": params[1:], "lr": 0.01}]
        optimizer = lib.optim.SGD(groups, lr=0.1)
        schedule = utils.SWALR(optimizer, [0.05, 0.02], epochs, strategy)
        seen = []
        for _ in range(9):
            optimizer.step()
            schedule.step()
            seen.append(schedule.get_last_lr())
        rates.append(seen)
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-12)


def test_update_bn_follows_pytorch() -> None:
    torch.manual_seed(0)
    mine, theirs = twins()
    mine[1].momentum = theirs[1].momentum = 0.3
    data = [np.random.default_rng(i).normal(size=(4, 1, 6, 6)).astype("f4") for i in range(3)]
    swa_utils.update_bn([(fovea.tensor(x), 0) for x in data], mine.eval())
    reference.update_bn([(torch.tensor(x), 0) for x in data], theirs.eval())
    assert not mine.training and mine[1].momentum == 0.3
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(
            mine.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6
        )


def test_averages_in_a_compiled_step() -> None:
    results = []
    for compiled in (False, True):
        fovea.manual_seed(0)
        net = fovea.nn.Sequential(fovea.nn.Linear(4, 3), fovea.nn.Tanh(), fovea.nn.Linear(3, 2))
        average = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.8))
        optimizer = optim.SGD(net.parameters(), lr=0.1)

        def step(
            x: Any, y: Any, net: Any = net, optimizer: Any = optimizer, average: Any = average
        ) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            average.update_parameters(net)
            return loss

        run = fovea.compile(step, strict=True) if compiled else step
        for _ in range(5):
            run(fovea.randn(6, 4), fovea.randint(0, 2, (6,)))
        results.append(average.state_dict())
    assert int(results[1]["n_averaged"]) == 5
    for key, value in results[0].items():
        np.testing.assert_allclose(results[1][key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_refusals() -> None:
    net = fovea.nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match="one of"):
        swa_utils.AveragedModel(net, avg_fn=lambda *a: a[0], multi_avg_fn=lambda *a: None)
    with pytest.raises(ArgumentError, match="decay"):
        swa_utils.get_ema_avg_fn(1.5)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match="anneal_strategy"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="x")
    with pytest.raises(ArgumentError, match="anneal_epochs"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ArgumentError, match="swa_lr"):
        swa_utils.SWALR(optimizer, [0.1, 0.2])
