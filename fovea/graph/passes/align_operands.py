"""Operands of element-wise ops that lie across the order of memory are laid out along it first.

A loop that steps through one operand goes element by element. A copy that turns an operand goes in
tiles, and lets the op join a region.
"""

from __future__ import annotations

import dataclasses

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.regions import crosses, is_member
from fovea.ops.memory import StridesAttrs, lay_out
from fovea.ops.op import Spec, numel
from fovea.ops.rules import dense_strides

__all__ = ["align_operands"]

WORTH_COPYING = 1024  # elements of an operand


def align_operands(graph: Graph) -> Graph:
    """The graph with copies of such operands."""
    nodes: list[Node] = []
    copies: dict[tuple[Value, tuple[int, ...]], Value] = {}
    for node in graph.nodes:
        inputs = list(node.inputs)
        for i, v in enumerate(inputs if is_member(node) else ()):
            result = node.outputs[0]
            if v is None or numel(v.shape) < WORTH_COPYING or not crosses(v, result):
                continue
            order = result.strides[result.ndim - v.ndim :]
            key = v, dense_strides(tuple(v.shape), order)
            if key not in copies:
                copies[key] = Value(Spec(tuple(v.shape), v.dtype, key[1]))
                attrs = StridesAttrs.of(key[1])
                nodes.append(Node(lay_out, (v,), attrs, (copies[key],), source=node.source))
            inputs[i] = copies[key]
        changed = any(a is not b for a, b in zip(inputs, node.inputs, strict=True))
        nodes.append(dataclasses.replace(node, inputs=tuple(inputs)) if changed else node)
    return graph.replace(nodes=tuple(nodes))
