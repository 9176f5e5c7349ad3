"""What depends on constants alone is computed once."""

from __future__ import annotations

import numpy as np

import fovea
from fovea import dtypes
from fovea.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.passes import fold_constants
from fovea.graph.verify import verify
from fovea.ops.elementwise import add, cast, exp, mul
from fovea.ops.norm import batch_norm_train
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import random_uniform
from fovea.ops.shape import clone, expand, permute, slice_
from tests.graph.builder import Builder


def folded(graph: Graph, **options: int) -> Graph:
    verify(graph)
    result = fold_constants(graph, **options)
    verify(result)
    return result


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def test_a_chain() -> None:
    b = Builder()
    x = b.input(2)
    c = b(add, b(exp, b.constant([0.0, 1.0])), b.constant(1.0))
    graph = folded(b.graph(b(mul, x, c)))
    assert names(graph) == ["mul"]
    (out,), _ = interpret(graph, [fovea.ones(2)])
    np.testing.assert_allclose(out.numpy(), [2, 1 + np.e], rtol=1e-6)


def test_other_types_and_several_outputs() -> None:
    b = Builder()
    x = b.input(3)
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    y, mean, _, _ = b(batch_norm_train, b.constant(data), None, None, eps=0.0)
    half = b(cast, mean, dtype=dtypes.bfloat16)
    graph = folded(b.graph(b(mul, b(add, x, b(cast, half, dtype=dtypes.float32)), y)))
    assert names(graph) == ["add", "mul"]
    (out,), _ = interpret(graph, [fovea.zeros(3)])
    np.testing.assert_allclose(out.numpy(), np.multiply([1.5, 2.5, 3.5], [[-1], [1]]))


def test_layouts_are_kept() -> None:
    b = Builder()
    x = b.input(3, 2)
    turned = b(permute, b.constant(np.arange(6, dtype=np.float32).reshape(2, 3)), dims=(1, 0))
    graph = folded(b.graph(b(add, x, turned)))
    assert names(graph) == ["add"]
    assert [c.value.strides for c in graph.constants] == [(3, 1), (1, 3)]
    (out,), _ = interpret(graph, [fovea.zeros(3, 2)])
    assert out.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_views_that_cost_nothing_stay_but_do_not_stop_it() -> None:
    b = Builder()
    x = b.input(4, 3)
    spread = b(expand, b.constant(2.0), shape=(4, 3))
    some = b(slice_, b.constant(np.arange(6, dtype=np.float32)), start=(0,), length=(3,), step=(2,))
    y = b(add, b(mul, spread, some), x)
    graph = folded(b.graph(b(add, y, b(add, spread, some))))
    assert names(graph) == ["expand", "slice", "add", "add"]


def test_large_results_stay() -> None:
    b = Builder()
    x = b.input(64, 64)
    row = b(expand, b.constant(np.ones((1, 64), np.float32)), shape=(64, 64))
    graph = b.graph(b(add, x, b(clone, row, layout="contiguous")))
    assert names(folded(graph, limit=1 << 10)) == ["expand", "clone", "add"]
    assert names(folded(graph, limit=1 << 20)) == ["expand", "add"]
    b = Builder()
    turned = b(permute, b.constant(np.ones((64, 64), np.float32)), dims=(1, 0))
    y = b(clone, turned, layout="contiguous")  # no larger than what it is made of
    graph = folded(b.graph(b(add, b.input(64, 64), y)), limit=0)
    assert names(graph) == ["add"]


def test_results_and_what_is_overwritten_keep_their_own_memory() -> None:
    b = Builder()
    c = b.constant([1.0, 2.0])
    graph = b.graph(b(exp, c))
    assert fold_constants(graph) is graph
    b = Builder()
    c, lr = b.constant([1.0, 2.0]), b.state(np.array([0.5, 0, 0, 0, 0]))
    new = b.bind(sgd_update, (lr, b(exp, c), b(exp, c)), SgdAttrs.of("none", False))
    graph = folded(b.graph(new))
    assert names(graph) == ["exp", "sgd_update"]
    (out,), _ = interpret(graph, [])
    np.testing.assert_allclose(out.numpy(), np.exp([1, 2]) / 2, rtol=1e-6)


def test_random_numbers_are_no_constants() -> None:
    b = Builder()
    rng = b.state(np.zeros(2, np.int64))
    attrs = {"shape": (3,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}
    noise, new = b(random_uniform, rng, **attrs)
    b.constant(1.0)
    graph = b.graph(noise, updates=[(rng, new)])
    assert fold_constants(graph) is graph
