"""Who reads which memory last, and what never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fovea.errors import LoweringError
from fovea.graph.graph import Graph, Node, Value

__all__ = ["Lifetimes", "overlapping", "refuse_overlaps", "unchanging"]


class Lifetimes:
    """Views and what they look at, and the last reader of each.

    Args:
        graph: the graph.
        nodes: its nodes, in the order in which they are run.
        same: leaves that share memory with another one: that one.

    Attributes:
        root: for each value the one whose memory it is a view of (most are their own).
        last: for each root the number of the last node that reads or makes it or a view of it; the
            number of nodes if it must outlive them all.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node], same: Mapping[Value, Value]) -> None:
        self.root: dict[Value, Value] = {v: same.get(v, v) for v in graph.leaves()}
        self.last: dict[Value, int] = dict.fromkeys(self.root.values(), -1)
        for n, node in enumerate(nodes):
            for v in node.operands():
                self.last[self.root[v]] = n
            for v in node.outputs:
                source = node.inputs[0] if node.op.view else None
                self.root[v] = v if source is None else self.root[source]
                self.last[self.root[v]] = n
        for v in graph.kept():
            self.last[self.root[v]] = len(nodes)


def overlapping(graph: Graph) -> dict[Value, Value]:
    """States whose tensors share bytes with an earlier state's: that state's value."""
    ranges: list[tuple[int, int, Value]] = []
    for s in graph.states:
        if s.tensor is not None and 0 not in s.value.shape:
            t = s.tensor
            at = t.storage.address + t.offset * t.dtype.itemsize
            steps = [(n - 1) * st for n, st in zip(t.shape, t.strides, strict=True)]
            low = at + sum(d for d in steps if d < 0) * t.dtype.itemsize
            high = at + (sum(d for d in steps if d > 0) + 1) * t.dtype.itemsize
            ranges.append((low, high, s.value))
    found: dict[Value, Value] = {}
    ranges.sort(key=lambda r: r[0])
    leader, reach = None, 0
    for low, high, v in ranges:
        if leader is not None and low < reach:
            found[v] = leader
        else:
            leader = v
        reach = max(reach, high)
    return found


def refuse_overlaps(graph: Graph) -> None:
    """LoweringError if two changed states share bytes: which change is the last is not known."""
    same, seen = overlapping(graph), set()
    names = {s.value: s.name or repr(s.value) for s in graph.states}
    for old, _ in graph.updates:
        leader = same.get(old, old)
        if leader in seen:
            raise LoweringError(
                f"state {names.get(old, repr(old))} shares memory with another state, and both "
                "change.",
                fix="let one of them be a view that is derived from the other",
            )
        seen.add(leader)


def unchanging(graph: Graph) -> tuple[list[Node], list[Node], set[Value]]:
    """The nodes that depend on constants and unchanged states alone, the others, and all values
    that never change.

    Each list is in the graph's order; the first may be run once, the second in each call.
    """
    same = overlapping(graph)
    changed = {same.get(old, old) for old, _ in graph.updates}
    fixed = {c.value for c in graph.constants}
    fixed |= {s.value for s in graph.states if same.get(s.value, s.value) not in changed}
    first: list[Node] = []
    rest: list[Node] = []
    for node in graph.nodes:
        if not node.mutated and all(v in fixed for v in node.operands()):
            fixed.update(node.outputs)
            first.append(node)
        else:
            rest.append(node)
    return first, rest, fixed
