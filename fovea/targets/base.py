"""What a target supplies: for an op and concrete inputs, a plan that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import memmove, memset
from typing import TYPE_CHECKING, Any

from fovea.errors import LoweringError
from fovea.form import Form, interned
from fovea.size import Size, check_size, contiguous_strides, numel
from fovea.storage import Storage

if TYPE_CHECKING:
    from fovea.ops.op import Attrs, Op, Spec
    from fovea.tensor import Tensor

__all__ = [
    "SLOTS",
    "Plan",
    "Target",
    "blank",
    "empty",
    "make_tensor",
    "register_tensor_class",
    "tensor_class",
    "view_form",
    "view_plan",
]

Plan = Callable[[tuple[Any, ...]], Any]
PlanInto = Callable[[tuple[Any, ...], Any], None]

_tensor_class: Any = None

# What every tensor has, whoever makes it: `blank` sets all but the first five.
SLOTS = (
    "storage", "shape", "strides", "offset", "dtype", "_form", "_requires_grad", "_node",
    "_output_nr", "_base", "_replay", "_view_stamp", "_graph_version", "_level",
)  # fmt: skip
_new = object.__new__


def blank(cls: Any) -> Any:
    """A tensor of a class, without memory and on no tape."""
    t = _new(cls)
    t._form = t._node = t._base = None
    t._requires_grad = False
    t._output_nr = t._view_stamp = t._graph_version = t._level = 0
    t._replay = ()
    return t


def register_tensor_class(cls: Any) -> None:
    """Called once by ``fovea.tensor``: what plans wrap their results in."""
    global _tensor_class
    _tensor_class = cls


def tensor_class() -> Any:
    """The class that plans wrap their results in."""
    return _tensor_class


def make_tensor(
    storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: Any
) -> Tensor:
    """A Tensor over bytes that exist."""
    return _tensor_class._make(storage, shape, strides, offset, dtype)


def empty(spec: Spec) -> Tensor:
    """A Tensor with unwritten memory, laid out as ``spec`` asks."""
    strides = spec.strides if spec.strides is not None else contiguous_strides(spec.shape)
    storage = Storage(numel(spec.shape) * spec.dtype.itemsize)
    return make_tensor(storage, spec.shape, strides, 0, spec.dtype)


class Target:
    """A place where ops run.

    ``lowerings`` maps an op to ``lower(inputs, attrs, specs) -> Plan``; ``lowerings_into`` to
    ``lower(inputs, attrs, specs, out) -> PlanInto`` for ops that can write into given memory.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lowerings: dict[Op, Callable[..., Plan]] = {}
        self.lowerings_into: dict[Op, Callable[..., PlanInto]] = {}

    @property
    def warm(self) -> bool:
        """Whether an op has run, so that what makes tensors is as quick as it gets."""
        return True

    def __repr__(self) -> str:
        return f"<target {self.name}>"

    def lower(self, *ops: Op) -> Callable[[Any], Any]:
        """Register ``rule(op, inputs, attrs, specs) -> Plan`` for ``ops``."""

        def declare(rule: Any) -> Any:
            for op in ops:
                self.lowerings[op] = rule
            return rule

        return declare

    def lower_into(self, *ops: Op) -> Callable[[Any], Any]:
        """Register ``rule(op, inputs, attrs, specs, out) -> PlanInto`` for ``ops``."""

        def declare(rule: Any) -> Any:
            for op in ops:
                self.lowerings_into[op] = rule
            return rule

        return declare

    def plan(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        """A callable that runs ``op`` on inputs like these."""
        rule = self.lowerings.get(op)
        if rule is not None:
            return rule(op, inputs, attrs, specs)
        if op.decomposition is not None:
            return decomposition_plan(op, attrs)
        return self.missing(op, inputs, attrs, specs)

    def maker(self, spec: Spec, pattern: bytes | None) -> Callable[[], Any]:
        """A function that makes tensors laid out as ``spec`` asks.

        Args:
            pattern: as many bytes as they have, or more, to begin with; none: zeros; None: unset.
        """

        def make() -> Tensor:
            t = empty(spec)
            if pattern:
                memmove(t.storage.address, pattern, t.storage.nbytes)
            elif pattern is not None:
                memset(t.storage.address, 0, t.storage.nbytes)
            return t

        return make

    def view_plan(self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None) -> Plan:
        """A callable that makes the view that ``op`` is on inputs like these."""
        return view_plan(op, inputs, attrs)

    def plan_into(
        self,
        op: Op,
        inputs: tuple[Any, ...],
        attrs: Attrs | None,
        specs: Sequence[Spec],
        out: Tensor,
    ) -> PlanInto:
        """A callable ``plan(inputs, out)`` that runs ``op`` and leaves the result in ``out``."""
        rule = self.lowerings_into.get(op)
        aliased = any(
            t is not None
            and t.storage is out.storage
            and (t.offset, t.strides, t.shape, t.dtype)
            != (out.offset, out.strides, out.shape, out.dtype)
            for t in inputs
        )
        if rule is not None and not aliased:
            return rule(op, inputs, attrs, specs, out)
        return self.through_temporary(self.plan(op, inputs, attrs, specs))

    def through_temporary(self, plan: Plan) -> PlanInto:
        """Compute aside, then copy: for ops that cannot write where they read."""

        def run(inputs: tuple[Any, ...], out: Any) -> None:
            result = plan(inputs)
            self.copy(result[0] if isinstance(result, tuple) else result, out)

        return run

    def copy(self, source: Tensor, out: Tensor) -> None:
        """Copy (with a cast and a broadcast if need be) into ``out``'s memory."""
        raise NotImplementedError

    def missing(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        """What happens for an op without a lowering."""
        raise LoweringError(
            f"{op.name}: the {self.name} target cannot run it.",
            fix="add a lowering, a decomposition, or move the call off this target",
        )


def decomposition_plan(op: Op, attrs: Attrs | None) -> Plan:
    """Run a composite op as the ops it is made of (bind records it as one)."""
    from fovea import dispatch

    decomposition = op.decomposition
    assert decomposition is not None

    def run(inputs: tuple[Any, ...]) -> Any:
        before = dispatch.set_grad_enabled(False)
        try:
            return decomposition(*inputs, attrs) if op.attrs_class else decomposition(*inputs)
        finally:
            dispatch.set_grad_enabled(before)

    return run


def view_form(op: Op, x: Any, attrs: Attrs | None) -> tuple[Form, int]:
    """The form of the view that ``op`` is on a tensor like ``x``, and how many elements behind its
    start it starts.
    """
    rule = op.strided_rule
    assert rule is not None, f"{op!r} is a view without a strided rule"
    shape, strides, offset = rule(x, attrs) if op.attrs_class else rule(x)
    check_size(op.name, shape)
    return interned(Size(shape), tuple(strides), x.dtype), offset


def view_plan(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None) -> Plan:
    """Views need no kernel: new shape, strides and offset over the same storage, on any target."""
    form, offset = view_form(op, inputs[0], attrs)
    shape, strides, dtype = form.shape, form.strides, form.dtype
    cls, step = _tensor_class, (op, attrs)

    def run(tensors: tuple[Any, ...]) -> Any:
        # `TensorBase._make_view`, written out: a view is as quick as Python allows.
        x = tensors[0]
        view = blank(cls)
        view.storage = x.storage
        view.shape = shape
        view.strides = strides
        view.offset = x.offset + offset
        view.dtype = dtype
        view._form = form
        base = x._base
        if base is None:
            view._base = base = x
            view._replay = (step,)
        else:
            view._base = base
            view._replay = (*x._replay, step)
        view._view_stamp = base._graph_version
        return view

    return run
