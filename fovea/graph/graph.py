"""`Graph`: what was captured, as data. Immutable and typed; passes make new graphs from old ones.

A graph is functional: every value is made once, and a change in place makes a new value. Nodes
stand in the order in which they were run. Two things tie it to memory:

- A `State` is a tensor that lived before the call (a parameter, a running statistic, an optimizer's
  state). ``updates`` says which value each changed state holds in the end.
- A node of an op that ``mutates`` inputs has, after the op's own outputs, one output for each input
  that it writes (``mutated`` holds their places among the inputs). The new value may take over the
  old one's memory, so no node may read the old value later.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.dtypes import DType
from fovea.ops.op import Attrs, Op, Spec, contiguous_strides, numel

__all__ = ["Constant", "Graph", "Node", "Source", "State", "Value", "ancestors", "substitute"]

_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of a graph: what it is like, not what it holds. Compared by identity.

    Args:
        spec: shape, dtype and strides (None: row-major). Strides of 0 and other overlaps are
            possible only for views.
        name: a hint for people, such as a parameter's name.
    """

    spec: Spec
    name: str = ""
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        return self.spec.dtype

    @property
    def strides(self) -> tuple[int, ...]:
        """Distances in elements."""
        strides = self.spec.strides
        return contiguous_strides(self.spec.shape) if strides is None else strides

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements, each counted once for each place in the shape."""
        return numel(self.spec.shape) * self.spec.dtype.itemsize

    def __repr__(self) -> str:
        return f"<value {self.name or self.number} {self.dtype.name} {tuple(self.shape)}>"


@dataclass(frozen=True)
class Source:
    """Where a node comes from.

    Args:
        file, line: the user's line that ran the op.
        module: the path of the module that was running, such as ``"layer1.0.conv1"``.
        backward: whether backward ran it.
        again: in which run of a function that had run before (`fovea.utils.checkpoint`); or 0.
            Nodes of different runs are not made one: computing again saves memory.
    """

    file: str = ""
    line: int = 0
    module: str = ""
    backward: bool = False
    again: int = 0

    def __str__(self) -> str:
        place = f"{self.file.rpartition('/')[2]}:{self.line}" if self.file else ""
        path = self.module + (" backward" if self.backward else "")
        return " ".join(p for p in (path.strip(), place) if p)


NOWHERE = Source()


@dataclass(frozen=True, eq=False)
class Node:
    """One call of an op.

    Args:
        op: what is run.
        inputs: its operands, None for those left out.
        attrs: the op's attributes.
        outputs: the op's outputs, then the new values of the inputs that it changes.
        mutated: the places of those inputs.
        source: where it comes from.
    """

    op: Op
    inputs: tuple[Value | None, ...]
    attrs: Attrs | None
    outputs: tuple[Value, ...]
    mutated: tuple[int, ...] = ()
    source: Source = NOWHERE

    @property
    def results(self) -> tuple[Value, ...]:
        """The op's own outputs."""
        return self.outputs[: len(self.outputs) - len(self.mutated)]

    @property
    def renewed(self) -> tuple[Value, ...]:
        """The new values of changed inputs."""
        return self.outputs[len(self.outputs) - len(self.mutated) :]

    def operands(self) -> Iterator[Value]:
        """The inputs that are there."""
        return (v for v in self.inputs if v is not None)

    def __repr__(self) -> str:
        return f"<node {self.op.name}>"


@dataclass(frozen=True, eq=False)
class State:
    """A tensor from before the call that the graph reads or changes.

    Args:
        value: its value when the call begins.
        tensor: the tensor itself (None in a graph that was loaded from a file).
        name: its path in the module that holds it, where known.
    """

    value: Value
    tensor: Any = None
    name: str = ""


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is the same in every call: its elements, in the memory order of its strides."""

    value: Value
    array: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """A captured computation.

    Args:
        inputs: the tensor arguments.
        states, constants: see there.
        nodes: in an order in which they can be run.
        outputs: what is returned.
        updates: for each changed state its value and the value that it holds in the end.
    """

    inputs: tuple[Value, ...]
    states: tuple[State, ...]
    constants: tuple[Constant, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    updates: tuple[tuple[Value, Value], ...] = ()

    def replace(self, **fields: Any) -> Graph:
        """The graph with some fields replaced."""
        return dataclasses.replace(self, **fields)

    def producers(self) -> dict[Value, Node]:
        """The node that makes each value."""
        return {v: node for node in self.nodes for v in node.outputs}

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, in order; values that nobody reads are left out."""
        users: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for v in dict.fromkeys(node.operands()):
                users.setdefault(v, []).append(node)
        return users

    def kept(self) -> set[Value]:
        """Values that must exist after the last node."""
        return {*self.outputs, *(new for _, new in self.updates)}

    def leaves(self) -> Iterator[Value]:
        """Values that exist before the first node."""
        yield from self.inputs
        yield from (s.value for s in self.states)
        yield from (c.value for c in self.constants)

    def values(self) -> Iterator[Value]:
        """All values: leaves, then what nodes make."""
        yield from self.leaves()
        for node in self.nodes:
            yield from node.outputs

    def __str__(self) -> str:
        from fovea.graph.printer import format_graph

        return format_graph(self)

    def __repr__(self) -> str:
        return (
            f"<graph of {len(self.nodes)} nodes, {len(self.inputs)} inputs, "
            f"{len(self.states)} states, {len(self.outputs)} outputs>"
        )


def substitute(graph: Graph, replacements: Mapping[Value, Value]) -> Graph:
    """The graph with values replaced wherever they are read, chains of replacements followed."""
    if not replacements:
        return graph

    def now(v: Value) -> Value:
        while v in replacements:
            v = replacements[v]
        return v

    nodes = []
    for node in graph.nodes:
        inputs = tuple(None if v is None else now(v) for v in node.inputs)
        changed = any(a is not b for a, b in zip(inputs, node.inputs, strict=True))
        nodes.append(dataclasses.replace(node, inputs=inputs) if changed else node)
    return graph.replace(
        nodes=tuple(nodes),
        outputs=tuple(now(v) for v in graph.outputs),
        updates=tuple((old, now(new)) for old, new in graph.updates),
    )


def ancestors(
    graph: Graph, values: Iterable[Value], until: Callable[[Node], bool] | None = None
) -> list[Node]:
    """The nodes that ``values`` depend on, in the graph's order."""
    producers = graph.producers()
    needed: set[Node] = set()
    stack: list[Value] = list(values)
    while stack:
        node = producers.get(stack.pop())
        if node is None or node in needed or (until is not None and until(node)):
            continue
        needed.add(node)
        stack.extend(node.operands())
    return [n for n in graph.nodes if n in needed]


def spec_of(t: Any) -> Spec:
    """The spec of a tensor; strides of None where it is row-major."""
    strides = tuple(t.strides)
    shape = tuple(t.shape)
    return Spec(shape, t.dtype, None if strides == contiguous_strides(shape) else strides)


def same_spec(a: Spec | Value, b: Spec | Value) -> bool:
    """Whether two values are alike in shape, dtype and memory layout."""
    return (
        a.shape == b.shape
        and a.dtype is b.dtype
        and _laid_out(a.shape, a.strides) == _laid_out(b.shape, b.strides)
    )


def _laid_out(shape: Sequence[int], strides: Sequence[int] | None) -> tuple[int, ...]:
    """Strides without those that nobody steps along."""
    found = contiguous_strides(shape) if strides is None else strides
    return tuple(s for s, n in zip(found, shape, strict=True) if n > 1)
