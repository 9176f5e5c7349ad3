"""Orders in which nodes can run: values before their readers, readers before what overwrites."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from fovea.graph.graph import Graph, Node, Value

__all__ = ["Change", "followers", "legal_order", "rewritten"]


def followers(nodes: Sequence[Node]) -> list[set[int]]:
    """For each node, by its place, the nodes that must run after it.

    Those that read what it makes; and those that overwrite the memory of a value that it reads,
    whether it reads the value or a view of it.
    """
    makers = {v: n for n, node in enumerate(nodes) for v in node.outputs}
    after: list[set[int]] = [set() for _ in nodes]
    writers: dict[Value, list[int]] = {}
    for n, node in enumerate(nodes):
        for i in node.mutated:
            changed = node.inputs[i]
            assert changed is not None
            writers.setdefault(owner(changed, nodes, makers), []).append(n)
    for n, node in enumerate(nodes):
        for v in node.operands():
            if v in makers:
                after[makers[v]].add(n)
            if writers:
                after[n].update(w for w in writers.get(owner(v, nodes, makers), ()) if w != n)
    return after


def owner(v: Value, nodes: Sequence[Node], makers: Mapping[Value, int]) -> Value:
    """The value whose memory a view shows; the value itself if it is no view."""
    while (maker := makers.get(v)) is not None and nodes[maker].op.view:
        (v,) = nodes[maker].operands()
    return v


def legal_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes in an order in which they can run, as near to the one given as can be.

    Raises:
        ValueError: there is none.
    """
    after = followers(nodes)
    waiting = [0] * len(nodes)
    for later in after:
        for n in later:
            waiting[n] += 1
    ready = [n for n, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        n = heapq.heappop(ready)
        order.append(nodes[n])
        for m in after[n]:
            waiting[m] -= 1
            if waiting[m] == 0:
                heapq.heappush(ready, m)
    if len(order) < len(nodes):
        stuck = [nodes[n].op.name for n, count in enumerate(waiting) if count > 0]
        raise ValueError(f"no order exists for {', '.join(stuck[:8])}: they wait for one another")
    return tuple(order)


Change = Mapping[Node, Sequence[Node]]
"""What becomes of nodes: others in their places, or none."""


def rewritten(graph: Graph, *changes: Change) -> Graph:
    """The graph after some changes, in an order that can run.

    Of changes that do not go together, since nodes would wait for one another, later ones are left
    out.
    """
    whole = {node: new for change in changes for node, new in change.items()}
    if not whole:
        return graph
    try:
        return graph.replace(nodes=legal_order(_changed(graph.nodes, whole)))
    except ValueError:
        done: dict[Node, Sequence[Node]] = {}
        nodes = graph.nodes
        for change in changes:
            try:
                nodes = legal_order(_changed(graph.nodes, {**done, **change}))
            except ValueError:
                continue
            done.update(change)
        return graph.replace(nodes=nodes)


def _changed(nodes: Sequence[Node], change: Change) -> list[Node]:
    return [new for node in nodes for new in change.get(node, (node,))]
