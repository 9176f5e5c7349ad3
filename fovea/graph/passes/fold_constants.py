"""Compute now what is the same in every call."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dispatch
from fovea.graph.aliasing import Aliasing
from fovea.graph.graph import Constant, Graph, Node, Value
from fovea.graph.interpret import run_node
from fovea.graph.tensors import constant_tensor, extent
from fovea.ops.memory import is_dense

__all__ = ["fold_constants"]

LIMIT = 1 << 16


def fold_constants(graph: Graph, limit: int = LIMIT) -> Graph:
    """Run the nodes whose operands are all constants, and let their results be constants.

    Args:
        graph: any graph.
        limit: the bytes that a result may have, unless its operands have more.

    A node stays where its result is returned or overwritten (both need memory of their own), and
    where it is a view that repeats elements or leaves gaps (which costs nothing).
    """
    if not graph.constants:
        return graph
    aliasing = Aliasing(graph)
    known = {c.value: constant_tensor(c) for c in graph.constants}
    made, nodes = [], []
    before = dispatch.set_grad_enabled(False)
    try:
        for node in graph.nodes:
            if not _computable(node, known, limit):
                nodes.append(node)
                continue
            operands = [None if v is None else known[v] for v in node.inputs]
            known.update(zip(node.outputs, run_node(node, operands), strict=True))
            if all(_own(v, aliasing) and is_dense(v.shape, v.strides) for v in node.outputs):
                made += [Constant(v, _elements(known[v])) for v in node.outputs]
            else:
                nodes.append(node)
    finally:
        dispatch.set_grad_enabled(before)
    if not made:
        return graph
    return graph.replace(nodes=tuple(nodes), constants=(*graph.constants, *made))


def _computable(node: Node, known: dict[Value, Any], limit: int) -> bool:
    operands = list(node.operands())
    if node.op.mutates or not operands or not all(v in known for v in operands):
        return False
    held = sum(extent(v.shape, v.strides) * v.dtype.itemsize for v in operands)
    room = max(limit, held)
    return node.op.view or sum(v.nbytes for v in node.outputs) <= room


def _own(value: Value, aliasing: Aliasing) -> bool:
    """Whether nobody but readers has to do with a value's memory."""
    root = aliasing.root[value]
    return root not in aliasing.kept and root not in aliasing.overwritten


def _elements(tensor: Any) -> np.ndarray[Any, Any]:
    """A dense tensor's elements as they lie in memory."""
    flat: np.ndarray[Any, Any] = tensor.storage.array(
        (tensor.numel(),), (1,), tensor.offset, tensor.dtype.numpy
    )
    return flat.copy()
