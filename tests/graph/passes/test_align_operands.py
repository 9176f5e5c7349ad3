"""Operands across the order of memory."""

from __future__ import annotations

from fovea.graph.passes import fuse_pointwise
from fovea.graph.passes.align_operands import align_operands
from fovea.ops.elementwise import add, mul, relu, relu_grad
from fovea.ops.shape import permute
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed


def test_such_operands_are_copied_once() -> None:
    b = Builder()
    y = b(relu, b.input(8, 32, 5, 5, nhwc=True))
    g = b.input(8, 32, 5, 5)
    once = b(relu_grad, g, y)
    graph = b.graph(b(mul, once, b(add, y, g)))
    after = transformed(graph, lambda g: fuse_pointwise(align_operands(g)))
    assert ops_of(after) == ["lay_out", "pointwise"]
    assert after.nodes[0].outputs[0].strides == y.strides


def test_parts_are_copied_in_the_order_of_the_whole() -> None:
    b = Builder()
    x, one_image = b.input(8, 40, 6, 6, nhwc=True), b.input(40, 6, 6)
    after = transformed(b.graph(b(add, x, one_image)), align_operands)
    assert ops_of(after) == ["lay_out", "add"]
    assert after.nodes[0].outputs[0].strides == (1, 240, 40)


def test_what_lies_along_or_is_small_is_read_as_it_is() -> None:
    b = Builder()
    x, small = b.input(8, 40, 6, 6, nhwc=True), b.input(40, 2, 2)
    turned = b(permute, x, dims=(0, 2, 3, 1))
    graph = b.graph(
        b(add, x, b.input(40, 1, 1)),
        b(relu, turned),
        b(add, b.input(2, 40, 2, 2, nhwc=True), small),
    )
    assert align_operands(graph).nodes == graph.nodes
