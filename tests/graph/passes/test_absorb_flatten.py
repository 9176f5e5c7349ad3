"""Dense layers on images, in the order of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

import fovea
from fovea.graph import Graph
from fovea.graph.passes import simplify
from fovea.graph.passes.absorb_flatten import absorb_flatten
from fovea.graph.passes.dead_code import remove_dead_code
from fovea.ops.elementwise import neg, relu, relu_grad
from fovea.ops.linalg import linear, matmul
from fovea.ops.memory import lay_out
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.rules import channels_last_strides
from fovea.ops.shape import clone, permute, view
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed

C, H, W, OUT = 3, 4, 5, 6
SIZE = C * H * W


def better(graph: Graph) -> Graph:
    return remove_dead_code(simplify(absorb_flatten(graph)))


def absorbed(graph: Graph) -> Graph:
    return transformed(graph, better, rtol=1e-5, atol=1e-5)


def layer(b: Builder, n: int) -> tuple[Any, Any, Any, Any]:
    """An image, weights, the image flattened, and the layer's result."""
    x = b(relu, b.input(n, C, H, W, nhwc=True))
    w = b.state(fovea.randn(OUT, SIZE), "w")
    flat = b(view, b(clone, x, layout="contiguous"), shape=(n, SIZE))
    return x, w, flat, b(linear, flat, w, b.state(fovea.randn(OUT)))


def copies(graph: Graph) -> list[tuple[int, ...]]:
    """The shapes of what is copied."""
    return [n.outputs[0].shape for n in graph.nodes if n.op in (clone, lay_out)]


def test_weights_that_stay_are_turned() -> None:
    b = Builder()
    _, _, _, y = layer(b, 2)
    assert copies(absorbed(b.graph(y))) == [(OUT, H, W, C)]


def training(n: int) -> Graph:
    b = Builder()
    x, w, flat, y = layer(b, n)
    g = b.input(n, OUT)
    gw = b(matmul, b(permute, g, dims=(1, 0)), flat)
    image = b(view, b(matmul, g, w), shape=(n, C, H, W))
    strides = channels_last_strides((n, C, H, W))
    gx = b(relu_grad, b(lay_out, image, strides=strides), x)
    scalars = b.constant(np.array([0.1, 0.0, 0.0, 0.0, 0.0]))
    attrs = SgdAttrs.of("none", False, False, False, False, False)
    updates = [(w, b.bind(sgd_update, (scalars, w, gw), attrs))]
    return b.graph(y, gx, gw, updates=updates)


def test_training_with_a_large_batch() -> None:
    after = absorbed(training(40))
    assert sorted(copies(after)) == [(OUT, H, W, C), (OUT, C, H, W)][::-1]


def test_training_with_a_small_batch() -> None:
    graph = training(4)
    assert ops_of(absorbed(graph)) == ops_of(graph)


def test_what_is_left_alone() -> None:
    b = Builder()
    _, _, flat, y = layer(b, 2)
    graph = b.graph(y, b(neg, flat))  # its order shows
    assert ops_of(absorbed(graph)) == ops_of(graph)
    b = Builder()
    x = b.input(2, SIZE, 1, 1)
    flat = b(view, b(clone, x, layout="contiguous"), shape=(2, SIZE))
    graph = b.graph(b(linear, flat, b.state(fovea.randn(OUT, SIZE)), None))
    assert "permute" not in ops_of(absorbed(graph))
