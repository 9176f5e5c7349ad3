"""Which values of a graph lie in the same memory, and for how long that memory holds them.

A pass that lets one value stand for another (a copy for its source, a node for its twin) may
lengthen a life: past the node that overwrites the memory, or into what is returned. `Aliasing`
answers whether it may.
"""

from __future__ import annotations

from fovea.graph.graph import Graph, Node, Value

__all__ = ["Aliasing"]


class Aliasing:
    """What a graph says of memory. A view lies in the memory of its root; every other value is a
    root, also the new value of what a node changes in place.

    Attributes:
        root: the root of each value.
        overwritten: for roots whose memory a node takes over, the position of that node.
        last_read: for each root the position of the last node that reads it or a view of it;
            behind all nodes where it is kept.
        kept: roots of outputs and updates.
        leaves: values from before the first node.
    """

    def __init__(self, graph: Graph) -> None:
        self.leaves = set(graph.leaves())
        self.root: dict[Value, Value] = {v: v for v in self.leaves}
        self._members: dict[Value, list[Value]] = {}
        self.overwritten: dict[Value, int] = {}
        self.last_read: dict[Value, int] = {}
        for position, node in enumerate(graph.nodes):
            self.add(node, position)
        self.kept = {self.root[v] for v in graph.kept()}
        self.last_read.update((root, len(graph.nodes)) for root in self.kept)

    def add(self, node: Node, position: int) -> None:
        """Note a node that runs at ``position``."""
        for v in node.operands():
            root = self.root[v]
            self.last_read[root] = max(self.last_read.get(root, -1), position)
        for i in node.mutated:
            changed = node.inputs[i]
            assert changed is not None
            self.overwritten[self.root[changed]] = position
        for v in node.outputs:
            self.define(v, node.inputs[0] if node.op.view else None)

    def define(self, value: Value, base: Value | None = None) -> None:
        """Note a new value, a view of ``base`` if that is given."""
        root = value if base is None else self.root[base]
        self.root[value] = root
        if root is not value:
            self._members.setdefault(root, []).append(value)

    def readable(self, value: Value, position: int) -> bool:
        """Whether a node at ``position`` may read a value that exists by then."""
        return self.overwritten.get(self.root[value], position + 1) > position

    def may_share(self, value: Value, other: Value) -> bool:
        """Whether ``value`` may lie in the memory of ``other``, which holds the same elements and
        was there first.

        What is returned never comes to share memory with an argument, a state, a constant or
        another result: the caller could tell.
        """
        mine, its = self.root[value], self.root[other]
        if mine is its:
            return True
        if mine in self.overwritten:
            return False
        if mine in self.kept and (its in self.kept or its in self.leaves):
            return False
        end = self.overwritten.get(its)
        return end is None or end > self.last_read.get(mine, -1)

    def share(self, value: Value, other: Value) -> None:
        """Let ``value`` and all that lies in its memory lie in that of ``other`` from now on."""
        mine, its = self.root[value], self.root[other]
        if mine is its:
            return
        moved = [mine, *self._members.pop(mine, [])]
        self.root.update(dict.fromkeys(moved, its))
        self._members.setdefault(its, []).extend(moved)
        if mine in self.kept:
            self.kept.add(its)
        self.last_read[its] = max(self.last_read.get(its, -1), self.last_read.get(mine, -1))
