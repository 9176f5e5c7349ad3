"""Copies of strided memory into the dense layouts that contractions read: rows, and panels of
columns.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

COLORS = 3  # channels of the images that networks see first


class Order(Enum):
    """Which index of a strided matrix runs through neighboring elements."""

    ITEMS = "items"
    ROWS = "rows"
    NEITHER = "neither"

    @staticmethod
    def of(row_stride: int, item_stride: int, rows: int, items: int) -> Order:
        """The order for these strides; a dimension of one element may count as dense."""
        if item_stride == 1 or items == 1:
            return Order.ITEMS
        return Order.ROWS if row_stride == 1 or rows == 1 else Order.NEITHER


def copy_rows(
    k: Kernel,
    order: Order,
    source: Buffer,
    strides: tuple[Index, Index],
    shape: tuple[Index, Index],
    target: Buffer,
    target_stride: Index,
) -> None:
    """target[row * target_stride + item] = source[row, item], converted to the target's element
    type.

    Args:
        order: which of `strides` is 1 (that stride is then not looked at).
        strides: of rows and items in the source.
        shape: numbers of rows and items.
    """
    rows, items = shape
    row_stride, item_stride = strides
    if order is Order.ROWS:
        _copy_transposed(k, source, item_stride, shape, target, target_stride)
        return
    with k.loop(0, rows) as row:
        line, into = source.at(row * row_stride), target.at(row * target_stride)
        if order is Order.ITEMS:
            copy_line(k, line, items, into)
        else:
            with k.loop(0, items, unroll=4) as item:
                _move(k, line, item * item_stride, into, item)


def copy_line(k: Kernel, source: Buffer, items: Index, target: Buffer) -> None:
    """Copy dense elements, with conversion."""
    lanes = k.lanes(target.element)
    full = k.larger((items // lanes) * lanes, 0)
    with k.loop(0, full, lanes) as i:
        _move(k, source, i, target, i, lanes)
    with k.loop(full, items, unroll=1) as i:
        _move(k, source, i, target, i)


def fill_line(k: Kernel, target: Buffer, items: Index, value: int = 0) -> None:
    """Set dense elements, to 0 unless another value is given."""
    lanes = k.lanes(target.element)
    vector = k.const(value, target.element.compute, lanes)
    full = k.larger((items // lanes) * lanes, 0)
    with k.loop(0, full, lanes) as i:
        k.store(vector, target, i)
    with k.loop(full, items, unroll=1) as i:
        k.store(value, target, i)


def _move(k: Kernel, source: Buffer, at: Index, target: Buffer, to: Index, lanes: int = 1) -> None:
    k.store(k.cast(k.load(source, at, lanes), target.element.compute), target, to)


def _copy_transposed(
    k: Kernel,
    source: Buffer,
    item_stride: Index,
    shape: tuple[Index, Index],
    target: Buffer,
    target_stride: Index,
) -> None:
    """The source's rows are neighbors: square blocks are loaded along rows and transposed in
    registers. The last ones overlap those before. Planes of three colors are interleaved.
    """
    rows, items = shape
    colors = k.index(items).eq(COLORS) & k.index(target_stride).eq(COLORS)
    with k.if_(colors):
        _copy_colors(k, source, item_stride, rows, target)
    with k.if_(~colors):
        _copy_blocks(k, source, item_stride, shape, target, target_stride)


def _copy_colors(k: Kernel, source: Buffer, plane: Index, rows: Index, target: Buffer) -> None:
    lanes, element = k.lanes(target.element), target.element.compute
    full = k.larger(rows // lanes * lanes, 0)
    with k.loop(0, full, lanes, unroll=1) as row:
        planes = [k.cast(k.load(source, i * plane + row, lanes), element) for i in range(COLORS)]
        for i, line in enumerate(interleave(k, planes)):
            k.store(line, target, row * COLORS + i * lanes)
    with k.loop(full, rows, unroll=1) as row:
        for i in range(COLORS):
            _move(k, source, i * plane + row, target, row * COLORS + i)


def interleave(k: Kernel, planes: list[Value]) -> list[Value]:
    """As many vectors, with the first element of each plane, then the second of each, and so on."""
    lanes, count = planes[0].lanes, len(planes)
    lines = []
    for first in range(0, lanes * count, lanes):
        places = [divmod(first + lane, count) for lane in range(lanes)]
        line = planes[0]
        for number, plane in enumerate(planes[1:], 1):
            kept = [at if number == 1 else lane for lane, (at, _) in enumerate(places)]
            picks = [lanes + at if of == number else kept[lane]
                     for lane, (at, of) in enumerate(places)]  # fmt: skip
            line = k.shuffle(line, plane, picks)
        lines.append(line)
    return lines


def _copy_blocks(
    k: Kernel,
    source: Buffer,
    item_stride: Index,
    shape: tuple[Index, Index],
    target: Buffer,
    target_stride: Index,
) -> None:
    rows, items = shape
    n = min(k.lanes(target.element), 16)
    with k.if_else((k.index(rows) >= n) & (k.index(items) >= n)) as (then, otherwise):
        with then, k.loop(0, rows, n) as row_at, k.loop(0, items, n) as item_at:
            row, item = k.smaller(row_at, rows - n), k.smaller(item_at, items - n)
            block = [
                k.cast(k.load(source, (item + i) * item_stride + row, n), target.element.compute)
                for i in range(n)
            ]
            for i, line in enumerate(transpose(k, block)):
                k.store(line, target, (row + i) * target_stride + item)
        with otherwise, k.loop(0, rows, unroll=1) as row, k.loop(0, items, unroll=1) as item:
            _move(k, source, item * item_stride + row, target, row * target_stride + item)


def transpose(k: Kernel, block: list[Value]) -> list[Value]:
    """The transpose of a square block, a row in each vector: blocks within it are exchanged, ever
    larger ones.
    """
    n = len(block)
    step = 1
    while step < n:
        low = [i if i & step == 0 else n + i - step for i in range(n)]
        high = [i + step if i & step == 0 else n + i for i in range(n)]
        result = list(block)
        for i in range(n):
            if i & step == 0:
                result[i] = k.shuffle(block[i], block[i + step], low)
                result[i + step] = k.shuffle(block[i], block[i + step], high)
        block = result
        step *= 2
    return block


PANEL_SIZES = (
    "groups", "group1", "group2", "stride0", "stride1", "stride2", "columns", "column_stride",
    "outer", "outer_stride", "middle", "middle_stride", "inner", "inner_stride", "offset",
)  # fmt: skip


def panel_kernel(source: Element, target: Element, width: int, order: Order) -> Kernel:
    """Panels of `width` columns: target[group][panel][outer][middle][inner][column], zeros behind
    the last column.

    Groups are made of up to three batch dimensions, the contracted index of three (such as kernel
    row, kernel column and channel), each with its stride; all count from the element `offset`.
    """
    k = Kernel(
        f"pack_{source.name}_{width}_{order.value}",
        (("source", source), ("target", target)),
        PANEL_SIZES,
    )
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
        into = panels.at(piece * (outer * middle * inner * width))
        with k.if_(count < width):
            fill_line(k, into, outer * middle * inner * width)
        with k.loop(0, outer) as a, k.loop(0, middle) as b:
            copy_rows(
                k, order, start.at(a * outer_stride + b * middle_stride),
                (inner_stride, column_stride), (inner, count),
                into.at((a * middle + b) * (inner * width)), width,
            )  # fmt: skip
    return k


def panel_builder(
    source: Element, target: Element, width: int, order: Order
) -> tuple[str, Callable[[], Kernel]]:
    """The cache key and the builder of `panel_kernel`."""
    key = f"pack/{source.name}/{target.name}/{width}/{order.value}"
    return key, partial(panel_kernel, source, target, width, order)
