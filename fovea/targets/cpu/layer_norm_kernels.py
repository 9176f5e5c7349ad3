"""Kernels of layer normalization: each row of a matrix by itself, while it is in a cache."""

from __future__ import annotations

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, fill_zero, reduce_row
from fovea.targets.cpu.elements import Element, f64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.norm_kernels import Columns
from fovea.targets.cpu.values import Value

__all__ = ["grad_kernel", "grad_total_kernel", "layer_norm_kernel"]

VECTORS = 4


def _add(a: Value, b: Value) -> Value:
    return a + b


def layer_norm_kernel(
    element: Element, weight: Element | None, bias: Element | None, statistic: Element
) -> Kernel:
    """y = (x - mean) * rstd * weight + bias; a piece is a few rows."""
    kind = element.compute
    buffers = [("x", element), ("y", element), ("mean", statistic), ("rstd", statistic)]
    buffers += [("weight", weight)] if weight else []
    buffers += [("bias", bias)] if bias else []
    words = ("rows", "row_grain", "pieces", "columns", "x_row")
    k = Kernel("layer_norm", buffers, words, ("eps",))
    named = dict(zip(k.buffer_names, k.buffers, strict=True))
    rows, grain, pieces, columns, x_row = k.sizes
    lanes, count = k.lanes(element), k.cast(k.index(columns), kind)
    zero = [k.const(0.0, kind)]
    with k.parallel(pieces) as piece:
        low = piece * grain
        with k.loop(low, k.smaller(low + grain, rows), unroll=1) as row:
            x, y = named["x"].at(row * x_row), named["y"].at(row * columns)

            def plain(c: Value, width: int, x: Buffer = x) -> list[Value]:
                return [k.load(x, c, width)]

            (total,) = reduce_row(k, columns, lanes, VECTORS, zero, _add, plain)
            mean = total / count

            def square(c: Value, width: int, x: Buffer = x, mean: Value = mean) -> list[Value]:
                d = k.load(x, c, width) - mean
                return [d * d]

            (total,) = reduce_row(k, columns, lanes, VECTORS, zero, _add, square)
            rstd = 1.0 / k.sqrt(total / count + k.cast(k.scalars[0], kind))
            k.store(mean, named["mean"], row)
            k.store(rstd, named["rstd"], row)

            def block(c: Value, vectors: int, width: int) -> None:
                for n in range(vectors):
                    at = c + n * width
                    value = (k.load(x, at, width) - mean) * rstd
                    if weight:
                        value = value * k.cast(k.load(named["weight"], at, width), kind)
                    if bias:
                        value = value + k.cast(k.load(named["bias"], at, width), kind)
                    k.store(value, y, at)

            channel_blocks(k, 0, columns, lanes, VECTORS, block)
    return k


def grad_kernel(element: Element, weight: Element | None, mean: Element, rstd: Element) -> Kernel:
    """gx of each row, and sums over the rows of a piece of gy * xhat and of gy.

    gx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = gy * weight.
    """
    kind = element.compute
    buffers = [("gy", element), ("x", element), ("gx", element), ("mean", mean), ("rstd", rstd)]
    buffers += [("partials", kind)]
    buffers += [("weight", weight)] if weight else []
    words = ("rows", "row_grain", "pieces", "columns", "gy_row", "x_row")
    k = Kernel("layer_norm_grad", buffers, words)
    rows, grain, pieces, columns, *_ = k.sizes
    width = k.index(columns)
    with k.parallel(pieces) as piece:
        low = piece * grain
        products = k.buffers[5].at(piece * 2 * width)
        sums = products.at(width)
        fill_zero(k, products, 0, width * 2)
        with k.loop(low, k.smaller(low + grain, rows), unroll=1) as row:
            _GradRow(k, row, element, bool(weight)).write(products, sums)
    return k


class _GradRow:
    """A row of a gradient."""

    def __init__(self, k: Kernel, row: Value, element: Element, weighted: bool) -> None:
        self.k, self.kind, self.lanes = k, element.compute, k.lanes(element)
        self.columns = k.index(k.sizes[3])
        self.weight = k.buffers[6] if weighted else None
        gy, x, gx, mean, rstd = k.buffers[:5]
        self.gy, self.x = gy.at(row * k.sizes[4]), x.at(row * k.sizes[5])
        self.gx = gx.at(row * self.columns)
        self.mean, self.rstd = (k.cast(k.load(b, row), self.kind) for b in (mean, rstd))

    def _terms(self, c: Value, lanes: int) -> tuple[Value, Value, Value]:
        """gy, gy * weight and xhat."""
        k = self.k
        gy = g = k.load(self.gy, c, lanes)
        if self.weight is not None:
            g = gy * k.cast(k.load(self.weight, c, lanes), self.kind)
        return gy, g, (k.load(self.x, c, lanes) - self.mean) * self.rstd

    def write(self, products: Buffer, sums: Buffer) -> None:
        """gx of the row; what it adds to the sums."""
        k = self.k

        def values(c: Value, lanes: int) -> list[Value]:
            _, g, xhat = self._terms(c, lanes)
            return [g, g * xhat]

        zero = [k.const(0.0, self.kind)] * 2
        total, along = reduce_row(k, self.columns, self.lanes, 2, zero, _add, values)
        share = -self.rstd / k.cast(self.columns, self.kind)
        slope, level = along * share, total * share

        def block(c: Value, vectors: int, lanes: int) -> None:
            gy, g, xhat = self._terms(c, lanes)
            k.store(k.fma(gy, xhat, k.load(products, c, lanes)), products, c)
            k.store(k.load(sums, c, lanes) + gy, sums, c)
            rest = k.fma(xhat, slope, k.broadcast(level, lanes))
            k.store(k.fma(g, self.rstd, rest), self.gx, c)

        channel_blocks(k, 0, self.columns, self.lanes, 1, block)


def grad_total_kernel(element: Element, statistic: Element) -> Kernel:
    """gw and gb from the partial sums of `grad_kernel`."""
    buffers = [("partials", element.compute), ("gw", statistic), ("gb", statistic)]
    g = Columns("layer_norm_grad_total", buffers, None)
    k, partials = g.k, g.named["partials"]

    def column(c: Value, lanes: int) -> None:
        totals = [k.var(k.const(0.0, f64, lanes)) for _ in range(2)]

        def add(at: Value, count: Value) -> None:
            for n, total in enumerate(totals):
                part = k.load(partials, at + g.width * n + c, lanes)
                total.set(total.get() + k.cast(part, f64))

        g.over_parts(add)
        for total, name in zip(totals, ("gw", "gb"), strict=True):
            g.store(total.get(), name, c)

    g.each_channel(f64, column)
    return k
