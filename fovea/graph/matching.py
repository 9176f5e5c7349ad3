"""Finding nodes that follow one another, for passes that make one of several."""

from __future__ import annotations

from typing import Any

from fovea.dtypes import DType
from fovea.graph.graph import Constant, Graph, Node, Value
from fovea.ops.op import Attrs, Op, Spec

__all__ = ["Matcher", "Parts"]


class Matcher:
    """Who makes and who reads the values of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.makers = graph.producers()
        self.users = graph.users()
        self.kept = graph.kept()

    def readers(self, v: Value) -> list[Node] | None:
        """The nodes that read a value; None if it must exist after the last node, too."""
        return None if v in self.kept else self.users.get(v, [])

    def reader(self, v: Value) -> Node | None:
        """The only node that reads a value, where nothing else needs it."""
        found = self.readers(v)
        return found[0] if found is not None and len(found) == 1 else None

    def maker(self, v: Value | None, *ops: Op) -> Node | None:
        """The node that makes a value, if its op is one of these."""
        node = None if v is None else self.makers.get(v)
        return node if node is not None and node.op in ops else None


class Parts:
    """Nodes and constants that a pass adds.

    >>> from fovea.ops.elementwise import neg
    >>> from fovea import dtypes
    >>> parts, x = Parts(), Value(Spec((3,), dtypes.float32))
    >>> parts.make(neg, x).shape, parts.nodes
    ((3,), [<node neg>])
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: list[Constant] = []

    def make(self, op: Op, *inputs: Value, attrs: Attrs | None = None) -> Value:
        """The first result of a new node."""
        outputs = tuple(Value(spec) for spec in op.specs(inputs, attrs))
        self.nodes.append(Node(op, inputs, attrs, outputs))
        return outputs[0]

    def number(self, value: float, dtype: DType) -> Value:
        """A new constant without dimensions."""
        import numpy as np

        v = Value(Spec((), dtype))
        array: Any = np.asarray(value, dtype.numpy)
        self.constants.append(Constant(v, array))
        return v
