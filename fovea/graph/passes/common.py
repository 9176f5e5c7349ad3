"""Compute once what is computed several times."""

from __future__ import annotations

from typing import Any

from fovea.graph.aliasing import Aliasing
from fovea.graph.graph import Constant, Graph, Node, Value, same_spec, substitute

__all__ = ["share_common"]

_LARGEST_CONSTANT = 4096  # bytes


def share_common(graph: Graph) -> Graph:
    """Let equal nodes (the same op, operands and attributes) be one, and equal small constants.

    Nodes of ops that change something in place, which random numbers do, are never equal; nor is
    a node whose result a later node overwrites, nor what a function computes when it runs again to
    save memory.
    """
    replacements: dict[Value, Value] = {}
    constants = _shared_constants(graph, replacements)
    aliasing = Aliasing(graph)
    first: dict[Any, Node] = {}
    nodes = []
    for node in graph.nodes:
        if node.op.mutates or _overwritten(node, aliasing):
            nodes.append(node)
            continue
        operands = tuple(None if v is None else replacements.get(v, v) for v in node.inputs)
        twin = first.setdefault((node.op, operands, _attrs_key(node), node.source.again), node)
        if twin is not node and _may_stand_in(twin, node, aliasing):
            for mine, its in zip(node.outputs, twin.outputs, strict=True):
                aliasing.share(mine, its)
                replacements[mine] = its
        else:
            nodes.append(node)
    if not replacements:
        return graph
    return substitute(graph.replace(nodes=tuple(nodes), constants=constants), replacements)


def _attrs_key(node: Node) -> Any:
    """Equal for equal attributes. They are interned, but an old one may have been forgotten; and
    numbers are told apart by how they print: 0.0 is not -0.0 here, and NaN is NaN."""
    return repr(node.attrs)


def _overwritten(node: Node, aliasing: Aliasing) -> bool:
    return not node.op.view and any(v in aliasing.overwritten for v in node.outputs)


def _may_stand_in(twin: Node, node: Node, aliasing: Aliasing) -> bool:
    return len(twin.outputs) == len(node.outputs) and all(
        same_spec(a, b) and aliasing.may_share(b, a)
        for a, b in zip(twin.outputs, node.outputs, strict=True)
    )


def _shared_constants(graph: Graph, replacements: dict[Value, Value]) -> tuple[Constant, ...]:
    first: dict[Any, Constant] = {}
    kept, returned = [], graph.kept()
    for constant in graph.constants:
        value, array = constant.value, constant.array
        if array.nbytes > _LARGEST_CONSTANT or value in returned:
            kept.append(constant)
            continue
        key = (value.dtype, value.shape, value.strides, array.tobytes())
        twin = first.setdefault(key, constant)
        if twin is constant:
            kept.append(constant)
        else:
            replacements[value] = twin.value
    return tuple(kept)
