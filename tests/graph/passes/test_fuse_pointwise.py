"""Regions: which nodes become one, which stay apart, and that no bit changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.graph import Graph
from fovea.graph.passes.fuse_pointwise import MOST_STREAMS, fuse_pointwise
from fovea.ops.activation import silu, silu_grad
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, cast, div, exp, gt, mul, neg, relu, relu_grad, sub, where
from fovea.ops.linalg import matmul
from fovea.ops.norm import batch_norm_update
from fovea.ops.reduce import sum_
from fovea.ops.shape import expand, permute, view
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def fused(graph: Graph) -> Graph:
    return transformed(graph, fuse_pointwise)


def formulas(graph: Graph) -> list[str]:
    return [str(node.attrs) for node in graph.nodes if node.op.name == "pointwise"]


def test_a_chain_becomes_one() -> None:
    b = Builder()
    x, y = b.input(4, 6), b.input(6)
    z = b(relu, b(mul, b(add, x, y), b.constant(0.5)))
    after = fused(b.graph(z))
    assert formulas(after) == ["relu(mul(add(x0, x1), 0.5))"]
    assert after.nodes[0].inputs == (x, y)
    assert fuse_pointwise(after).nodes == after.nodes


def test_what_others_read_is_stored() -> None:
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    t = b(exp, x)
    out = b(add, b(neg, t), x)
    after = fused(b.graph(b(matmul, t, w), out))
    assert ops_of(after) == ["pointwise", "matmul"]
    assert after.nodes[0].outputs == (t, out)


def test_nodes_between_keep_regions_apart() -> None:
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    t = b(relu, x)
    out = b(neg, b(add, b(matmul, t, w), t))
    after = fused(b.graph(out))
    assert ops_of(after) == ["relu", "matmul", "pointwise"]


def test_nodes_that_can_wait_are_moved_behind() -> None:
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    t = b(exp, x)
    m = b(matmul, t, w)
    out = b(neg, t)
    after = fused(b.graph(m, out))
    assert ops_of(after) == ["pointwise", "matmul"]


def test_two_regions_do_not_wait_for_one_another() -> None:
    """Each of two pairs may be joined, but not both: a -> m -> d and b -> n -> c."""
    b = Builder()
    x, y, w = b.input(4, 4), b.input(5, 5), b.input(4, 5)
    a = b(exp, x)
    e = b(exp, y)
    d = b(neg, b(add, e, b(sum_, a, dims=(0, 1), keepdim=True)))
    c = b(neg, b(add, a, b(sum_, e, dims=(0, 1), keepdim=True)))
    fused(b.graph(c, d, b(matmul, c, w)))


def test_shapes_and_layouts_keep_regions_apart() -> None:
    b = Builder()
    x, y = b.input(2, 3, 4, 5, nhwc=True), b.input(2, 3, 4, 5)
    scale = b(neg, b(neg, b.input(3, 1, 1)))
    left = b(mul, b(relu, x), scale)
    right = b(mul, b(relu, y), scale)
    after = fused(b.graph(left, right))
    assert ops_of(after) == ["pointwise"] * 3
    crossing = b(add, left, right)  # reads row-major elements into a channels-last result
    after = fused(b.graph(b(neg, crossing)))
    assert ops_of(after).count("pointwise") == 3
    assert ops_of(after)[-2:] == ["add", "neg"]


def test_broadcast_operands_go_along() -> None:
    b = Builder()
    x = b.input(2, 3, 4, 5, nhwc=True)
    g = b(expand, b.input(2, 3, 1, 1), shape=(2, 3, 4, 5))
    out = b(relu_grad, b(mul, g, x), x)
    after = fused(b.graph(out))
    assert ops_of(after) == ["expand", "pointwise"]


def test_dtypes_are_kept() -> None:
    b = Builder()
    x = b.input(33, dtype=dtypes.bfloat16)
    wide = b(cast, x, dtype=dtypes.float32)
    y = b(cast, b(mul, wide, wide), dtype=dtypes.bfloat16)
    mask = b(gt, y, x)
    after = fused(b.graph(b(where, mask, y, x), mask))
    assert ops_of(after) == ["pointwise"]


def test_equal_steps_are_made_once() -> None:
    b = Builder()
    x = b.input(7)
    out = b(div, b(add, b(exp, x), x), b(sub, b(exp, x), b.constant(1.0)))
    assert formulas(fused(b.graph(out))) == ["t0 = exp(x0); div(add(t0, x0), sub(t0, 1))"]


def with_update(b: Builder) -> tuple[Any, Any, Any]:
    """Reads a mean, then updates it."""
    mean, var = b.state(fovea.randn(6), "mean"), b.state(fovea.ones(6), "var")
    m, v = b.input(6), b.input(6)
    before = b(mul, mean, b.constant(2.0))
    new_mean, new_var = b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    return before, new_mean, [(mean, new_mean), (var, new_var)]


def test_nothing_is_read_after_it_was_overwritten() -> None:
    b = Builder()
    before, new_mean, updates = with_update(b)
    after = fused(b.graph(b(add, before, new_mean), updates=updates))
    assert ops_of(after) == ["mul", "batch_norm_update", "add"]
    b = Builder()
    before, _, updates = with_update(b)
    late = b(mul, b(neg, b.input(6)), before)  # may be run before the update
    after = fused(b.graph(late, updates=updates))
    assert ops_of(after) == ["pointwise", "batch_norm_update"]


def test_limits() -> None:
    b = Builder()
    total = b.input(8)
    for _ in range(3 * MOST_STREAMS):
        total = b(add, total, b.input(8))
    after = fused(b.graph(total))
    assert all(len(n.inputs) + len(n.outputs) <= MOST_STREAMS for n in after.nodes)
    assert len(after.nodes) < 6
    b = Builder()
    x = b.input(8)
    for _ in range(120):
        x = b(relu, b(neg, x))
    assert [len(n.attrs.steps) for n in fused(b.graph(x)).nodes] == [48] * 5  # type: ignore[union-attr]


def test_cheap_values_are_made_again() -> None:
    """The mask is one byte an element, its cast four: both readers cast for themselves."""
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    mask = b.input(4, 4, dtype=dtypes.bool_)
    keep = b(cast, mask, dtype=dtypes.float32)
    y = b(neg, b(mul, x, keep))
    z = b(neg, b(mul, b(matmul, y, w), keep))
    after = fused(b.graph(z))
    assert ops_of(after) == ["pointwise", "matmul", "pointwise"]
    assert formulas(after) == ["neg(mul(x1, float32(x0)))"] * 2
    # Not where it is returned, nor where it costs more than to load it.
    assert "float32" not in formulas(fused(b.graph(z, keep)))[1]
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    slow = b(exp, x)
    z = b(neg, b(mul, b(matmul, b(neg, slow), w), slow))
    assert "exp" not in formulas(fused(b.graph(z)))[1]


def test_loaded_operands_serve_again() -> None:
    """t is stored for the product; the last region reads x anyway, so it need not load t."""
    b = Builder()
    x, w = b.input(4, 4), b.input(4, 4)
    t = b(relu, x)
    z = b(add, b(mul, b(matmul, t, w), t), x)
    after = fused(b.graph(z))
    assert formulas(after) == ["add(mul(x1, relu(x0)), x0)"]


def training_step() -> tuple[Graph, list[Any]]:
    """Two layers with silu, their gradients, by hand."""
    b = Builder()
    x = b.input(2, 4, 6, 6, nhwc=True)
    w1, w2 = b.state(fovea.randn(4, 4, 3, 3), "w1"), b.state(fovea.randn(4, 4, 3, 3), "w2")
    h = b(conv2d, x, w1, None, **CONV)
    s = b(silu, h)
    y = b(add, b(conv2d, s, w2, None, **CONV), x)
    loss = b(sum_, b(mul, y, y), dims=(0, 1, 2, 3), keepdim=False)
    g = b(mul, b(expand, b.constant(np.float32(2.0)), shape=(2, 4, 6, 6)), y)
    gh = b(silu_grad, b(relu_grad, g, s), h)
    return b.graph(loss, b(neg, gh)), [x]


def test_a_training_step() -> None:
    graph, _ = training_step()
    after = fused(graph)
    assert ops_of(after).count("pointwise") == 1
    assert len(after.nodes) < len(graph.nodes) - 3


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = Builder()
    shapes = [(4, 6), (6,), (4, 1), (), (2, 6, 3, 4)]
    pool = [b.input(*s) for s in shapes] + [b.input(4, 6, strides=(1, 4)), b.constant(0.5)]
    pool.append(b.input(2, 6, 3, 4, nhwc=True))
    for _ in range(40):
        kind = int(rng.integers(9))
        x, y = (pool[i] for i in rng.integers(len(pool), size=2))
        try:
            if kind < 4:
                new = b([add, mul, sub, relu_grad][kind], x, y)
            elif kind < 7:
                new = b([relu, neg, silu][kind - 4], x)
            elif kind == 7 and x.ndim > 1:
                new = b(sum_, x, dims=(1,), keepdim=True)
            elif x.ndim == 2:
                new = b(permute, b(view, x, shape=tuple(x.shape)), dims=(1, 0))
            else:
                continue
        except ValueError:
            continue
        if np.prod(new.shape, dtype=int) <= 600:
            pool.append(new)
    outputs = [pool[i] for i in rng.choice(len(pool), 4, replace=False)]
    fused(b.graph(*outputs))
