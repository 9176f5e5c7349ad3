"""The tape and backward.

Each recorded call is a `Node`: its op, the tensors its gradient rule reads, and an edge to where each input came
from. Nodes carry rising sequence numbers, so walking them from the highest down visits every consumer before its
producers. Gradient rules are written in ops: with ``create_graph`` they are recorded in turn.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.errors import GradientError, InplaceError, ShapeError, describe
from fovea.ops.op import Attrs, Op

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FunctionNode", "Node", "OpNode", "backward", "grad", "gradient_of_decomposition", "record", "record_into",
]

_sequence = itertools.count(1)
Edge = tuple[Any, int]  # (Node, output number), or (leaf Tensor, -1)


class Node:
    """A recorded call. Subclasses say how its gradient is computed."""

    __slots__ = ("__weakref__", "edges", "hooks", "needed", "out_meta", "sequence")

    name = "node"

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        self.sequence = next(_sequence)
        self.edges: tuple[Edge | None, ...] = tuple(_edge(t) for t in inputs)
        self.needed: tuple[bool, ...] = ()
        self.hooks: dict[int, list[Callable[..., Any]]] | None = None
        self.out_meta = tuple((t.shape, t.dtype) for t in outputs)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that the inputs came from, as PyTorch lists them."""
        return tuple((None, 0) if e is None else (e[0], max(e[1], 0)) for e in self.edges)

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gradients of the inputs from gradients of the outputs (None: zero)."""
        raise GradientError(f"{self.name} has no gradient.")

    def release(self) -> None:
        """Drop what was saved."""


def _edge(t: Any) -> Edge | None:
    if t is None or not t.requires_grad:
        return None
    node = t.grad_fn
    return (t, -1) if node is None else (node, t._output_nr)


class _Saved:
    """A tensor that backward will read, and the version it had."""

    __slots__ = ("tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.version = tensor.storage.version


class OpNode(Node):
    """A recorded op. Gradient rules see it as ``ctx``: saved tensors by name, ``attrs``, ``needed``."""

    __slots__ = ("attrs", "in_meta", "op", "saved")

    def __init__(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, outputs: Sequence[Tensor]
    ) -> None:
        super().__init__(inputs, outputs)
        self.op = op
        self.attrs: Any = attrs
        self.in_meta = tuple(None if t is None else (t.shape, t.dtype) for t in inputs)
        self.saved: dict[str, Any] | None = {}
        names = op.saves if op.gradient is not None else op.inputs
        for name in names:
            if name in op.inputs:
                i = op.inputs.index(name)
                if op.variadic and i == len(op.inputs) - 1:
                    self.saved[name] = tuple(None if t is None else _Saved(t) for t in inputs[i:])
                else:
                    t = inputs[i]
                    self.saved[name] = None if t is None else _Saved(t)
            else:  # an output: keep an alias, or output -> node -> output would be a cycle
                self.saved[name] = _Saved(outputs[op.outputs.index(name)]._alias())

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.op.name}_backward"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        saved = self.saved
        if saved is None:
            raise GradientError(
                f"{self.op.name}: its saved tensors were freed by an earlier backward.",
                fix="pass retain_graph=True to the first backward to go through the graph twice",
            )
        if name not in saved:
            raise AttributeError(f"{self.op!r}'s gradient reads {name!r} but does not save it")
        entry = saved[name]
        if isinstance(entry, tuple):
            return tuple(None if e is None else self._unpack(name, e) for e in entry)
        return None if entry is None else self._unpack(name, entry)

    def _unpack(self, name: str, entry: _Saved) -> Tensor:
        t = entry.tensor
        if t.storage.version != entry.version:
            raise InplaceError(
                f"{self.op.name}: {name}, which its gradient reads, was changed in place after it was used.",
                {name: describe(t), "version": f"{t.storage.version}, was {entry.version}"},
                "change a copy instead (x = x + 1 rather than x += 1), or .clone() it first",
            )
        if name in self.op.outputs and name not in self.op.inputs:
            alias = t._alias()
            alias._set_node(self, self.op.outputs.index(name))
            return alias
        return t

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of input ``i``."""
        return self.in_meta[i][0]  # type: ignore[index,no-any-return]

    def dtype(self, i: int) -> Any:
        """The dtype of input ``i``."""
        return self.in_meta[i][1]  # type: ignore[index]

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.saved is None:
            self.__getattr__("freed")
        return self.op.run_gradient(self, grads)

    def release(self) -> None:
        if self.saved:
            self.saved = None


class CopySlicesNode(Node):
    """The base after a view of it was changed in place: base_new = base with view(base) replaced."""

    __slots__ = ("replay",)
    name = "copy_slices"

    def __init__(self, base_before: Tensor, value: Edge | None, replay: tuple[Any, ...], base: Tensor) -> None:
        super().__init__((base_before,), (base,))
        self.edges = (self.edges[0], value)
        self.replay = replay

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        g = grads[0]
        value_grad = replayed(g, self.replay).clone() if self.edges[1] is not None else None
        if self.edges[0] is None:
            return None, value_grad
        rest = g.clone()
        replayed(rest, self.replay).zero_()
        return rest, value_grad


class FunctionNode(Node):
    """A call of a user's ``autograd.Function``."""

    __slots__ = ("backward_rule", "ctx", "function_name")

    def __init__(
        self, function_name: str, rule: Callable[..., Any], ctx: Any, inputs: Sequence[Any], outputs: Sequence[Tensor]
    ) -> None:
        super().__init__(inputs, outputs)
        self.function_name, self.backward_rule, self.ctx = function_name, rule, ctx

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.function_name}Backward"

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.ctx.needs_input_grad = self.needed or tuple(e is not None for e in self.edges)
        out = self.backward_rule(self.ctx, *grads)
        out = out if isinstance(out, tuple) else (out,)
        if len(out) != len(self.edges):
            raise GradientError(
                f"{self.function_name}.backward returned {len(out)} gradients for {len(self.edges)} inputs."
            )
        return out

    def release(self) -> None:
        self.ctx._released = True


def record(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, out: Any) -> None:
    """Put a finished call on the tape."""
    outputs = out if isinstance(out, tuple) else (out,)
    node = OpNode(op, inputs, attrs, outputs)
    for i, t in enumerate(outputs):
        if t.dtype.is_floating_point:
            t._set_node(node, i)


def record_into(
    op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, out: Tensor, previous: Tensor
) -> None:
    """Put an in-place call on the tape: ``out`` now comes from it; ``previous`` is ``out`` as it was."""
    node = OpNode(op, inputs, attrs, (out,))
    for name, entry in (node.saved or {}).items():
        # Other views of the memory that was just written: what backward would read is gone.
        if isinstance(entry, _Saved) and name in op.inputs and entry.tensor.storage is out.storage:
            entry.version -= 1
    base = out._base
    if base is None:
        out._set_node(node, 0)
        out._graph_version += 1
        return
    base_before = base._autograd_alias()
    base._set_node(CopySlicesNode(base_before, (node, 0), out._replay, base), 0)
    base._graph_version += 1


def replayed(base: Tensor, replay: tuple[Any, ...]) -> Tensor:
    """Apply a chain of view ops."""
    for op, attrs in replay:
        base = op.bind((base,), attrs)
    return base


def gradient_of_decomposition(op: Op, node: OpNode, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradient of a composite op: differentiate what it is made of."""
    if op.decomposition is None:
        raise GradientError(f"{op.name} has no gradient: {op.nondifferentiable or 'none is declared'}.")
    create = dispatch.grad_enabled()
    flat: list[Any] = []
    for name in op.inputs:
        value = getattr(node, name)
        flat.extend(value) if isinstance(value, tuple) else flat.append(value)
    needed = node.needed or tuple(e is not None for e in node.edges)
    before = dispatch.set_grad_enabled(True)
    try:
        inputs = [_fresh(t, need, create) for t, need in zip(flat, needed, strict=True)]
        out = op.decomposition(*inputs, node.attrs) if op.attrs_class else op.decomposition(*inputs)
    finally:
        dispatch.set_grad_enabled(before)
    outputs = out if isinstance(out, tuple) else (out,)
    pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None and o.requires_grad]
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    found = iter(
        grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=create, allow_unused=True)
    )
    return tuple(next(found) if need else None for need in needed)


def _fresh(t: Any, needed: bool, create: bool) -> Any:
    """A new root for differentiation; connected to the old graph if higher derivatives are wanted."""
    if t is None or not needed:
        return t
    return t._alias_on_tape() if create and t.requires_grad else t.detach().requires_grad_()


# -- backward ---------------------------------------------------------------------------------


def backward(
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Sum gradients into the ``.grad`` of leaves (all of them, or ``inputs``)."""
    retain = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else {id(t): t for t in inputs}
    found = _run(tensors, grads, retain, create_graph, targets, accumulate=True)
    if inputs is not None:
        for t in inputs:
            if not t.is_leaf and id(t) in found:
                _accumulate(t, found[id(t)], create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of the sum of ``outputs`` with respect to ``inputs``, without touching any ``.grad``.

    Args:
        outputs, inputs: a tensor or a sequence of them.
        grad_outputs: the vectors of the vector-Jacobian product; ones for scalar outputs.
        retain_graph: keep saved tensors for another pass (default: ``create_graph``).
        create_graph: record the gradients themselves, for higher derivatives.
        allow_unused: return None for inputs that the outputs do not depend on, instead of an error.
        materialize_grads: return zeros for those.

    >>> import fovea
    >>> x = fovea.tensor(3.0, requires_grad=True)
    >>> fovea.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    outs = [outputs] if not isinstance(outputs, list | tuple) else list(outputs)
    ins = [inputs] if not isinstance(inputs, list | tuple) else list(inputs)
    seeds = None
    if grad_outputs is not None:
        seeds = list(grad_outputs) if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    for t in ins:
        if not t.requires_grad:
            raise GradientError("grad: one of the inputs does not require a gradient.", {"input": describe(t)})
    retain = create_graph if retain_graph is None else retain_graph
    found = _run(outs, seeds, retain, create_graph, {id(t): t for t in ins}, accumulate=False)
    results = []
    for t in ins:
        g = found.get(id(t))
        if g is None and materialize_grads:
            g = t.detach().new_zeros(t.shape)
        elif g is None and not allow_unused:
            raise GradientError(
                "grad: an input was not used in computing the outputs.", {"input": describe(t)},
                "pass allow_unused=True to get None for it",
            )
        results.append(g)
    return tuple(results)


def _seed(t: Tensor, g: Tensor | None) -> Tensor:
    if not t.requires_grad:
        raise GradientError(
            "backward: the tensor does not require a gradient and has no grad_fn.", {"tensor": describe(t)},
            "did it come from parameters with requires_grad=True, outside no_grad()?",
        )
    if g is None:
        if t.numel() != 1:
            raise GradientError(
                "backward: a gradient can be created implicitly only for a scalar.", {"tensor": describe(t)},
                "reduce it first, loss.mean().backward(), or pass the gradient to backward",
            )
        return t.detach().new_ones(t.shape)
    if tuple(g.shape) != tuple(t.shape):
        raise ShapeError("backward: the gradient's shape is not the tensor's.", {
            "tensor": describe(t), "gradient": describe(g)})
    g._grad_shared = True  # the caller holds it
    return g


def _run(
    tensors: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None,
    retain: bool,
    create: bool,
    targets: dict[int, Tensor] | None,
    accumulate: bool,
) -> dict[int, Tensor]:
    """Walk the tape. Returns gradients of ``targets`` by id; accumulates into leaves if asked."""
    seeds = list(grads) if grads is not None else [None] * len(tensors)
    if len(seeds) != len(tensors):
        raise GradientError(f"backward: {len(tensors)} tensors but {len(seeds)} gradients.")
    walk = _Walk(retain, create, targets, accumulate)
    before = dispatch.set_grad_enabled(create)
    try:
        for t, g in zip(tensors, seeds, strict=True):
            seeded = _seed(t, g)
            edge = _edge(t)
            assert edge is not None
            walk.send(edge, seeded)
        walk.restrict([_edge(t) for t in tensors])
        walk.run()
    finally:
        dispatch.set_grad_enabled(before)
    return walk.found


class _Walk:
    """One pass from outputs to leaves."""

    def __init__(
        self, retain: bool, create: bool, targets: dict[int, Tensor] | None, accumulate: bool
    ) -> None:
        self.retain, self.create, self.accumulate = retain, create, accumulate
        self.targets = targets
        self.found: dict[int, Tensor] = {}
        self.pending: dict[Node, list[Any]] = {}
        self.owned: set[int] = set()
        self.queue: list[tuple[int, Node]] = []
        self.useful: dict[Node, bool] | None = None
        self.at_node: dict[tuple[Node, int], list[int]] = {}
        for key, t in (targets or {}).items():
            node = t.grad_fn
            if node is not None:
                self.at_node.setdefault((node, t._output_nr), []).append(key)

    def send(self, edge: Edge, g: Tensor) -> None:
        """Deliver a gradient along an edge."""
        target, nr = edge
        if nr < 0:
            self._leaf(target, g)
            return
        slots = self.pending.get(target)
        if slots is None:
            slots = self.pending[target] = [None] * len(target.out_meta)
            heapq.heappush(self.queue, (-target.sequence, target))
        slots[nr] = g if slots[nr] is None else self._sum(slots[nr], g)

    def _sum(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b; in place once ``a`` is a sum that only this walk holds."""
        if self.create or id(a) not in self.owned:
            total = a + b
            if not self.create:
                self.owned.add(id(total))
            return total
        return a.add_(b)

    def _leaf(self, leaf: Tensor, g: Tensor) -> None:
        for hook in leaf._hooks or ():
            replaced = hook(g)
            g = g if replaced is None else replaced
        if self.targets is not None:
            if id(leaf) not in self.targets:
                return
            if not self.accumulate:
                held = self.found.get(id(leaf))
                self.found[id(leaf)] = g if held is None else self._sum(held, g)
                return
        _accumulate(leaf, g, self.create)

    def restrict(self, roots: Sequence[Edge | None]) -> None:
        """With ``targets``, only nodes on a path to one of them are worth running."""
        if self.targets is None:
            return
        ends = {node for node, _ in self.at_node}
        useful: dict[Node, bool] = {}
        stack: list[tuple[Node, bool]] = [(e[0], False) for e in roots if e is not None and e[1] >= 0]
        while stack:
            node, done = stack.pop()
            if done:
                useful[node] = node in ends or any(self._leads(e, useful) for e in node.edges)
            elif node not in useful:
                useful[node] = False
                stack.append((node, True))
                stack.extend((e[0], False) for e in node.edges if e is not None and e[1] >= 0)
        self.useful = useful

    def _leads(self, edge: Edge | None, useful: dict[Node, bool]) -> bool:
        if edge is None:
            return False
        assert self.targets is not None
        if edge[1] < 0:
            return id(edge[0]) in self.targets
        return useful.get(edge[0], False) or edge in self.at_node

    def run(self) -> None:
        while self.queue:
            _, node = heapq.heappop(self.queue)
            grads = self._arrived(node, self.pending.pop(node))
            if self.useful is not None and not self.useful.get(node, False):
                continue
            node.needed = tuple(
                e is not None and (self.useful is None or self._leads(e, self.useful)) for e in node.edges
            )
            if not any(node.needed):
                continue
            results = node.run(grads)
            if not self.retain:
                node.release()
            if len(results) > 1 or results[0] is grads[0]:
                _mark_shared(grads, results)
            for edge, wanted, g in zip(node.edges, node.needed, results, strict=True):
                if wanted and g is not None:
                    assert edge is not None
                    self.send(edge, self._checked(node, edge, g))

    def _arrived(self, node: Node, slots: list[Any]) -> tuple[Any, ...]:
        """Run hooks on the complete gradients of a node's outputs, and keep those asked for."""
        for nr, hooks in (node.hooks or {}).items():
            for hook in hooks:
                if slots[nr] is not None:
                    replaced = hook(slots[nr])
                    slots[nr] = slots[nr] if replaced is None else replaced
        for nr, g in enumerate(slots):
            for key in self.at_node.get((node, nr), ()):
                if g is not None:
                    self.found[key] = g
        return tuple(slots)

    def _checked(self, node: Node, edge: Edge, g: Tensor) -> Tensor:
        target, nr = edge
        shape, dtype = (target.shape, target.dtype) if nr < 0 else target.out_meta[nr]
        if g.shape != shape:
            raise ShapeError(
                f"{node.name}: a gradient has shape {tuple(g.shape)}, its tensor {tuple(shape)}.")
        return g if g.dtype is dtype else g.to(dtype)


def _mark_shared(grads: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    """Note the results that are also an incoming gradient or another result: no leaf may keep them as its own."""
    seen = {id(g) for g in grads if g is not None}
    for g in results:
        if g is not None:
            if id(g) in seen:
                g._grad_shared = True
            seen.add(id(g))


def _accumulate(leaf: Tensor, g: Tensor, create: bool) -> None:
    held = leaf.grad
    if held is None:
        # A gradient that others may still hold (a view, a saved tensor) must not become .grad itself.
        fresh = g if create else g.detach()
        shared = g._grad_shared or g._base is not None or g.storage is leaf.storage or 0 in g.strides
        leaf.grad = fresh.clone() if shared or _is_shared(g) else fresh
    elif create:
        leaf.grad = held + g
    else:
        held.add_(g)
    for hook in leaf._post_hooks or ():
        hook(leaf)


def _is_shared(g: Tensor) -> bool:
    """Whether somebody besides the walk may hold the gradient's storage."""
    from sys import getrefcount

    return getrefcount(g.storage) > 3
