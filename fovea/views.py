"""Views by the quick way: functions that make one view of all tensors of a form.

What a view op's binding finds out anew in each call, from the attributes to the plan and the node,
depends on the form and on the arguments alone. Functions of shape keep what `viewer` returns by
both. Nothing else changes: who watches sees the op, the tape gets its node, and the view knows its
base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea import tape, targets, watching
from fovea.dispatch import state
from fovea.errors import DTypeError
from fovea.form import Form, form_of
from fovea.ops.op import Attrs, Op
from fovea.targets.base import view_form

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Viewer", "form_seen", "viewer"]

Viewer = Callable[[Any], Any]
_node_of, _place_of = tape.node_of, tape.place_of


def form_seen(x: Any) -> Form:
    """The form of a tensor of which there is to be a view; DTypeError if it is none."""
    try:
        form: Form = x._form or form_of(x)
    except AttributeError:
        kind = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        raise DTypeError(
            f"a view is of a tensor, got {kind}.", fix="make a tensor of it: fovea.as_tensor(x)"
        ) from None
    return form


def viewer(op: Op, attrs: Attrs | None, form: Form) -> Viewer:
    """A function that does what ``op.bind((x,), attrs)`` does for tensors ``x`` of a form.

    >>> import fovea
    >>> from fovea.form import form_of
    >>> from fovea.ops.shape import PermuteAttrs, permute
    >>> x = fovea.ones(2, 3)
    >>> viewer(permute, PermuteAttrs.of((1, 0)), form_of(x))(x).shape
    fovea.Size([3, 2])
    """

    def bound(x: Tensor) -> Tensor:
        view: Tensor = op.bind((x,), attrs)
        return view

    if form.planner is not None or op.saves or op.gradient is None:
        return bound
    run = targets.active().view_plan(op, (form,), attrs)
    out, _ = view_form(op, form, attrs)
    in_forms, out_forms = (form,), (out,)

    def view(x: Tensor) -> Tensor:
        if watching.watcher is not None:
            return bound(x)
        base = x._base
        if base is not None and x._view_stamp != base._graph_version:
            x._sync_view()
        made: Tensor = run((x,))
        if x._requires_grad and state.grad_enabled:
            if tape.make_node is _node_of:
                made._node = _place_of(op, attrs, x, in_forms, out_forms)
                made._requires_grad = True
            else:
                tape.record(op, (x,), attrs, made)
        return made

    return view
