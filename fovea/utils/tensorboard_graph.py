"""A model's captured graph in TensorBoard's form: scopes are modules."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.graph.graph import Graph, Node, Value

__all__ = ["graph_of"]


def graph_of(model: Any, inputs: tuple[Any, ...]) -> tuple[Any, str]:
    """The graph of a model's call on these inputs as a GraphDef, and as text.

    Raises:
        CaptureError: the call depends on values, so that there is no one graph.
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

    compiled = fovea.compile(model, strict=True)
    with fovea.no_grad():
        for _ in range(2):  # the first call may only make what later ones use
            if not compiled.programs:
                compiled(*inputs)
    graph: Graph = compiled.programs[0].graph
    names: dict[Value, str] = {}
    definition = GraphDef()

    def add(name: str, op: str, operands: list[str]) -> str:
        definition.node.append(NodeDef(name=name, op=op, input=operands))
        return name

    leaves = [
        *(("Placeholder", value) for value in graph.inputs),
        *(("Variable", state.value) for state in graph.states),
        *(("Const", constant.value) for constant in graph.constants),
    ]
    for number, (op, value) in enumerate(leaves):
        label = value.name.replace(".", "/") or f"{op.lower()}_{number}"
        names[value] = add(_unused(label, names), op, [])
    for node in graph.nodes:
        operands = [names[v] for v in node.inputs if v is not None]
        name = add(_unused(_label(node), names), node.op.name, operands)
        names.update(dict.fromkeys(node.outputs, name))
    for number, value in enumerate(graph.outputs):
        add(f"output_{number}", "Identity", [names[value]])
    return definition, str(graph)


def _label(node: Node) -> str:
    scope = (node.source.module or "").replace(".", "/")
    return f"{scope}/{node.op.name}" if scope else node.op.name


def _unused(name: str, names: dict[Value, str]) -> str:
    taken = set(names.values())
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in range(1, len(taken) + 2) if f"{name}_{i}" not in taken)
