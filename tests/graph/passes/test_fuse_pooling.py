"""ReLU and max pooling as one op: the same bits, and only where that is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea.compiler.capture import capture
from fovea.graph.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize, simplify
from fovea.graph.passes.fuse_pooling import fuse_pooling
from fovea.graph.verify import verify


def captured(function: Any, *tensors: Any) -> Graph:
    made = capture(function, tensors, {}, tensors)
    assert made.refused is None and made.graph is not None
    return made.graph


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def check(graph: Graph, *tensors: Any) -> Graph:
    fused = fuse_pooling(simplify(graph))
    verify(fused)
    (expected, _), (found, _) = interpret(graph, tensors), interpret(fused, tensors)
    for a, b in zip(expected, found, strict=True):
        assert np.array_equal(a.numpy(), b.numpy(), equal_nan=True)
    return fused


def image(*shape: int) -> Any:
    x = fovea.randn(*shape)
    x.view(-1)[::7] = 0.0
    x.view(-1)[3] = float("nan")
    return x.contiguous(memory_format=fovea.channels_last)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (5, 4)])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 3), ((2, 3), (3, 4)), (1, 1)])
def test_forward_and_backward(size: tuple[int, int], kernel: Any, stride: Any) -> None:
    def f(x: Any) -> Any:
        w = (x * 2).requires_grad_() if not x.requires_grad else x
        y = F.max_pool2d(F.relu(w), kernel, stride)
        (g,) = fovea.autograd.grad((y * y).sum(), w)
        return y, g

    x = image(2, 11, *size)
    fused = check(captured(f, x), x)
    assert "relu_max_pool2d" in names(fused) and "relu_max_pool2d_grad" in names(fused)
    assert not {"relu", "relu_grad", "max_pool2d", "max_pool2d_grad"} & set(names(fused))


def test_inference_pools_first() -> None:
    x = image(2, 3, 6, 6)
    fused = check(captured(lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), x), x)
    assert names(fused) == ["max_pool2d", "relu"]


def test_a_relu_that_others_read_stays() -> None:
    def f(x: Any) -> Any:
        r = F.relu(x)
        return F.max_pool2d(r, 2), r.sum()

    x = image(2, 3, 6, 6)
    assert "relu" in names(check(captured(f, x), x))


@pytest.mark.parametrize("options", [{"padding": 1}, {"stride": 1}, {"ceil_mode": True}])
def test_windows_of_other_kinds_stay(options: dict[str, Any]) -> None:
    def f(x: Any) -> Any:
        w = (x * 2).requires_grad_()
        (g,) = fovea.autograd.grad(F.max_pool2d(F.relu(w), 2, **options).sum(), w)
        return g

    x = image(2, 3, 5, 5)
    assert "max_pool2d_grad" in names(check(captured(f, x), x))


def test_programs_use_it() -> None:
    def step(x: Any) -> Any:
        w = (x + 1).requires_grad_()
        y = F.max_pool2d(F.relu(w), 2)
        y.sum().backward()
        return y, w.grad

    x = image(2, 3, 8, 8)
    graph = captured(step, x)
    assert "relu_max_pool2d" in names(optimize(graph, verify=True))
