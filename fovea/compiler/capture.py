"""One captured call: run once and recorded, then a program with what it takes to run it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fovea import dispatch
from fovea.compiler.guards import Guards
from fovea.compiler.joint import EntryNode, Joint, bridge, record_backward
from fovea.compiler.structure import flatten, rebuild
from fovea.graph.graph import Graph, Node, Value, ancestors
from fovea.graph.passes import remove_dead_code
from fovea.graph.tracer import Check, Tracer, Uncapturable, tracing
from fovea.tape import OpNode, replayed
from fovea.targets.base import make_tensor
from fovea.tensorbase import is_tensor

__all__ = ["Alias", "Capture", "Derived", "Look", "capture", "exported", "reassemble"]

_MOST_NODES_OF_A_CHECK = 8


@dataclass(frozen=True)
class Look:
    """A check that is made before each call.

    Args:
        nodes: what makes the checked tensor from arguments and states; views and casts only.
        check: what to see.
    """

    nodes: tuple[Node, ...]
    check: Check

    def holds(self, values: dict[Value, Any]) -> bool:
        """Whether it gives what it gave; raises what it raises."""
        known = dict(values)
        before = dispatch.set_grad_enabled(False)
        try:
            for node in self.nodes:
                inputs = tuple([None if v is None else known[v] for v in node.inputs])
                known[node.outputs[0]] = node.op.bind(inputs, node.attrs)
        finally:
            dispatch.set_grad_enabled(before)
        return bool(self.check.see(known[self.check.value]._array()) == self.check.result)


@dataclass(frozen=True)
class Alias:
    """A result that lies in an argument's memory.

    Args:
        argument: the argument's number.
        output: the number of the output with the same values.
        shape, strides, offset, dtype: how it lies there; the offset is the argument's plus this.
    """

    argument: int
    output: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: Any

    def of(self, t: Any) -> Any:
        """The same view of another argument."""
        return make_tensor(t.storage, self.shape, self.strides, t.offset + self.offset, self.dtype)


@dataclass(frozen=True)
class Derived:
    """A result that is a view of an argument on the tape.

    Args:
        argument: the argument's number.
        output: the number of the output with the same values.
        replay: the view ops that make it.
    """

    argument: int
    output: int
    replay: tuple[Any, ...]

    def of(self, t: Any) -> Any:
        """The same view of another argument."""
        return replayed(t, self.replay)


@dataclass
class Capture:
    """What one call left.

    Args:
        result: what the call returned.
        guards: what was taken as constant.
        refused: why there is no graph, if there is none.
        escaped: values that somebody outside holds, though they are no results: the next call may
            find them as states.
        graph: the whole computation. Its outputs are ``returned``, then the gradients of
            ``slots``, then what ``changed`` arguments hold.
        structure: of the result; each tensor takes the next of ``sources``.
        sources: for each tensor of the result the number of its output, ``("argument", number)``,
            an `Alias`, a `Derived`, or the tensor itself.
        slots: leaves whose ``.grad`` the call sets.
        dropped: leaves whose ``.grad`` it leaves as None.
        changed: the numbers of arguments that it changes in place.
        looks: checks to make first.
        joint: backward, if results were live. It is part of ``graph``.
        leaves: what its gradients belong to: arguments by number, or tensors.
        before: the arguments and states that it changed, each with a copy of what it was; empty if
            nobody asked for them.
    """

    result: Any
    guards: Guards
    refused: Uncapturable | None = None
    escaped: Sequence[Value] = ()
    graph: Graph | None = None
    structure: Any = None
    sources: Sequence[Any] = ()
    slots: Sequence[Any] = ()
    dropped: Sequence[Any] = ()
    changed: Sequence[int] = ()
    looks: Sequence[Look] = ()
    joint: Joint | None = None
    leaves: Sequence[Any] = ()
    before: Sequence[tuple[Any, Any]] = ()

    def undo(self) -> None:
        """Give arguments and states back what they held before the call."""
        before = dispatch.set_grad_enabled(False)
        try:
            for t, held in self.before:
                t.copy_(held)
        finally:
            dispatch.set_grad_enabled(before)
        self.before = ()


def capture(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: Sequence[Any],
    *,
    strict: Callable[[Uncapturable], None] | None = None,
    known_leaves: Sequence[Any] = (),
    undoable: bool = False,
) -> Capture:
    """Call ``function`` and record what it does.

    Args:
        tensors: those among the arguments.
        strict: called (to raise) as soon as something cannot be captured.
        known_leaves: tensors that are known to get gradients.
        undoable: keep what the call changes as it was.
    """
    tracer = Tracer(keeps=undoable)
    tracer.on_refusal = strict
    guards = Guards(function, (*args, *kwargs.values()))
    tracer.on_module, tracer.on_optimizer = guards.on_module, guards.on_optimizer
    tracer.on_gradient, tracer.on_drop = guards.on_gradient, guards.on_drop
    entry_grads = {id(t): t.grad for t in known_leaves}
    versions = [t.storage.version for t in tensors]
    given, leaves, cut = _cut_off(tensors)
    nodes = [t.grad_fn for t in given]
    if cut:
        args, kwargs = _with_tensors((args, kwargs), given)
    with tracing(tracer):
        for n, t in enumerate(given):
            tracer.add_input(t, f"arg{n}")
            tracer.keep(t)
        result = function(*args, **kwargs)
        found: list[Any] = []
        values: dict[int, Value] = {}
        made = Capture(result, guards, structure=flatten(result, found))
        if tracer.refused is None:
            # Now: what backward sees of the same memory is no part of forward.
            values = {id(t): tracer.value_of(t) for t in (*found, *given)}
            made.joint = record_backward(tracer, found, given, nodes)
    if tracer.refused is None:
        _finish(made, tracer, found, given, versions, values)
        made.before = _changed(tracer, given, versions)
    if made.joint is not None:
        places = {id(t): n for n, t in enumerate(leaves)}
        made.leaves = [places.get(id(leaf), leaf) for leaf in made.joint.leaves]
    if cut:
        _bridge(made, found, given, tensors, cut)
    made.refused = tracer.refused
    guards.finish(tuple(tracer.states), tracer.parts, entry_grads)
    return made


def _cut_off(tensors: Sequence[Any]) -> tuple[list[Any], list[Any], dict[int, Any]]:
    """Arguments that are in the middle of a tape, on a tape of their own that begins at new leaves.

    Returns:
        The arguments, the leaf of each (itself, if it was not cut off), and by the ids of the new
        leaves what they stand for.
    """
    given, leaves, cut = [], [], {}
    for t in tensors:
        inner = leaf = t
        if dispatch.grad_enabled() and t.requires_grad and t.grad_fn is not None:
            leaf = t.detach().requires_grad_()
            inner = leaf._alias()
            inner._set_node(EntryNode((leaf,), (inner,)), 0)
            cut[id(leaf)] = t
        given.append(inner)
        leaves.append(leaf)
    return given, leaves, cut


def _with_tensors(value: Any, tensors: Sequence[Any]) -> Any:
    """A structure with other tensors."""
    return rebuild(flatten(value, []), iter(tensors).__next__)


def _bridge(
    made: Capture,
    found: Sequence[Any],
    given: Sequence[Any],
    tensors: Sequence[Any],
    cut: dict[int, Any],
) -> None:
    """Join the result of a call whose arguments were cut off the tape to it again."""
    replaced = {} if made.joint is None else bridge(found, given, tensors, made.joint, cut)
    real = {id(inner): t for inner, t in zip(given, tensors, strict=True)}
    for n, t in enumerate(found):
        if id(t) in real:
            replaced[n] = real[id(t)]
        elif n not in replaced and t._base is not None and id(t._base) in real:
            replaced[n] = replayed(real[id(t._base)], t._replay)
    results = [replaced.get(n, t) for n, t in enumerate(found)]
    made.result = rebuild(made.structure, iter(results).__next__)


def _finish(
    made: Capture,
    tracer: Tracer,
    found: Sequence[Any],
    tensors: Sequence[Any],
    versions: Sequence[int],
    values: dict[int, Value],
) -> None:
    """Everything about a call that can be told once it is over."""
    outputs: list[Value] = []
    made.sources = [_source(tracer, t, values[id(t)], tensors, outputs) for t in found]
    kept = {id(t.storage) for t in found}
    slots, dropped = [], []
    states = {id(s.tensor.storage) for s in tracer.states}
    for leaf, _ in made.guards.leaves:
        g = leaf.grad
        if g is None:
            dropped.append(leaf)
        elif id(g.storage) not in states:
            slots.append(leaf)
            outputs.append(tracer.value_of(g))
            kept.add(id(g.storage))
    changed = [n for n, (t, v) in enumerate(zip(tensors, versions, strict=True))
               if t.storage.version != v]  # fmt: skip
    outputs += [values[id(tensors[n])] for n in changed]
    kept |= _on_tape([*found, *tensors]) | _attached(found) | {id(t.storage) for t in tensors}
    made.slots, made.dropped, made.changed = slots, dropped, changed
    made.escaped = [v for storage, v in tracer.alive() if id(storage) not in kept]
    made.graph = tracer.graph(outputs)
    made.looks = _looks(tracer, made.graph)


def _changed(
    tracer: Tracer, tensors: Sequence[Any], versions: Sequence[int]
) -> list[tuple[Any, Any]]:
    """What the tracer kept, without what is as it was."""
    states, updates = tracer.states_and_updates()
    new = {value for value, _ in updates}
    touched = {id(s.tensor) for s in states if s.value in new}
    touched |= {
        id(t) for t, v in zip(tensors, versions, strict=True) if t.storage.version != v
    }  # fmt: skip
    return [(t, held) for t, held in tracer.found if id(t) in touched]


def _source(
    tracer: Tracer, t: Any, value: Value, tensors: Sequence[Any], outputs: list[Value]
) -> Any:
    """Where a tensor of the result comes from: an output's number, or it is there already."""
    for state in tracer.states:
        if state.tensor.storage is t.storage:
            return t
    for n, given in enumerate(tensors):
        if given is t:
            return ("argument", n)
    outputs.append(value)
    last = len(outputs) - 1
    for n, given in enumerate(tensors):
        if t.requires_grad and t._base is given:
            return Derived(n, last, t._replay)
        if given.storage is t.storage and not (t.requires_grad or given.requires_grad):
            return Alias(n, last, t.shape, t.strides, t.offset - given.offset, t.dtype)
    return last


def _attached(found: Sequence[Any]) -> set[int]:
    """The storages of tensors that results carry along as attributes (as the logits of a softmax):
    hints, which a program's results do without.
    """
    held = [v for t in found for v in getattr(t, "__dict__", {}).values()]
    flat = [v for item in held for v in (item if isinstance(item, tuple) else (item,))]
    return {id(v.storage) for v in flat if is_tensor(v)}


def _on_tape(tensors: Sequence[Any]) -> set[int]:
    """The storages that backward through these tensors will read."""
    found: set[int] = set()
    seen: set[int] = set()
    stack = [t._node for t in tensors if t._node is not None]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, OpNode):
            for entry in (node.saved or {}).values():
                for one in entry if isinstance(entry, list) else [entry]:
                    if one is not None:
                        found.add(id(one[0].storage))
        stack.extend(e[0] for e in node.edges if e is not None and e[1] >= 0)
    return found


def _looks(tracer: Tracer, graph: Graph) -> list[Look]:
    """Checks with what they need; one that cannot be repeated refuses the call, if essential.

    What depends on nothing but constants is the same in every call and needs no second look.
    """
    looks = []
    varying = {*graph.inputs, *(s.value for s in graph.states)}
    for check in tracer.checks:
        nodes = ancestors(graph, [check.value])
        reads = {check.value, *(v for node in nodes for v in node.operands())}
        if reads.isdisjoint(varying):
            continue
        cheap = all(n.op.view or n.op.name == "cast" for n in nodes)
        if cheap and len(nodes) <= _MOST_NODES_OF_A_CHECK:
            looks.append(Look(tuple(nodes), check))
        elif check.essential:
            tracer.refused = Uncapturable(
                "Python decides by values that are computed in the call", check.line,
                "compute them outside, and pass them in",
            )  # fmt: skip
    return looks


def exported(made: Capture) -> Graph:
    """A capture's forward alone, returning the tensors of the result."""
    graph, joint = made.graph, made.joint
    assert graph is not None
    if joint is not None:
        graph = graph.replace(nodes=graph.nodes[: joint.first])
    now = dict(graph.updates)
    held = {id(s.tensor.storage): now.get(s.value, s.value) for s in graph.states}
    outputs = []
    for source in made.sources:
        if isinstance(source, int):
            outputs.append(graph.outputs[source])
        elif isinstance(source, Alias | Derived):
            outputs.append(graph.outputs[source.output])
        elif isinstance(source, tuple):
            outputs.append(graph.inputs[source[1]])
        else:
            outputs.append(held[id(source.storage)])
    return remove_dead_code(graph.replace(outputs=tuple(outputs)))


def reassemble(made: Capture, outputs: Sequence[Any], tensors: Sequence[Any]) -> Any:
    """The result of a call from the program's outputs."""
    sources = iter(made.sources)

    def take() -> Any:
        source = next(sources)
        if isinstance(source, int):
            return outputs[source]
        if isinstance(source, Alias | Derived):
            return source.of(tensors[source.argument])
        if is_tensor(source):
            return source
        return tensors[source[1]]

    return rebuild(made.structure, take)
