"""Orders of nodes: data, and memory that is overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fovea
from fovea.graph.order import legal_order, rewritten
from fovea.ops.elementwise import add, exp, mul, neg, relu
from fovea.ops.norm import batch_norm_update
from fovea.ops.shape import view
from tests.graph.builder import Builder


def test_values_come_before_their_readers() -> None:
    b = Builder()
    x = b.input(3)
    y = b(relu, x)
    z = b(add, y, x)
    b(mul, z, y)
    first, second, third = b.nodes
    assert legal_order([third, second, first]) == (first, second, third)
    assert legal_order([first, second, third]) == (first, second, third)


def test_readers_come_before_what_overwrites() -> None:
    b = Builder()
    mean, var = b.state(fovea.zeros(6)), b.state(fovea.ones(6))
    m, v = b.input(6), b.input(6)
    b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    b(exp, mean)
    seen = b(view, var, shape=(2, 3))
    b(neg, seen)
    update, read, look, through_view = b.nodes
    order = legal_order([update, read, look, through_view])
    assert order == (read, look, through_view, update)


def test_what_waits_for_itself_has_no_order() -> None:
    b = Builder()
    mean, var = b.state(fovea.zeros(6)), b.state(fovea.ones(6))
    m, v = b.input(6), b.input(6)
    new, _ = b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    b(add, new, mean)
    with pytest.raises(ValueError, match="no order exists for .*add"):
        legal_order(b.nodes)


def test_nodes_are_replaced() -> None:
    b = Builder()
    x = b.input(3)
    y = b(relu, x)
    z = b(neg, y)
    graph = b.graph(z)
    assert rewritten(graph, {}) is graph
    late, early = graph.nodes[1], graph.nodes[0]
    assert rewritten(graph, {early: (), late: (late, early)}).nodes == (early, late)


def test_changes_that_do_not_go_together() -> None:
    """Each of two sums may wait for the other product, but not both."""
    b = Builder()
    x, y = b.input(3), b.input(3)
    first, second = b(neg, x), b(neg, y)
    p, q = b(relu, first), b(relu, second)
    graph = b.graph(b(add, p, y), b(add, q, x))
    one, two = graph.nodes[0], graph.nodes[1]
    waits = [replace(one, inputs=(q,)), replace(two, inputs=(p,))]
    after = rewritten(graph, {one: (waits[0],)}, {two: (waits[1],)})
    assert waits[0] in after.nodes and waits[1] not in after.nodes and two in after.nodes
