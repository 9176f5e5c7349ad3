"""Lowering of gather and scatter: one index an element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops import index as ops
from fovea.ops.op import Op, Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import index_kernels as kernels
from fovea.targets.cpu.copy import BY_SIZE, copied
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.index_picks import (
    ALONE_BELOW,
    PIECE,
    ROUNDED,
    after_copies,
    densely,
    flagged_ready,
    run_flagged,
)
from fovea.targets.cpu.launch import maker
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.recipe import Operand, Recipe, call_of, exposed, recipe_of
from fovea.targets.cpu.target import CPU
from fovea.targets.reference import reference_plan


def _along(
    op: Op, mode: str, shape: Sequence[int], size: int, dim: int, item: Any, index: Any
) -> Ready:
    """The kernel call for indices of this shape along ``dim``, which has ``size`` elements in the
    other tensor.
    """
    outer, length = numel(shape[:dim]), numel(shape[dim + 1 :])
    count = shape[dim]
    grain = max(1, PIECE // (8 * count))
    e = element(item.name) if mode == "add" else BY_SIZE[item.itemsize]
    i = element(index.name)
    return flagged_ready(
        f"along/{mode}/{e}/{i}",
        lambda: kernels.along_kernel(e, i, mode),
        (outer, count, length, grain, -(-length // grain), size),
        outer * count * length * 8 > ALONE_BELOW,
    )


def _fits(shape: Sequence[int], x_shape: Sequence[int], dim: int) -> bool:
    """Whether indices cover the tensor in every other dimension, and there is something to do."""
    alike = all(n == m for d, (n, m) in enumerate(zip(shape, x_shape, strict=True)) if d != dim)
    return bool(shape) and alike and 0 not in shape and 0 not in x_shape


@CPU.lower(ops.gather)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x, index), (spec,) = inputs, specs
    if not _fits(index.shape, x.shape, attrs.dim):
        return reference_plan(op, attrs, specs)
    size, dim = x.shape[attrs.dim], attrs.dim
    ready = _along(op, "get", index.shape, size, dim, x.dtype, index.dtype)
    make, dense_x, dense_index = maker(spec), densely(x), densely(index)

    def run(tensors: tuple[Any, ...]) -> Any:
        source, places = tensors
        out = make()
        buffers = [dense_x((source,)), dense_index((places,)), out]
        run_flagged(ready, buffers, lambda: ops.check_range("gather", places._array(), size, dim))
        return out

    def recipe() -> Recipe | None:
        operands = (Operand("input"), Operand("input", 1), Operand("output"), Operand("flag"))
        whole = Recipe(
            (call_of(ready, operands),),
            (spec,),
            complain=lambda tensors: ops.check_range("gather", tensors[1]._array(), size, dim),
        )
        return after_copies({0: dense_x, 1: dense_index}, whole)

    return exposed(run, recipe)


@CPU.lower(ops.scatter, ops.scatter_add)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x, index, src), (spec,) = inputs, specs
    adds = op is ops.scatter_add
    if not _fits(index.shape, x.shape, attrs.dim) or (adds and x.dtype in ROUNDED):
        return reference_plan(op, attrs, specs)
    size, dim = x.shape[attrs.dim], attrs.dim
    ready = _along(op, "add" if adds else "set", index.shape, size, dim, x.dtype, index.dtype)
    copy, dense_index = copied(x, spec), densely(index)
    dense_src = densely(Spec(tuple(index.shape), src.dtype, src.strides))

    def run(tensors: tuple[Any, ...]) -> Any:
        old, places, values = tensors
        out = copy((old,))
        buffers = [dense_src((values,)), dense_index((places,)), out]
        run_flagged(ready, buffers, lambda: ops.check_range("scatter", places._array(), size, dim))
        return out

    def recipe() -> Recipe | None:
        start = recipe_of(copy)
        if start is None:
            return None
        operands = (Operand("input", 2), Operand("input", 1), Operand("output"), Operand("flag"))
        whole = Recipe(
            (*start.calls, call_of(ready, operands)),
            (spec,),
            complain=lambda tensors: ops.check_range("scatter", tensors[1]._array(), size, dim),
        )
        return after_copies({1: dense_index, 2: dense_src}, whole)

    return exposed(run, recipe)
