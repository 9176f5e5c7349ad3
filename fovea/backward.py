"""Backward: a walk over the tape from outputs to leaves.

Nodes carry rising sequence numbers, so taking the highest first visits every consumer before its
producers. Gradient rules are written in ops: with ``create_graph`` they are recorded in turn.
"""

from __future__ import annotations

import heapq
import math
import threading
import warnings
from collections.abc import Sequence
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from fovea import casting, dispatch, watching
from fovea.errors import ArgumentError, GradientError, ShapeError, describe
from fovea.tape import Edge, GradientEdge, Node, edge_of
from fovea.tensorbase import TensorBase

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Walk", "backward", "grad", "walk_now"]


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
    wanted = None if inputs is None else [_tensor_if_leaf(t) for t in inputs]
    targets = None if wanted is None else {id(t): t for t in wanted}
    found = _run(_listed(tensors), grads, retain, create_graph, targets, accumulate=True)
    if wanted is not None:
        for t in wanted:
            if not isinstance(t, GradientEdge) and not t.is_leaf and id(t) in found:
                _accumulate(t, found[id(t)], create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Gradients of the sum of ``outputs`` with respect to ``inputs``, without touching any
    ``.grad``.

    Args:
        outputs: a tensor or a sequence of them.
        inputs: a tensor, a sequence, or a dictionary of them; the result is a tuple, or a
            dictionary with the same keys.
        grad_outputs: the vectors of the vector-Jacobian product; ones for scalar outputs.
        retain_graph: keep saved tensors for another pass (default: ``create_graph``).
        create_graph: record the gradients themselves, for higher derivatives.
        only_inputs: ignored, as in PyTorch; False warns.
        allow_unused: return None for inputs that the outputs do not depend on, instead of an error.
        is_grads_batched: each of ``grad_outputs`` holds several vectors along its first dimension;
            so do the results.
        materialize_grads: return zeros where there would be None.

    >>> import fovea
    >>> x = fovea.tensor(3.0, requires_grad=True)
    >>> fovea.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    if materialize_grads and allow_unused is False:
        raise ArgumentError("grad: materialize_grads=True and allow_unused=False exclude another.")
    if not only_inputs:
        warnings.warn("grad: only_inputs is ignored.", FutureWarning, stacklevel=2)
    outs, ins = _listed(outputs), [_tensor_if_leaf(t) for t in _listed(inputs)]
    if not ins:
        raise GradientError("grad: inputs are empty.")
    seeds = None if grad_outputs is None else _listed(grad_outputs)
    for t in ins:
        if not isinstance(t, GradientEdge) and not t.requires_grad:
            raise GradientError(
                "grad: one of the inputs does not require a gradient.", {"input": describe(t)}
            )
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        found = _batched(outs, ins, seeds, retain, create_graph)
    else:
        targets = {id(t): t for t in ins}
        by_id = _run(outs, seeds, retain, create_graph, targets, accumulate=False)
        found = [by_id.get(id(t)) for t in ins]
    for n, t in enumerate(ins):
        if found[n] is None and materialize_grads:
            found[n] = _zeros(t)
        elif found[n] is None and not allow_unused:
            raise GradientError(
                "grad: an input was not used in computing the outputs.",
                {"input": describe(_form(t))},
                "pass allow_unused=True to get None for it",
            )
    return dict(zip(inputs, found, strict=True)) if isinstance(inputs, dict) else tuple(found)


def _listed(x: Any) -> list[Any]:
    """A tensor or an edge, or several, as a list."""
    if isinstance(x, TensorBase | GradientEdge):
        return [x]
    return list(x.values()) if isinstance(x, dict) else list(x)


def _tensor_if_leaf(t: Any) -> Any:
    """An edge that leads to a leaf is the leaf."""
    leaf = isinstance(t, GradientEdge) and isinstance(t.node, TensorBase)
    return t.node if leaf else t


def _edge(t: Any) -> Edge | None:
    """Where the gradient of a tensor, or of what an edge stands for, goes."""
    if not isinstance(t, GradientEdge):
        return edge_of(t)
    return (t.node, -1) if isinstance(t.node, TensorBase) else (t.node, t.output_nr)


def _form(t: Any) -> Any:
    """What has the shape and the dtype of a tensor, or of what an edge stands for."""
    return t.node.out_forms[t.output_nr] if isinstance(t, GradientEdge) else t


def _zeros(t: Any) -> Tensor:
    from fovea.functions.creation import zeros

    if not isinstance(t, GradientEdge):
        return t.detach().new_zeros(t.shape)
    form = _form(t)
    return zeros(form.shape, dtype=form.dtype)


def _batched(
    outs: list[Any], ins: list[Any], seeds: list[Any] | None, retain: bool, create: bool
) -> list[Any]:
    """Gradients for each of several seeds, stacked; None for inputs that none depends on."""
    if not seeds or len({g.shape[0] for g in seeds}) != 1:
        raise ShapeError(
            "grad: is_grads_batched needs grad_outputs of one size along their first dimension.",
            {"grad_outputs": ", ".join(map(describe, seeds or [])) or "None"},
        )
    from fovea.func.batching.batched import Batched, at_level, use_level

    targets = {id(t): t for t in ins}
    with use_level(seeds[0].shape[0], "same") as level:
        rows = [Batched.of(g, level.number) for g in seeds]
        found = _run(outs, rows, retain, create, targets, accumulate=False)
        return [at_level(found[id(t)], level.number) if id(t) in found else None for t in ins]


def _seed(t: Any, g: Tensor | None) -> Tensor:
    if isinstance(t, GradientEdge):
        t = _form(t)
    elif not t.requires_grad:
        raise GradientError(
            "backward: the tensor does not require a gradient and has no grad_fn.",
            {"tensor": describe(t)},
            "did it come from parameters with requires_grad=True, outside no_grad()?",
        )
    if g is None:
        if math.prod(t.shape) != 1:
            raise GradientError(
                "backward: a gradient can be created implicitly only for a scalar.",
                {"tensor": describe(t)},
                "reduce it first, loss.mean().backward(), or pass the gradient to backward",
            )
        return _one(t)
    if tuple(g.shape) != tuple(t.shape):
        raise ShapeError(
            "backward: the gradient's shape is not the tensor's.",
            {"tensor": describe(t), "gradient": describe(g)},
        )
    g._grad_shared = True  # the caller holds it
    return g


_ones: dict[Any, tuple[Tensor, int]] = {}


def _one(t: Tensor) -> Tensor:
    """The gradient of a scalar with respect to itself, made once for each shape and dtype."""
    key = (t.shape, t.dtype)
    found, version = _ones.get(key, (None, 0))
    if found is None or found.storage.version != version:
        from fovea.functions.creation import ones

        found = ones(t.shape, dtype=t.dtype)
        found._grad_shared = True  # no leaf may keep it
        watching.shared.add(found.storage)
        _ones[key] = (found, found.storage.version)
    return found


def _run(
    tensors: Sequence[Any],
    grads: Sequence[Tensor | None] | None,
    retain: bool,
    create: bool,
    targets: dict[int, Any] | None,
    accumulate: bool,
) -> dict[int, Tensor]:
    """Walk the tape. Returns gradients of ``targets`` by id; accumulates into leaves if asked."""
    seeds = list(grads) if grads is not None else [None] * len(tensors)
    if len(seeds) != len(tensors):
        raise GradientError(f"backward: {len(tensors)} tensors but {len(seeds)} gradients.")
    edges = [_edge(t) for t in tensors]
    walk = walk_class(retain, create, targets, accumulate)
    around, _now.walk = walk_now(), walk
    before = dispatch.set_grad_enabled(create)
    # Gradients have the types that the forward pass ran in, whatever region backward runs in.
    mode = casting.set_mode(casting.Mode()) if casting.enabled() else None
    try:
        walk.restrict(edges)
        for t, edge, g in zip(tensors, edges, seeds, strict=True):
            seeded = _seed(t, g)
            assert edge is not None
            walk.send(edge, seeded)
        walk.run()
    finally:
        _now.walk = around
        dispatch.set_grad_enabled(before)
        if mode is not None:
            casting.set_mode(mode)
        if watching.watcher is not None:
            watching.watcher.backward_of(None)
    return walk.found


_now = threading.local()  # its ``walk``: the pass that this thread is in


def walk_now() -> Walk | None:
    """The backward pass that this thread is in."""
    return getattr(_now, "walk", None)


class Walk:
    """One pass from outputs to leaves."""

    def __init__(
        self, retain: bool, create: bool, targets: dict[int, Any] | None, accumulate: bool
    ) -> None:
        self.retain, self.create, self.accumulate = retain, create, accumulate
        self.targets = targets
        self.found: dict[int, Tensor] = {}
        self.pending: dict[Node, list[Any]] = {}
        self.queue: list[tuple[int, Node]] = []
        self.useful: dict[Node, bool] | None = None
        self.roots: list[Edge] = []
        self.arrivals: dict[tuple[int, int], int] | None = None
        self.gathered: dict[
            int, list[Any]
        ] = {}  # of leaves with hooks: leaf, sum, how many to come
        self.at_node: dict[tuple[Node, int], list[int]] = {}
        for key, t in (targets or {}).items():
            edge = _edge(t)
            if edge is not None and edge[1] >= 0:
                self.at_node.setdefault(edge, []).append(key)

    def send(self, edge: Edge, g: Tensor) -> None:
        """Deliver a gradient along an edge."""
        target, nr = edge
        if nr < 0:
            self._leaf(target, g)
            return
        slots = self.pending.get(target)
        if slots is None:
            slots = self.pending[target] = [None] * len(target.out_forms)
            heapq.heappush(self.queue, (-target.sequence, target))
        slots[nr] = g if slots[nr] is None else self._sum(slots[nr], g)

    def _sum(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b; in place once ``a`` is a sum that only this walk holds."""
        if a._grad_owned and not a._grad_shared and b._level <= a._level:
            return a.add_(b)
        total = a + b
        total._grad_owned = not self.create
        return total

    def expected(self, edge: Edge) -> int:
        """How many gradients come along an edge to its target, at most, in this pass."""
        if self.arrivals is None:
            self.arrivals, useful = {}, self.useful
            seen: set[Node] = set()
            stack = list(self.roots)
            while stack:
                target, nr = stack.pop()
                key = (id(target), nr)
                self.arrivals[key] = self.arrivals.get(key, 0) + 1
                if nr < 0 or target in seen or not (useful is None or useful.get(target)):
                    continue
                seen.add(target)
                inner = [e for e in target.edges if e is not None]
                stack += inner if useful is None else [e for e in inner if self._leads(e, useful)]
        return self.arrivals.get((id(edge[0]), edge[1]), 0)

    def _leaf(self, leaf: Tensor, g: Tensor) -> None:
        if not leaf._hooks and not leaf._post_hooks:
            self._complete(leaf, g)
            return
        held = self.gathered.get(id(leaf))
        if held is None:
            held = self.gathered[id(leaf)] = [leaf, g, self.expected((leaf, -1))]
        else:
            held[1] = self._sum(held[1], g)
        held[2] -= 1
        if not held[2]:
            del self.gathered[id(leaf)]
            self._complete(leaf, held[1])

    def _complete(self, leaf: Tensor, g: Tensor) -> None:
        """A leaf's gradient; if it has hooks, all of it, else perhaps a part."""
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
        self.roots = [e for e in roots if e is not None]
        if self.targets is None:
            return
        ends = {node for node, _ in self.at_node}
        useful: dict[Node, bool] = {}
        stack: list[tuple[Node, bool]] = [
            (e[0], False) for e in roots if e is not None and e[1] >= 0
        ]
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
        queue, useful = self.queue, self.useful
        while queue:
            _, node = heapq.heappop(queue)
            grads = tuple(self.pending.pop(node))
            if node.hooks or self.at_node:
                grads = self._arrived(node, list(grads))
            if useful is None:
                node.needed = tuple([e is not None for e in node.edges])
            elif useful.get(node, False):
                node.needed = tuple([e is not None and self._leads(e, useful) for e in node.edges])
            else:
                continue
            if True not in node.needed:
                continue
            if watching.watcher is not None:
                watching.watcher.backward_of(node)
            results = node.run(grads)
            if not self.retain:
                node.release()
            if len(results) > 1 or results[0] is grads[0]:
                _mark_shared(grads, results)
            for edge, wanted, g in zip(node.edges, node.needed, results, strict=True):
                if wanted and g is not None:
                    assert edge is not None
                    self.send(edge, self._checked(node, edge, g))
        while self.gathered:  # of which less came than could have: some gradients were None
            leaf, g, _ = self.gathered.pop(next(iter(self.gathered)))
            self._complete(leaf, g)

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
        wanted = target if nr < 0 else target.out_forms[nr]
        shape, dtype = wanted.shape, wanted.dtype
        if g.shape != shape:
            raise ShapeError(
                f"{node.label}: a gradient has shape {tuple(g.shape)}, its tensor {tuple(shape)}."
            )
        return g if g.dtype is dtype else g.to(dtype)


walk_class: type[Walk] = Walk  # what backward makes: see `fovea.autograd.anomaly`


def _mark_shared(grads: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    """Note the results that are also an incoming gradient or another result: no leaf may keep them
    as its own.
    """
    seen = {id(g) for g in grads if g is not None}
    for g in results:
        if g is not None:
            if id(g) in seen:
                g._grad_shared = True
            seen.add(id(g))


def _accumulate(leaf: Tensor, g: Tensor, create: bool) -> None:
    if watching.watcher is not None:
        watching.watcher.accumulates(leaf)
    held = leaf.grad
    if held is None:
        # A gradient that others may still hold (a view, a saved tensor) must not become .grad
        # itself.
        fresh = g if create else g.detach()
        shared = (
            g._grad_shared or g._base is not None or g.storage is leaf.storage or 0 in g.strides
        )
        leaf.grad = fresh.clone() if shared or _is_shared(g) else fresh
    elif create:
        leaf.grad = held + g
    else:
        held.add_(g)
    for hook in leaf._post_hooks or ():
        hook(leaf)


def _is_shared(g: Tensor) -> bool:
    """Whether somebody besides the walk may hold the gradient's storage."""
    return getrefcount(g.storage) > 3
