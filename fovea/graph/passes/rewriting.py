"""Rewriting a graph node by node with rules, each of which knows one op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fovea.dtypes import DType
from fovea.errors import FoveaError
from fovea.graph.aliasing import Aliasing
from fovea.graph.graph import Constant, Graph, Node, Value, same_spec
from fovea.ops.op import Attrs, Op, Spec

__all__ = ["Rewriter", "Rule", "Rules", "parts", "rewrite"]

Rule = Callable[[Node, "Rewriter"], "Value | Node | None"]
"""``rule(node, rewriter)`` returns what the node can be replaced by: a value with the same elements
that is there already, or another node with the same output (it may have made values for it with
`Rewriter.make`); None where it sees nothing to improve. A replacement that the memory or the op's
shape rule does not allow is dropped, so a rule need not look at that."""


class Rules:
    """Rules by op.

    >>> from fovea.ops.elementwise import neg
    >>> rules = Rules()
    >>> @rules.on(neg)
    ... def _(node, rewriter):
    ...     inner = rewriter.producer(node.inputs[0], neg)
    ...     return inner and inner.inputs[0]
    >>> len(rules.of[neg])
    1
    """

    def __init__(self) -> None:
        self.of: dict[Op, list[Rule]] = {}

    def on(self, *ops: Op) -> Callable[[Rule], Rule]:
        """Register a rule for nodes of these ops."""

        def declare(rule: Rule) -> Rule:
            for op in ops:
                self.of.setdefault(op, []).append(rule)
            return rule

        return declare


def rewrite(graph: Graph, rules: Rules) -> Graph:
    """The graph with rules applied to each node in turn, as long as any applies."""
    return Rewriter(graph, rules).run()


class Rewriter:
    """One walk through a graph; what rules ask about the part that they have seen."""

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self.aliasing = Aliasing(graph)
        self.constants = {c.value: c for c in graph.constants}
        self.nodes: list[Node] = []
        self.position = 0
        self._reads = Counter(v for node in graph.nodes for v in set(node.operands()))
        self._reads.update(graph.kept())
        self._made_by: dict[Value, Node] = {}
        self._replaced: dict[Value, Value] = {}
        self._pending: list[Node] = []
        self._changed = False

    def run(self) -> Graph:
        """Walk once."""
        for position, node in enumerate(self.graph.nodes):
            self.position = position
            self._place(self._with_present_inputs(node))
        if not self._changed:
            return self.graph
        return self.graph.replace(
            nodes=tuple(self.nodes),
            constants=tuple(self.constants.values()),
            outputs=tuple(self._present(v) for v in self.graph.outputs),
            updates=tuple((old, self._present(new)) for old, new in self.graph.updates),
        )

    # -- what rules use -----------------------------------------------------------------------

    def producer(self, value: Value | None, *ops: Op) -> Node | None:
        """The node that makes a value, if its op is one of these (or whatever it is, without)."""
        node = None if value is None else self._made_by.get(value)
        return node if node is not None and (not ops or node.op in ops) else None

    def read_once(self, value: Value) -> bool:
        """Whether a value has one reader and is not kept."""
        return self._reads[value] == 1

    def number(self, value: Value | None) -> float | int | None:
        """What all elements of a value are, if it is a constant or a view of one."""
        while value is not None and value not in self.constants:
            node = self._made_by.get(value)
            value = node.inputs[0] if node is not None and node.op.view else None
        if value is None or value.dtype.is_complex:
            return None
        flat = self.constants[value].array.reshape(-1)
        if not flat.size or flat.tobytes() != flat[:1].tobytes() * flat.size:
            return None
        return float(flat[0]) if value.dtype.is_floating_point else int(flat[0])

    def constant(self, number: float | int, dtype: DType) -> Value:
        """A new 0-d constant."""
        value = Value(Spec((), dtype))
        self.constants[value] = Constant(value, np.asarray(number, dtype.numpy))
        self.aliasing.define(value)
        self.aliasing.leaves.add(value)
        return value

    def make(self, op: Op, *inputs: Value, attrs: Attrs | None = None) -> Value:
        """The result of a new node, which runs before the present one if that is replaced."""
        value = Value(op.specs(inputs, attrs)[0])
        self._pending.append(Node(op, inputs, attrs, (value,)))
        self.aliasing.define(value, inputs[0] if op.view else None)
        return value

    # -- the walk -----------------------------------------------------------------------------

    def _present(self, value: Value) -> Value:
        while value in self._replaced:
            value = self._replaced[value]
        return value

    def _with_present_inputs(self, node: Node) -> Node:
        inputs = tuple(None if v is None else self._present(v) for v in node.inputs)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return node
        return replace(node, inputs=inputs)

    def _place(self, node: Node) -> None:
        """Keep a node, or what rules make of it."""
        for rule in self.rules.of.get(node.op, ()):
            self._pending = []
            found = self._tried(rule, node)
            if isinstance(found, Value):
                if self._give(node, found):
                    return
            elif found is not None and self._exchange(node, found):
                return
        self._append(node)

    def _tried(self, rule: Rule, node: Node) -> Value | Node | None:
        """A rule's answer, where shape rules agree with it."""
        try:
            found = rule(node, self)
            if isinstance(found, Node):
                (spec,), (result,) = found.op.specs(found.inputs, found.attrs), found.outputs
                alike = spec.shape == result.shape and spec.dtype is result.dtype
                if not (same_spec(spec, result) if found.op.view else alike):
                    return None
        except FoveaError:
            return None
        return found

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self._made_by.update((v, node) for v in node.outputs)

    def _give(self, node: Node, found: Value) -> bool:
        """Replace a node's result by a value that was there before."""
        (result,) = node.outputs
        if self._pending or not (same_spec(result, found) and self._readable(found)):
            return False
        if not self.aliasing.may_share(result, found):
            return False
        self._settle(node)
        self.aliasing.share(result, found)
        self._replaced[result] = found
        self._reads[found] += self._reads[result] - 1
        return True

    def _exchange(self, node: Node, found: Node) -> bool:
        """Replace a node by another one with the same output."""
        if not all(self._readable(v) for new in (*self._pending, found) for v in new.operands()):
            return False
        result, base = found.outputs[0], found.inputs[0]
        if found.op.view:
            assert base is not None
            if not self.aliasing.may_share(result, base):
                return False
            self.aliasing.share(result, base)
        elif node.op.view:  # it would no longer be the same memory
            return False
        self._settle(node)
        found = self._with_present_inputs(replace(found, source=node.source))
        self._read(found)
        self._place(found)
        return True

    def _readable(self, value: Value) -> bool:
        return self.aliasing.readable(value, self.position)

    def _settle(self, node: Node) -> None:
        """Keep what the rule made."""
        self._changed = True
        pending, self._pending = self._pending, []
        for new in pending:
            new = self._with_present_inputs(replace(new, source=node.source))
            self._read(new)
            self._place(new)

    def _read(self, node: Node) -> None:
        for v in node.operands():
            root, last = self.aliasing.root[v], self.aliasing.last_read
            last[root] = max(last.get(root, -1), self.position)


def parts(node: Node) -> tuple[Value, Any, Value]:
    """The first operand, the attributes and the first result of a node."""
    x = node.inputs[0]
    assert x is not None
    return x, node.attrs, node.outputs[0]
