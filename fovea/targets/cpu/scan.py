"""Kernels and lowering of running sums and products along one dimension."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fovea.ops import reduce as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.elements import Element, bf16, element, f16, f32, f64, i64
from fovea.targets.cpu.integers import wrapping
from fovea.targets.cpu.launch import launch
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value

PIECE = 8192  # elements
ALONE_BELOW = 32768


def scan_kernel(e: Element, multiplies: bool) -> Kernel:
    """y[p, j, q] = x[p, 0, q] + ... + x[p, j, q] (or their product), accumulated in float64 or
    int64.

    Sizes: p; j; q, how much of it is in a piece, pieces across.
    """
    k = Kernel(
        "running_product" if multiplies else "running_sum",
        buffers=(("x", e), ("y", e)),
        sizes=("outer", "count", "length", "grain", "across"),
    )
    x, y = k.buffers
    outer, count, length, grain, across = k.sizes
    held = f64 if e.is_float else i64
    lanes = k.isa.lanes(held.bytes)
    with k.parallel(k.index(outer) * across) as piece:
        start = piece // across * count * length
        low = piece % across * grain
        high = k.smaller(low + grain, length)
        full = low + (high - low) // lanes * lanes
        for first, last, width in ((low, full, lanes), (full, high, 1)):
            with k.loop(first, last, width, unroll=1) as q:
                _scan(k, x.at(start + q), y.at(start + q), count, length, held, width, multiplies)
    return k


def _scan(
    k: Kernel,
    x: Buffer,
    y: Buffer,
    count: Index,
    step: Index,
    held: Element,
    width: int,
    multiplies: bool,
) -> None:
    """Down one column (or `width` of them)."""

    def combined(a: Value, b: Value) -> Value:
        return a * b if multiplies else a + b

    total = k.var(k.const(1 if multiplies else 0, held, width))
    with k.loop(0, count, unroll=1) as j:
        value = k.cast(k.load(x, j * step, width), held)
        total.set(wrapping(k, combined, total.get(), value))
        result = total.get()
        if y.element in (bf16, f16):
            result = k.cast(result, f32)
        k.store(k.cast(result, y.element.compute), y, j * step)


@CPU.lower(ops.cumsum, ops.cumprod)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    if numel(spec.shape) == 0:
        return launch(None, [x.dtype], spec)
    outer, length = numel(x.shape[: attrs.dim]), numel(x.shape[attrs.dim + 1 :])
    count = x.shape[attrs.dim] if x.shape else 1
    grain = -(-max(1, PIECE // count) // 16) * 16
    words = (outer, count, length, grain, -(-length // grain))
    e, multiplies = element(x.dtype.name), op is ops.cumprod
    address = load_cached(f"scan/{e}/{multiplies}", lambda: scan_kernel(e, multiplies))
    alone = outer * count * length <= ALONE_BELOW
    run = launch(Ready(address, struct.pack("5q", *words), not alone), [x.dtype], spec)
    dense = contiguous_strides(spec.shape)
    if all(n == 1 or a == b for n, a, b in zip(x.shape, x.strides, dense, strict=True)):
        return run
    return prepared(run, {0: copied(x, spec)})
