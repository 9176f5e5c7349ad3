"""What every test of a pass checks: the rules still hold, and so do the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fovea
from fovea.graph import Graph
from fovea.graph.interpret import interpret
from fovea.graph.verify import verify


def sample_inputs(graph: Graph, seed: int = 0) -> list[Any]:
    """Random arguments for a graph."""
    rng = np.random.default_rng(seed)
    found = []
    for v in graph.inputs:
        if v.dtype.is_floating_point:
            array = rng.normal(size=v.shape).astype(v.dtype.numpy)
        else:
            array = rng.integers(0, 2, v.shape).astype(v.dtype.numpy)
        found.append(fovea.from_numpy(np.array(array)))
    return found


def transformed(
    graph: Graph, run: Callable[[Graph], Graph], *, rtol: float = 0.0, atol: float = 0.0
) -> Graph:
    """The graph after a pass, once it is known to mean the same (to the bit by default)."""
    verify(graph)
    after = run(graph)
    verify(after)
    inputs = sample_inputs(graph)
    for want, got in zip(interpret(graph, inputs), interpret(after, inputs), strict=True):
        close(got, want, rtol, atol)
    return after


def close(got: Sequence[Any], want: Sequence[Any], rtol: float, atol: float) -> None:
    """AssertionError unless two lists of tensors agree."""
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and a.dtype is b.dtype
        x, y = a._array(), b._array()
        if a.dtype.is_floating_point:
            np.testing.assert_allclose(x.astype(float), y.astype(float), rtol, atol)
        else:
            np.testing.assert_array_equal(x, y)


def ops_of(graph: Graph) -> list[str]:
    """The names of a graph's ops, in order."""
    return [node.op.name for node in graph.nodes]
