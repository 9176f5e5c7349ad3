"""What a node costs: operations, and bytes."""

from __future__ import annotations

from fovea.graph.graph import Node
from fovea.ops.counting import multiply_adds

__all__ = ["bytes_of", "flops_of"]


def flops_of(node: Node) -> int:
    """Multiplications and additions of a contraction, done directly; 0 for other ops."""
    shapes = [tuple(v.shape) for v in node.inputs if v is not None]
    output = tuple(node.outputs[0].shape) if node.outputs else ()
    return 2 * multiply_adds(node.op.name, shapes, output, node.attrs)


def bytes_of(node: Node) -> int:
    """Bytes of operands and results, each once."""
    return sum(v.nbytes for v in dict.fromkeys([*node.operands(), *node.outputs]))
