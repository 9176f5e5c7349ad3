"""The graph of a functional model: found from its outputs, sorted, and run."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras.keras_tensor import KerasTensor, Node
from fovea.keras.layers.core import InputLayer
from fovea.keras.tree import flatten, map_structure

__all__ = ["Graph"]


class _Slot:
    """Stands for a value that is computed when the graph runs."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class Graph:
    """Nodes from inputs to outputs, in an order in which they can run.

    Args:
        inputs, outputs: symbolic tensors, or structures of them.

    Raises:
        ArgumentError: an output that does not follow from the inputs.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.flat_inputs, self.flat_outputs = flatten(inputs), flatten(outputs)
        for what, tensors in (("inputs", self.flat_inputs), ("outputs", self.flat_outputs)):
            for t in tensors:
                if not isinstance(t, KerasTensor):
                    raise ArgumentError(
                        f"Model: {what} must be symbolic tensors, got {type(t).__name__}.",
                        fix="start from Input(shape=...) and call layers on it",
                    )
        self.nodes = self._sorted()
        self._slots: dict[KerasTensor, int] = {}
        self._program = self._compiled()

    @property
    def layers(self) -> list[Any]:
        """The layers, each once: those farthest from the outputs first, as Keras lists them."""
        depths = self.depths()
        layers = list({id(n.operation): n.operation for n in self.nodes}.values())
        return sorted(layers, key=lambda o: (-depths[id(o)], self._met.get(o, -1)))

    def depths(self) -> dict[int, int]:
        """For each layer's id: how many calls lie between it and an output, at most."""
        of_nodes: dict[int, int] = {}
        of_layers: dict[int, int] = {}
        for node in reversed(self.nodes):
            layer = id(node.operation)
            depth = max(of_nodes.setdefault(id(node), 0), of_layers.get(layer, 0))
            of_layers[layer] = of_nodes[id(node)] = depth
            if not self._is_boundary(node):
                for parent in node.parents:
                    of_nodes[id(parent)] = max(of_nodes.get(id(parent), 0), depth + 1)
        return of_layers

    def nodes_by_depth(self) -> list[list[Node]]:
        """The calls, grouped by how far from the outputs they are; farthest first."""
        of_nodes: dict[int, int] = {}
        for node in reversed(self.nodes):
            depth = of_nodes.setdefault(id(node), 0)
            if not self._is_boundary(node):
                for parent in node.parents:
                    of_nodes[id(parent)] = max(of_nodes.get(id(parent), 0), depth + 1)
        groups: dict[int, list[Node]] = {}
        for node in self.nodes:
            groups.setdefault(of_nodes[id(node)], []).append(node)
        return [groups[depth] for depth in sorted(groups, reverse=True)]

    def _is_boundary(self, node: Node) -> bool:
        """Whether a node makes an input of this graph: what lies before is not part of it."""
        inputs = {id(t) for t in self.flat_inputs}
        return any(id(t) in inputs for t in node.output_tensors)

    def _sorted(self) -> list[Node]:
        """Every node before those that need it; independent ones in the order of their making."""
        known = {id(t) for t in self.flat_inputs}
        order: list[Node] = []
        done: set[int] = set()
        self._met: dict[Any, int] = {}  # layers in the order in which they are met
        stack: list[tuple[Node, bool]] = [(_node(t), False) for t in reversed(self.flat_outputs)]
        while stack:
            node, expanded = stack.pop()
            if id(node) in done:
                continue
            if expanded:
                done.add(id(node))
                order.append(node)
                continue
            self._met.setdefault(node.operation, len(self._met))
            if self._is_boundary(node):
                done.add(id(node))
                order.append(node)
                continue
            if node.is_input and not any(id(t) in known for t in node.output_tensors):
                raise ArgumentError(
                    f"Model: the outputs need the input {node.operation.name!r}, which is not "
                    "among the model's inputs.",
                )
            stack.append((node, True))
            stack.extend((_node(t), False) for t in reversed(node.input_tensors))
        reached = {id(n) for n in order}
        inputs = [_node(t) for t in self.flat_inputs]
        return [n for n in inputs if id(n) not in reached] + order

    def _compiled(self) -> list[tuple[Any, Any, Any, list[int], bool]]:
        """Steps: layer, arguments with slots, places of the outputs, whether it is simple."""
        slots = self._slots
        for t in self.flat_inputs:
            slots.setdefault(t, len(slots))
        inputs = {id(t) for t in self.flat_inputs}
        program = []
        for node in self.nodes:
            if any(id(t) in inputs for t in node.output_tensors):
                continue
            args = map_structure(self._slot, node.args)
            kwargs = map_structure(self._slot, node.kwargs)
            out = [slots.setdefault(t, len(slots)) for t in node.output_tensors]
            simple = len(args) == 1 and isinstance(args[0], _Slot) and not kwargs and len(out) == 1
            program.append((node.operation, args, kwargs, out, simple))
        return program

    def _slot(self, value: Any) -> Any:
        return _Slot(self._slots[value]) if isinstance(value, KerasTensor) else value

    def run(self, values: list[Any]) -> Any:
        """The outputs, in the outputs' structure, for the inputs' values in order."""
        held: list[Any] = [None] * len(self._slots)
        for t, value in zip(self.flat_inputs, values, strict=True):
            held[self._slots[t]] = value
        for layer, args, kwargs, out, simple in self._program:
            if simple:
                held[out[0]] = layer(held[args[0].index])
                continue
            given = map_structure(lambda v: held[v.index] if isinstance(v, _Slot) else v, args)
            named = map_structure(lambda v: held[v.index] if isinstance(v, _Slot) else v, kwargs)
            for place, result in zip(out, flatten(layer(*given, **named)), strict=True):
                held[place] = result
        return map_structure(lambda t: held[self._slots[t]], self.outputs)

    def replay(self, values: list[Any], swap: Any) -> Any:
        """Call the layers anew on symbolic tensors; ``swap`` gives each layer's stand-in."""
        held: list[Any] = [None] * len(self._slots)
        for t, value in zip(self.flat_inputs, values, strict=True):
            held[self._slots[t]] = value
        for layer, args, kwargs, out, _ in self._program:
            given = map_structure(lambda v: held[v.index] if isinstance(v, _Slot) else v, args)
            named = map_structure(lambda v: held[v.index] if isinstance(v, _Slot) else v, kwargs)
            for place, result in zip(out, flatten(swap(layer)(*given, **named)), strict=True):
                held[place] = result
        return map_structure(lambda t: held[self._slots[t]], self.outputs)


def _node(t: KerasTensor) -> Node:
    history = t.keras_history
    node: Node = history.operation._inbound_nodes[history.node_index]
    return node


def fit_rank(name: str, x: Any, symbol: KerasTensor) -> Any:
    """An input with a last dimension of 1 added or removed where the model expects it so.

    Raises:
        ShapeError: it does not fit the model's input; names both.
    """
    shape, wanted = x.shape, symbol.shape
    if len(shape) != len(wanted):
        if len(shape) == len(wanted) + 1 and shape[-1] == 1:
            x = x.squeeze(-1)
        elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
            x = x.unsqueeze(-1)
    fits = len(x.shape) == len(wanted) and all(
        w is None or n == w for n, w in zip(x.shape, wanted, strict=True)
    )
    if not fits:
        raise ShapeError(
            f'the input does not fit the model "{name}".',
            {"input": str(tuple(shape)), "expected": f"{wanted}  (None: any size)"},
            "check the data's shape against Input(shape=...); the first dimension is the batch",
        )
    return x


def input_layer_of(t: KerasTensor) -> Any:
    """The ``InputLayer`` that a symbolic tensor comes straight from, or None."""
    layer = t.keras_history.operation
    return layer if isinstance(layer, InputLayer) else None
