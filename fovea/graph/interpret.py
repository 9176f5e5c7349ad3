"""The meaning of a graph: its nodes run one after another, as the eager engine runs ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fovea import dispatch
from fovea.errors import GraphError, describe
from fovea.graph.graph import Graph, Node, Value
from fovea.graph.printer import format_type
from fovea.graph.tensors import constant_tensor, copied, laid_out

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["interpret", "run_node"]


def interpret(
    graph: Graph, inputs: Sequence[Tensor], states: Sequence[Tensor] | None = None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a graph op by op, leaving the real states and the inputs alone.

    Args:
        graph: what to run.
        inputs: a tensor for each input: its shape and dtype; another layout is copied into the
            graph's.
        states: a tensor for each state; None takes the states' own.

    Returns:
        The outputs, and what each state holds in the end: a new tensor where it changed. They may
        share memory with each other and with what was given.

    Raises:
        GraphError: the tensors given do not fit the graph.

    >>> import fovea
    >>> from fovea.graph import Graph, Node, Value
    >>> from fovea.ops.elementwise import relu
    >>> from fovea.ops.op import Spec
    >>> x, y = (Value(Spec((2,), fovea.float32)) for _ in range(2))
    >>> graph = Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,))
    >>> interpret(graph, [fovea.tensor([-1.0, 2.0])])
    ((tensor([0., 2.]),), ())
    """
    values: dict[Value, Tensor] = {}
    given = [s.tensor for s in graph.states] if states is None else states
    _bind("input", graph.inputs, inputs, values)
    _bind("state", [s.value for s in graph.states], given, values)
    values.update((c.value, constant_tensor(c)) for c in graph.constants)
    before = dispatch.set_grad_enabled(False)
    try:
        for node in graph.nodes:
            operands = [None if v is None else values[v] for v in node.inputs]
            values.update(zip(node.outputs, run_node(node, operands), strict=True))
        renewed = {old: laid_out(values[new], old) for old, new in graph.updates}
    finally:
        dispatch.set_grad_enabled(before)
    last = [renewed.get(s.value, values[s.value]) for s in graph.states]
    return tuple(values[v] for v in graph.outputs), tuple(last)


def run_node(node: Node, operands: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Run one node on tensors; what it would change in place is copied first.

    Returns:
        A tensor for each of the node's outputs, laid out as they say.
    """
    own = list(operands)
    for i in node.mutated:
        tensor, value = own[i], node.inputs[i]
        assert tensor is not None and value is not None
        own[i] = copied(tensor, value)
    out = dispatch.bind(node.op, tuple(own), node.attrs)
    results = () if out is None else out if isinstance(out, tuple) else (out,)
    if node.op.view:
        return results
    found = (*results, *(own[i] for i in node.mutated))
    return tuple(laid_out(t, v) for t, v in zip(found, node.outputs, strict=True))


def _bind(
    kind: str, wanted: Sequence[Value], given: Sequence[Tensor], values: dict[Value, Tensor]
) -> None:
    if len(given) != len(wanted):
        raise GraphError(f"interpret: the graph has {len(wanted)} {kind}s, got {len(given)}.")
    for i, (value, tensor) in enumerate(zip(wanted, given, strict=True)):
        if tensor is None or tuple(tensor.shape) != tuple(value.shape):
            fits = False
        else:
            fits = tensor.dtype is value.dtype
        if not fits:
            raise GraphError(
                f"interpret: {kind} {i} does not fit.",
                {"expected": format_type(value), "got": describe(tensor)},
            )
        values[value] = laid_out(tensor.detach(), value)
