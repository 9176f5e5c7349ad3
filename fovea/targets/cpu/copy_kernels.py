"""Kernels that move elements without looking at them: transposes in tiles, and planes into pixels
and back.
"""

from __future__ import annotations

from collections.abc import Sequence

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.loops import Rows
from fovea.targets.cpu.values import Value


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
