"""Kernel and lowering of triangles: a matrix with zeros above or below one of its diagonals."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fovea.ops import rearrange as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import ALONE_BELOW, BY_SIZE, PIECE_BYTES, copied
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.launch import launch
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.target import CPU


def triangle_kernel(e: Element, lower: bool) -> Kernel:
    """y[r, c] = x[r, c] where c < edge(r) (`lower`) or c >= edge(r), else 0; row r of all matrices
    is row r % height of its own, and edge(r) = r % height + shift, kept within the row.

    Sizes: rows of all matrices, of one; columns; shift; rows of a piece, pieces.
    """
    k = Kernel(
        f"tri{'l' if lower else 'u'}",
        buffers=(("x", e), ("y", e)),
        sizes=("rows", "height", "columns", "shift", "grain", "pieces"),
    )
    x, y = k.buffers
    rows, height, columns, shift, grain, pieces = k.sizes
    lanes = k.isa.lanes(e.bytes)
    zero = k.const(0, e.compute)
    with k.parallel(pieces) as piece:
        first = piece * grain
        with k.loop(first, k.smaller(first + grain, rows)) as row:
            edge = k.smaller(k.larger(row % height + shift, 0), columns)
            start = row * columns
            for low, high, kept in ((0, edge, lower), (edge, columns, not lower)):
                full = low + (high - k.index(low)) // lanes * lanes
                for begin, end, width in ((low, full, lanes), (full, high, 1)):
                    with k.loop(begin, end, width) as c:
                        value = k.load(x, start + c, width) if kept else k.broadcast(zero, width)
                        k.store(value, y, start + c)
    return k


@CPU.lower(ops.tril, ops.triu)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    if numel(spec.shape) == 0:
        return launch(None, [x.dtype], spec)
    lower = op is ops.tril
    *_, height, columns = spec.shape
    rows = numel(spec.shape[:-1])
    grain = max(1, PIECE_BYTES // (columns * spec.dtype.itemsize))
    # Shifts beyond any row say no more than those just beyond: they fit a word.
    shift = min(max(attrs.diagonal + lower, -height), columns)
    words = (rows, height, columns, shift, grain, -(-rows // grain))
    e = BY_SIZE[spec.dtype.itemsize]
    address = load_cached(f"triangle/{e}/{lower}", lambda: triangle_kernel(e, lower))
    parallel = rows * columns * spec.dtype.itemsize > ALONE_BELOW
    run = launch(Ready(address, struct.pack("6q", *words), parallel), [x.dtype], spec)
    dense = contiguous_strides(spec.shape)
    if all(n == 1 or a == b for n, a, b in zip(x.shape, x.strides, dense, strict=True)):
        return run
    return prepared(run, {0: copied(x, spec)})
