"""Fused graphs as programs, whose memory plan lets results take the place of operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.passes import fuse_pointwise, fuse_reductions, remove_dead_code
from fovea.ops.elementwise import add, exp, mul, neg, relu
from fovea.ops.fused_pointwise import pointwise
from fovea.ops.linalg import matmul
from fovea.targets.cpu.executable import Executable
from fovea.targets.cpu.recipe import recipe_of
from fovea.targets.cpu.target import CPU
from tests.graph.builder import Builder
from tests.graph.passes.compare import close
from tests.graph.random_graphs import Graphs, sample


def fused(graph: Graph) -> Graph:
    for step in (fuse_pointwise, fuse_reductions, remove_dead_code):
        graph = step(graph)
    return graph


@pytest.mark.parametrize("start", range(6))
def test_programs_of_random_graphs(start: int) -> None:
    for seed in range(start * 10, start * 10 + 10):
        graph = fused(Graphs(seed, nodes=40).graph())
        given = sample(graph, seed)
        with np.errstate(all="ignore"):
            outputs, states = interpret(graph, given)
            found = Executable(graph).run(given)
        close(found, outputs, 0.0, 0.0)
        close([s.tensor for s in graph.states], states, 0.0, 0.0)


def test_results_take_the_place_of_operands_that_all_of_them_need() -> None:
    b = Builder()
    x, y, z = b.input(8), b.input(8), b.input(8)
    t = b(exp, b(mul, x, y))
    after = fuse_pointwise(b.graph(t, b(add, t, z)))
    (node,) = after.nodes
    assert node.op is pointwise
    operands: Any = node.inputs
    specs = tuple(s._replace(strides=(1,)) for s in pointwise.specs(operands, node.attrs))
    recipe = recipe_of(CPU.plan(pointwise, operands, node.attrs, specs))
    assert recipe is not None and recipe.in_place == (0, 1)  # not z: t does not wait for it


def test_a_chain_in_place() -> None:
    b = Builder()
    w = b.input(300, 300)
    x = b(neg, b.input(300, 300))
    for _ in range(8):
        x = b(relu, b(add, b(matmul, x, w), x))
    graph = b.graph(x)
    program = Executable(fuse_pointwise(graph))
    given = [fovea.randn(300, 300) / 300, fovea.randn(300, 300)]
    close(program.run(given), interpret(graph, given)[0], 0.0, 0.0)
    assert program.memory.peak < 3.1 * x.nbytes  # x, a product, w repacked
