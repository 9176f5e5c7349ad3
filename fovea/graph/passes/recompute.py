"""Gradient checkpointing as a choice: values that wait long for backward are computed again.

Training keeps what forward makes until backward reads it. What is cheap to make from something that
is kept anyway (a normalization's result from its input) need not be: it is dropped after its last
use in forward and made again right before its first use in backward (Chen et al. 2016, "Training
deep nets with sublinear memory cost"). The pass does so, largest savings first, until the estimated
peak of memory is within a limit: first with ops that cost a pass over memory, then, if that is not
enough, with any op.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fovea.graph.aliasing import Aliasing
from fovea.graph.graph import Graph, Node, Value
from fovea.ops.op import numel

__all__ = ["Lives", "peak_memory", "recompute"]

FAR = 8  # nodes: a value that waits for fewer is not worth it
_COSTLY = ("conv2d", "gru", "linear", "lstm", "matmul", "relu_max_pool2d_grad", "rnn", "sort")


def peak_memory(graph: Graph) -> int:
    """Bytes of what nodes make, at the time when the most of it is in use.

    Arguments, states and constants are not counted; results and new states are.
    """
    return Lives(graph).peak()[0]


def recompute(graph: Graph, limit: int) -> Graph:
    """The graph with values computed twice, so that its peak of memory is at most ``limit`` bytes,
    or as near as can be.

    Args:
        graph: before element-wise ops are fused (what is computed again is then fused again).
        limit: bytes, counted as `peak_memory` counts.
    """
    for costly in (False, True):
        refused: set[Value] = set()
        while True:
            lives = Lives(graph)
            peak, position = lives.peak()
            if peak <= limit:
                return graph
            better = _drop_one(graph, lives, position, peak, costly, refused)
            if better is None:
                break
            graph = better
    return graph


@dataclass
class Lives:
    """When the memory of each value is in use, by positions of nodes.

    Args:
        graph: the graph.
    """

    graph: Graph

    def __post_init__(self) -> None:
        self.aliasing = Aliasing(self.graph)
        self.made: dict[Value, int] = {}
        self.uses: dict[Value, list[int]] = {}
        leaves = self.aliasing.leaves
        for n, node in enumerate(self.graph.nodes):
            for v in node.operands():
                root = self.aliasing.root[v]
                self.uses.setdefault(root, []).append(n)
            renewed = {v: node.inputs[i] for v, i in zip(node.renewed, node.mutated, strict=True)}
            for v in node.outputs:
                before = renewed.get(v)
                if self.aliasing.root[v] is v and before is None and v not in leaves:
                    self.made[v] = n

    def end(self, v: Value) -> int:
        """The last position at which a value is needed."""
        if v in self.aliasing.kept:
            return len(self.graph.nodes)
        return max(self.uses.get(v, [self.made[v]])[-1], self.made[v])

    def peak(self) -> tuple[int, int]:
        """The most bytes in use, and when."""
        change = [0] * (len(self.graph.nodes) + 2)
        for v, start in self.made.items():
            size = _nbytes(v)
            change[start] += size
            change[self.end(v) + 1] -= size
        best, at, now = 0, 0, 0
        for n, step in enumerate(change):
            now += step
            if now > best:
                best, at = now, n
        return best, at


def _nbytes(v: Value) -> int:
    return numel(v.shape) * v.dtype.itemsize


def _drop_one(
    graph: Graph, lives: Lives, position: int, peak: int, costly: bool, refused: set[Value]
) -> Graph | None:
    """The graph with one more value computed again; None if none helps."""
    for v in _candidates(graph, lives, position, costly):
        if v in refused:
            continue
        changed = _again(graph, lives, v, position)
        # A drop may only move the peak; several together lower it. Growth is never kept.
        if changed is not None and Lives(changed).peak()[0] <= peak:
            return changed
        refused.add(v)
    return None


def _candidates(graph: Graph, lives: Lives, position: int, costly: bool) -> Iterable[Value]:
    """Values that wait across the peak, largest first."""
    found = []
    for v, start in lives.made.items():
        uses = lives.uses.get(v, [])
        if v in lives.aliasing.kept or start >= position or not uses or uses[-1] <= position:
            continue
        before = max([start, *(n for n in uses if n <= position)])
        after = min(n for n in uses if n > position)
        node = graph.nodes[start]
        if after - before < FAR or not _repeatable(node, costly):
            continue
        found.append(v)
    return sorted(found, key=lambda v: (-_nbytes(v), lives.made[v]))


def _repeatable(node: Node, costly: bool) -> bool:
    """Whether a node may run twice."""
    return not node.mutated and (costly or not node.op.name.startswith(_COSTLY))


def _again(graph: Graph, lives: Lives, v: Value, position: int) -> Graph | None:
    """The graph in which ``v`` is made a second time for its uses after ``position``."""
    maker = graph.nodes[lives.made[v]]
    first = min(n for n in lives.uses[v] if n > position)
    if not all(lives.aliasing.readable(w, first) for w in maker.operands()):
        return None
    twins = {w: Value(w.spec, w.name) for w in maker.outputs}
    nodes: list[Node] = []
    for n, node in enumerate(graph.nodes):
        if n == first:
            nodes.append(replace(maker, outputs=tuple(twins[w] for w in maker.outputs)))
        if n >= first:
            node = _reading(node, twins, v, lives, nodes)
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


def _reading(
    node: Node, twins: dict[Value, Value], v: Value, lives: Lives, nodes: list[Node]
) -> Node:
    """A node that reads the second ``v``; views of the first are made anew."""
    inputs = []
    for w in node.inputs:
        if w is not None and lives.aliasing.root.get(w) is v and w not in twins:
            _view_again(w, twins, lives, nodes)
        inputs.append(w if w is None else twins.get(w, w))
    changed = any(a is not b for a, b in zip(inputs, node.inputs, strict=True))
    return replace(node, inputs=tuple(inputs)) if changed else node


def _view_again(w: Value, twins: dict[Value, Value], lives: Lives, nodes: list[Node]) -> None:
    """Make a view of the twin as ``w`` is one of the first value."""
    maker = next(n for n in lives.graph.nodes if w in n.outputs)
    (base,) = maker.operands()
    if base not in twins:
        _view_again(base, twins, lives, nodes)
    twins[w] = Value(w.spec, w.name)
    nodes.append(replace(maker, inputs=(twins[base],), outputs=(twins[w],)))
