"""The first layers a few images at a time."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea.graph import Graph
from fovea.graph.passes.split_images import split_images
from fovea.graph.verify import verify
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, mul, neg, relu
from fovea.ops.fused import conv2d_fused
from fovea.ops.pool import max_pool2d
from fovea.ops.reduce import mean
from fovea.targets.cpu.executable import Executable
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, sample_inputs, transformed

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
POOL = {
    "kernel": (4, 4),
    "stride": (4, 4),
    "padding": (0,) * 4,
    "dilation": (1, 1),
    "ceil_mode": False,
}
LARGE = 4000  # bytes: what the first layers of these networks move


class Net(Builder):
    """Writes networks by the layer."""

    def images(self, count: int = 6, **more: Any) -> Any:
        return self.input(count, 2, 8, 8, **{"nhwc": True, **more})

    def conv(self, x: Any, outputs: int = 3, **more: Any) -> Any:
        weight = self.state(fovea.randn(outputs, x.shape[1], 3, 3) * 0.3)
        return self(conv2d, x, weight, self.state(fovea.randn(outputs)), **{**CONV, **more})

    def pool(self, x: Any) -> Any:
        return self(max_pool2d, x, **POOL)


def split(graph: Graph, part: int = 4000, busy: float = 1e9) -> Graph:
    return transformed(graph, lambda g: split_images(g, LARGE, part, busy), rtol=1e-5, atol=1e-6)


def test_until_results_are_small() -> None:
    n = Net()
    y = n(neg, n.pool(n(relu, n.conv(n.images()))))
    after = split(n.graph(y))
    parts = ["slice", "conv2d", "relu", "max_pool2d"]
    assert ops_of(after) == [*parts * 3, "cat", "neg"]
    assert [tuple(node.outputs[0].shape) for node in after.nodes[:2]] == [
        (2, 2, 8, 8),
        (2, 3, 8, 8),
    ]


@pytest.mark.parametrize(
    ("count", "part", "parts"), [(6, 8000, 1), (6, 4000, 2), (5, 3000, 5), (7, 1, 7)]
)
def test_parts_are_alike_and_as_large_as_may_be(count: int, part: int, parts: int) -> None:
    n = Net()
    after = split(n.graph(n.pool(n.conv(n.images(count)))), part)
    assert ops_of(after).count("conv2d") == parts


def test_residuals_gates_and_means() -> None:
    n = Net()
    x = n.conv(n.images(), 4)
    gate = n.conv(n(mean, x, dims=(2, 3), keepdim=True), 4)
    x = n(mul, x, gate)
    weight = n.state(fovea.randn(4, 4, 1, 1))
    a = {**CONV, "padding": (0,) * 4, "activation": ("none", ()), "residual_after": False}
    y = n(conv2d_fused, x, weight, None, None, x, None, **a)
    y = n(mul, y, n.state(fovea.randn(4, 1, 1)))
    after = split(n.graph(n(neg, n.pool(y))))
    assert ops_of(after)[-2:] == ["cat", "neg"] and ops_of(after).count("conv2d_fused") == 6


def test_the_rest_stays_in_order() -> None:
    """What does not depend on images comes before, what depends on the result after."""
    n = Net()
    scale = n(neg, n.state(fovea.randn(3, 1, 1)))
    y = n.pool(n(mul, n.conv(n.images()), scale))
    other = n(relu, scale)
    after = split(n.graph(n(mul, y, other), y))
    assert ops_of(after)[:2] == ["neg", "relu"] and ops_of(after)[-2:] == ["cat", "mul"]


def unchanged(graph: Graph, **more: Any) -> None:
    assert split(graph, **more) is graph


def test_where_it_is_not_worth_while() -> None:
    n = Net()
    unchanged(n.graph(n.pool(n.conv(n.images()))), busy=1.0)  # products take the time
    n = Net()
    unchanged(n.graph(n.pool(n.conv(n.images(1)))))
    n = Net()
    unchanged(n.graph(n(relu, n.conv(n.images()))))  # the result itself is large
    n = Net()
    x = n.conv(n.images())
    unchanged(n.graph(n.pool(x), n(relu, x)))  # needed as a whole
    n = Net()
    unchanged(n.graph(n.pool(n.conv(n.input(2, 2, 4, 4, nhwc=True)))))  # small


def test_where_images_are_not_apart() -> None:
    n = Net()
    x = n.conv(n.images())
    unchanged(n.graph(n.pool(n(add, x, n(mean, x, dims=(0,), keepdim=True)))))
    n = Net()  # weights that depend on images
    x = n.images(3)
    y = n(conv2d, x, n.input(3, 2, 3, 3), None, **CONV)
    unchanged(n.graph(n.pool(y)))
    n = Net()
    unchanged(n.graph(n.pool(n(add, n.conv(n.images()), n.state(fovea.randn(6, 3, 8, 8))))))
    n = Net()
    x = n.images(nhwc=False, strides=(1, 6, 12, 96))
    unchanged(n.graph(n.pool(n.conv(x))))


def test_graphs_that_change_states_are_left_alone() -> None:
    n = Net()
    y = n.pool(n.conv(n.images()))
    total = n.state(fovea.zeros(6, 3, 2, 2))
    unchanged(n.graph(y, updates=[(total, n(add, total, y))]))


def test_weights_are_packed_once() -> None:
    n = Net()
    graph = n.graph(n(neg, n.pool(n.conv(n.images()))))
    after = split(graph)
    verify(after)
    whole, parts = Executable(graph), Executable(after)
    assert parts.kept_bytes == whole.kept_bytes > 0
    assert parts.memory.peak < whole.memory.peak
    inputs = sample_inputs(graph)
    for _ in range(2):
        (a,), (b,) = whole.run(inputs), parts.run(inputs)
        assert fovea.allclose(a, b, rtol=1e-5, atol=1e-6)
        graph.states[0].tensor.mul_(2.0)  # packed anew


def test_weights_are_not_images() -> None:
    """Large weights do not make a layer large, even of as many filters as there are images."""
    n = Net()
    x = n.input(6, 32, 2, 2, nhwc=True)
    unchanged(n.graph(n(mean, n.conv(x, 6), dims=(2, 3), keepdim=True)))
