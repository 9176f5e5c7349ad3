"""The tape: what was run, and what backward will need of it.

Each recorded call is a `Node`: its op, the tensors its gradient rule reads, and an edge to where
each input came from. `fovea.backward` walks the nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import dispatch
from fovea.errors import GradientError, InplaceError, describe
from fovea.form import form_of
from fovea.ops.op import INPUT, OUTPUT, Attrs, Keep, Op
from fovea.targets.base import blank

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FunctionNode",
    "GradientEdge",
    "Kept",
    "Node",
    "OpNode",
    "PackedNode",
    "edge_of",
    "gradient_of_decomposition",
    "place_into",
    "record",
    "record_into",
]

_sequence = itertools.count(1)
Edge = tuple[Any, int]  # (Node, output number), or (leaf Tensor, -1)


class GradientEdge(NamedTuple):
    """Where a tensor's gradient goes: stands for the tensor in `autograd.grad` and `backward`,
    without keeping its values.

    Attributes:
        node: the call that made the tensor; of a leaf, the leaf.
        output_nr: which of the call's outputs it is.
    """

    node: Any
    output_nr: int


class Node:
    """A recorded call. Subclasses say how its gradient is computed."""

    __slots__ = ("__weakref__", "edges", "hooks", "needed", "out_forms", "sequence")

    label = "node_backward"  # what errors call it

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        self.sequence = next(_sequence)
        self.edges: tuple[Edge | None, ...] = tuple(edge_of(t) for t in inputs)
        self.needed: tuple[bool, ...] = ()
        self.hooks: dict[int, list[Callable[..., Any]]] | None = None
        self.out_forms = tuple(t._form or form_of(t) for t in outputs)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    def name(self) -> str:
        """What PyTorch's ``grad_fn.name()`` says of most of them: ``MulBackward0``."""
        return f"{''.join(word.capitalize() for word in self.label.split('_'))}0"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that the inputs came from, as PyTorch lists them."""
        return tuple((None, 0) if e is None else (e[0], max(e[1], 0)) for e in self.edges)

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gradients of the inputs from gradients of the outputs (None: zero)."""
        raise GradientError(f"{self.label} has no gradient.")

    def release(self) -> None:
        """Drop what was saved."""


def edge_of(t: Any) -> Edge | None:
    if t is None or not t.requires_grad:
        return None
    node = t.grad_fn
    return (t, -1) if node is None else (node, t._output_nr)


Saved = tuple[Any, int]  # a tensor that backward will read, and the version it had


class OpNode(Node):
    """A recorded op. Gradient rules see it as ``ctx``: saved tensors by name, ``attrs``,
    ``needed``.
    """

    __slots__ = ("attrs", "in_forms", "op", "saved")

    op: Op
    attrs: Any
    in_forms: tuple[Any, ...]
    saved: dict[str, Any] | None

    @property
    def label(self) -> str:  # type: ignore[override]
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
        if isinstance(entry, list):
            return tuple(None if e is None else self._unpack(name, e) for e in entry)
        return None if entry is None else self._unpack(name, entry)

    def unchanged(self, name: str) -> bool:
        """Whether a saved tensor is as it was, so that its gradient may read it."""
        entry = (self.saved or {}).get(name)
        return entry is None or isinstance(entry, list) or entry[0].storage.version == entry[1]

    def _unpack(self, name: str, entry: Saved) -> Tensor:
        t, version = entry
        if t.storage.version != version:
            raise InplaceError(
                f"{self.op.name}: {name}, which its gradient reads, was changed in place after "
                "it was used.",
                {name: describe(t), "version": f"{t.storage.version}, was {version}"},
                "change a copy instead (x = x + 1 rather than x += 1), or .clone() it first",
            )
        if dispatch.grad_enabled() and name in self.op.outputs and name not in self.op.inputs:
            alias = t._alias()
            alias._set_node(self, self.op.outputs.index(name))
            t = alias
        return _as_read(t)

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of input ``i``."""
        return self.in_forms[i].shape

    def dtype(self, i: int) -> Any:
        """The dtype of input ``i``."""
        return self.in_forms[i].dtype

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.saved is None:
            self.__getattr__("freed")
        return self.op.run_gradient(self, grads)

    def release(self) -> None:
        if self.saved:
            self.saved = None


_NOTHING: dict[str, Any] = {}  # of all nodes that save nothing


_new = object.__new__


def node_of(
    op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, outputs: Sequence[Tensor]
) -> OpNode:
    """The node of a call. Written out, without helpers: it runs for every op of a forward pass."""
    node = _new(OpNode)
    node.sequence = next(_sequence)
    node.op = op
    node.attrs = attrs
    node.needed = ()
    node.hooks = None
    t, count = inputs[0], len(inputs)
    if count == 1 and t is not None and t._base is None and t._requires_grad:
        source = t._node  # most ops: without lists and a loop
        node.edges = ((t, -1) if source is None else (source, t._output_nr),)
        node.in_forms = (t._form or form_of(t),)
    elif (
        count == 2
        and t is not None
        and (u := inputs[1]) is not None
        and t._base is None
        and u._base is None
    ):
        left = right = None
        if t._requires_grad:
            source = t._node
            left = (t, -1) if source is None else (source, t._output_nr)
        if u._requires_grad:
            source = u._node
            right = (u, -1) if source is None else (source, u._output_nr)
        node.edges = (left, right)
        node.in_forms = (t._form or form_of(t), u._form or form_of(u))
    else:
        edges: list[Edge | None] = []
        forms: list[Any] = []
        for t in inputs:
            if t is None:
                edges.append(None)
                forms.append(None)
                continue
            forms.append(t._form or form_of(t))
            if t._base is not None:
                edges.append(edge_of(t))
            elif t._requires_grad:
                source = t._node
                edges.append((t, -1) if source is None else (source, t._output_nr))
            else:
                edges.append(None)
        node.edges = tuple(edges)
        node.in_forms = tuple(forms)
    if len(outputs) == 1:
        t = outputs[0]
        node.out_forms = (t._form or form_of(t),)
    else:
        node.out_forms = tuple([t._form or form_of(t) for t in outputs])
    kept = op.kept if op.kept is not None else op.find_kept()
    node.saved = _save(kept, inputs, outputs) if kept else _NOTHING
    return node


def place_of(
    op: Op, attrs: Attrs | None, x: Tensor, in_forms: tuple[Any, ...], out_forms: tuple[Any, ...]
) -> OpNode:
    """The node of a call on one tensor with a gradient, of which nothing is saved."""
    node = _new(OpNode)
    node.sequence = next(_sequence)
    node.op = op
    node.attrs = attrs
    node.needed = ()
    node.hooks = None
    source = x._node
    node.edges = ((x, -1) if source is None else (source, x._output_nr),)
    node.in_forms = in_forms
    node.out_forms = out_forms
    node.saved = _NOTHING
    return node


def _save(
    kept: tuple[Keep, ...], inputs: tuple[Any, ...], outputs: Sequence[Tensor]
) -> dict[str, Saved | list[Saved | None] | None]:
    """What a gradient rule reads, by name, with versions."""
    saved: dict[str, Any] = {}
    for name, i, kind in kept:
        if kind == INPUT:
            t = inputs[i]
            saved[name] = None if t is None else (t, t.storage.version)
        elif kind == OUTPUT:
            # An alias, or output -> node -> output would be a cycle.
            t = outputs[i]
            if t._level:  # of `vmap`: more than these fields
                saved[name] = (t._alias(), t.storage.version)
                continue
            alias = blank(t.__class__)
            alias.storage = t.storage
            alias.shape = t.shape
            alias.strides = t.strides
            alias.offset = t.offset
            alias.dtype = t.dtype
            alias._form = t._form
            saved[name] = (alias, t.storage.version)
        else:
            saved[name] = [None if t is None else (t, t.storage.version) for t in inputs[i:]]
    return saved


def _as_read(t: Tensor) -> Tensor:
    """A saved tensor as gradient rules read it: see `fovea.ops.complex_numbers`."""
    return t.conj() if t.dtype.is_complex else t


class Kept:
    """A tensor that hooks keep for backward (`fovea.autograd.graph`), and its place on the tape.

    Args:
        t: the tensor.
        hooks: has ``pack``, which is called now, and ``unpack``, called when backward wants it.
    """

    __slots__ = ("edge", "packed", "unpack")

    def __init__(self, t: Tensor, hooks: Any) -> None:
        self.edge = edge_of(t)
        self.packed, self.unpack = hooks.pack(t), hooks.unpack

    def tensor(self, edge: Edge | None = None) -> Tensor:
        """What ``unpack`` gives; on the tape again if backward is recorded."""
        t: Tensor = self.unpack(self.packed)
        place = edge or self.edge
        if place is None or not dispatch.grad_enabled():
            return t
        if place[1] < 0:
            return place[0]
        alias = t._alias()
        alias._set_node(*place)
        return alias


class PackedNode(OpNode):
    """A recorded op whose tensors are kept by hooks."""

    __slots__ = ("kept",)

    def __init__(
        self,
        op: Op,
        inputs: tuple[Any, ...],
        attrs: Attrs | None,
        outputs: Sequence[Tensor],
        hooks: Any,
    ) -> None:
        plain = node_of(op, inputs, attrs, outputs)
        self.sequence, self.op, self.attrs = plain.sequence, op, attrs
        self.needed, self.hooks, self.edges = plain.needed, plain.hooks, plain.edges
        self.in_forms, self.out_forms = plain.in_forms, plain.out_forms
        saved, self.saved = plain.saved or {}, {}
        self.kept: dict[str, Any] | None = {
            name: [None if e is None else Kept(e[0], hooks) for e in entry]
            if isinstance(entry, list)
            else None if entry is None else Kept(entry[0], hooks)
            for name, entry in saved.items()
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.kept is None or name not in self.kept:
            return super().__getattr__(name)
        entry, op = self.kept[name], self.op
        if isinstance(entry, list):
            return tuple(None if e is None else _as_read(e.tensor()) for e in entry)
        if name in op.outputs and name not in op.inputs:
            return _as_read(entry.tensor((self, op.outputs.index(name))))
        return None if entry is None else _as_read(entry.tensor())

    def release(self) -> None:
        if self.kept:
            self.saved = self.kept = None


class CopySlicesNode(Node):
    """The base after a view of it was changed in place: base with view(base) replaced."""

    __slots__ = ("replay",)
    label = "copy_slices_backward"

    def __init__(
        self, base_before: Tensor, value: Edge | None, replay: tuple[Any, ...], base: Tensor
    ) -> None:
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
        self,
        function_name: str,
        rule: Callable[..., Any],
        ctx: Any,
        inputs: Sequence[Any],
        outputs: Sequence[Tensor],
    ) -> None:
        super().__init__(inputs, outputs)
        self.function_name, self.backward_rule, self.ctx = function_name, rule, ctx

    @property
    def label(self) -> str:  # type: ignore[override]
        return f"{self.function_name}Backward"

    def name(self) -> str:
        """The function's name with ``Backward``, as PyTorch's."""
        return self.label

    def run(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.ctx.needs_input_grad = self.needed or tuple(e is not None for e in self.edges)
        out = self.backward_rule(self.ctx, *grads)
        out = out if isinstance(out, tuple) else (out,)
        while len(out) > len(self.edges) and out[-1] is None:
            out = out[:-1]
        if len(out) != len(self.edges):
            raise GradientError(
                f"{self.function_name}.backward returned {len(out)} gradients for "
                f"{len(self.edges)} inputs."
            )
        return out

    def release(self) -> None:
        self.ctx._released, self.ctx._saved = True, ()


# What makes the node of a call: something else while hooks want to know of it.
make_node: Callable[..., OpNode] = node_of


def record(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, out: Any) -> None:
    """Put a finished call on the tape."""
    if out.__class__ is not tuple:
        if out.dtype.is_inexact:
            out._node = make_node(op, inputs, attrs, (out,))
            out._requires_grad = True
        return
    node = make_node(op, inputs, attrs, out)
    for i, t in enumerate(out):
        if t.dtype.is_inexact:
            t._set_node(node, i)


def record_into(
    op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, out: Tensor, previous: Tensor
) -> None:
    """Put an in-place call on the tape: ``out`` now comes from it; ``previous`` is ``out`` as it
    was.
    """
    node = make_node(op, inputs, attrs, (out,))
    for name, entry in (node.saved or {}).items():
        # Other views of the memory just written: what backward would read there is gone.
        if isinstance(entry, tuple) and name in op.inputs and entry[0].storage is out.storage:
            node.saved[name] = (entry[0], entry[1] - 1)  # type: ignore[index]
    place_into(node, 0, out)


def place_into(node: Node, output_nr: int, out: Tensor) -> None:
    """``out``, changed in place, now comes from a node; if it is a view, that part of its base."""
    base = out._base
    if base is None:
        out._set_node(node, output_nr)
        out._graph_version += 1
        return
    base_before = base._autograd_alias()
    base._set_node(CopySlicesNode(base_before, (node, output_nr), out._replay, base), 0)
    base._graph_version += 1


def replayed(base: Tensor, replay: tuple[Any, ...]) -> Tensor:
    """Apply a chain of view ops."""
    for op, attrs in replay:
        base = op.bind((base,), attrs)
    return base


def gradient_of_decomposition(op: Op, node: OpNode, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradient of a composite op: differentiate what it is made of."""
    if op.decomposition is None:
        raise GradientError(
            f"{op.name} has no gradient: {op.nondifferentiable or 'none is declared'}."
        )
    create = dispatch.grad_enabled()
    flat: list[Any] = []
    for name in op.inputs:
        value = getattr(node, name)
        flat.extend(value) if isinstance(value, tuple) else flat.append(value)
    flat = [t.conj() if t is not None and t.dtype.is_complex else t for t in flat]
    needed = node.needed or tuple(e is not None for e in node.edges)
    from fovea.backward import grad

    before = dispatch.set_grad_enabled(True)
    try:
        inputs = [_fresh(t, need, create) for t, need in zip(flat, needed, strict=True)]
        out = op.decomposition(*inputs, node.attrs) if op.attrs_class else op.decomposition(*inputs)
    finally:
        dispatch.set_grad_enabled(before)
    outputs = out if isinstance(out, tuple) else (out,)
    pairs = [
        (o, g) for o, g in zip(outputs, grads, strict=True) if g is not None and o.requires_grad
    ]
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    found = iter(
        grad(
            [o for o, _ in pairs],
            wanted,
            [g for _, g in pairs],
            create_graph=create,
            allow_unused=True,
        )
    )
    return tuple(next(found) if need else None for need in needed)


def _fresh(t: Any, needed: bool, create: bool) -> Any:
    """A new root for differentiation; tied to the old graph for higher derivatives."""
    if t is None or not needed:
        return t
    if create and t.requires_grad:
        from fovea.ops.shape import alias

        return alias.bind((t,))
    return t.detach().requires_grad_()
