"""Random graphs of many ops: elements, reductions, views, copies, products, images, changes in place.

Values stay of moderate size, so that what rounds differently stays close. ``smooth`` graphs have no
op that jumps: there a small difference stays small.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

import fovea
from fovea import dtypes
from fovea.errors import FoveaError
from fovea.graph import Graph
from fovea.ops import index
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import UniformAttrs, random_uniform
from tests.graph.random_nodes import Nodes
from tests.graph.random_values import FLOATS


class Graphs(Nodes):
    """Makes one random graph.

    Args:
        seed: what it depends on.
        smooth: leave out ops that jump, and float types of less than 32 bits.
        nodes: about how many.
    """

    def __init__(self, seed: int, *, smooth: bool = False, nodes: int = 25) -> None:
        super().__init__(seed, smooth=smooth)
        while len(self.b.nodes) < nodes:
            self._step()

    def graph(self) -> Graph:
        """The graph, with some of its values as outputs, more likely the last ones."""
        read = {v for node in self.b.nodes for v in node.operands()}
        last = [v for v in self.alive if v not in read]
        chosen = [self.one(last or self.alive) for _ in range(1 + self.below(6))]
        outputs = [*chosen, *([self.value()] if self.chance(0.3) else [])]
        updates = [(old, new) for old, new in self.held.items() if old is not new]
        return self.b.graph(*outputs, updates=updates)

    # -- nodes --------------------------------------------------------------------------------

    def _step(self) -> None:
        makers = (
            (self.unary, 6),
            (self.binary, 8),
            (self.neutral, 2),
            (self.select, 1),
            (self.cast, 3),
            (self.reduce, 4),
            (self.view, 7),
            (self.copy, 6),
            (self.product, 3),
            (self.image, 4),
            (self.normalize, 3),
            (self.pick, 1),
            (self.again, 4),
            (self.change, 2),
        )
        weights = np.array([w for _, w in makers], float)
        make = makers[int(self.rng.choice(len(makers), p=weights / weights.sum()))][0]
        with contextlib.suppress(FoveaError, LookupError):
            make()

    def pick(self) -> None:
        x = self.value(lambda v: v.ndim > 0 and v.shape[0] > 0)
        i = self.add(self.b.constant(self.rng.integers(0, x.shape[0], self.below(4))))
        self.run(index.index, x, i, dims=(0,))

    def again(self) -> None:
        """The same node once more, where its operands are still there."""
        node = self.one([n for n in self.b.nodes if not n.mutated] or [None])
        if node is None or not all(v in self.alive for v in node.operands()):
            raise LookupError
        fields = vars(node.attrs) if node.attrs is not None else {}
        self.run(node.op, *node.inputs, **fields)

    def change(self) -> None:
        if self.chance(0.4):
            attrs = UniformAttrs.of(self.sizes(), self.one(FLOATS[:4]), 0.0, 1.0)
            self.changing(random_uniform, (self.held[self.rng_state],), attrs)
            return
        held = [v for v in self.held.values() if v in self.root]
        made = [n.outputs[0] for n in self.b.nodes if not n.op.view and n.results]
        fresh = [v for v in made if v in self.alive and v not in held]
        p = self.one([v for v in held + fresh if v.dtype is dtypes.float32] or [None])
        g = self.value(
            lambda v: (
                p is not None
                and v.shape == p.shape
                and v.dtype is p.dtype
                and self.root[v] is not p
            )
        )
        lr = self.b.state(np.array([0.1, 0.0, 0.0, 0.0, 0.0]))
        self.changing(sgd_update, (lr, p, g), SgdAttrs.of("none", False))


def sample(graph: Graph, seed: int) -> list[Any]:
    """Tensors for a graph's inputs."""
    rng = np.random.default_rng(seed)
    found = []
    for v in graph.inputs:
        values = (
            rng.uniform(-1, 1, v.shape)
            if v.dtype.is_floating_point
            else rng.integers(0, 2, v.shape)
        )
        found.append(fovea.from_numpy(np.asarray(values, v.dtype.numpy)))
    return found
