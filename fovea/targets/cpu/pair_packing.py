"""Contracted indices as pairs of bfloat16: which operands can be seen so, and panels of pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from fovea.targets.cpu import schedule
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.correlation import Correlation
from fovea.targets.cpu.elements import Element, bf16, bf16_pair, f32, u32
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import PANEL_SIZES, Order, copy_rows, fill_line
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.views import View

__all__ = [
    "LINES",
    "copy_pairs",
    "in_pairs",
    "pair_panel_builder",
    "pairs_suit",
    "tile_of_several",
]

LINES = 16  # contracted elements that are packed at a time, two by two


def pairs_suit(c: Correlation) -> bool:
    """Whether a correlation of bfloat16 images can multiply pairs of channels: the machine has such
    an instruction, and neighboring channels are neighbors in memory.
    """
    isa, items = active(), c.taps[0] * c.taps[1] * c.channels // 2
    fast = isa.has_bf16_dot or schedule.amx_suits(isa, _pixels(c), items, c.outputs)
    return (
        c.x.element is bf16 and fast and not c.depthwise and c.channels % 2 == 0
        and c.x.strides[1] == 1
        and all(n == 1 or s % 2 == 0 for n, s in zip(c.x.shape, c.x.strides, strict=True)
                if s != 1)
    )  # fmt: skip


def in_pairs(c: Correlation) -> Correlation:
    """The same correlation with pairs of channels as elements of its images."""
    images, channels, *size = c.x.shape
    of_image, _, of_row, of_column = c.x.strides
    strides = (of_image // 2, 1, of_row // 2, of_column // 2)
    x = View((images, channels // 2, *size), strides, bf16_pair.name)
    return replace(c, x=x, channels=c.channels // 2)


def tile_of_several(c: Correlation, compute: Element) -> Tile:
    """The register tile for a correlation of images whose elements are pairs or quads."""
    items = c.taps[0] * c.taps[1] * c.channels
    return schedule.tile_of_several(active(), compute, _pixels(c), items, c.outputs)


def _pixels(c: Correlation) -> int:
    return c.x.shape[0] * c.grid[0] * c.grid[1]


def joined(k: Kernel, low: Value, high: Value) -> Value:
    """Vectors of float32 as one of pairs of bfloat16."""
    bits = [k.cast(k.narrow(v, bf16), u32) for v in (low, high)]
    return k.cast(bits[0] | (bits[1] << 16), bf16_pair)


def copy_pairs(
    k: Kernel, order: Order, source: Buffer, strides: tuple[Index, Index],
    shape: tuple[Index, Index], target: Buffer, width: int, own: Buffer,
) -> None:  # fmt: skip
    """target[pair][column] = source[2 * pair][column], source[2 * pair + 1][column], by way of
    `LINES` lines of float32, in which columns that do not exist are 0.
    """
    items, columns = shape
    lanes = k.lanes(f32)
    with k.loop(0, items, LINES) as first:
        count = k.smaller(items - first, LINES)
        copy_rows(k, order, source.at(first * strides[0]), strides, (count, columns), own, width)
        with k.loop(0, count // 2) as pair:
            lines = [own.at((pair * 2 + i) * width) for i in (0, 1)]
            into = target.at((first // 2 + pair) * width)
            for at in range(0, width, lanes):
                low, high = (k.load(line, at, lanes) for line in lines)
                k.store(joined(k, low, high), into, at)


def pair_panel_kernel(source: Element, width: int, order: Order) -> Kernel:
    """As `packing.panel_kernel`, with pairs of the inner index for elements; the number of inner
    ones is even.
    """
    name = f"pack_pairs_{source.name}_{width}_{order.value}"
    k = Kernel(name, (("source", source), ("target", bf16_pair)), PANEL_SIZES)
    w, panels = k.buffers
    (groups, group1, group2, stride0, stride1, stride2, columns, column_stride,
     outer, outer_stride, middle, middle_stride, inner, inner_stride, offset) = k.sizes  # fmt: skip
    panel_count = (columns + (width - 1)) // width
    with k.parallel(groups * panel_count) as piece:
        group, panel = piece // panel_count, piece % panel_count
        first = panel * width
        count = k.smaller(columns - first, width)
        at = group // group2 // group1 * stride0 + group // group2 % group1 * stride1
        start = w.at(offset + at + group % group2 * stride2 + first * column_stride)
        pairs = inner // 2
        into = panels.at(piece * (outer * middle * pairs * width))
        own = k.scratch(f32, LINES * width)
        fill_line(k, own, LINES * width)  # columns that do not exist stay 0
        with k.loop(0, outer) as a, k.loop(0, middle) as b:
            copy_pairs(
                k, order, start.at(a * outer_stride + b * middle_stride),
                (inner_stride, column_stride), (inner, count),
                into.at((a * middle + b) * (pairs * width)), width, own,
            )  # fmt: skip
    return k


def pair_panel_builder(
    source: Element, width: int, order: Order
) -> tuple[str, Callable[[], Kernel]]:
    """The cache key and the builder of `pair_panel_kernel`."""
    key = f"pack-pairs/{source.name}/{width}/{order.value}"
    return key, partial(pair_panel_kernel, source, width, order)
