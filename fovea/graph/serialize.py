"""Graphs as plain data, such as JSON holds, and back. The elements of states and constants stay
apart: `stored_tensors` lists what has to be kept beside the data.

What comes back was checked: ops are those of the op table, attributes have the types that these
promise, every value fits what makes it. No code is in the data, and none runs because of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea import dtypes
from fovea.errors import FileFormatError, FoveaError
from fovea.graph.attributes import attrs_from_plain, attrs_to_plain, op_named
from fovea.graph.graph import NOWHERE, Constant, Graph, Node, Source, State, Value
from fovea.graph.tensors import allocated, constant_tensor, copied, elements_of, extent
from fovea.graph.verify import verify
from fovea.ops.op import Spec
from fovea.storage import Storage

__all__ = ["graph_from_plain", "graph_to_plain", "stored_tensors"]

_MOST_DIMS = 64
_LARGEST = 1 << 62
_Memory = Callable[[int, int], Storage]


def graph_to_plain(graph: Graph) -> dict[str, Any]:
    """A graph as dicts, lists, numbers and strings.

    Raises:
        TypeError: an attribute of a kind that data cannot hold.
    """
    values = list(graph.values())
    number = {v: i for i, v in enumerate(values)}
    return {
        "values": [_value_to_plain(v) for v in values],
        "inputs": [number[v] for v in graph.inputs],
        "states": [[number[s.value], s.name] for s in graph.states],
        "constants": [number[c.value] for c in graph.constants],
        "nodes": [_node_to_plain(node, number) for node in graph.nodes],
        "outputs": [number[v] for v in graph.outputs],
        "updates": [[number[old], number[new]] for old, new in graph.updates],
    }


def stored_tensors(graph: Graph) -> list[Any]:
    """For each state, then for each constant a tensor with its elements in memory of its own."""
    states = [copied(s.tensor, s.value) for s in graph.states]
    return states + [constant_tensor(c) for c in graph.constants]


def _value_to_plain(value: Value) -> list[Any]:
    strides = None if value.spec.strides is None else list(value.strides)
    return [value.dtype.name, list(value.shape), strides, value.name]


def _node_to_plain(node: Node, number: dict[Value, int]) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "op": node.op.name,
        "inputs": [None if v is None else number[v] for v in node.inputs],
        "outputs": [number[v] for v in node.outputs],
    }
    if node.attrs is not None:
        plain["attrs"] = attrs_to_plain(node.attrs)
        try:
            attrs_from_plain(node.op, plain["attrs"])
        except ValueError as error:
            raise TypeError(
                f"the attributes of {node.op.name} cannot be written: {error}"
            ) from error
    if node.mutated:
        plain["mutated"] = list(node.mutated)
    if node.source is not NOWHERE:
        s = node.source
        plain["source"] = [s.file.rpartition("/")[2], s.line, s.module, s.backward]
    return plain


def graph_from_plain(data: Any, memory: _Memory) -> Graph:
    """The graph that ``graph_to_plain`` was given.

    Args:
        data: what it returned, or anything at all.
        memory: ``memory(i, nbytes)`` gives the memory of the stored tensor i, which must have so
            many bytes; else it raises FileFormatError.

    Raises:
        FileFormatError: the data are no graph, or one that breaks the rules.
    """
    try:
        graph = _Reader(data, memory).graph()
        verify(graph)
    except FileFormatError:
        raise
    except FoveaError as error:
        raise FileFormatError(f"the program is no valid graph: {error.summary}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"the program is no valid graph: {error}") from error
    return graph


class _Reader:
    """Plain data under suspicion."""

    def __init__(self, data: Any, memory: _Memory) -> None:
        self.data, self.memory = data, memory
        self.values = [self._value(entry) for entry in self._list(data, "values")]

    def graph(self) -> Graph:
        states = [self._pair(entry) for entry in self._list(self.data, "states")]
        constants = [self._at(i) for i in self._list(self.data, "constants")]
        return Graph(
            inputs=self._values(self.data, "inputs"),
            states=tuple(
                self._state(i, self._at(number), name) for i, (number, name) in enumerate(states)
            ),
            constants=tuple(
                Constant(v, elements_of(self._stored(len(states) + i, v), v.dtype))
                for i, v in enumerate(constants)
            ),
            nodes=tuple(self._node(entry) for entry in self._list(self.data, "nodes")),
            outputs=self._values(self.data, "outputs"),
            updates=tuple(
                (self._at(old), self._at(new))
                for old, new in map(self._pair, self._list(self.data, "updates"))
            ),
        )

    def _list(self, data: Any, key: str, default: Any = None) -> list[Any]:
        found = data.get(key, default) if isinstance(data, dict) else None
        if not isinstance(found, list):
            raise ValueError(f"it has no list of {key}")
        return found

    def _pair(self, entry: Any) -> list[Any]:
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"{str(entry)[:40]} is no pair")
        return entry

    def _at(self, number: Any) -> Value:
        if type(number) is not int or not 0 <= number < len(self.values):
            raise ValueError(f"there is no value {str(number)[:40]}")
        return self.values[number]

    def _values(self, data: Any, key: str) -> tuple[Value, ...]:
        return tuple(self._at(number) for number in self._list(data, key))

    def _value(self, entry: Any) -> Value:
        if not isinstance(entry, list) or len(entry) != 4:
            raise ValueError(f"{str(entry)[:40]} describes no value")
        kind, shape, strides, name = entry
        if not _integers(shape, 0) or len(shape) > _MOST_DIMS or type(name) is not str:
            raise ValueError(f"{str(entry)[:80]} describes no value")
        if strides is not None and not (
            _integers(strides, -_LARGEST) and len(strides) == len(shape)
        ):
            raise ValueError(f"{str(strides)[:40]} are no strides for {str(shape)[:40]}")
        size = 1
        for n in shape:
            size *= max(n, 1)
        if size >= _LARGEST:
            raise ValueError(f"a tensor of shape {str(shape)[:40]} cannot be")
        layout = None if strides is None else tuple(strides)
        return Value(Spec(tuple(shape), dtypes.as_dtype(str(kind)), layout), name)

    def _stored(self, i: int, value: Value) -> Storage:
        return self.memory(i, extent(value.shape, value.strides) * value.dtype.itemsize)

    def _state(self, i: int, value: Value, name: Any) -> State:
        if type(name) is not str:
            raise ValueError(f"state {i} has no name")
        return State(value, allocated(value, self._stored(i, value)), name)

    def _node(self, entry: Any) -> Node:
        if not isinstance(entry, dict) or type(entry.get("op")) is not str:
            raise ValueError(f"{str(entry)[:40]} is no node")
        op = op_named(entry["op"])
        inputs = [None if n is None else self._at(n) for n in self._list(entry, "inputs")]
        mutated = self._list(entry, "mutated", [])
        if not _integers(mutated, 0):
            raise ValueError(f"{op.name}: {str(mutated)[:40]} are no places")
        return Node(
            op,
            tuple(inputs),
            attrs_from_plain(op, entry.get("attrs")),
            self._values(entry, "outputs"),
            tuple(mutated),
            _source(entry.get("source")),
        )


def _integers(values: Any, least: int) -> bool:
    return isinstance(values, list) and all(
        type(n) is int and least <= n <= _LARGEST for n in values
    )


def _source(entry: Any) -> Source:
    if entry is None:
        return NOWHERE
    kinds = (str, int, str, bool)
    if not isinstance(entry, list) or [type(e) for e in entry] != list(kinds):
        raise ValueError(f"{str(entry)[:40]} is no place in a program")
    return Source(*entry)
