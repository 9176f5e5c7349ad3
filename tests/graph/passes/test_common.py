"""Equal nodes become one, where nobody can tell."""

from __future__ import annotations

import numpy as np

from fovea import dtypes
from fovea.graph import Graph
from fovea.graph.passes import share_common
from fovea.graph.verify import verify
from fovea.ops.elementwise import add, exp, mul
from fovea.ops.norm import batch_norm_train
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import random_uniform
from fovea.ops.reduce import sum_
from fovea.ops.shape import clone, permute
from tests.graph.builder import Builder


def shared(graph: Graph) -> list[str]:
    verify(graph)
    graph = share_common(graph)
    verify(graph)
    return [n.op.name for n in graph.nodes]


def test_equal_chains() -> None:
    b = Builder()
    x = b.input(3, 4)
    first = b(exp, b(permute, x, dims=(1, 0)))
    second = b(exp, b(permute, x, dims=(1, 0)))
    other = b(exp, x)
    graph = b.graph(b(add, first, second), other)
    assert shared(graph) == ["permute", "exp", "exp", "add"]


def test_several_outputs() -> None:
    b = Builder()
    x = b.input(3, 4)
    first = b(batch_norm_train, x, None, None, eps=0.1)
    second = b(batch_norm_train, x, None, None, eps=0.1)
    third = b(batch_norm_train, x, None, None, eps=0.2)
    graph = b.graph(b(add, first[1], second[2]), b(add, second[0], third[0]))
    assert shared(graph).count("batch_norm_train") == 2


def test_attributes_tell_nodes_apart() -> None:
    b = Builder()
    x = b.input(3, 4)
    y = b(add, b(sum_, x, dims=(0,), keepdim=False), b(sum_, x, dims=(0,), keepdim=True))
    z = b(sum_, x, dims=(1,), keepdim=False)
    assert shared(b.graph(y, z)) == ["sum", "sum", "add", "sum"]


def test_equal_constants() -> None:
    b = Builder()
    x = b.input(3)
    same = [b.constant(0.5), b.constant(0.5), b.constant(-0.0), b.constant(0.0)]
    wide = b.constant(np.full((1,), 0.5, np.float32))
    y = [b(mul, x, c) for c in (*same, wide)]
    graph = share_common(b.graph(b(add, y[0], b(add, y[1], b(add, y[2], b(add, y[3], y[4]))))))
    verify(graph)
    assert len(graph.constants) == 4
    assert [n.op.name for n in graph.nodes].count("mul") == 4


def test_random_numbers_differ() -> None:
    b = Builder()
    rng = b.state(np.zeros(2, np.int64))
    attrs = {"shape": (3,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}
    first, state = b(random_uniform, rng, **attrs)
    second, state = b(random_uniform, state, **attrs)
    graph = b.graph(b(add, first, second), updates=[(rng, state)])
    assert shared(graph) == ["random_uniform", "random_uniform", "add"]


def test_what_is_overwritten_is_not_shared() -> None:
    b = Builder()
    lr, g = b.state(np.zeros(5)), b.input(3)
    first, second = b(exp, g), b(exp, g)
    new = b.bind(sgd_update, (lr, first, g), SgdAttrs.of("none", False))
    assert shared(b.graph(b(add, new, second))) == ["exp", "exp", "sgd_update", "add"]


def test_views_of_a_state_before_its_change() -> None:
    b = Builder()
    lr, w = b.state(np.zeros(5)), b.state(np.ones((3, 2), np.float32))
    first, second = b(permute, w, dims=(1, 0)), b(permute, w, dims=(1, 0))
    y = b(add, first, second)
    new = b.bind(sgd_update, (lr, w, b.input(3, 2)), SgdAttrs.of("none", False))
    graph = b.graph(y, updates=[(w, new)])
    assert shared(graph) == ["permute", "add", "sgd_update"]


def test_two_results_stay_two() -> None:
    b = Builder()
    x = b.input(3)
    first, second, third = b(exp, x), b(exp, x), b(clone, x, layout="preserve")
    assert shared(b.graph(first, second, third)) == ["exp", "exp", "clone"]
    b = Builder()
    x = b.input(3)
    first, second = b(exp, x), b(exp, x)
    graph = b.graph(b(add, first, x), second)
    assert shared(graph) == ["exp", "add"]


def test_nothing_to_share() -> None:
    b = Builder()
    graph = b.graph(b(exp, b.input(3)))
    assert share_common(graph) is graph
