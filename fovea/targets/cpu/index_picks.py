"""What ops that follow indices have in common: dense operands, offsets, and the flag for an index
that is out of range.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from fovea import dtypes
from fovea.ops import index as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.rules import broadcast_shapes
from fovea.targets.base import Plan
from fovea.targets.cpu import index_kernels as kernels
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.launch import address_of, maker, ranges_of
from fovea.targets.cpu.loops import Ready, broadcast_strides
from fovea.targets.cpu.recipe import Call, Operand, Recipe, after, call_of, recipe_of

ROUNDED = (dtypes.float16, dtypes.bfloat16, dtypes.bool_)  # not summed in their own type
PIECE = 1 << 16  # bytes
ALONE_BELOW = 3 << 16


class _Flag(threading.local):
    """The word in which kernels note an index that is out of range."""

    def __init__(self) -> None:
        self.word = ctypes.c_int64(0)
        self.address = ctypes.addressof(self.word)


_flag = _Flag()


def flagged_ready(
    key: str, build: Callable[[], Kernel], words: Sequence[int], parallel: bool
) -> Ready:
    """A kernel, compiled or found, whose last buffer is the flag."""
    return Ready(load_cached(key, build), struct.pack(f"{len(words)}q", *words), parallel)


def run_flagged(ready: Ready, buffers: Sequence[Any], complain: Callable[[], None]) -> None:
    """Run a kernel on tensors and the flag; `complain` raises the error if the flag is set."""
    flag = _flag
    flag.word.value = 0
    addresses = [address_of(b) for b in buffers]
    params = struct.pack(f"{len(addresses) + 1}q", *addresses, flag.address) + ready.words
    count = 0 if ready.parallel else 1
    if checking():
        from fovea.targets.cpu import checks

        limits = [*ranges_of(buffers), (flag.address, flag.address + 8)]
        checks.run_checked(ready.address, params, limits, count)
    else:
        threads.run(ready.address, params, count)
    if flag.word.value:
        complain()


def as_it_is(inputs: tuple[Any, ...]) -> Any:
    return inputs[0]


def densely(t: Any, shape: Sequence[int] | None = None, order: Sequence[int] | None = None) -> Plan:
    """A plan from a Tensor like `t` to one whose elements lie together in row-major order.

    Args:
        shape: a shape to broadcast to first.
        order: the order of dimensions in memory, instead.
    """
    to = tuple(t.shape) if shape is None else tuple(shape)
    steps = broadcast_strides(to, t.shape, t.strides)
    strides = _strides_in_order(to, range(len(to)) if order is None else order)
    if all(n == 1 or s == e for n, s, e in zip(to, steps, strides, strict=True)):
        return as_it_is
    return copied(Spec(to, t.dtype, steps), Spec(to, t.dtype, strides))


def _strides_in_order(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


class Picks:
    """The indexed dimensions of an op, and how their indices become offsets into a tensor seen as
    (outer, indexed dimensions, inner). Indexed dimensions that are not neighbors come first.

    Args:
        x: the tensor that indices point into, by shape and strides.
        inner_strides: strides of the inner dimensions in the other tensor, whose order in memory
            they keep.
    """

    def __init__(
        self,
        op: Op,
        x: Any,
        dims: Sequence[int],
        indices: Sequence[Any],
        inner_strides: Sequence[int] | None = None,
    ) -> None:
        self.op, self.dims, shape = op, tuple(dims), x.shape
        adjacent = self.dims == tuple(range(dims[0], dims[0] + len(dims)))
        rest = [d for d in range(len(shape)) if d not in dims]
        outer, inner = rest[: dims[0] if adjacent else 0], rest[dims[0] if adjacent else 0 :]
        if inner_strides is not None:
            steps = dict(zip(inner, inner_strides, strict=True))
            inner = sorted(inner, key=lambda d: -steps[d])
        self.order = [*outer, *dims, *inner]
        self.sizes = [shape[d] for d in dims]
        self.outer = numel([shape[d] for d in outer])
        self.inner = numel([shape[d] for d in inner])
        self.picked = broadcast_shapes(op.name, *(t.shape for t in indices))
        self.count = numel(self.picked)
        self.index = indices[0].dtype
        self._dense = [densely(t, self.picked) for t in indices]
        self._casts = [t.dtype is not self.index for t in indices]
        strides = self._as_it_is(x, outer, inner)
        self.in_place = strides is not None
        if strides is None:
            strides = _strides_in_order(shape, self.order)
        self.outer_stride = strides[outer[-1]] if outer else 0
        self.strides = [strides[d] for d in dims]

    def _as_it_is(
        self, x: Any, outer: Sequence[int], inner: Sequence[int]
    ) -> tuple[int, ...] | None:
        """The tensor's strides if its inner dimensions lie together and its outer ones are evenly
        spaced.
        """
        step = 1
        for d in reversed(inner):
            if x.shape[d] != 1 and x.strides[d] != step:
                return None
            step *= x.shape[d]
        for a, b in pairwise(outer):
            if x.strides[a] != x.strides[b] * x.shape[b]:
                return None
        return tuple(x.strides)

    def source(self, x: Any) -> Plan:
        """A plan that brings a Tensor like ``x`` into the order that the offsets are for."""
        return as_it_is if self.in_place else densely(x, order=self.order)

    def indices(self, tensors: Sequence[Any]) -> list[Any]:
        """The index tensors, broadcast, dense and of one dtype."""
        out = []
        for t, plan, other in zip(tensors, self._dense, self._casts, strict=True):
            dense = plan((t,))
            out.append(dense.to(self.index) if other else dense)
        return out

    def resolver(self) -> Callable[[Sequence[Any]], Any]:
        """A function from index tensors to the offsets (int64) they mean; it raises if one is out
        of range.
        """
        ready = self.resolving()
        make = maker(Spec((self.count,), dtypes.int64))

        def run(tensors: Sequence[Any]) -> Any:
            places = make()
            run_flagged(ready, [*self.indices(tensors), places], lambda: self.complain(tensors))
            return places

        return run

    def resolving(self) -> Ready:
        """The call that makes offsets: index tensors, offsets, flag."""
        index, n = element(self.index.name), len(self.dims)
        return flagged_ready(
            f"resolve/{index}/{n}",
            lambda: kernels.resolve_kernel(index, n),
            (self.count, *self.sizes, *self.strides),
            False,
        )

    def recipe(
        self, rest: Sequence[Call], spec: Spec, first: int, copies: dict[int, Plan], resolves: bool
    ) -> Recipe | None:
        """A recipe that works on indices.

        Args:
            rest: the calls after the indices are offsets: scratch 0 if `resolves`, else input
                `first`.
            first: the number of the first index among the inputs.
            copies: what brings other inputs into order.
        """
        if any(self._casts):
            return None
        count, calls = len(self.dims), [*rest]
        if resolves:
            indices = [Operand("input", first + i) for i in range(count)]
            operands = (*indices, Operand("scratch"), Operand("flag"))
            calls.insert(0, call_of(self.resolving(), operands))
        whole = Recipe(
            tuple(calls),
            (spec,),
            scratch=(8 * max(self.count, 1),) if resolves else (),
            complain=lambda tensors: self.complain(tensors[first:]),
        )
        copies = {**copies, **{first + i: plan for i, plan in enumerate(self._dense)}}
        return after_copies(copies, whole)

    def complain(self, tensors: Sequence[Any]) -> None:
        """Raise the error of the first index that is out of range."""
        for t, n, d in zip(tensors, self.sizes, self.dims, strict=True):
            ops.check_range("index", t._array(), n, d)


def after_copies(copies: dict[int, Plan], rest: Recipe) -> Recipe | None:
    """A recipe whose inputs of these numbers are copied first, where the plans copy."""
    found = {i: recipe_of(plan) for i, plan in copies.items() if plan is not as_it_is}
    known = {i: r for i, r in found.items() if r is not None}
    return after(known, rest) if len(known) == len(found) else None
