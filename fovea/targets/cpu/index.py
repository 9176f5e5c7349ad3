"""Lowering of ops that follow indices (`fovea.ops.index`)."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from fovea import dtypes
from fovea.ops import index as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.ops.rules import broadcast_shapes
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu import index_kernels as kernels
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import copied, filling, moving
from fovea.targets.cpu.elements import element, i64, u8, u16, u32, u64
from fovea.targets.cpu.launch import address_of, caller, maker, ranges_of, run_checked
from fovea.targets.cpu.loops import Ready, broadcast_strides
from fovea.targets.cpu.target import CPU
from fovea.targets.reference import reference_plan

_BY_SIZE = {1: u8, 2: u16, 4: u32, 8: u64}
_ROUNDED = (dtypes.float16, dtypes.bfloat16, dtypes.bool_)  # not summed in their own type
PIECE = 1 << 16  # bytes
ALONE_BELOW = 3 << 16


class _Flag(threading.local):
    """The word in which kernels note an index that is out of range."""

    def __init__(self) -> None:
        self.word = ctypes.c_int64(0)
        self.address = ctypes.addressof(self.word)


_flag = _Flag()


def _ready(key: str, build: Callable[[], Kernel], words: Sequence[int], parallel: bool) -> Ready:
    return Ready(load_cached(key, build), struct.pack(f"{len(words)}q", *words), parallel)


def _run(ready: Ready, buffers: Sequence[Any], complain: Callable[[], None]) -> None:
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


def _dense(t: Any, shape: Sequence[int] | None = None, order: Sequence[int] | None = None) -> Plan:
    """A plan from a Tensor like `t` to one whose elements lie together in row-major order.

    Args:
        shape: a shape to broadcast to first.
        order: the order of dimensions in memory, instead.
    """
    to = tuple(t.shape) if shape is None else tuple(shape)
    steps = broadcast_strides(to, t.shape, t.strides)
    strides = _strides_in_order(to, range(len(to)) if order is None else order)
    if all(n == 1 or s == e for n, s, e in zip(to, steps, strides, strict=True)):
        return lambda inputs: inputs[0]
    return copied(Spec(to, t.dtype, steps), Spec(to, t.dtype, strides))


def _strides_in_order(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


class _Picks:
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
        self._dense = [_dense(t, self.picked) for t in indices]
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
        return (lambda inputs: inputs[0]) if self.in_place else _dense(x, order=self.order)

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
        index, n = element(self.index.name), len(self.dims)
        ready = _ready(
            f"resolve/{index}/{n}",
            lambda: kernels.resolve_kernel(index, n),
            (self.count, *self.sizes, *self.strides),
            False,
        )
        make = maker(Spec((self.count,), dtypes.int64))

        def run(tensors: Sequence[Any]) -> Any:
            places = make()
            _run(ready, [*self.indices(tensors), places], lambda: self.complain(tensors))
            return places

        return run

    def complain(self, tensors: Sequence[Any]) -> None:
        """Raise the error of the first index that is out of range."""
        for t, n, d in zip(tensors, self.sizes, self.dims, strict=True):
            ops.check_range("index", t._array(), n, d)


@CPU.lower(ops.index)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x, *indices), (spec,) = inputs, specs
    kept = (
        None
        if spec.strides is None
        else spec.strides[len(spec.shape) - len(x.shape) + len(attrs.dims) :]
    )
    picks = _Picks(op, x, attrs.dims, indices, kept)
    make, source = maker(spec), picks.source(x)
    rows = picks.outer * picks.count
    if rows * picks.inner == 0 or 0 in picks.sizes:
        return _checked_nothing(picks, make)
    item = spec.dtype.itemsize
    resolve = picks.resolver() if len(attrs.dims) > 1 else None
    e, index = _BY_SIZE[item], i64 if resolve is not None else element(picks.index.name)
    ready = _ready(
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
        _run(ready, [source((first,)), places, out], lambda: picks.complain(rest))
        return out

    return run


def _checked_nothing(picks: _Picks, make: Callable[[], Any]) -> Plan:
    """No element to move: only the indices are looked at."""

    def run(tensors: tuple[Any, ...]) -> Any:
        picks.complain(tensors[-len(picks.dims) :])
        return make()

    return run


def _putter(picks: _Picks, dtype: dtypes.DType, adds: bool) -> Callable[[Any, Any, Any], None]:
    """``put(rows, places, out)``: write or add dense rows (outer, count, inner) into ``out``."""
    item = dtype.itemsize
    e = element(dtype.name) if adds else _BY_SIZE[item]
    grain = max(64, PIECE // (item * max(picks.count, 1)) // 64 * 64)
    across = max(1, -(-picks.inner // grain))
    ready = _ready(
        f"put/{e}/{adds}",
        lambda: kernels.put_kernel(e, adds),
        (picks.outer, picks.count, picks.inner, grain, across, picks.outer_stride),
        picks.outer * picks.count * picks.inner * item > ALONE_BELOW,
    )
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
    picks = _Picks(op, out_like, attrs.dims, indices)
    if spec.dtype in _ROUNDED or not picks.in_place or numel(spec.shape) == 0:
        return reference_plan(op, attrs, specs)
    zeros = moving(filling(spec, contiguous_strides(spec.shape), 0.0), spec)
    resolve, dense = picks.resolver(), _dense(gy)
    put = _putter(picks, spec.dtype, adds=True)

    def run(tensors: tuple[Any, ...]) -> Any:
        g, *rest = tensors
        places, out = resolve(rest), zeros(())
        put(dense((g,)), places, out)
        return out

    return run


def _put_plan(op: Op, x: Any, inputs: tuple[Any, ...], attrs: Any) -> PlanInto | None:
    """``plan(tensors, out)`` for index_put into a tensor that holds ``x``, laid out like it."""
    values, indices = inputs[1], inputs[2:]
    picks = _Picks(op, x, attrs.dims, indices)
    if (attrs.accumulate and x.dtype in _ROUNDED) or not picks.in_place or numel(x.shape) == 0:
        return None
    shape = ops.indexed_shape(op.name, tuple(x.shape), indices, attrs.dims)
    resolve, dense = picks.resolver(), _dense(values, shape)
    put = _putter(picks, x.dtype, attrs.accumulate)

    def run(tensors: tuple[Any, ...], out: Any) -> None:
        places = resolve(tensors[2:])
        put(dense((tensors[1],)), places, out)

    return run


@CPU.lower(ops.index_put)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    like = Spec(spec.shape, spec.dtype, contiguous_strides(spec.shape))
    put = _put_plan(op, like, inputs, attrs)
    if put is None:
        return reference_plan(op, attrs, specs)
    copy = copied(inputs[0], spec)

    def run(tensors: tuple[Any, ...]) -> Any:
        out = copy(tensors[:1])
        put(tensors, out)
        return out

    return run


@CPU.lower_into(ops.index_put)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec], out: Any) -> PlanInto:
    if inputs[0] is out and inputs[1].dtype is out.dtype and inputs[1].storage is not out.storage:
        put = _put_plan(op, out, inputs, attrs)
        if put is not None:
            return put
    return CPU.through_temporary(CPU.plan(op, inputs, attrs, specs))


# -- one index an element ---------------------------------------------------------------------


def _along(
    op: Op, mode: str, shape: Sequence[int], size: int, dim: int, item: Any, index: Any
) -> Ready:
    """The kernel call for indices of this shape along ``dim``, which has ``size`` elements in the
    other tensor.
    """
    outer, length = numel(shape[:dim]), numel(shape[dim + 1 :])
    count = shape[dim]
    grain = max(1, PIECE // (8 * count))
    e = element(item.name) if mode == "add" else _BY_SIZE[item.itemsize]
    i = element(index.name)
    return _ready(
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
    make, dense_x, dense_index = maker(spec), _dense(x), _dense(index)

    def run(tensors: tuple[Any, ...]) -> Any:
        source, places = tensors
        out = make()
        buffers = [dense_x((source,)), dense_index((places,)), out]
        _run(ready, buffers, lambda: ops.check_range("gather", places._array(), size, dim))
        return out

    return run


@CPU.lower(ops.scatter, ops.scatter_add)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x, index, src), (spec,) = inputs, specs
    adds = op is ops.scatter_add
    if not _fits(index.shape, x.shape, attrs.dim) or (adds and x.dtype in _ROUNDED):
        return reference_plan(op, attrs, specs)
    size, dim = x.shape[attrs.dim], attrs.dim
    ready = _along(op, "add" if adds else "set", index.shape, size, dim, x.dtype, index.dtype)
    copy, dense_index = copied(x, spec), _dense(index)
    dense_src = _dense(Spec(tuple(index.shape), src.dtype, src.strides))

    def run(tensors: tuple[Any, ...]) -> Any:
        old, places, values = tensors
        out = copy((old,))
        buffers = [dense_src((values,)), dense_index((places,)), out]
        _run(ready, buffers, lambda: ops.check_range("scatter", places._array(), size, dim))
        return out

    return run
