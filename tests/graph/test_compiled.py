"""Random graphs as native programs: the bits of the interpreter, states included."""

from __future__ import annotations

import numpy as np
import pytest

from fovea.graph import Graph
from fovea.graph.graph import same_spec
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize
from fovea.graph.passes.fuse_pointwise import fuse_pointwise
from fovea.targets.cpu.executable import Executable
from tests.graph.passes.test_fuzz import array, exactly
from tests.graph.random_graphs import Graphs, sample


def fused(graph: Graph) -> Graph:
    return fuse_pointwise(exactly(graph))


@pytest.mark.parametrize("improve", [lambda graph: graph, fused], ids=["plain", "fused"])
@pytest.mark.parametrize("seed", range(24))
def test_programs_do_what_graphs_say(seed: int, improve: object) -> None:
    graph = Graphs(seed).graph()
    inputs = sample(graph, seed)
    outputs, states = interpret(graph, inputs)
    program = Executable(improve(graph))  # type: ignore[operator]
    found = program.run(inputs)
    for v, a, b in zip(graph.outputs, found, outputs, strict=True):
        assert same_spec(v, a)
        np.testing.assert_array_equal(array(a), array(b), err_msg=str(graph))
    for s, b in zip(graph.states, states, strict=True):
        np.testing.assert_array_equal(array(s.tensor), array(b), err_msg=str(graph))


@pytest.mark.parametrize("seed", range(2000, 2016))
def test_optimized_programs_are_close(seed: int) -> None:
    """With all passes, those that round otherwise, too; each checked."""
    graph = Graphs(seed, smooth=True).graph()
    inputs = sample(graph, seed)
    outputs, states = interpret(graph, inputs)
    found = Executable(optimize(graph, verify=True)).run(inputs)
    everything = [*found, *(s.tensor for s in graph.states)]
    for a, b in zip(everything, [*outputs, *states], strict=True):
        limit = 1e-4 if a.dtype.itemsize == 4 else 1e-10
        np.testing.assert_allclose(array(a), array(b), limit, limit, err_msg=str(graph))
