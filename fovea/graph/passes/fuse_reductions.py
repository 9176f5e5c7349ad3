"""A reduction of what a region makes becomes part of it: elements are reduced as they are made.

So gradients of biases, losses and means over images need no pass of their own over memory. A region
takes one reduction, the one that saves most: to store and load a value if nothing else reads it,
only to load it otherwise.
"""

from __future__ import annotations

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.order import rewritten
from fovea.graph.regions import Region, costly_steps, is_member, numbers_of, reads_along, steps_of
from fovea.ops.fused_pointwise import REDUCTIONS, PointwiseReduceAttrs, pointwise_reduce
from fovea.ops.reduce import ReduceAttrs

__all__ = ["fuse_reductions"]

# A reduction's kernel holds its expression some ten times over.
MOST_COSTLY = 2
MOST_STEPS = 16


def fuse_reductions(graph: Graph) -> Graph:
    """The graph with reductions in the regions that make what they reduce."""
    makers = {v: node for node in graph.nodes if _can_end(node) for v in node.outputs}
    users, kept, numbers = graph.users(), graph.kept(), numbers_of(graph)
    found: dict[Node, tuple[bool, int, Node]] = {}
    for node in graph.nodes:
        v = node.inputs[0] if node.inputs else None
        if REDUCTIONS.get(node.op.name) is not node.op or v not in makers or not _reduces(node):
            continue
        assert v is not None
        alone = v not in kept and users[v] == [node]
        gain = (alone, v.nbytes, node)
        if makers[v] not in found or gain[:2] > found[makers[v]][:2]:
            found[makers[v]] = gain
    replacements: dict[Node, tuple[Node, ...]] = {}
    for maker, (alone, _, reduction) in found.items():
        region = Region(numbers)
        region.add(maker)
        replacements[maker] = (_joined(region, maker, reduction, alone),)
        replacements[reduction] = ()
    return rewritten(graph, replacements)


def _can_end(node: Node) -> bool:
    return (
        is_member(node)
        and reads_along(node)
        and costly_steps(node) <= MOST_COSTLY
        and steps_of(node) <= MOST_STEPS
    )


def _reduces(node: Node) -> bool:
    """Whether a reduction has anything to add up."""
    (x,), a = node.inputs, node.attrs
    assert x is not None and isinstance(a, ReduceAttrs)
    return any(x.shape[d] > 1 for d in a.dims)


def _joined(region: Region, maker: Node, reduction: Node, alone: bool) -> Node:
    (v,), a = reduction.inputs, reduction.attrs
    assert v is not None and isinstance(a, ReduceAttrs)
    stored: list[Value] = [w for w in maker.outputs if w is not v or not alone]
    expression = region.attrs([v, *stored])
    attrs = PointwiseReduceAttrs.of(expression, reduction.op.name, a.dims, a.keepdim)
    outputs = (*reduction.outputs, *stored)
    return Node(pointwise_reduce, tuple(region.operands), attrs, outputs, source=reduction.source)
