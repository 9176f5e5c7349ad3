"""Kernels of the losses on class labels. Rows are classes; nothing outside a row is ever touched.

The cross entropy has two forms: row by row, and for few classes several rows at a time.
"""

from __future__ import annotations

from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import fill_zero
from fovea.targets.cpu.elements import Element, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.softmax_kernels import ROW_WORDS, Row, exp_below
from fovea.targets.cpu.softmax_tiles import MOST_FEW, Tile, each_rows, gather_rows, scatter_rows
from fovea.targets.cpu.values import Index, Value

__all__ = [
    "cross_entropy_grad_kernel",
    "cross_entropy_kernel",
    "few_cross_entropy_grad_kernel",
    "few_cross_entropy_kernel",
    "nll_grad_kernel",
    "nll_kernel",
]

NAN = float("nan")
_WORDS = (*ROW_WORDS, "x_row", "target_stride", "ignore_index")


def _is_inside(k: Kernel, label: Value, columns: Index) -> Value:
    """Whether a label names a column."""
    return (label >= 0) & (label < k.index(columns))


def cross_entropy_kernel(element: Element) -> Kernel:
    """log(sum(exp(x))) - x[label] for each row; 0 where the label is ignored."""
    k = Kernel("cross_entropy", (("x", element), ("target", i64), ("y", element)), _WORDS)
    columns, x_row, target_stride, ignore_index = k.sizes[3:]
    x, target, y = k.buffers

    def each(at: Value, lanes: int) -> None:
        label = k.load(target, at * target_stride)
        loss = k.var(k.const(0.0, element.compute))
        with k.if_(label.ne(ignore_index)):
            row = Row(k, x.at(at * x_row), columns)
            logarithm = vmath.log(k, row.total())
            loss.set(NAN)
            with k.if_(_is_inside(k, label, columns)):
                loss.set(logarithm - row.below(label, 1))
        k.store(loss.get(), y, at)

    each_rows(k, 1, each)
    return k


def cross_entropy_grad_kernel(element: Element) -> Kernel:
    """gy * (softmax(x) - onehot(label)) for each row; 0 where the label is ignored."""
    buffers = (("gy", element), ("x", element), ("target", i64), ("gx", element))
    k = Kernel("cross_entropy_grad", buffers, (*_WORDS, "gy_stride"))
    columns, x_row, target_stride, ignore_index, gy_stride = k.sizes[3:]
    gy, x, target, gx = k.buffers

    def each(at: Value, lanes: int) -> None:
        label, to = k.load(target, at * target_stride), gx.at(at * columns)
        with k.if_else(label.eq(ignore_index)) as (ignored, counted):
            with ignored:
                fill_zero(k, to, 0, columns)
            with counted:
                row, own = Row(k, x.at(at * x_row), columns), k.load(gy, at * gy_stride)
                factor = row.write(to, own)
                with k.if_(_is_inside(k, label, columns)):
                    k.store(exp_below(k, row.below(label, 1)) * factor - own, to, label)

    each_rows(k, 1, each)
    return k


# -- few classes ------------------------------------------------------------------------------


def few_cross_entropy_kernel(element: Element) -> Kernel:
    """`cross_entropy_kernel` for at most `MOST_FEW` columns."""
    k = Kernel("cross_entropy_few", (("x", element), ("target", i64), ("y", element)), _WORDS)
    columns, x_row, target_stride, ignore_index = k.sizes[3:]
    x, target, y = k.buffers
    kind, most = element.compute, k.lanes(element)
    tile = k.scratch(kind, MOST_FEW * most)

    def each(at: Value, lanes: int) -> None:
        gather_rows(k, x.at(at * x_row), x_row, columns, tile, lanes)
        highest, total = Tile(k, kind, columns, lanes).exponentials(tile, keep=False)
        level = highest + vmath.log(k, total)
        with k.loop(0, lanes, unroll=1) as lane:
            row = at + lane
            label = k.load(target, row * target_stride)
            own = k.extract(level, lane) if lanes > 1 else level
            loss = k.var(k.select(label.eq(ignore_index), k.const(0.0, kind), NAN))
            with k.if_(label.ne(ignore_index) & _is_inside(k, label, columns)):
                loss.set(own - k.load(tile, label * lanes + lane))
            k.store(loss.get(), y, row)

    each_rows(k, most, each)
    return k


def few_cross_entropy_grad_kernel(element: Element) -> Kernel:
    """`cross_entropy_grad_kernel` for at most `MOST_FEW` columns."""
    buffers = (("gy", element), ("x", element), ("target", i64), ("gx", element))
    k = Kernel("cross_entropy_grad_few", buffers, (*_WORDS, "gy_stride"))
    columns, x_row, target_stride, ignore_index, gy_stride = k.sizes[3:]
    gy, x, target, gx = k.buffers
    kind, most = element.compute, k.lanes(element)
    tile, slopes = k.scratch(kind, MOST_FEW * most), k.scratch(kind, most)

    def each(at: Value, lanes: int) -> None:
        gather_rows(k, x.at(at * x_row), x_row, columns, tile, lanes)
        with k.loop(0, lanes, unroll=1) as lane:
            counted = k.load(target, (at + lane) * target_stride).ne(ignore_index)
            k.store(k.select(counted, k.load(gy, (at + lane) * gy_stride), 0.0), slopes, lane)
        _scaled_softmax(k, Tile(k, kind, columns, lanes), tile, k.load(slopes, 0, lanes))
        with k.loop(0, lanes, unroll=1) as lane:
            label = k.load(target, (at + lane) * target_stride)
            with k.if_(label.ne(ignore_index) & _is_inside(k, label, columns)):
                place = label * lanes + lane
                k.store(k.load(tile, place) - k.load(slopes, lane), tile, place)
        scatter_rows(k, tile, columns, gx.at(at * columns), lanes)

    each_rows(k, most, each)
    return k


def _scaled_softmax(k: Kernel, part: Tile, tile: Buffer, slope: Value) -> None:
    """slope * softmax, in place; exactly 0 where the slope is, whatever the row holds."""
    _, total = part.exponentials(tile, keep=True)
    factor, nothing = slope / total, slope.eq(0.0)
    with k.loop(0, part.size, unroll=1) as i:
        e = part.load(tile, i)
        part.store(k.select(nothing, 0.0, e * factor), tile, i)


# -- labels only ------------------------------------------------------------------------------


def nll_kernel(element: Element) -> Kernel:
    """-x[label] for each row; 0 where the label is ignored."""
    words = ("rows", "columns", "x_row", "x_column", "target_stride", "ignore_index")
    k = Kernel("nll_loss", (("x", element), ("target", i64), ("y", element)), words)
    rows, columns, x_row, x_column, target_stride, ignore_index = k.sizes
    x, target, y = k.buffers
    with k.loop(0, rows, unroll=1) as row:
        label = k.load(target, row * target_stride)
        loss = k.var(k.const(0.0, element.compute))
        with k.if_(label.ne(ignore_index) & _is_inside(k, label, columns)):
            loss.set(-k.load(x, row * x_row + label * x_column))
        k.store(loss.get(), y, row)
    return k


def nll_grad_kernel(element: Element) -> Kernel:
    """-gy at each row's label, 0 elsewhere and where the label is ignored."""
    words = (*ROW_WORDS, "gy_stride", "target_stride", "ignore_index")
    k = Kernel("nll_loss_grad", (("gy", element), ("target", i64), ("gx", element)), words)
    columns, gy_stride, target_stride, ignore_index = k.sizes[3:]
    gy, target, gx = k.buffers

    def each(row: Value, lanes: int) -> None:
        to, label = gx.at(row * columns), k.load(target, row * target_stride)
        fill_zero(k, to, 0, columns)
        with k.if_(label.ne(ignore_index) & _is_inside(k, label, columns)):
            k.store(-k.load(gy, row * gy_stride), to, label)

    each_rows(k, 1, each)
    return k
