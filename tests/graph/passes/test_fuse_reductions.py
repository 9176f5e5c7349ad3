"""Reductions in regions: which is taken, what is still stored, and that no bit changes."""

from __future__ import annotations

import fovea
from fovea.graph import Graph
from fovea.graph.passes.fuse_pointwise import fuse_pointwise
from fovea.graph.passes.fuse_reductions import fuse_reductions
from fovea.ops.activation import silu
from fovea.ops.conv import conv2d_input_grad
from fovea.ops.elementwise import exp, mul, neg, relu_grad, square, sub
from fovea.ops.reduce import amax, argmax, mean, sum_
from fovea.ops.shape import view
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed


def fused(graph: Graph) -> Graph:
    return transformed(graph, lambda g: fuse_reductions(fuse_pointwise(g)))


def test_a_loss() -> None:
    b = Builder()
    x, y = b.input(8, 10), b.input(8, 10)
    loss = b(mean, b(square, b(sub, x, y)), dims=(0, 1), keepdim=False)
    after = fused(b.graph(loss))
    assert ops_of(after) == ["pointwise_reduce"]
    assert str(after.nodes[0].attrs) == "mean over (0, 1): square(sub(x0, x1))"
    assert after.nodes[0].outputs == (loss,)


def test_a_gradient_that_others_read_is_stored() -> None:
    b = Builder()
    gy, y = b.input(2, 5, 6, 6, nhwc=True), b.input(2, 5, 6, 6, nhwc=True)
    w = b.state(fovea.randn(5, 3, 3, 3))
    g = b(relu_grad, gy, y)
    bias = b(sum_, g, dims=(0, 2, 3), keepdim=False)
    gx = b(
        conv2d_input_grad, g, w, stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1,
        input_size=(6, 6),
    )  # fmt: skip
    after = fused(b.graph(bias, gx))
    assert ops_of(after) == ["pointwise_reduce", "conv2d_input_grad"]
    assert after.nodes[0].outputs == (bias, g)


def test_one_reduction_a_region() -> None:
    """That which makes it needless to store a value, before one that saves a load."""
    b = Builder()
    x = b.input(2, 5, 6, 6, nhwc=True)
    t = b(neg, x)
    u = b(square, t)
    first = b(sum_, t, dims=(2, 3), keepdim=True)
    second = b(sum_, u, dims=(2, 3), keepdim=True)
    after = fused(b.graph(first, second, t))
    assert ops_of(after) == ["pointwise_reduce", "sum"]
    assert after.nodes[0].outputs == (second, t)


def test_one_op_will_do() -> None:
    b = Builder()
    x = b.input(3, 9)
    after = fused(b.graph(b(amax, b(exp, x), dims=(1,), keepdim=True)))
    assert ops_of(after) == ["pointwise_reduce"]


def test_what_is_left_alone() -> None:
    b = Builder()
    x, turned = b.input(6, 6), b.input(6, 6, strides=(1, 6))
    crossing = b(mul, x, turned)  # reads across the order of memory
    through_view = b(view, b(neg, x), shape=(36,))
    places = b(neg, x)
    nothing = b(sum_, b(exp, b.input(1, 4)), dims=(0,), keepdim=False)
    graph = b.graph(
        b(sum_, crossing, dims=(1,), keepdim=False),
        b(sum_, through_view, dims=(0,), keepdim=False),
        b(argmax, places, dim=1, keepdim=False),
        nothing,
    )
    assert "pointwise_reduce" not in ops_of(transformed(graph, fuse_reductions))
    b = Builder()
    slow = b.input(6, 6)
    for _ in range(3):
        slow = b(silu, slow)  # more code than it is worth ten times over
    after = fused(b.graph(b(sum_, slow, dims=(1,), keepdim=False)))
    assert ops_of(after) == ["pointwise", "sum"]
