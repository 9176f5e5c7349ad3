"""Kernels that follow indices: rows picked, put or summed at places that a tensor names.

An index outside its dimension never becomes an access: it is noted in a flag (a word that starts as
    0), and the first
element stands in for it; the caller raises when it finds the flag set.
"""

from __future__ import annotations

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, i64
from fovea.targets.cpu.integers import wrapping
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value


def _place(k: Kernel, index: Value, size: Index, flag: Buffer) -> Value:
    """An index counted from the front; 0, and the flag set, where it is out of range."""
    place = k.cast(index, i64)
    place = k.select(place < 0, place + size, place)
    good = (place >= 0) & (place < size)
    with k.if_(~good):
        k.store(k.const(1, i64), flag)
    return k.select(good, place, 0)


def resolve_kernel(index: Element, dims: int) -> Kernel:
    """places[j] = sum over dimensions d of stride_d * index_d[j], every index checked."""
    k = Kernel(
        "resolve",
        buffers=[
            *((f"index{d}", index) for d in range(dims)),
            ("places", i64),
            ("flag", i64),
        ],
        sizes=["count", *(f"size{d}" for d in range(dims)), *(f"stride{d}" for d in range(dims))],
    )
    *indices, places, flag = k.buffers
    count, rest = k.sizes[0], k.sizes[1:]
    with k.loop(0, count, unroll=1) as j:
        at = k.index(0)
        for d, buffer in enumerate(indices):
            at = at + _place(k, k.load(buffer, j), rest[d], flag) * rest[dims + d]
        k.store(at, places, j)
    return k


def rows_kernel(e: Element, index: Element, resolved: bool) -> Kernel:
    """y[p, j, :] = x[p, index[j], :], rows of ``length`` elements.

    Sizes: count of indices, rows in all (p times count), rows in a piece, ``length``; the size of
        the indexed dimension;
    strides of x along p and along that dimension. With ``resolved``, indices are offsets that need
    no check.
    """
    k = Kernel(
        "index_rows",
        buffers=(("x", e), ("index", index), ("y", e), ("flag", i64)),
        sizes=("count", "rows", "grain", "length", "size", "outer", "stride"),
    )
    x, index_buffer, y, flag = k.buffers
    count, rows, grain, length, size, outer, stride = k.sizes
    lanes = k.isa.lanes(e.bytes)
    with k.parallel((rows + grain - 1) // grain) as piece:
        low = piece * grain
        high = k.smaller(low + grain, rows)
        full = k.index(length) // lanes * lanes
        with k.loop(low, high, unroll=1) as row:
            place = k.load(index_buffer, row % count)
            place = place if resolved else _place(k, place, size, flag)
            source = x.at(row // count * outer + place * stride)
            target = y.at(row * length)
            with k.loop(0, full, lanes) as i:
                k.store(k.load(source, i, lanes), target, i)
            with k.loop(full, length, unroll=1) as i:
                k.store(k.load(source, i), target, i)
    return k


def put_kernel(e: Element, adds: bool) -> Kernel:
    """y[p, places[j] + q] = (or += with ``adds``) x[p, j, q], in the order of j.

    Sizes: p, count of places, length of q, how much of it is in a piece, pieces across; the stride
        of y along p. Where a
    place comes twice, the later value wins, or they are added in order: pieces differ in p or q
        only.
    """
    k = Kernel(
        "index_add" if adds else "index_put",
        buffers=(("x", e), ("places", i64), ("y", e)),
        sizes=("outer", "count", "length", "grain", "across", "outer_stride"),
    )
    x, places, y = k.buffers
    outer, count, length, grain, across, outer_stride = k.sizes
    lanes = k.isa.lanes(e.bytes)
    with k.parallel(k.index(outer) * across) as piece:
        p = piece // across
        low = piece % across * grain
        high = k.smaller(low + grain, length)
        full = low + (high - low) // lanes * lanes
        source, target = x.at(p * count * length), y.at(p * outer_stride)
        with k.loop(0, count, unroll=1) as j:
            row, line = source.at(j * length), target.at(k.load(places, j))
            for first, last, width in ((low, full, lanes), (full, high, 1)):
                with k.loop(first, last, width, unroll=1) as q:
                    _put(k, row, line, q, width, adds)
    return k


def _put(k: Kernel, source: Buffer, target: Buffer, at: Value, width: int, adds: bool) -> None:
    value = k.load(source, at, width)
    if adds:
        value = _sum(k, k.load(target, at, width), value)
    k.store(value, target, at)


def _sum(k: Kernel, a: Value, b: Value) -> Value:
    return a + b if a.element.is_float else wrapping(k, lambda x, y: x + y, a, b)


def along_kernel(e: Element, index: Element, mode: str) -> Kernel:
    """Along the middle one of three dimensions, one index an element.

    ``get``: y[p, j, q] = x[p, index[p, j, q], q]. ``set`` and ``add``: y[p, index[p, j, q], q] =
    (or +=) x[p, j, q], in
    the order of j. Sizes: p; j; q, how much of it is in a piece, pieces across; the size of the
    indexed dimension.
    """
    k = Kernel(
        f"along_{mode}",
        buffers=(("x", e), ("index", index), ("y", e), ("flag", i64)),
        sizes=("outer", "count", "length", "grain", "across", "size"),
    )
    x, index_buffer, y, flag = k.buffers
    outer, count, length, grain, across, size = k.sizes
    with k.parallel(k.index(outer) * across) as piece:
        p = piece // across
        low = piece % across * grain
        high = k.smaller(low + grain, length)
        with k.loop(0, count, unroll=1) as j, k.loop(low, high, unroll=1) as q:
            here = (p * count + j) * length + q
            place = _place(k, k.load(index_buffer, here), size, flag)
            there = (p * size + place) * length + q
            if mode == "get":
                k.store(k.load(x, there), y, here)
            elif mode == "set":
                k.store(k.load(x, here), y, there)
            else:
                k.store(_sum(k, k.load(y, there), k.load(x, here)), y, there)
    return k
