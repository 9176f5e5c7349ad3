"""Kernels that move elements without looking at them: transposes in tiles, and planes into pixels
and back.
"""

from __future__ import annotations

from collections.abc import Sequence

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.loops import Rows
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

BLOCK = 32  # columns of a tile that go together, so that both sides use whole cache lines


def transposed(k: Kernel, rows: Sequence[Value]) -> list[Value]:
    """The transpose of a square tile, one vector a row: blocks off the diagonal change places, ever
    larger ones.
    """
    tile = list(rows)
    lanes = len(tile)
    step = 1
    while step < lanes:
        keep_left = [i if not i & step else lanes + i - step for i in range(lanes)]
        keep_right = [i + step if not i & step else lanes + i for i in range(lanes)]
        for i in range(lanes):
            if not i & step:
                a, b = tile[i], tile[i + step]
                tile[i] = k.shuffle(a, b, keep_left)
                tile[i + step] = k.shuffle(a, b, keep_right)
        step *= 2
    return tile


def transpose_kernel(e: Element, outer: int) -> Kernel:
    """y[c] = x[i] over `outer` dimensions, where x lies together along i ("across") and y along c
    ("down").

    Sizes: the outer sizes; across, down; outer rows; how far across and how many pieces across;
        strides of x along
    down, of y along across; strides of x, of y along the outer dimensions.
    """
    k = Kernel(
        "transpose",
        buffers=(("x", e), ("y", e)),
        sizes=[
            *(f"n{d}" for d in range(outer)),
            *("across", "down", "rows", "grain", "pieces", "x_down", "y_across"),
            *(f"x{d}" for d in range(outer)),
            *(f"y{d}" for d in range(outer)),
        ],
    )
    (x, y), sizes = k.buffers, k.sizes
    shape, rest = sizes[:outer], sizes[outer:]
    (across, down, rows, grain, pieces, x_down, y_across), steps = rest[:7], rest[7:]
    lanes = min(k.isa.lanes(e.bytes), 8)
    with k.parallel(rows * pieces) as piece:
        row = piece // pieces
        low = piece % pieces * grain
        high = k.smaller(low + grain, across)
        with Rows(k, shape, (steps[:outer], steps[outer:]), row, row + 1) as (at_x, at_y):
            source, target = x.at(at_x), y.at(at_y)
            with k.loop(0, down, BLOCK) as first:
                last = k.smaller(first + BLOCK, down)
                _block(k, source, target, (low, high, first, last), x_down, y_across, lanes)
    return k


def _block(
    k: Kernel,
    x: Buffer,
    y: Buffer,
    area: tuple[Index, Index, Index, Index],
    x_down: Index,
    y_across: Index,
    lanes: int,
) -> None:
    """Transpose from (low, first) to (high, last): tiles of `lanes` squared, and what is left one
    by one.
    """
    low, high, first, last = (k.index(a) for a in area)
    wide = low + (high - low) // lanes * lanes
    deep = first + (last - first) // lanes * lanes

    def one_by_one(i_range: tuple[Index, Index], c_range: tuple[Index, Index]) -> None:
        with k.loop(*i_range, unroll=1) as i:
            to = y.at(i * y_across)
            with k.loop(*c_range, unroll=1) as c:
                k.store(k.load(x, k.index(c) * x_down + i), to, c)

    with k.loop(low, wide, lanes, unroll=1) as i, k.loop(first, deep, lanes, unroll=1) as c:
        tile = [k.load(x, (c + n) * x_down + i, lanes) for n in range(lanes)]
        for n, vector in enumerate(transposed(k, tile)):
            k.store(vector, y, (i + n) * y_across + c)
    one_by_one((low, wide), (deep, last))
    one_by_one((wide, high), (first, last))


def pixels_kernel(e: Element, channels: int, outer: int, packs: bool) -> Kernel:
    """Planes of `channels` channels into pixels (``packs``: y holds the channels of a pixel
    together), or back.

    Sizes: the outer sizes; pixels; outer rows; pixels in a piece, pieces across; the stride from
        plane to plane; strides
    of x, of y along the outer dimensions.
    """
    k = Kernel(
        "pack_pixels" if packs else "unpack_pixels",
        buffers=(("x", e), ("y", e)),
        sizes=[
            *(f"n{d}" for d in range(outer)),
            *("pixels", "rows", "grain", "pieces", "plane"),
            *(f"x{d}" for d in range(outer)),
            *(f"y{d}" for d in range(outer)),
        ],
    )
    (x, y), sizes = k.buffers, k.sizes
    shape, rest = sizes[:outer], sizes[outer:]
    (pixels, rows, grain, pieces, plane), steps = rest[:5], rest[5:]
    lanes = k.isa.lanes(e.bytes)
    with k.parallel(rows * pieces) as piece:
        row = piece // pieces
        low = piece % pieces * grain
        high = k.smaller(low + grain, pixels)
        full = low + (high - low) // lanes * lanes
        with Rows(k, shape, (steps[:outer], steps[outer:]), row, row + 1) as (at_x, at_y):
            source, target = x.at(at_x), y.at(at_y)
            with k.loop(low, full, lanes, unroll=1) as i:
                if packs:
                    planes = [
                        k.load(source, k.index(plane) * c + i, lanes) for c in range(channels)
                    ]
                    k.store(_interleaved(k, planes), target, i * channels)
                else:
                    whole = k.load(source, i * channels, lanes * channels)
                    for c in range(channels):
                        picked = k.shuffle(whole, None, range(c, lanes * channels, channels))
                        k.store(picked, target, k.index(plane) * c + i)
            with k.loop(full, high, unroll=1) as i:
                for c in range(channels):
                    flat, planar = i * channels + c, k.index(plane) * c + i
                    at_from, at_to = (planar, flat) if packs else (flat, planar)
                    k.store(k.load(source, at_from), target, at_to)
    return k


def _interleaved(k: Kernel, planes: Sequence[Value]) -> Value:
    """a0 b0 c0 a1 b1 c1 ... from the vectors a, b, c."""
    lanes, count = planes[0].lanes, len(planes)
    joined = planes[0]
    for n, plane in enumerate(planes[1:], 1):
        padded = k.shuffle(plane, None, [i % lanes for i in range(joined.lanes)])
        joined = k.shuffle(joined, padded, [*range(n * lanes), *range(n * lanes, (n + 1) * lanes)])
    return k.shuffle(joined, None, [c * lanes + i for i in range(lanes) for c in range(count)])
