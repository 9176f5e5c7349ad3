"""Kernels of batch normalization: passes over a matrix whose columns are channels.

Statistics are gathered in pieces of rows. Within a piece sums are taken about its first row, which
costs nothing and keeps the variance exact however large the mean is (the first row is itself a
sample, so it cannot lie further out than the piece's deviation allows). Pieces are then put
together in float64.

A matrix with few columns is folded: several rows are taken as one, so that vectors are full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, fill_zero
from fovea.targets.cpu.elements import Element, f64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Value

__all__ = [
    "affine",
    "apply_kernel",
    "expand_kernel",
    "grad_apply_kernel",
    "grad_columns_kernel",
    "grad_sums_kernel",
    "infer_columns_kernel",
    "moments_kernel",
    "train_columns_kernel",
    "update_kernel",
]

VECTORS = 4  # a loop over columns is written out so often
INF = float("inf")


@dataclass(frozen=True)
class Pass:
    """A pass over one or two matrices of the same shape.

    Args:
        element: of the matrices.
        sources: their names.
        result: the name of a matrix that is written.
    """

    element: Element
    sources: tuple[str, ...]
    result: str | None = None


class RowPass:
    """A kernel that goes over rows of matrices, one after the other: memory is read in order.

    A piece is a few rows. The kernel's words are: rows, row_grain, pieces, columns, the row stride
    of each matrix, and scalars if there are any.
    """

    def __init__(
        self,
        name: str,
        p: Pass,
        others: Sequence[tuple[str, Element]],
        scalars: Sequence[str] = (),
    ) -> None:
        results = [p.result] if p.result else []
        matrices = [*p.sources, *results]
        buffers = [(m, p.element) for m in p.sources]
        buffers += [*others, *((m, p.element) for m in results)]
        words = ("rows", "row_grain", "pieces", "columns", *[f"{m}_row" for m in matrices])
        self.k = k = Kernel(name, buffers, words, scalars)
        self.rows, self.grain, self.pieces, self.columns, *self.strides = k.sizes
        self.matrices = [*k.buffers[: len(p.sources)], *(k.buffers[-1:] if results else [])]
        self.lanes = k.lanes(p.element)

    def span(self, piece: Value) -> tuple[Value, Value]:
        """The rows of a piece."""
        low = piece * self.grain
        return low, self.k.index(self.k.smaller(low + self.grain, self.rows))

    def parts_of(self, buffer: Buffer, count: int) -> list[Buffer]:
        """The parts of a buffer that holds several numbers a column."""
        return [buffer.at(self.k.index(self.columns) * n) for n in range(count)]

    def each(
        self,
        low: Value,
        high: Value,
        body: Callable[[list[Buffer], Value, int], None],
        vectors: int = VECTORS,
    ) -> None:
        """`body(lines, c, lanes)` for each vector of columns of the matrices' lines, row by row;
        written out for so many vectors at a time.
        """
        k = self.k
        with k.loop(low, high, unroll=1) as row:
            lines = [m.at(row * s) for m, s in zip(self.matrices, self.strides, strict=True)]

            def block(c: Value, vectors: int, lanes: int) -> None:
                for n in range(vectors):
                    body(lines, c + n * lanes, lanes)

            channel_blocks(k, 0, self.columns, self.lanes, vectors, block)

    def each_column(self, body: Callable[[Value, int], None]) -> None:
        """`body(c, lanes)` for each vector of columns."""

        def block(c: Value, vectors: int, lanes: int) -> None:
            body(c, lanes)

        channel_blocks(self.k, 0, self.columns, self.lanes, 1, block)


# -- forward ----------------------------------------------------------------------------------


def moments_kernel(element: Element) -> Kernel:
    """For each piece of rows, the mean of each column and the sum of squares about it."""
    kind = element.compute
    p = RowPass("batch_norm_moments", Pass(element, ("x",)), [("partials", kind)])
    k, (x, partials) = p.k, p.k.buffers
    with k.parallel(p.pieces) as piece:
        low, high = p.span(piece)
        sums = partials.at(piece * 2 * p.columns)
        squares = sums.at(p.columns)
        first = x.at(low * p.strides[0])
        fill_zero(k, sums, 0, k.index(p.columns) * 2)

        def origin(c: Value, lanes: int) -> Value:
            value = k.load(first, c, lanes)
            return k.select(k.abs(value) < INF, value, 0.0)

        def add(lines: list[Buffer], c: Value, lanes: int) -> None:
            d = k.load(lines[0], c, lanes) - origin(c, lanes)
            k.store(k.load(sums, c, lanes) + d, sums, c)
            k.store(k.fma(d, d, k.load(squares, c, lanes)), squares, c)

        p.each(low, high, add)
        count = k.cast(high - low, kind)

        def settle(c: Value, lanes: int) -> None:
            total, square = k.load(sums, c, lanes), k.load(squares, c, lanes)
            mean = total / count
            k.store(origin(c, lanes) + mean, sums, c)
            k.store(k.fast_max(0.0, square - total * mean), squares, c)

        p.each_column(settle)
    return k


class Columns:
    """A kernel that makes columns' numbers from those of channels; a piece is `grain` channels.

    Args:
        name: of the kernel.
        buffers: what it reads (vectors over channels, and "partials") and what it writes.
        compute: the element of the numbers that columns get ("columns"), if they get any.
        scalars: its scalars, in float64.
    """

    def __init__(
        self,
        name: str,
        buffers: Sequence[tuple[str, Element]],
        compute: Element | None,
        scalars: Sequence[str] = (),
    ) -> None:
        words = ("channels", "fold", "grain", "pieces", "parts", "part_rows", "rows")
        made = [("columns", compute)] if compute else []
        self.k = Kernel(name, [*buffers, *made], words, scalars)
        (self.channels, self.fold, self.grain, self.pieces, self.parts, self.part_rows,
         self.rows) = self.k.sizes  # fmt: skip
        self.named = dict(zip(self.k.buffer_names, self.k.buffers, strict=True))
        self.width = self.k.index(self.channels) * self.fold

    def each_channel(self, element: Element, body: Callable[[Value, int], None]) -> None:
        """`body(c, lanes)` for each vector of channels, computed as `element`."""
        k = self.k

        def block(c: Value, vectors: int, lanes: int) -> None:
            body(c, lanes)

        with k.parallel(self.pieces) as piece:
            low = piece * self.grain
            high = k.smaller(low + self.grain, self.channels)
            channel_blocks(k, low, high, k.lanes(element), 1, block)

    def load(self, name: str, c: Value, lanes: int, element: Element, missing: float) -> Value:
        """A channel's number, or `missing` where the buffer is left out."""
        if name not in self.named:
            return self.k.const(missing, element, lanes)
        return self.k.cast(self.k.load(self.named[name], c, lanes), element)

    def store(self, value: Value, name: str, c: Value) -> None:
        buffer = self.named[name]
        self.k.store(self.k.cast(value, buffer.element.compute), buffer, c)

    def spread(self, values: Sequence[Value], c: Value) -> None:
        """Store the numbers of a channel's columns, one in each of the folded rows."""
        k, columns = self.k, self.named["columns"]
        values = [k.cast(v, columns.element) for v in values]
        with k.loop(0, self.fold, unroll=1) as f:
            for n, value in enumerate(values):
                k.store(value, columns, self.width * n + f * self.channels + c)

    def over_parts(self, body: Callable[[Value, Value], None]) -> None:
        """`body(at, count)` for each part of a channel: its place in the partials, its rows."""
        k = self.k
        with k.loop(0, self.parts, unroll=1) as part:
            left = k.index(self.rows) - part * self.part_rows
            count = k.cast(k.index(k.smaller(left, self.part_rows)), f64)
            with k.loop(0, self.fold, unroll=1) as f:
                body(part * 2 * self.width + f * self.channels, count)


def train_columns_kernel(
    element: Element,
    weight: Element | None,
    bias: Element | None,
    statistic: Element,
) -> Kernel:
    """From the partials of `moments_kernel`: mean, rstd, var, and columns' center, scale, shift.

    The scale is that of rstd as it is stored, so that whoever reads rstd finds the same.
    """
    kind = element.compute
    buffers = [("partials", kind)]
    buffers += [("weight", weight)] if weight else []
    buffers += [("bias", bias)] if bias else []
    buffers += [(s, statistic) for s in ("mean", "rstd", "var")]
    g = Columns("batch_norm_columns", buffers, kind, ("eps",))
    k, partials = g.k, g.named["partials"]
    total = k.cast(k.index(g.rows) * g.fold, f64)

    def channel(c: Value, lanes: int) -> None:
        mean = k.var(k.const(0.0, f64, lanes))

        def add_mean(at: Value, count: Value) -> None:
            part = k.cast(k.load(partials, at + c, lanes), f64)
            mean.set(k.fma(part, k.broadcast(count, lanes), mean.get()))

        g.over_parts(add_mean)
        center = mean.get() / total
        square = k.var(k.const(0.0, f64, lanes))

        def add_square(at: Value, count: Value) -> None:
            off = k.cast(k.load(partials, at + c, lanes), f64) - center
            own = k.cast(k.load(partials, at + g.width + c, lanes), f64)
            square.set(square.get() + k.fma(off * off, k.broadcast(count, lanes), own))

        g.over_parts(add_square)
        var = square.get() / total
        rstd = 1.0 / k.sqrt(var + k.scalars[0])
        for name, value in (("mean", center), ("rstd", rstd), ("var", var)):
            g.store(value, name, c)
        rstd = k.cast(k.cast(rstd, statistic.compute), f64)
        scale = rstd * g.load("weight", c, lanes, f64, 1.0)
        g.spread([center, scale, g.load("bias", c, lanes, f64, 0.0)], c)

    g.each_channel(f64, channel)
    return k


def infer_columns_kernel(element: Element, elements: Sequence[tuple[str, Element]]) -> Kernel:
    """Columns' scale and shift from running statistics, and weight and bias if given: step by step
    as `fovea.graph.passes.fuse_contractions` makes them for a convolution, for the same bits.
    """
    kind = element.compute
    g = Columns("batch_norm_infer_columns", elements, kind, ("eps",))
    k = g.k

    def channel(c: Value, lanes: int) -> None:
        scale = vmath.rsqrt(k, g.load("var", c, lanes, kind, 1.0) + k.cast(k.scalars[0], kind))
        if "weight" in g.named:
            scale = scale * g.load("weight", c, lanes, kind, 1.0)
        moved = g.load("mean", c, lanes, kind, 0.0) * scale
        bias = g.load("bias", c, lanes, kind, 0.0) if "bias" in g.named else None
        g.spread([scale, moved * -1.0 if bias is None else bias - moved], c)

    g.each_channel(kind, channel)
    return k


def expand_kernel(element: Element, source: Element) -> Kernel:
    """One number a channel ("values") as one a column."""
    g = Columns("batch_norm_expand", [("values", source)], element.compute)

    def channel(c: Value, lanes: int) -> None:
        g.spread([g.load("values", c, lanes, element.compute, 0.0)], c)

    g.each_channel(element.compute, channel)
    return g.k


def apply_kernel(element: Element, centered: bool = True) -> Kernel:
    """y = (x - center) * scale + shift, or without the center. It starts at the end, which is still
    in a cache.
    """
    kind = element.compute
    p = RowPass("batch_norm_apply", Pass(element, ("x",), "y"), [("columns", kind)])
    k = p.k
    columns = p.parts_of(k.buffers[1], 3 if centered else 2)
    with k.parallel(p.pieces) as piece:
        low, high = p.span(p.pieces - 1 - piece)

        def write(lines: list[Buffer], c: Value, lanes: int) -> None:
            x, y = lines
            k.store(affine(k, k.load(x, c, lanes), columns, c, lanes), y, c)

        p.each(low, high, write)
    return k


def affine(k: Kernel, x: Value, columns: Sequence[Buffer], c: Value, lanes: int) -> Value:
    """A vector of values, less its columns' center if they have one, times their scale, plus their
    shift.
    """
    *center, scale, shift = (k.load(b, c, lanes) for b in columns)
    return k.fma(x - center[0] if center else x, scale, shift)


# -- gradient ---------------------------------------------------------------------------------


def grad_sums_kernel(element: Element) -> Kernel:
    """For each piece of rows, the sums of gy and of gy * (x - center)."""
    kind = element.compute
    others = [("center", kind), ("partials", kind)]
    p = RowPass("batch_norm_grad_sums", Pass(element, ("gy", "x")), others)
    k, (_, _, center, partials) = p.k, p.k.buffers
    with k.parallel(p.pieces) as piece:
        low, high = p.span(piece)
        sums = partials.at(piece * 2 * p.columns)
        products = sums.at(p.columns)
        fill_zero(k, sums, 0, k.index(p.columns) * 2)

        def add(lines: list[Buffer], c: Value, lanes: int) -> None:
            gy, x = (k.load(line, c, lanes) for line in lines)
            product = k.fma(gy, x - k.load(center, c, lanes), k.load(products, c, lanes))
            k.store(k.load(sums, c, lanes) + gy, sums, c)
            k.store(product, products, c)

        p.each(low, high, add)
    return k


def grad_columns_kernel(
    element: Element, weight: Element | None, mean: Element, rstd: Element, statistic: Element
) -> Kernel:
    """From the partials of `grad_sums_kernel`: gw and gb; columns' center and factors in gx.

    gx = a * (gy - mean(gy) - (x - center) * rstd^2 * mean(gy * (x - center))), a = weight * rstd:
    the factors are those of gy, of x - center, and of 1.
    """
    kind = element.compute
    buffers = [("partials", kind)]
    buffers += [("weight", weight)] if weight else []
    buffers += [("mean", mean), ("rstd", rstd), ("gw", statistic), ("gb", statistic)]
    g = Columns("batch_norm_grad_columns", buffers, kind)
    k, partials = g.k, g.named["partials"]
    total = k.cast(k.index(g.rows) * g.fold, f64)

    def channel(c: Value, lanes: int) -> None:
        plain, product = (k.var(k.const(0.0, f64, lanes)) for _ in range(2))

        def add(at: Value, count: Value) -> None:
            plain.set(plain.get() + k.cast(k.load(partials, at + c, lanes), f64))
            more = k.cast(k.load(partials, at + g.width + c, lanes), f64)
            product.set(product.get() + more)

        g.over_parts(add)
        rstd_value = g.load("rstd", c, lanes, f64, 1.0)
        gb, gw = plain.get(), product.get() * rstd_value
        g.store(gw, "gw", c)
        g.store(gb, "gb", c)
        a = rstd_value * g.load("weight", c, lanes, f64, 1.0)
        slope, level = -(a * rstd_value * gw / total), -(a * gb / total)
        g.spread([g.load("mean", c, lanes, f64, 0.0), a, slope, level], c)

    g.each_channel(f64, channel)
    return k


def grad_apply_kernel(element: Element) -> Kernel:
    """gx from gy, x and the columns of `grad_columns_kernel`."""
    kind = element.compute
    p = RowPass("batch_norm_grad_apply", Pass(element, ("gy", "x"), "gx"), [("columns", kind)])
    k, center = p.k, p.k.buffers[2]
    factors = [center.at(k.index(p.columns) * n) for n in range(4)]
    with k.parallel(p.pieces) as piece:
        low, high = p.span(p.pieces - 1 - piece)

        def write(lines: list[Buffer], c: Value, lanes: int) -> None:
            gy, x, gx = lines
            about, a, slope, level = (k.load(b, c, lanes) for b in factors)
            along = k.fma(k.load(x, c, lanes) - about, slope, level)
            k.store(k.fma(k.load(gy, c, lanes), a, along), gx, c)

        p.each(low, high, write)
    return k


def update_kernel(elements: Sequence[Element]) -> Kernel:
    """running = (1 - momentum) * running + momentum * (mean, or var * correction)."""
    names = ("running_mean", "running_var", "mean", "var")
    k = Kernel(
        "batch_norm_update",
        list(zip(names, elements, strict=True)),
        ("channels", *[f"{n}_stride" for n in names]),
        ("momentum", "correction"),
    )
    channels, *strides = k.sizes
    momentum, correction = k.scalars
    with k.loop(0, channels, unroll=1) as c:
        at = [c * s for s in strides]
        values = [k.cast(k.load(b, a), f64) for b, a in zip(k.buffers, at, strict=True)]
        for n, factor in ((0, momentum), (1, momentum * correction)):
            kept = values[n] * (1.0 - momentum)
            running = k.buffers[n]
            result = k.fma(values[n + 2], factor, kept)
            k.store(k.cast(result, running.element.compute), running, at[n])
    return k
