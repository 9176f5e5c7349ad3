"""Plans of ops on samples: what `fovea.dispatch` runs in place of a target's.

Most ops need little: those that work element by element, and those of one tensor whose attributes
follow the batch, have plans that do just that. The rest go through a `Call` and a rule.
"""

from __future__ import annotations

from typing import Any

from fovea import dispatch
from fovea.errors import InplaceError, describe
from fovea.func.batching.batched import Batched, Draws, current, levels, set_planner
from fovea.func.batching.call import (
    RULES,
    Call,
    Shared,
    in_parts,
    one_by_one,
    pointwise,
    shifted,
    together,
)
from fovea.functions.indexing import copy_
from fovea.functions.shaping import reshape
from fovea.ops.elementwise import cast
from fovea.ops.op import Attrs, Op


class _Plan:
    """Runs an op on samples."""

    def __init__(self, op: Op, attrs: Attrs | None) -> None:
        self.op, self.attrs = op, attrs
        default = one_by_one if op.decomposition is None else in_parts
        self.rule = RULES.get(op, default)

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        level = max([t._level for t in inputs if t is not None])
        return self.wrapped(self.rule(Call(self.op, self.attrs, inputs, level)), inputs, level)

    def wrapped(self, out: Any, inputs: tuple[Any, ...], level: int) -> Any:
        """Results as samples; views know what they are of."""
        if out is None or isinstance(out, Shared):
            return None if out is None else out.value
        outs = [Batched.of(t, level) for t in (out if isinstance(out, tuple) else (out,))]
        if self.op.view:
            _note_base(outs[0], inputs[0], self.op, self.attrs)
        return tuple(outs) if len(self.op.outputs) > 1 else outs[0]


def _note_base(view: Any, x: Any, op: Op, attrs: Attrs | None) -> None:
    if x._base is None:
        view._base, view._replay = x, ((op, attrs),)
    else:
        view._base, view._replay = x._base, (*x._replay, (op, attrs))
    view._view_stamp = view._base._graph_version


class _PlanInto(_Plan):
    """Runs an op on samples and puts the result into a tensor's memory."""

    def __call__(self, inputs: tuple[Any, ...], out: Any = None) -> None:
        level = max([t._level for t in (out, *inputs) if t is not None])
        call = Call(self.op, self.attrs, inputs, level)
        if not any(call.batched) and not any(isinstance(t, Draws) for t in inputs):
            copy_(out.physical, dispatch.bind(self.op, inputs, self.attrs))
            return
        # What is cast is copied, with a cast, in any case.
        found = call.inputs[0] if self.op is cast and call.batched[0] else self.rule(call)
        if isinstance(found, Shared) and out._level < level:
            copy_(out, found.value)
            return
        if out._level < level:
            raise InplaceError(
                f"vmap: {self.op.name}_ would write many samples into a tensor that they share.",
                {"tensor": describe(out)},
                "make it inside from a sample (x.new_zeros(...)), or use the form without _",
            )
        if isinstance(found, Shared):
            copy_(out.physical, found.value)
            return
        first = found[0] if isinstance(found, tuple) else found
        if tuple(first.shape) != tuple(out.physical.shape):  # broadcast within each sample
            lead = out.physical.ndim - first.ndim
            first = reshape(first, (first.shape[0], *(1,) * lead, *first.shape[1:]))
        copy_(out.physical, first)


class _Quick(_Plan):
    """The plan of an op that needs no more than to be run on all samples: broadcasting samples of
    equal rank, at one level.
    """

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        level = 0
        given = []
        for t in inputs:
            own = t._level
            if not own:
                given.append(t)
            elif not level or own == level:
                level = own
                given.append(t.physical)
            else:
                return super().__call__(inputs)
        if level > len(levels()):
            current(level)  # raises
        return Batched.of(dispatch.bind(self.op, tuple(given), self.attrs), level)


class _Shifted(_Plan):
    """The plan of an op of one tensor whose attributes follow the batch: views, reductions."""

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        x = inputs[0]
        level = x._level
        if level > len(levels()):
            current(level)  # raises
        attrs = self.attrs
        if attrs is not None:
            attrs = shifted(attrs, x.physical.shape[0])
        out = dispatch.bind(self.op, (x.physical,), attrs)
        if out.__class__ is tuple:
            return self.wrapped(out, inputs, level)
        sample = Batched.of(out, level)
        if self.op.view:
            _note_base(sample, x, self.op, self.attrs)
        return sample


def _planned(op: Op, attrs: Attrs | None, inputs: tuple[Any, ...]) -> _Plan:
    """A plan for inputs of these forms."""
    rule = RULES.get(op)
    if rule is together and len(inputs) == 1 and inputs[0].shape:
        return _Shifted(op, attrs)
    if rule is pointwise and None not in inputs:
        rank = max(len(t.shape) for t in inputs)
        if all(len(t.shape) == rank or not t._level for t in inputs):
            return _Quick(op, attrs)
    return _Plan(op, attrs)


class _Planner:
    """What `fovea.dispatch` asks for plans."""

    plan = staticmethod(_planned)
    plan_into = staticmethod(_PlanInto)


set_planner(_Planner)
