"""The rules of graphs, checked: what a pass may rely on and must leave true."""

from __future__ import annotations

from collections.abc import Sequence

from fovea.errors import FoveaError, GraphError
from fovea.graph.graph import Graph, Node, Value, same_spec
from fovea.graph.printer import format_node, format_type, value_names
from fovea.graph.tensors import extent
from fovea.ops.op import Spec

__all__ = ["verify"]


def verify(graph: Graph) -> None:
    """Check that a graph keeps the rules.

    Every value is made once and before it is read; every node's outputs are what its op promises
    for these inputs; nothing reads memory that a later node has overwritten; only states change.

    Raises:
        GraphError: it breaks a rule; the message shows the node and the values.

    >>> from fovea import dtypes
    >>> from fovea.ops.elementwise import relu
    >>> x, y = (Value(Spec((n,), dtypes.float32)) for n in (2, 3))
    >>> verify(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,)))
    Traceback (most recent call last):
    fovea.errors.GraphError: verify: relu gives f32[2], but its output is declared f32[3].
      node  %1 f32[3] = relu(%0)
      ...
    """
    _Check(graph).run()


class _Check:
    """One walk through a graph.

    Attributes:
        root: for each value so far the value whose memory it lies in (views lie in another's).
        overwritten: for each root whose memory was taken over, the node that did it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names = value_names(graph)
        self.root: dict[Value, Value] = {}
        self.overwritten: dict[Value, Node] = {}

    def run(self) -> None:
        self._leaves()
        for node in self.graph.nodes:
            self._operands(node)
            self._call(node)
            self._mutations(node)
            self._define(node)
        self._results()

    def fail(self, summary: str, node: Node | None = None, fix: str | None = None) -> GraphError:
        details = {}
        if node is not None:
            details["node"] = format_node(node, self.names, most_operands=12, source=False)
            if str(node.source):
                details["from"] = str(node.source)
        return GraphError(f"verify: {summary}", details, fix)

    def name(self, value: Value) -> str:
        return self.names.get(value) or repr(value)

    def _leaves(self) -> None:
        for value in self.graph.leaves():
            if value in self.root:
                raise self.fail(f"{self.name(value)} is listed twice among the leaves.")
            self.root[value] = value
        for state in self.graph.states:
            tensor, value = state.tensor, state.value
            if tensor is not None and (
                tuple(tensor.shape) != tuple(value.shape) or tensor.dtype is not value.dtype
            ):
                raise self.fail(
                    f"state {self.name(value)} is {format_type(value)}, its tensor is "
                    f"{tensor.dtype.name} {tuple(tensor.shape)}."
                )
        for constant in self.graph.constants:
            value, array = constant.value, constant.array
            wanted = extent(value.shape, value.strides)
            if array.dtype != value.dtype.numpy or array.size != wanted:
                raise self.fail(
                    f"constant {self.name(value)} is {format_type(value)} and needs {wanted} "
                    f"elements; its array has {array.size} of type {array.dtype}."
                )
            if any(s < 0 and n > 1 for s, n in zip(value.strides, value.shape, strict=True)):
                raise self.fail(f"constant {self.name(value)} has strides {value.strides}.")

    def _operands(self, node: Node) -> None:
        op, given = node.op, len(node.inputs)
        few, many = len(op.inputs) - op.variadic, len(op.inputs)
        if given < few or (given != many and not op.variadic):
            raise self.fail(
                f"{op.name} takes {few if op.variadic else many} inputs, the node has {given}.",
                node,
            )
        for name, optional, value in zip(op.inputs, op.optional, node.inputs, strict=False):
            if value is None and not optional:
                raise self.fail(f"{op.name}: {name} is required.", node)
        wanted = op.attrs_class or type(None)
        if type(node.attrs) is not wanted:
            raise self.fail(
                f"{op.name} has attributes of class {wanted.__name__}, the node's are "
                f"{type(node.attrs).__name__}.",
                node,
            )
        for value in node.operands():
            self._readable(value, node)

    def _readable(self, value: Value, node: Node | None) -> None:
        where = "returned" if node is None else "read"
        if value not in self.root:
            raise self.fail(f"{self.name(value)} is {where} but nothing made it before.", node)
        thief = self.overwritten.get(self.root[value])
        if thief is not None:
            raise self.fail(
                f"{self.name(value)} is {where} after {thief.op.name} overwrote its memory.",
                node,
                "read the new value, or run this node before "
                f"{format_node(thief, self.names, most_operands=4, source=False)}",
            )

    def _call(self, node: Node) -> None:
        """Outputs against what the op promises."""
        try:
            specs = node.op.specs(node.inputs, node.attrs)
        except FoveaError as error:
            raise self.fail(f"{node.op.name} refuses its inputs: {error.summary}", node) from error
        if len(specs) != len(node.results):
            raise self.fail(
                f"{node.op.name} has {len(specs)} outputs, the node has {len(node.results)} and "
                f"{len(node.mutated)} new values of changed inputs.",
                node,
            )
        for spec, value in zip(specs, node.results, strict=True):
            agrees = same_spec(spec, value) if node.op.view else _alike(spec, value)
            if not agrees:
                promised = format_type(Value(_plain(spec)))
                raise self.fail(
                    f"{node.op.name} gives {promised}, but its output is declared "
                    f"{format_type(value)}.",
                    node,
                )
            if not node.op.view and _overlaps(value.shape, value.strides):
                raise self.fail(
                    f"{node.op.name}: {self.name(value)} has strides {value.strides}, under which "
                    "elements share memory: only a view may.",
                    node,
                )

    def _mutations(self, node: Node) -> None:
        self._places(node)
        for place, new in zip(node.mutated, node.renewed, strict=True):
            old = node.inputs[place]
            assert old is not None
            if not same_spec(old, new):
                raise self.fail(
                    f"{node.op.name} changes {self.name(old)} {format_type(old)} in place, but its "
                    f"new value is declared {format_type(new)}.",
                    node,
                )
            self._take_over(node, place, old)

    def _places(self, node: Node) -> None:
        op, places = node.op, node.mutated
        allowed = range(len(node.inputs))
        if not op.variadic:
            wanted = tuple(op.inputs.index(name) for name in op.mutates)
            if places != wanted:
                raise self.fail(f"{op.name} changes inputs {wanted}, the node says {places}.", node)
        elif bool(places) != bool(op.mutates) or len(set(places)) != len(places):
            raise self.fail(f"{op.name}: {places} are not the places of what it changes.", node)
        for i in places:
            if i not in allowed or node.inputs[i] is None:
                raise self.fail(f"{op.name}: there is no input {i} that it could change.", node)

    def _take_over(self, node: Node, place: int, old: Value) -> None:
        root = self.root[old]
        if _overlaps(old.shape, old.strides):
            raise self.fail(
                f"{node.op.name} overwrites {self.name(old)}, whose elements share memory.", node
            )
        for i, other in enumerate(node.inputs):
            if i != place and other is not None and self.root[other] is root:
                raise self.fail(
                    f"{node.op.name} overwrites {self.name(old)} while it reads {self.name(other)},"
                    " which lies in the same memory.",
                    node,
                    "give it a clone",
                )
        if root in self.graph.inputs or any(c.value is root for c in self.graph.constants):
            kind = "an input" if root in self.graph.inputs else "a constant"
            raise self.fail(
                f"{node.op.name} overwrites {self.name(root)}, which is {kind}: only states and "
                "what nodes make may change.",
                node,
                "give it a clone",
            )
        if any(s.value is root for s in self.graph.states) and not any(
            a is root for a, _ in self.graph.updates
        ):
            raise self.fail(
                f"{node.op.name} overwrites state {self.name(root)}, which has no update.", node
            )
        self.overwritten[root] = node

    def _define(self, node: Node) -> None:
        for value in node.outputs:
            if value in self.root:
                raise self.fail(f"{self.name(value)} is made a second time.", node)
            self.root[value] = value
        if node.op.view:
            base = node.inputs[0]
            assert base is not None
            for value in node.results:
                self.root[value] = self.root[base]

    def _results(self) -> None:
        for value in self.graph.outputs:
            self._readable(value, None)
        states = {s.value for s in self.graph.states}
        updated: set[Value] = set()
        for old, new in self.graph.updates:
            if old not in states:
                raise self.fail(f"an update names {self.name(old)}, which is no state.")
            if old in updated:
                raise self.fail(f"state {self.name(old)} has two updates.")
            updated.add(old)
            self._readable(new, None)
            if not _alike(old, new):
                raise self.fail(
                    f"state {self.name(old)} is {format_type(old)}, its update "
                    f"{self.name(new)} is {format_type(new)}."
                )


def _alike(a: Spec | Value, b: Spec | Value) -> bool:
    return tuple(a.shape) == tuple(b.shape) and a.dtype is b.dtype


def _plain(spec: Spec) -> Spec:
    return Spec(tuple(spec.shape), spec.dtype, spec.strides)


def _overlaps(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether two elements may share memory: each dimension must step over those within it."""
    if 0 in shape:
        return False
    reach = 1
    for s, n in sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if s < reach:
            return True
        reach += s * (n - 1)
    return False
