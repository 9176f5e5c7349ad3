"""Gradients of max-pooling with a ReLU before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.passes import fuse_pointwise, fuse_reductions, remove_dead_code, share_common
from fovea.graph.passes.simplify_pools import simplify_pools
from fovea.ops.conv import conv2d_weight_grad
from fovea.ops.elementwise import neg, relu, relu_grad
from fovea.ops.fused_pool import relu_max_pool2d, relu_max_pool2d_grad
from fovea.ops.pool import max_pool2d, max_pool2d_grad
from fovea.ops.reduce import sum_
from tests.graph.builder import Builder
from tests.graph.passes.compare import close, ops_of, transformed

POOLS = [
    {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "dilation": (1, 1), "ceil_mode": False},
    {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "dilation": (1, 1), "ceil_mode": False},
    {"kernel": (3, 2), "stride": (1, 2), "padding": (1, 0, 1, 0), "dilation": (1, 2), "ceil_mode": True},
]  # fmt: skip
CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def better(graph: Graph) -> Graph:
    return remove_dead_code(share_common(simplify_pools(graph)))


def fused(graph: Graph) -> Graph:
    return fuse_reductions(fuse_pointwise(graph))


def gradients(b: Builder, pool: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The gradient of relu and max-pool, and those of a convolution before them."""
    image = b.input(3, 4, 9, 8, nhwc=True)
    x = b(relu, b.input(3, 5, 9, 8, nhwc=True))
    y = b(max_pool2d, x, **pool)
    gy = b.input(*y.shape)  # row-major: it is laid out as an image once
    gx = b(relu_grad, b(max_pool2d_grad, gy, x, y, **pool), x)
    gw = b(conv2d_weight_grad, gx, image, kernel=(3, 3), **CONV)
    return gx, gw, b(sum_, gx, dims=(0, 2, 3), keepdim=False)


@pytest.mark.parametrize("pool", POOLS)
def test_slope_and_sum_are_taken_of_windows(pool: dict[str, Any]) -> None:
    b = Builder()
    _, gw, gb = gradients(b, pool)
    after = transformed(b.graph(gw, gb), better, rtol=1e-6, atol=1e-5)
    assert ops_of(after) == [
        "relu", "max_pool2d", "lay_out", "relu_grad", "max_pool2d_grad", "conv2d_weight_grad",
        "sum",
    ]  # fmt: skip
    assert after.nodes[-1].inputs == after.nodes[3].outputs


def test_windows_that_chose_nothing_do_not_count() -> None:
    b = Builder()
    x = b.input(3, 5, 8, 8, nhwc=True)
    _, choice = b(relu_max_pool2d, x, **POOLS[0])
    gx = b(
        relu_max_pool2d_grad, b.input(3, 5, 4, 4), choice,
        kernel=(2, 2), stride=(2, 2), input_size=(8, 8),
    )  # fmt: skip
    graph = b.graph(gx, b(sum_, gx, dims=(0, 2, 3), keepdim=False))
    after = transformed(graph, lambda g: fused(better(g)), rtol=1e-6, atol=1e-5)
    assert ops_of(after) == [
        "relu_max_pool2d", "lay_out", "relu_max_pool2d_grad", "pointwise_reduce"
    ]  # fmt: skip


def test_the_slope_keeps_its_bits() -> None:
    b = Builder()
    gx, *_ = gradients(b, POOLS[1])
    graph = b.graph(gx)
    after = better(graph)
    x = np.random.default_rng(0).integers(-2, 3, graph.inputs[1].shape).astype(np.float32)  # ties
    x[0, 0, 0, 0], x[1, 2, 3, 4], x[2, 0, 0, 0] = np.nan, np.inf, -0.0
    gy = fovea.randn(*graph.inputs[2].shape)
    given = [fovea.randn(3, 4, 9, 8), fovea.from_numpy(x), gy]
    close(interpret(after, given)[0], interpret(graph, given)[0], 0.0, 0.0)


def test_what_stays() -> None:
    b = Builder()
    pool = POOLS[0]
    x = b(relu, b.input(2, 3, 4, 4, nhwc=True))
    y, other = b(max_pool2d, x, **pool), b(neg, x)
    gx = b(max_pool2d_grad, b.input(2, 3, 2, 2, nhwc=True), x, y, **pool)
    read_twice = b.graph(b(relu_grad, gx, x), gx)
    assert ops_of(transformed(read_twice, better)) == [
        *ops_of(read_twice)[:2],
        "max_pool2d_grad",
        "relu_grad",
    ]
    another = b.graph(b(relu_grad, gx, other))
    assert ops_of(transformed(another, better))[-1] == "relu_grad"
    rows = b.graph(b(sum_, gx, dims=(0, 2), keepdim=False))
    assert "max_pool2d_grad" in ops_of(transformed(rows, better))
