"""The bind point: every op, from every front door, passes here.

Plans are cached by attributes and by the shape, strides and dtype of each input. What a plan does
is its target's
business; recording for backward happens here, so no op and no kernel knows about gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import targets, watching
from fovea.errors import ArgumentError, DTypeError, FoveaError, InplaceError, ShapeError, describe
from fovea.form import form_of
from fovea.size import Size, check_size

if TYPE_CHECKING:
    from fovea.ops.op import Attrs, Op
    from fovea.tensor import Tensor

__all__ = ["bind", "bind_into", "grad_enabled", "set_grad_enabled"]

PLAN_CACHE_LIMIT = 8192


class _State(threading.local):
    grad_enabled = True


state = _State()


def _first_record(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, out: Any) -> None:
    """The tape stands above this module: it is found when it is first needed."""
    global _recorder
    from fovea.tape import record

    _recorder = record
    record(op, inputs, attrs, out)


_recorder = _first_record


def grad_enabled() -> bool:
    """Whether ops are recorded for backward in this thread."""
    return state.grad_enabled


def set_grad_enabled(mode: bool) -> bool:
    """Switch recording in this thread; returns what it was."""
    before = state.grad_enabled
    state.grad_enabled = mode
    return before


def bind(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None = None) -> Any:
    """Run ``op`` on ``inputs`` (Tensors, or None for an optional one) and record it.

    Returns a Tensor, or a tuple of them for an op with several outputs.
    """
    needs_grad = False
    key: tuple[Any, ...]
    count = len(inputs)
    if count == 1 and (a := inputs[0]) is not None:  # most ops: without a list and a loop
        key = attrs, a._form or form_of(a)
        if a._base is not None and a._view_stamp != a._base._graph_version:
            a._sync_view()
        needs_grad = a._requires_grad
    elif count == 2 and (a := inputs[0]) is not None and (b := inputs[1]) is not None:
        key = attrs, a._form or form_of(a), b._form or form_of(b)
        if a._base is not None and a._view_stamp != a._base._graph_version:
            a._sync_view()
        if b._base is not None and b._view_stamp != b._base._graph_version:
            b._sync_view()
        needs_grad = a._requires_grad or b._requires_grad
    else:
        parts: list[Any] = [attrs]
        for t in inputs:
            if t is None:
                parts.append(None)
                continue
            parts.append(t._form or form_of(t))
            if t._base is not None and t._view_stamp != t._base._graph_version:
                t._sync_view()
            if t._requires_grad:
                needs_grad = True
        key = tuple(parts)
    plan = op.plans.get(key)
    if plan is None:
        plan = _plan(op, inputs, attrs, key)
    watcher = watching.watcher
    out = plan(inputs) if watcher is None else watcher.run(op, inputs, attrs, plan)
    if needs_grad and state.grad_enabled and op.nondifferentiable is None:
        _recorder(op, inputs, attrs, out)
        if watcher is not None:
            watcher.recorded(out)
    if op.mutates:
        _bump_mutated(op, inputs)
    return out


def _plan(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, key: tuple[Any, ...]) -> Any:
    _check_inputs(op, inputs)
    planner = _planner(inputs)
    if planner is not None:
        plan = planner.plan(op, attrs, inputs)
    elif op.view:
        plan = targets.active().view_plan(op, inputs, attrs)
    else:
        plan = targets.active().plan(op, inputs, attrs, _sized(op, op.specs(inputs, attrs)))
    if len(op.plans) >= PLAN_CACHE_LIMIT:
        op.plans.clear()
    op.plans[key] = plan
    return plan


def _planner(tensors: Sequence[Any]) -> Any:
    """What plans ops on these tensors instead of the target: that of the first which has one."""
    for t in tensors:
        if t is not None and t._form.planner is not None:
            return t._form.planner
    return None


def _sized(op: Op, specs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Specs whose shapes are ready to be a tensor's."""
    for s in specs:
        check_size(op.name, s.shape)
    return tuple(s._replace(shape=Size(s.shape)) for s in specs)


def _check_inputs(op: Op, inputs: tuple[Any, ...]) -> None:
    few, many = len(op.inputs) - op.variadic, len(op.inputs)
    if (not op.variadic and len(inputs) != many) or len(inputs) < few:
        raise ArgumentError(f"{op.name} takes {many} tensors, got {len(inputs)}.")
    for name, optional, t in zip(op.inputs, op.optional, inputs, strict=False):
        if t is None and not optional:
            raise ArgumentError(f"{op.name}: {name} is required, got None.")


def _bump_mutated(op: Op, inputs: tuple[Any, ...]) -> None:
    if op.variadic:  # the variadic op's own wrapper knows which of the rest it wrote
        return
    for name in op.mutates:
        inputs[op.inputs.index(name)].storage.version += 1


def bind_into(op: Op, out: Tensor, inputs: tuple[Any, ...], attrs: Attrs | None = None) -> Tensor:
    """Run ``op`` and put its (only) result into ``out``'s memory: what ``x.add_(y)`` is.

    The result must have ``out``'s shape once broadcast; ``out`` keeps its dtype and layout. Views
    of the same
    memory see the change, and backward through ``out`` includes the op.

    Raises:
        ShapeError: the result does not fit ``out``.
        InplaceError: ``out`` is a leaf that requires a gradient, or a broadcast (overlapping) view.
    """
    records = state.grad_enabled and (
        out.requires_grad or any(t is not None and t.requires_grad for t in inputs)
    )
    if records:
        _refuse_leaves(op, out)
    parts: list[Any] = [attrs, "into", out._form or form_of(out)]
    for t in inputs:
        if t is None:
            parts.append(None)
        else:
            parts.append(t._form or form_of(t))
            parts.append(_relation(t, out) if t.storage is out.storage else 0)
    key = tuple(parts)
    plan = op.plans.get(key)
    if plan is None:
        plan = op.plans[key] = _plan_into(op, out, inputs, attrs)
    previous = _as_it_was(op, out, inputs) if records else None
    if watching.watcher is None:
        plan(inputs, out)
    else:
        watching.watcher.run_into(op, inputs, attrs, plan, out)
    out.storage.version += 1
    if previous is not None and op.nondifferentiable is None:
        from fovea import tape

        tape.record_into(
            op, tuple(previous if t is out else t for t in inputs), attrs, out, previous
        )
    return out


def _refuse_leaves(op: Op, out: Tensor) -> None:
    """What is to be recorded may not change a leaf, which has no place on the tape."""
    kind = "a leaf tensor"
    base = out._base
    if base is None:
        refused = out.is_leaf and out.requires_grad
    else:
        kind = "a view of a leaf"
        refused = base.is_leaf and base.requires_grad
    if refused:
        raise InplaceError(
            f"{op.name}_: {kind} that requires a gradient cannot be changed in place.",
            {"tensor": describe(out)},
            "wrap the change in `with fovea.no_grad():`",
        )


def _as_it_was(op: Op, out: Tensor, inputs: tuple[Any, ...]) -> Tensor:
    """``out`` before the change, for the tape; a copy if the gradient will read its values."""
    previous = out._autograd_alias()
    read = any(t is out and name in op.saves for name, t in zip(op.inputs, inputs, strict=False))
    if read:
        before = set_grad_enabled(False)
        try:
            previous.data = out.detach().clone()
        finally:
            set_grad_enabled(before)
    return previous


def _relation(t: Any, out: Tensor) -> int:
    """How an input lies in the memory of ``out``: 1 it is ``out``, 2 in the same place, 3
    elsewhere.
    """
    if t is out:
        return 1
    return 2 if t._form is out._form and t.offset == out.offset else 3


def _plan_into(op: Op, out: Tensor, inputs: tuple[Any, ...], attrs: Attrs | None) -> Any:
    _check_inputs(op, inputs)
    planner = _planner((out, *inputs))
    if planner is not None:
        return planner.plan_into(op, attrs)
    specs = _sized(op, op.specs(inputs, attrs))
    if specs[0].shape != tuple(out.shape):
        raise ShapeError(
            f"{op.name}_: the result has shape {specs[0].shape}, the tensor changed in place has "
            f"{tuple(out.shape)}.",
            {"tensor": describe(out)},
        )
    if specs[0].dtype.category > out.dtype.category:
        raise DTypeError(
            f"{op.name}_: the result is {specs[0].dtype.name}, which cannot be stored in place as "
            f"{out.dtype.name}."
        )
    if any(s == 0 and n > 1 for s, n in zip(out.strides, out.shape, strict=True)):
        raise InplaceError(
            f"{op.name}_: several elements of an expanded tensor share memory.",
            {"tensor": describe(out)},
            "call .clone() before changing it",
        )
    return targets.active().plan_into(op, inputs, attrs, specs, out)


def annotate(error: FoveaError, name: str) -> None:
    """Add a module's name to an error that passes through it."""
    error.enter(name)
