"""One graph for all batch sizes, found by comparing captures at a few of them.

Captures of one function at different batch sizes are alike but for numbers: sizes and strides that
grow with the batch, factors such as 1 / batch. `derive` finds for each number a formula that gives
it in every capture, and `Template.instantiate` puts in another size. What a shape rule can check is
checked there; still, a formula is a guess about sizes that were not seen (Python may branch on the
size), so only ask for it where that is wanted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fovea.errors import GraphError
from fovea.graph.formulas import Formula, NoFormulaError, fit
from fovea.graph.graph import Constant, Graph, Node, State, Value
from fovea.graph.printer import format_type
from fovea.graph.verify import verify
from fovea.ops.op import Attrs, Spec

__all__ = ["Template", "batch_sizes", "derive", "separated", "template_of"]

_LEAST = 2  # a dimension of size 1 broadcasts: another computation
_SMALL = 64  # elements


def batch_sizes(graphs: Sequence[Graph]) -> list[int] | None:
    """The batch size of each capture: the one number in which its inputs' shapes differ from those
    of the others; None if they differ in none or in several."""
    shapes = [[n for v in g.inputs for n in v.shape] for g in graphs]
    if len({len(s) for s in shapes}) != 1:
        return None
    differing = {sizes for sizes in zip(*shapes, strict=True) if len(set(sizes)) > 1}
    return list(differing.pop()) if len(differing) == 1 else None


def derive(captures: Sequence[tuple[int, Graph]]) -> Template:
    """The template of captures of one function.

    Args:
        captures: batch sizes (all different, each at least 2) with the graphs captured there. Two
            are needed; each further one is a check of what two only suggest.

    Raises:
        GraphError: they are not alike, or some number follows no formula.
    """
    sizes = [n for n, _ in captures]
    if len(set(sizes)) != len(sizes) or len(sizes) < 2 or min(sizes) < _LEAST:
        raise GraphError(f"symbolic: {sizes} are not two or more different batch sizes from 2 on.")
    return _Comparison(sizes, [separated(g) for _, g in captures]).template()


def template_of(graphs: Sequence[Graph]) -> Template:
    """The template of captures whose batch sizes their inputs tell.

    Raises:
        GraphError: as of `derive`, or inputs that differ in no size or in several.
    """
    sizes = batch_sizes(graphs)
    if sizes is None:
        raise GraphError("symbolic: the inputs do not differ in one size.")
    return derive(list(zip(sizes, graphs, strict=True)))


def separated(graph: Graph) -> Graph:
    """The graph with a small constant of its own for each place that reads one, and none unread.

    In a batch of four, 1 / batch may be the same constant as some other 0.25.
    """
    constants = {c.value: c for c in graph.constants if c.value in graph.kept()}
    known = {c.value: c for c in graph.constants}
    nodes = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for i, v in enumerate(node.inputs):
            if v is not None and v in known:
                if known[v].array.size <= _SMALL:
                    inputs[i] = v = Value(v.spec, v.name)
                    known[v] = Constant(v, known[node.inputs[i]].array)  # type: ignore[index]
                constants[v] = known[v]
        nodes.append(dataclasses.replace(node, inputs=tuple(inputs)))
    return graph.replace(nodes=tuple(nodes), constants=tuple(constants.values()))


@dataclasses.dataclass(frozen=True)
class Template:
    """A graph with formulas for what depends on the batch size.

    Args:
        sizes: those it was derived from.
        graph: the capture at the first of them, with constants ``separated``.
        specs: for each value of the graph, in order, its shape and strides.
        attrs: for each node its attributes.
        constants: for each constant how to make its array for a batch size.
    """

    sizes: tuple[int, ...]
    graph: Graph
    specs: tuple[tuple[Formula, Formula], ...]
    attrs: tuple[Formula, ...]
    constants: tuple[Callable[[int], np.ndarray[Any, Any]], ...]

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Where the batch size stands: numbers of inputs, each with a dimension."""
        a, b = self.sizes[:2]
        shapes = dict(zip(self.graph.values(), self.specs, strict=True))
        return [
            (number, dim)
            for number, v in enumerate(self.graph.inputs)
            for dim, (p, q) in enumerate(zip(shapes[v][0](a), shapes[v][0](b), strict=True))
            if p != q
        ]

    def size_of(self, shapes: Sequence[Sequence[int]]) -> int:
        """The batch size of arguments of these shapes: all inputs, or the first of them.

        Raises:
            GraphError: they have several.
        """
        sizes = {shapes[i][d] for i, d in self.places if i < len(shapes)}
        if len(sizes) != 1:
            raise GraphError(f"symbolic: sizes {sorted(sizes)} where there is to be one.")
        return sizes.pop()

    def instantiate(self, n: int) -> tuple[Graph, dict[Value, Value]]:
        """The graph for batch size ``n``, and for each value of ``self.graph`` the one that stands
        in its place.

        Raises:
            GraphError: a size below 2, or one for which the formulas give no valid graph.
        """
        if n < _LEAST:
            raise GraphError(f"symbolic: a batch of {n} is computed in another way; capture it.")
        values: dict[Value, Value] = {}
        for old, (shape, strides) in zip(self.graph.values(), self.specs, strict=True):
            sizes = shape(n)
            if min(sizes, default=0) < 0:
                raise GraphError(f"symbolic: a batch of {n} gives {old!r} the shape {sizes}.")
            values[old] = Value(Spec(sizes, old.dtype, strides(n)), old.name)
        graph = self.graph
        nodes = [_node(node, a(n), values) for node, a in zip(graph.nodes, self.attrs, strict=True)]
        made = Graph(
            inputs=tuple(values[v] for v in graph.inputs),
            states=tuple(State(values[s.value], s.tensor, s.name) for s in graph.states),
            constants=tuple(
                Constant(values[c.value], make(n))
                for c, make in zip(graph.constants, self.constants, strict=True)
            ),
            nodes=tuple(nodes),
            outputs=tuple(values[v] for v in graph.outputs),
            updates=tuple((values[a], values[b]) for a, b in graph.updates),
        )
        try:
            verify(made)
        except GraphError as error:
            raise GraphError(
                f"symbolic: batch sizes {self.sizes} do not tell what {n} needs: {error.summary}",
                error.details,
                "capture it",
            ) from error
        return made, values


def _node(node: Node, attrs: Attrs | None, values: dict[Value, Value]) -> Node:
    return dataclasses.replace(
        node,
        inputs=tuple(None if v is None else values[v] for v in node.inputs),
        attrs=attrs,
        outputs=tuple(values[v] for v in node.outputs),
    )


class _Comparison:
    """Captures side by side."""

    def __init__(self, sizes: Sequence[int], graphs: Sequence[Graph]) -> None:
        self.sizes, self.graphs = tuple(sizes), graphs
        self.numbers = [{v: i for i, v in enumerate(g.values())} for g in graphs]

    def template(self) -> Template:
        self._same("inputs, states, constants or nodes", self._shape_of_graph)
        values = list(zip(*(g.values() for g in self.graphs), strict=True))
        nodes = list(zip(*(g.nodes for g in self.graphs), strict=True))
        constants = list(zip(*(g.constants for g in self.graphs), strict=True))
        for alike in nodes:
            self._same_wiring(alike)
        self._same("outputs or updates", self._ends)
        return Template(
            self.sizes,
            self.graphs[0],
            tuple(self._spec(alike) for alike in values),
            tuple(self._attrs(alike) for alike in nodes),
            tuple(self._constant(alike) for alike in constants),
        )

    def _same(self, what: str, key: Callable[[int], Any]) -> None:
        first = key(0)
        for i in range(1, len(self.graphs)):
            if key(i) != first:
                raise GraphError(
                    f"symbolic: batches of {self.sizes[0]} and {self.sizes[i]} have other {what}."
                )

    def _shape_of_graph(self, i: int) -> Any:
        g = self.graphs[i]
        states = [(id(s.tensor.storage), s.tensor.offset, s.tensor.strides) for s in g.states]
        return len(g.inputs), states, len(g.constants), [node.op.name for node in g.nodes]

    def _ends(self, i: int) -> Any:
        g, number = self.graphs[i], self.numbers[i]
        return [number[v] for v in g.outputs], [(number[a], number[b]) for a, b in g.updates]

    def _same_wiring(self, nodes: Sequence[Node]) -> None:
        found = {
            (
                tuple(None if v is None else number[v] for v in node.inputs),
                tuple(number[v] for v in node.outputs),
                node.mutated,
            )
            for node, number in zip(nodes, self.numbers, strict=True)
        }
        if len(found) != 1:
            raise GraphError(
                f"symbolic: {nodes[0].op.name} ({nodes[0].source}) reads other values in batches "
                f"of {self.sizes}."
            )

    def _fit(self, values: Sequence[Any], of: str) -> Formula:
        try:
            return fit(self.sizes, values)
        except NoFormulaError as error:
            raise GraphError(f"symbolic: {of}: {error}.") from None

    def _spec(self, values: Sequence[Value]) -> tuple[Formula, Formula]:
        of = f"the shape of {values[0]!r}"
        if len({v.dtype for v in values}) != 1 or len({v.ndim for v in values}) != 1:
            raise GraphError(f"symbolic: {of} is {', '.join(map(format_type, values))}.")
        shape = self._fit([tuple(v.shape) for v in values], of)
        return shape, self._fit([v.strides for v in values], f"the strides of {values[0]!r}")

    def _attrs(self, nodes: Sequence[Node]) -> Formula:
        return self._fit([node.attrs for node in nodes], f"{nodes[0].op.name} ({nodes[0].source})")

    def _constant(self, constants: Sequence[Constant]) -> Callable[[int], np.ndarray[Any, Any]]:
        """The same array, one number in all places, or 0, 1, 2 and so on."""
        arrays = [c.array for c in constants]
        dtype = arrays[0].dtype
        if len({a.dtype for a in arrays}) != 1:
            raise GraphError(f"symbolic: {constants[0].value!r} is a constant of several types.")
        if len({(a.shape, a.tobytes()) for a in arrays}) == 1:
            return lambda n: arrays[0]
        of = f"the constant {constants[0].value!r}"
        size = self._fit([a.size for a in arrays], of)
        if all(a.size and a.tobytes() == a.reshape(-1)[:1].tobytes() * a.size for a in arrays):
            numbers = [a.reshape(-1)[0].item() for a in arrays]
            number = self._rounded(numbers, of, dtype)
            return lambda n: np.full(size(n), number(n), dtype)
        if all(dtype.kind in "iu" and np.array_equal(a, np.arange(a.size)) for a in arrays):
            return lambda n: np.arange(size(n), dtype=dtype)
        raise GraphError(f"symbolic: {of} differs in ways that no formula tells.")

    def _rounded(self, numbers: Sequence[Any], of: str, dtype: np.dtype[Any]) -> Formula:
        """The formula of a number that was rounded to a type."""
        if dtype.kind in "biu":
            return self._fit(numbers, of)
        try:
            return fit(self.sizes, [float(x) for x in numbers], lambda x: float(dtype.type(x)))
        except NoFormulaError as error:
            raise GraphError(f"symbolic: {of}: {error}.") from None
