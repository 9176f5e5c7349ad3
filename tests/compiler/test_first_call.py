"""The first call of a compiled function: what it makes is found, and what it did can be done again
by the program.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea import optim
from fovea.compiler import CompiledFunction

MAKERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.1, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "lamb": lambda p: optim.LAMB(p, lr=0.1),
}


def stepping(net: Any, optimizer: Any, dropping: Any = None) -> Any:
    def step(x: Any, y: Any) -> Any:
        (dropping or optimizer).zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def network() -> Any:
    fovea.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.2), nn.Linear(7, 3))


def batch() -> tuple[Any, Any]:
    return fovea.randn(8, 5), fovea.randint(0, 3, (8,))


@pytest.mark.parametrize("name", MAKERS)
def test_the_first_step_is_the_one_captured(name: str) -> None:
    """The optimizer's states and the gradients that are not there yet are no reason to wait."""
    net = network()
    step = fovea.compile(stepping(net, MAKERS[name](net.parameters())), strict=True)
    step(*batch())
    assert len(step.programs) == 1
    for _ in range(3):
        step(*batch())
    assert len(step.programs) == 1


def test_a_module_drops_its_gradients() -> None:
    net = network()
    step = fovea.compile(stepping(net, optim.Adam(net.parameters()), net), strict=True)
    for _ in range(3):
        step(*batch())
    assert len(step.programs) == 1


def test_a_first_step_unlike_later_ones() -> None:
    """With dampening, SGD's first step is another: two programs, and what PyTorch computes."""
    torch = pytest.importorskip("torch")
    fovea.manual_seed(0)
    net = nn.Linear(5, 3)
    other = torch.nn.Linear(5, 3)
    other.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in net.state_dict().items()})
    options: Any = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    step = fovea.compile(stepping(net, optim.SGD(net.parameters(), **options)), strict=True)
    theirs = torch.optim.SGD(other.parameters(), **options)
    for _ in range(4):
        x, y = batch()
        step(x, y)
        theirs.zero_grad()
        inputs = torch.from_numpy(x.numpy())
        torch.nn.functional.cross_entropy(other(inputs), torch.from_numpy(y.numpy())).backward()
        theirs.step()
    found, expected = net.weight.detach().numpy(), other.weight.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_the_call_again_is_the_call(name: str) -> None:
    """The program runs in place of the captured call: everything it changed is changed once."""
    nets, batches = [network()], [batch() for _ in range(3)]
    nets.append(copy.deepcopy(nets[0]))
    losses: list[list[float]] = []
    generators = []
    for again, net in zip((False, True), nets, strict=True):
        fovea.manual_seed(5)
        step = CompiledFunction(stepping(net, MAKERS[name](net.parameters())), again=again)
        losses.append([float(step(*b)) for b in batches])
        generators.append(fovea.get_rng_state().numpy())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    np.testing.assert_array_equal(*generators)
    for x, y in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-4, atol=1e-5)


def test_changed_arguments_and_gradients_again() -> None:
    w = nn.Parameter(fovea.ones(3))

    def add(total: Any, x: Any) -> Any:
        (w * x).sum().backward()
        total += x
        return total * 2

    step, total = CompiledFunction(add, again=True), fovea.zeros(3)
    for n in (1, 2, 3):
        x = fovea.full((3,), float(n))
        found = step(total, x)
        assert total.tolist() == [n * (n + 1) / 2] * 3
        assert found.tolist() == [n * (n + 1.0)] * 3
        assert w.grad is not None and w.grad.tolist() == [n * (n + 1) / 2] * 3
