"""What nobody needs goes; what changes a state stays."""

from __future__ import annotations

import numpy as np

from fovea import dtypes
from fovea.graph.passes import remove_dead_code
from fovea.graph.verify import verify
from fovea.ops.elementwise import add, exp, relu
from fovea.ops.norm import batch_norm_train, batch_norm_update
from fovea.ops.random import random_uniform
from tests.graph.builder import Builder

UNIFORM = {"shape": (3,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}


def ops(graph: object) -> list[str]:
    return [n.op.name for n in graph.nodes]  # type: ignore[attr-defined]


def test_chains_and_constants_go() -> None:
    b = Builder()
    x, used, unused = b.input(3), b.constant(1.0), b.constant(2.0)
    w = b.state(np.ones(3, np.float32), "w")
    y = b(add, x, used)
    b(exp, b(add, b(relu, x), unused))
    graph = remove_dead_code(b.graph(y))
    verify(graph)
    assert ops(graph) == ["add"]
    assert [c.value for c in graph.constants] == [used]
    assert graph.inputs == (x,)
    assert graph.states[0].value is w


def test_a_graph_without_dead_code_stays_as_it_is() -> None:
    b = Builder()
    graph = b.graph(b(relu, b.input(3)))
    assert remove_dead_code(graph) is graph


def test_returned_constants_stay() -> None:
    b = Builder()
    c = b.constant(1.0)
    assert len(remove_dead_code(b.graph(c)).constants) == 1


def test_changes_stay_where_they_are_updates() -> None:
    b = Builder()
    x = b.input(4, 3)
    mean, var = b.state(np.zeros(3, np.float32)), b.state(np.ones(3, np.float32))
    _, m, _, v = b(batch_norm_train, x, None, None, eps=1e-5)
    news = b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    rng = b.state(np.zeros(2, np.int64))
    _, once = b(random_uniform, rng, **UNIFORM)
    _, twice = b(random_uniform, once, **UNIFORM)
    updates = [*zip((mean, var), news, strict=True), (rng, twice)]
    graph = b.graph(updates=updates)
    assert remove_dead_code(graph) is graph
    graph = remove_dead_code(b.graph(updates=updates[:2]))
    assert ops(graph) == ["batch_norm_train", "batch_norm_update"]
    graph = remove_dead_code(b.graph(updates=updates[2:]))
    assert ops(graph) == ["random_uniform"] * 2


def test_a_change_stays_for_what_it_computes_besides() -> None:
    b = Builder()
    rng = b.state(np.zeros(2, np.int64))
    noise, new = b(random_uniform, rng, **UNIFORM)
    graph = b.graph(noise, updates=[(rng, new)])
    assert remove_dead_code(graph) is graph


def test_an_update_that_says_nothing_goes() -> None:
    b = Builder()
    w = b.state(np.ones(3, np.float32))
    assert remove_dead_code(b.graph(updates=[(w, w)])).updates == ()
