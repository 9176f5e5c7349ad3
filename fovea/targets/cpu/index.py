"""Lowering of ops that follow indices (`fovea.ops.index`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea import dtypes
from fovea.ops import index as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu import index_kernels as kernels
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.copy import BY_SIZE, copied, filling, moving
from fovea.targets.cpu.elements import element, i64
from fovea.targets.cpu.index_picks import (
    ALONE_BELOW,
    PIECE,
    ROUNDED,
    Picks,
    densely,
    flagged_ready,
    run_flagged,
)
from fovea.targets.cpu.launch import address_of, caller, maker, run_checked
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.recipe import Operand, Recipe, call_of, exposed, recipe_of
from fovea.targets.cpu.target import CPU
from fovea.targets.reference import reference_plan


@CPU.lower(ops.index)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x, *indices), (spec,) = inputs, specs
    leading = tuple(attrs.dims) == tuple(range(len(attrs.dims)))
    kept = (  # what is looked up in the first dimensions may keep the others' order in memory
        spec.strides[len(spec.shape) - len(x.shape) + len(attrs.dims) :]
        if leading and spec.strides is not None
        else None
    )
    picks = Picks(op, x, attrs.dims, indices, kept)
    make, source = maker(spec), picks.source(x)
    rows = picks.outer * picks.count
    if rows * picks.inner == 0 or 0 in picks.sizes:
        return _checked_nothing(picks, make)
    item = spec.dtype.itemsize
    resolve = picks.resolver() if len(attrs.dims) > 1 else None
    e, index = BY_SIZE[item], i64 if resolve is not None else element(picks.index.name)
    ready = flagged_ready(
        f"index/{e}/{index}/{resolve is not None}",
        lambda: kernels.rows_kernel(e, index, resolve is not None),
        (
            *(picks.count, rows, max(1, PIECE // (picks.inner * item)), picks.inner),
            *(picks.sizes[0], picks.outer_stride, 1 if resolve is not None else picks.strides[0]),
        ),
        rows * picks.inner * item > ALONE_BELOW,
    )

    def run(tensors: tuple[Any, ...]) -> Any:
        first, *rest = tensors
        places = resolve(rest) if resolve is not None else picks.indices(rest)[0]
        out = make()
        run_flagged(ready, [source((first,)), places, out], lambda: picks.complain(rest))
        return out

    def recipe() -> Recipe | None:
        places = Operand("scratch") if resolve is not None else Operand("input", 1)
        operands = (Operand("input"), places, Operand("output"), Operand("flag"))
        calls = [call_of(ready, operands)]
        return picks.recipe(calls, spec, 1, {0: source}, resolve is not None)

    return exposed(run, recipe)


def _checked_nothing(picks: Picks, make: Callable[[], Any]) -> Plan:
    """No element to move: only the indices are looked at."""

    def run(tensors: tuple[Any, ...]) -> Any:
        picks.complain(tensors[-len(picks.dims) :])
        return make()

    return run


def _putting(picks: Picks, dtype: dtypes.DType, adds: bool) -> Ready:
    """The call that writes or adds dense rows (outer, count, inner): rows, offsets, result."""
    item = dtype.itemsize
    e = element(dtype.name) if adds else BY_SIZE[item]
    grain = max(64, PIECE // (item * max(picks.count, 1)) // 64 * 64)
    across = max(1, -(-picks.inner // grain))
    return flagged_ready(
        f"put/{e}/{adds}",
        lambda: kernels.put_kernel(e, adds),
        (picks.outer, picks.count, picks.inner, grain, across, picks.outer_stride),
        picks.outer * picks.count * picks.inner * item > ALONE_BELOW,
    )


def _putter(ready: Ready) -> Callable[[Any, Any, Any], None]:
    """``put(rows, places, out)`` for such a call."""
    call = caller(ready, 3)

    def put(rows: Any, places: Any, out: Any) -> None:
        if checking():
            run_checked(ready, [rows, places, out])
        else:
            call(address_of(rows), address_of(places), address_of(out))

    return put


@CPU.lower(ops.index_grad)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (gy, *indices), (spec,) = inputs, specs
    out_like = Spec(spec.shape, spec.dtype, contiguous_strides(spec.shape))
    picks = Picks(op, out_like, attrs.dims, indices)
    if spec.dtype in ROUNDED or not picks.in_place or numel(spec.shape) == 0:
        return reference_plan(op, attrs, specs)
    zeros = moving(filling(spec, contiguous_strides(spec.shape), 0.0), spec)
    resolve, dense = picks.resolver(), densely(gy)
    ready = _putting(picks, spec.dtype, adds=True)
    put = _putter(ready)

    def run(tensors: tuple[Any, ...]) -> Any:
        g, *rest = tensors
        places, out = resolve(rest), zeros(())
        put(dense((g,)), places, out)
        return out

    def recipe() -> Recipe | None:
        start = recipe_of(zeros)
        if start is None:
            return None
        operands = (Operand("input"), Operand("scratch"), Operand("output"))
        calls = [*start.calls, call_of(ready, operands)]
        return picks.recipe(calls, spec, 1, {0: dense}, True)

    return exposed(run, recipe)


class _IndexPut:
    """index_put into a tensor that holds the old values: ``plan(tensors, out)``."""

    def __init__(self, picks: Picks, dense: Plan, ready: Ready) -> None:
        self.picks, self.dense, self.ready = picks, dense, ready
        self.resolve, self.put = picks.resolver(), _putter(ready)

    @staticmethod
    def planned(op: Op, x: Any, inputs: tuple[Any, ...], attrs: Any) -> _IndexPut | None:
        """The plan for a tensor laid out like ``x``; None where the reference must do it."""
        picks = Picks(op, x, attrs.dims, inputs[2:])
        if (attrs.accumulate and x.dtype in ROUNDED) or not picks.in_place or numel(x.shape) == 0:
            return None
        shape = ops.indexed_shape(op.name, tuple(x.shape), inputs[2:], attrs.dims)
        ready = _putting(picks, x.dtype, attrs.accumulate)
        return _IndexPut(picks, densely(inputs[1], shape), ready)

    def __call__(self, tensors: tuple[Any, ...], out: Any) -> None:
        places = self.resolve(tensors[2:])
        self.put(self.dense((tensors[1],)), places, out)

    def recipe(self, start: Recipe) -> Recipe | None:
        """The recipe, after the one that makes a copy of the old values."""
        operands = (Operand("input", 1), Operand("scratch"), Operand("output"))
        calls = [*start.calls, call_of(self.ready, operands)]
        return self.picks.recipe(calls, start.outputs[0], 2, {1: self.dense}, True)


@CPU.lower(ops.index_put)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    like = Spec(spec.shape, spec.dtype, contiguous_strides(spec.shape))
    put = _IndexPut.planned(op, like, inputs, attrs)
    if put is None:
        return reference_plan(op, attrs, specs)
    copy = copied(inputs[0], spec)

    def run(tensors: tuple[Any, ...]) -> Any:
        out = copy(tensors[:1])
        put(tensors, out)
        return out

    def recipe() -> Recipe | None:
        start = recipe_of(copy)
        return None if start is None else put.recipe(start)

    return exposed(run, recipe)


@CPU.lower_into(ops.index_put)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec], out: Any) -> PlanInto:
    if inputs[0] is out and inputs[1].dtype is out.dtype and inputs[1].storage is not out.storage:
        put = _IndexPut.planned(op, out, inputs, attrs)
        if put is not None:
            return put
    return CPU.through_temporary(CPU.plan(op, inputs, attrs, specs))
