"""New beginnings for differentiation: what the transforms of functions have in common.

A transform calls the user's function on *roots*: the arguments' memory as new leaves of the tape,
or, where an argument is on a tape itself, a node more of it. Gradients are then taken with respect
to the roots alone. They need to be recorded only if something else than the roots led to the
results: an outer transform's root, or a tensor of the caller's that requires a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea import dispatch
from fovea.autograd.grad_mode import set_grad_enabled
from fovea.backward import grad
from fovea.errors import ArgumentError, DTypeError, describe
from fovea.func.batching.batched import levels
from fovea.func.trees import Tree, flatten
from fovea.functions.creation import zeros_like
from fovea.ops.shape import alias
from fovea.tensorbase import is_tensor

__all__ = ["Run", "off_tape", "tensors_of"]


def tensors_of(name: str, value: Any, what: str) -> tuple[list[Any], Tree]:
    """The leaves of a nested value, all of which must be tensors."""
    leaves, tree = flatten(value)
    for leaf in leaves:
        if not is_tensor(leaf):
            raise ArgumentError(f"{name}: {what} must be tensors, got {type(leaf).__name__}.")
    return leaves, tree


def off_tape(t: Any) -> Any:
    """The same values, not on the tape of this transform (on those of outer ones as before)."""
    return t._alias() if is_tensor(t) and t.requires_grad else t


def _root(name: str, t: Any, tied: bool) -> Any:
    """A tensor to differentiate by, which lies in ``t``'s memory."""
    if not t.dtype.is_inexact:
        raise DTypeError(
            f"{name}: only floating-point or complex tensors can be differentiated by, got "
            f"{describe(t)}."
        )
    if tied and t.requires_grad:
        return alias.bind((t,))
    root = t._alias()
    root._requires_grad, root._within = True, len(levels())
    return root


class Run:
    """A call of the user's function on roots.

    Args:
        name: the transform; errors begin with it.
        func: the user's function.
        args: its arguments.
        argnums: which of them are differentiated by.
        has_aux: whether it returns ``(output, aux)``.

    Attributes:
        roots, tree: what is differentiated by: leaves and structure.
        output, aux: what the function returned; ``aux`` is None without ``has_aux``.
    """

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Sequence[int],
        has_aux: bool,
    ) -> None:
        self.name = name
        outside = dispatch.grad_enabled()
        given, self.tree = tensors_of(name, tuple(args[n] for n in argnums), "arguments")
        with set_grad_enabled(True):
            self.roots = [_root(name, t, outside) for t in given]
            inner = list(args)
            for n, value in zip(argnums, self.tree.build(self.roots), strict=True):
                inner[n] = value
            try:
                made = func(*inner, **kwargs)
            finally:
                for root in self.roots:
                    root._closed = True
        self.aux: Any = None
        if has_aux:
            if not (isinstance(made, tuple) and len(made) == 2):
                raise ArgumentError(f"{name}: with has_aux, func must return (output, aux).")
            made, self.aux = made
        self.output = made

    def tied(self, *values: Any) -> bool:
        """Whether gradients through these nested values must be recorded themselves."""
        if not dispatch.grad_enabled():
            return False
        return leads_elsewhere([leaf for v in values for leaf in flatten(v)[0]], self.roots)

    def gradients(
        self,
        outputs: Sequence[Any],
        seeds: Sequence[Any] | None,
        create: bool,
        retain: bool = False,
        inputs: Sequence[Any] | None = None,
    ) -> list[Any]:
        """Gradients with respect to the roots (or ``inputs``); zeros where there are none."""
        wanted = self.roots if inputs is None else list(inputs)
        rows = zip(outputs, [None] * len(outputs) if seeds is None else seeds, strict=True)
        live = [(o, s) for o, s in rows if o.requires_grad]
        found: Any = [None] * len(wanted)
        if live:
            outs, vectors = (list(column) for column in zip(*live, strict=True))
            found = grad(
                outs, wanted, None if seeds is None else vectors, retain or create, create,
                allow_unused=True,
            )  # fmt: skip
        return [
            zeros_like(off_tape(t)) if g is None else g for g, t in zip(found, wanted, strict=True)
        ]

    def released(self, value: Any, keep: bool) -> Any:
        """A result for the caller: off this transform's tape, unless others need it."""
        leaves, tree = flatten(value)
        return value if keep else tree.build([off_tape(leaf) for leaf in leaves])


def leads_elsewhere(tensors: Sequence[Any], roots: Sequence[Any], level: int = 0) -> bool:
    """Whether tensors depend on something that requires a gradient besides the roots, and the roots
    of transforms that are over.

    Args:
        level: of a `vmap`: roots inside it do not count either.
    """
    own = {id(t) for t in roots if t.grad_fn is None}

    def counts(leaf: Any) -> bool:
        if id(leaf) in own or getattr(leaf, "_closed", False):
            return False
        return not level or getattr(leaf, "_within", 0) < level

    seen: set[int] = set()
    stack: list[Any] = []
    for t in tensors:
        if is_tensor(t) and t.requires_grad:
            if t.grad_fn is not None:
                stack.append(t.grad_fn)
            elif counts(t):
                return True
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for edge in node.edges:
            if edge is None:
                continue
            if edge[1] >= 0:
                stack.append(edge[0])
            elif counts(edge[0]):
                return True
    return False
