"""Remove what nobody needs."""

from __future__ import annotations

from fovea.graph.graph import Graph, ancestors

__all__ = ["remove_dead_code"]


def remove_dead_code(graph: Graph) -> Graph:
    """Keep the nodes that outputs and updates depend on, and the constants that are read.

    A node that changes a state stays if that change, or what it computes besides, is among those.
    Inputs and states stay: they are what a caller passes. An update that says nothing new goes.
    """
    updates = tuple((old, new) for old, new in graph.updates if old is not new)
    nodes = ancestors(graph, [*graph.outputs, *(new for _, new in updates)])
    read = {v for node in nodes for v in node.operands()}
    read.update(graph.outputs, (new for _, new in updates))
    constants = tuple(c for c in graph.constants if c.value in read)
    unchanged = (
        len(nodes) == len(graph.nodes)
        and len(constants) == len(graph.constants)
        and len(updates) == len(graph.updates)
    )
    if unchanged:
        return graph
    return graph.replace(nodes=tuple(nodes), constants=constants, updates=updates)
