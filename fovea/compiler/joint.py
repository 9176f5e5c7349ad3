"""Forward and backward as two programs: for results that a gradient may be asked of later.

``model = fovea.compile(model)`` in an eager loop returns tensors that ``backward()`` goes through.
Right after the captured call, backward is run once on ones and recorded, too. What it reads of
forward's values becomes results of the forward program, kept until backward comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fovea import backward as walk
from fovea import dispatch
from fovea.errors import GradientError, InplaceError
from fovea.func.batching.call import each_sample
from fovea.functions.creation import zeros
from fovea.graph.graph import Graph, Node, Value
from fovea.graph.passes.fuse_batch_norm import fuse_batch_norm
from fovea.graph.passes.fuse_pooling import fuse_pooling
from fovea.graph.tracer import Tracer
from fovea.ops import memory
from fovea.ops.op import contiguous_strides
from fovea.tape import FunctionNode, OpNode, place_into
from fovea.tape import Node as TapeNode

__all__ = [
    "EntryNode",
    "Joint",
    "ProgramNode",
    "bridge",
    "fuse",
    "is_live",
    "record_backward",
    "split",
]


def is_live(t: Any) -> bool:
    """Whether backward can still go through a tensor: it has not been before."""
    if not t.requires_grad or t.grad_fn is None:
        return False
    seen: set[int] = set()
    stack = [t._node]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, OpNode) and node.saved is None:
            return False
        if isinstance(node, FunctionNode) and node.ctx._released:
            return False
        stack.extend(e[0] for e in node.edges if e is not None and e[1] >= 0)
    return True


@dataclass
class Joint:
    """What was recorded of backward.

    Args:
        results: the numbers of the live tensors among those of the result.
        changed: the numbers of the arguments that a change in place put on the tape; they are live,
            too, and come after the results.
        leaves: tensors that gradients flow to, arguments among them.
        seeds: the gradients of the live tensors, as inputs.
        gradients: of the leaves; None where there is none.
        first: the number of backward's first node.
    """

    results: tuple[int, ...]
    changed: tuple[int, ...]
    leaves: tuple[Any, ...]
    seeds: tuple[Value, ...]
    gradients: tuple[Value | None, ...]
    first: int


def record_backward(
    tracer: Tracer, found: Sequence[Any], given: Sequence[Any], nodes: Sequence[Any]
) -> Joint | None:
    """Run backward from the live tensors of a call while the tracer watches.

    Args:
        found: the tensors of its result. Arguments and their views are none of the live: they
            come from where the arguments come from.
        given: its arguments, and ``nodes``: where on the tape they were when it began.
    """
    own = {id(t) for t in given}
    numbers = tuple(
        n for n, t in enumerate(found)
        if id(t) not in own and id(t._base) not in own and is_live(t)
    )  # fmt: skip
    changed = tuple(
        n for n, (t, node) in enumerate(zip(given, nodes, strict=True))
        if t.grad_fn is not node and is_live(t)
    )  # fmt: skip
    live = [found[n] for n in numbers] + [given[n] for n in changed]
    if not live:
        return None
    leaves = _leaves(live)
    first = len(tracer.nodes)
    with tracer.quietly():
        ones = [_laid_out(t.detach().new_ones(t.shape), tuple(t.strides)) for t in live]
    seeds = [tracer.add_input(o, f"grad{n}") for n, o in enumerate(ones)]
    del tracer.inputs[-len(seeds) :]
    grads = walk.grad(live, leaves, ones, retain_graph=True, allow_unused=True)
    values = tuple(None if g is None else tracer.value_of(g) for g in grads)
    return Joint(numbers, changed, tuple(leaves), tuple(seeds), values, first)


def _laid_out(t: Any, strides: tuple[int, ...]) -> Any:
    """``t`` with these strides, or without gaps if they leave some."""
    if tuple(t.strides) == strides:
        return t
    if not memory.is_dense(tuple(t.shape), strides):
        strides = contiguous_strides(t.shape)
    return memory.lay_out.bind((t,), memory.StridesAttrs.of(strides))


def _leaves(tensors: Sequence[Any]) -> list[Any]:
    """The leaves that backward from these tensors reaches."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    stack = [t._node for t in tensors]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for edge in node.edges:
            if edge is None:
                continue
            if edge[1] < 0:
                found.setdefault(id(edge[0]), edge[0])
            else:
                stack.append(edge[0])
    return list(found.values())


def fuse(graph: Graph, joint: Joint) -> tuple[Graph, Joint]:
    """Forward and backward with such nodes as one that must be seen together for it.

    What a normalization's result or a pooling's winners are kept for in backward is then had from
    less: forward keeps fewer values.
    """
    gradients = [g for g in joint.gradients if g is not None]
    backward = {v for node in graph.nodes[joint.first :] for v in node.outputs}
    whole = graph.replace(outputs=(*graph.outputs, *gradients))
    whole = fuse_batch_norm(fuse_pooling(whole))
    later = [not backward.isdisjoint(node.outputs) for node in whole.nodes]
    first = later.index(True) if True in later else len(later)
    if not all(later[first:]):
        return graph, joint
    return whole.replace(outputs=graph.outputs), replace(joint, first=first)


def split(graph: Graph, joint: Joint) -> tuple[Graph, Graph]:
    """The graph of forward, with what backward reads as further outputs, and that of backward.

    Backward's inputs are those values, then the seeds; its outputs are the gradients there are.

    Raises:
        ValueError: backward reads the old value of a state that forward changes.
    """
    forward = graph.nodes[: joint.first]
    gradients = [g for g in joint.gradients if g is not None]
    backward = _needed(graph.nodes[joint.first :], gradients)
    inside = {v for node in backward for v in node.outputs} | set(joint.seeds)
    reads = {v: None for node in backward for v in node.operands() if v not in inside}
    reads.update((g, None) for g in gradients if g not in inside)
    states = {s.value for s in graph.states}
    if any(old in reads for old, _ in graph.updates):
        raise ValueError("backward reads a state that forward changes")
    constants = tuple(c for c in graph.constants if c.value in reads)
    fixed = states | {c.value for c in constants}
    saved = tuple(v for v in reads if v not in fixed)
    return (
        graph.replace(nodes=forward, outputs=(*graph.outputs, *saved)),
        Graph(
            (*saved, *joint.seeds), tuple(s for s in graph.states if s.value in reads), constants,
            tuple(backward), tuple(dict.fromkeys(gradients)),
        ),
    )  # fmt: skip


def _needed(nodes: Sequence[Node], values: Sequence[Value]) -> list[Node]:
    """Of these nodes those that the values depend on."""
    wanted = set(values)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.operands())
    return kept[::-1]


class EntryNode(TapeNode):
    """Where a captured call takes an argument from its leaf: so that it may be changed in place."""

    __slots__ = ()

    label = "argument"

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        return grads


class ProgramNode(TapeNode):
    """A call of a forward program on the tape.

    Args:
        program: has ``run_backward(saved, seeds)``.
        leaves: where gradients go, and ``outputs``: where they come from.
        saved: the results of forward that backward reads.
    """

    __slots__ = ("outputs_like", "program", "saved", "versions")

    label = "compiled_backward"

    def __init__(
        self, program: Any, leaves: Sequence[Any], outputs: Sequence[Any], saved: Sequence[Any]
    ) -> None:
        super().__init__(leaves, outputs)
        self.program = program
        self.saved: tuple[Any, ...] | None = tuple(saved)
        self.versions = program.state_versions()
        self.outputs_like = [(t.shape, t.strides, t.dtype) for t in outputs]

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if dispatch.grad_enabled():
            raise GradientError(
                "backward: a compiled call has no second derivatives from outside.",
                fix="compile the function that calls backward(create_graph=True), or run eagerly",
            )
        if self.saved is None:
            raise GradientError(
                "backward: the saved tensors of a compiled call were freed by an earlier backward.",
                fix="pass retain_graph=True to the first backward to go through it twice",
            )
        if self.program.state_versions() != self.versions:
            raise InplaceError(
                "backward: a parameter that a compiled call used was changed in place after it.",
                fix="call backward before optimizer.step()",
            )
        if any(g is not None and g._level for g in grads):
            return each_sample(self.run, grads)
        seeds = [self._seed(g, n) for n, g in enumerate(grads)]
        found: tuple[Any, ...] = self.program.run_backward(self.saved, seeds)
        return found

    def _seed(self, g: Any, n: int) -> Any:
        shape, strides, dtype = self.outputs_like[n]
        return _laid_out(zeros(*shape, dtype=dtype) if g is None else g, tuple(strides))

    def release(self) -> None:
        self.saved = None


class _BridgeNode(TapeNode):
    """A captured call whose arguments were cut off the tape: joins them again."""

    __slots__ = ("inside", "leaves")

    label = "captured_backward"

    def __init__(self, outer: Sequence[Any], leaves: Sequence[Any], inside: Sequence[Any]) -> None:
        super().__init__(outer, inside)
        self.leaves, self.inside = list(leaves), list(inside)

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = [(t, g) for t, g in zip(self.inside, grads, strict=True) if g is not None]
        outs, seeds = [t for t, _ in pairs], [g for _, g in pairs]
        return walk.grad(
            outs, self.leaves, seeds, retain_graph=True, create_graph=dispatch.grad_enabled(),
            allow_unused=True,
        )  # fmt: skip


def bridge(
    found: Sequence[Any],
    given: Sequence[Any],
    tensors: Sequence[Any],
    joint: Joint,
    cut: dict[int, Any],
) -> dict[int, Any]:
    """The live tensors of a captured call, on the tape of its real arguments.

    Args:
        found: the tensors of its result.
        given: the arguments that it had, ``tensors``: those that it was called with.
        cut: the real argument for the id of each leaf that took its place.

    Returns:
        By number in ``found``, what to return instead.
    """
    live = [found[n] for n in joint.results]
    live += [given[n]._autograd_alias() for n in joint.changed]
    outer = [cut.get(id(leaf), leaf) for leaf in joint.leaves]
    node = _BridgeNode(outer, joint.leaves, live)
    replaced = {}
    for n, number in enumerate(joint.results):
        alias = live[n]._alias()
        alias._set_node(node, n)
        replaced[number] = alias
    for n, number in enumerate(joint.changed, len(joint.results)):
        place_into(node, n, tensors[number])
    return replaced
