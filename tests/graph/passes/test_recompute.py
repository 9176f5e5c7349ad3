"""Less memory, the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import nn, optim
from fovea.compiler.capture import capture
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize
from fovea.graph.passes.recompute import Lives, peak_memory, recompute
from fovea.graph.verify import verify


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(6))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        for conv, norm in zip(self.layers, self.norms, strict=True):
            x = x + F.dropout(F.silu(norm(conv(x))), 0.1, self.training)
        return self.head(x.mean((2, 3)))


def step_graph() -> tuple[Any, Any, Any]:
    net = Deep()
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = fovea.randn(4, 4, 16, 16), fovea.randint(0, 3, (4,))
    step(x, y)
    made = capture(step, (x, y), {}, (x, y))
    assert made.graph is not None
    return made.graph, x, y


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.1])
def test_less_memory(share: float) -> None:
    graph, x, y = step_graph()
    limit = int(peak_memory(graph) * share)
    smaller = recompute(graph, limit)
    verify(smaller)
    assert peak_memory(smaller) < peak_memory(graph)
    if share >= 0.7:
        assert peak_memory(smaller) <= limit
    expected, states = interpret(graph, (x, y))
    found, renewed = interpret(smaller, (x, y))
    for a, b in zip((*expected, *states), (*found, *renewed), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    verify(optimize(smaller))


def test_a_graph_within_the_limit_stays() -> None:
    graph, _, _ = step_graph()
    assert recompute(graph, peak_memory(graph)) is graph


def test_random_numbers_are_drawn_once() -> None:
    graph, _, _ = step_graph()
    smaller = recompute(graph, 0)
    drawn = [sum(n.op.name.startswith("random") for n in g.nodes) for g in (graph, smaller)]
    assert drawn[0] == drawn[1]
    assert len(smaller.nodes) > len(graph.nodes)


def test_peak_counts_what_is_in_use() -> None:
    made = capture(lambda x: (x * 2 + 1).sum(), (x := fovea.ones(100),), {}, (x,))
    assert made.graph is not None
    assert Lives(made.graph).peak()[0] == 800


def test_compile_takes_a_limit() -> None:
    losses = []
    peaks = []
    for limit in (None, 100_000):
        fovea.manual_seed(0)
        net = Deep()
        optimizer = optim.SGD(net.parameters(), lr=0.1)

        @fovea.compile(memory_limit=limit)
        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        x, y = fovea.randn(4, 4, 16, 16), fovea.randint(0, 3, (4,))
        losses.append([step(x, y).item() for _ in range(5)])
        peaks.append(step.programs[0].forward.memory.peak)
    assert np.allclose(*losses, rtol=1e-5)
    assert peaks[1] < 0.9 * peaks[0]
