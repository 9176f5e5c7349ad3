"""Random graphs mean the same after the passes as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fovea.graph import Graph
from fovea.graph.graph import same_spec
from fovea.graph.interpret import interpret
from fovea.graph.passes import (
    fold_constants,
    fuse_pointwise,
    fuse_reductions,
    optimize,
    remove_dead_code,
    share_common,
    simplify,
)
from fovea.graph.passes.simplify import EXACT
from fovea.graph.verify import verify
from fovea.testing import on_reference
from tests.graph.random_graphs import Graphs, sample

SEEDS = range(10)
EACH = 12


def exactly(graph: Graph) -> Graph:
    """The passes without the rules that round otherwise, checked one by one."""
    steps = [remove_dead_code, fold_constants, lambda g: simplify(g, EXACT), share_common]
    for step in [*steps, *steps]:
        graph = step(graph)
        verify(graph)
    return graph


def array(t: Any) -> np.ndarray[Any, Any]:
    found = t._array()
    return found.astype(np.float64) if t.dtype.is_floating_point else found


def results(graph: Graph, seed: int) -> list[Any]:
    with np.errstate(all="ignore"):
        outputs, states = interpret(graph, sample(graph, seed))
    for v, t in zip(graph.outputs, outputs, strict=True):
        assert same_spec(v, t)
    return [*outputs, *states]


@pytest.mark.parametrize("start", SEEDS)
def test_exact_passes_keep_every_number(start: int) -> None:
    for seed in range(start * EACH, (start + 1) * EACH):
        graph = Graphs(seed).graph()
        with on_reference():
            better = exactly(graph)
            found, expected = results(better, seed), results(graph, seed)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(
                array(a), array(b), err_msg=f"seed {seed}, result {i}\n{graph}\n{better}"
            )


@pytest.mark.parametrize("start", SEEDS)
def test_all_passes_keep_the_meaning(start: int) -> None:
    for seed in range(1000 + start * EACH, 1000 + (start + 1) * EACH):
        graph = Graphs(seed, smooth=True).graph()
        with on_reference():
            better = optimize(graph, verify=True)
            found, expected = results(better, seed), results(graph, seed)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            limit = 1e-4 if a.dtype.itemsize == 4 else 1e-10
            np.testing.assert_allclose(
                array(a), array(b), limit, limit, err_msg=f"seed {seed}, result {i}"
            )


@pytest.mark.parametrize("start", SEEDS)
def test_fusion_keeps_every_bit_that_kernels_make(start: int) -> None:
    for seed in range(2000 + start * EACH, 2000 + (start + 1) * EACH):
        graph = fold_constants(Graphs(seed, nodes=40).graph())
        fused = graph
        for step in (fuse_pointwise, fuse_reductions, remove_dead_code):
            fused = step(fused)
            verify(fused)
        program = results(fused, seed)
        for i, (a, b) in enumerate(zip(program, results(graph, seed), strict=True)):
            np.testing.assert_array_equal(
                array(a), array(b), err_msg=f"seed {seed}, result {i}\n{graph}\n{fused}"
            )
