"""Kernels of the gradient of max pooling. No index tensor is kept: where a maximum was is found
again from x and y.

Where windows do not overlap, each pixel gets its gradient at once. Where they do, a piece of work
is a band of image rows: it looks at all windows that reach into the band and adds to its own rows
only, so no two threads write the same row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, fill_zero
from fovea.targets.cpu.elements import Element, f32, f64, i32, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.pool_kernels import Pair, Plane, Span, each_tap, span, where_full
from fovea.targets.cpu.values import Index, Value

__all__ = ["MaxGradKernel", "max_grad_kernel"]

_STRIDES = tuple(f"{b}_{d}" for b in ("gy", "x", "y") for d in ("image", "row", "column"))
APART_WORDS, BAND_WORDS = 3, 4
_SAME_SIZE = {f32: i32, f64: i64}

Share = Callable[[int, Value], Value]


@dataclass(frozen=True)
class MaxGradKernel:
    """The gradient of max pooling, for windows that lie apart or, in bands, for windows that
    overlap.

    Args:
        element: of gy, x, y and gx.
        taps: the size of the windows that are written out.
        bands: whether windows overlap.
        narrow: whether there are fewer channels than a vector has lanes.
    """

    element: Element
    taps: Pair | None
    bands: bool
    narrow: bool = False

    @property
    def key(self) -> str:
        return f"pool/max_grad/{self.element}/{self.taps}/{self.bands}/{self.narrow}"

    @property
    def vectors(self) -> int:
        """How many vectors of channels a block has."""
        return 1 if self.narrow else 2

    def written_out(self, lanes: int, full_lanes: int) -> Pair | None:
        """`taps` where channels in blocks of so many lanes are worth it."""
        return self.taps if lanes == full_lanes or self.narrow else None

    @property
    def through_scratch(self) -> bool:
        """Whether a band is summed in float32 scratch first: half types are rounded once."""
        return self.bands and self.element.compute is not self.element


def max_grad_kernel(v: MaxGradKernel) -> Kernel:
    """The kernel of `v`.

    For windows apart a piece is a few rows of windows, and the third word of a span is where the
    next one starts. Else it is a band: the table holds, after the spans, the first row of each
    band, its end, its first row of windows and their end.
    """
    return _Bands(v).k if v.bands else _Apart(v).k


class Finder:
    """Finds the first element of a window that is its maximum, lane by lane.

    It is the first with the maximum's bits, so a NaN is found, too.
    """

    def __init__(self, k: Kernel, gy: Value, y: Value) -> None:
        self.k, self.left = k, k.var(gy)
        self.bits = _SAME_SIZE.get(y.element, y.element)
        self.y = k.bitcast(y, self.bits)

    def share(self, x: Value) -> Value:
        """The gradient of the window's next element: gy where it is the first maximum, else 0."""
        k, left = self.k, self.left.get()
        hit = k.bitcast(x, self.bits).eq(self.y)
        self.left.set(k.select(hit, 0, left))
        return k.select(hit, left, 0)


class _MaxGrad:
    """What both kinds share."""

    def __init__(self, v: MaxGradKernel, words: Sequence[str]) -> None:
        e = v.element
        buffers = [("gy", e), ("x", e), ("y", e), ("gx", e), ("table", i64)]
        buffers += [("sums", e.compute)] if v.through_scratch else []
        sizes = ("out_rows", "out_columns", "channels", "height", "width", *_STRIDES, *words)
        self.v = v
        self.k = k = Kernel("max_pool_grad", buffers, sizes)
        self.gy, self.x, self.y, self.gx, self.table = k.buffers[:5]
        self.out_rows, self.out_columns, self.channels, self.height, self.width = k.sizes[:5]
        self.strides = {b: k.sizes[5 + 3 * n : 8 + 3 * n] for n, b in enumerate(("gy", "x", "y"))}
        self.row_size = k.index(self.width) * self.channels

    def pixel(self, name: str, image: Index, row: Index, column: Index) -> Buffer:
        """The channels of a pixel of gy, x or y."""
        strides = self.strides[name]
        offset = self.k.index(image) * strides[0] + self.k.index(row) * strides[1]
        return getattr(self, name).at(offset + self.k.index(column) * strides[2])

    def plane(self, image: Index) -> Plane:
        """An image of x."""
        return Plane(self.k, self.pixel("x", image, 0, 0), *self.strides["x"][1:])

    def finders(self, gy: Buffer, y: Buffer, c: Value, vectors: int, lanes: int) -> list[Finder]:
        at = [c + n * lanes for n in range(vectors)]
        return [Finder(self.k, self.k.load(gy, a, lanes), self.k.load(y, a, lanes)) for a in at]


class _Apart(_MaxGrad):
    """Windows that do not overlap."""

    def __init__(self, v: MaxGradKernel) -> None:
        super().__init__(v, ("rows", "row_grain", "pieces"))
        k = self.k
        rows, grain, pieces = k.sizes[-3:]
        with k.parallel(pieces) as piece:
            first = piece * grain
            with k.loop(first, k.smaller(first + grain, rows), unroll=1) as row:
                self._row(row // self.out_rows, row % self.out_rows)

    def _span(self, number: Index) -> tuple[Span, Value]:
        """A window and where the next one starts."""
        k = self.k
        found = span(k, self.table, number, APART_WORDS)
        return found, k.load(self.table, k.index(number) * APART_WORDS + 2)

    def _row(self, image: Value, row: Value) -> None:
        k = self.k
        down, next_row = self._span(row)
        gx = self.gx.at(image * self.height * self.row_size)
        with k.loop(0, self.out_columns, unroll=1) as column:
            across, next_column = self._span(k.index(self.out_rows) + column)
            self._window(image, row, column, down, across, gx)
            with k.if_(across.end < next_column), k.loop(down.first, down.end, unroll=1) as i:
                line = gx.at(i * self.row_size)
                fill_zero(k, line, across.end * self.channels, next_column * self.channels)
        fill_zero(k, gx, down.end * self.row_size, next_row * self.row_size)

    def _window(
        self, image: Value, row: Value, column: Value, down: Span, across: Span, gx: Buffer
    ) -> None:
        k, taps, full_lanes = self.k, self.v.taps, self.k.lanes(self.v.element)
        gy, y = self.pixel("gy", image, row, column), self.pixel("y", image, row, column)
        full = down.is_full(taps[0]) & across.is_full(taps[1]) if taps else None
        planes = [self.plane(image), Plane(k, gx, self.row_size, self.channels)]
        planes = [p.over(down, across, taps) for p in planes]

        def block(c: Value, vectors: int, lanes: int) -> None:
            def emit(taps: Pair | None) -> None:
                finders = self.finders(gy, y, c, vectors, lanes)

                def tap(i: Index, j: Index, pixels: Sequence[Buffer]) -> None:
                    x, to = pixels
                    for n, finder in enumerate(finders):
                        share = finder.share(k.load(x, c + n * lanes, lanes))
                        k.store(share, to, c + n * lanes)

                each_tap(k, down, across, taps, planes, tap)

            where_full(k, self.v.written_out(lanes, full_lanes), full, emit)

        channel_blocks(k, 0, self.channels, full_lanes, self.v.vectors, block)


class _Bands(_MaxGrad):
    """Windows that overlap, a band of rows at a time."""

    def __init__(self, v: MaxGradKernel) -> None:
        super().__init__(v, ("bands", "pieces", "step_i", "step_j", "thread_elements"))
        k = self.k
        bands, pieces, self.step_i, self.step_j, thread_elements = k.sizes[-5:]
        own = k.tid * thread_elements
        with k.parallel(pieces) as piece:
            image, band = piece // bands, piece % bands
            word = (k.index(self.out_rows) + self.out_columns) * 2 + band * BAND_WORDS
            self.low, self.high, first, end = (k.load(self.table, word + n) for n in range(4))
            start = (image * self.height + self.low) * self.row_size
            sums = k.buffers[-1].at(own) if v.through_scratch else self.gx.at(start)
            self._band(image, first, end, sums)
            if v.through_scratch:
                self._round(sums, self.gx.at(start), (self.high - self.low) * self.row_size)

    def _band(self, image: Value, first: Value, end: Value, sums: Buffer) -> None:
        """All windows reaching into the band; rows become zero just before the first of them."""
        k = self.k
        zeroed = k.var(self.low)
        with k.loop(first, end, unroll=1) as row:
            down = span(k, self.table, row)
            self._zero(sums, zeroed.get(), k.index(k.smaller(down.end, self.high)))
            zeroed.set(k.larger(zeroed.get(), k.smaller(down.end, self.high)))
            with k.loop(0, self.out_columns, unroll=1) as column:
                across = span(k, self.table, k.index(self.out_rows) + column)
                self._window(image, row, column, down, across, sums)
        self._zero(sums, zeroed.get(), self.high)

    def _zero(self, sums: Buffer, low: Value, high: Value) -> None:
        low, high = ((row - self.low) * self.row_size for row in (low, high))
        fill_zero(self.k, sums, low, high)

    def _window(
        self, image: Value, row: Value, column: Value, down: Span, across: Span, sums: Buffer
    ) -> None:
        k, taps, full_lanes = self.k, self.v.taps, self.k.lanes(self.v.element)
        gy, y = self.pixel("gy", image, row, column), self.pixel("y", image, row, column)
        inside = (down.first >= self.low) & (down.end <= self.high)
        if taps is not None:
            inside = inside & down.is_full(taps[0]) & across.is_full(taps[1])
        seen = Span(down.first, k.index(k.smaller(down.end, self.high)))
        whole = sums.at(-self.low * self.row_size)  # as if it held the image's rows from 0 on
        planes = [self.plane(image), Plane(k, whole, self.row_size, self.channels)]
        planes = [p.over(down, across, taps) for p in planes]

        def block(c: Value, vectors: int, lanes: int) -> None:
            def emit(taps: Pair | None) -> None:
                finders = self.finders(gy, y, c, vectors, lanes)

                def tap(i: Index, j: Index, pixels: Sequence[Buffer]) -> None:
                    x, to = pixels[0].at(c), pixels[1].at(c)
                    each = enumerate(finders)
                    shares = [f.share(k.load(x, n * lanes, lanes)) for n, f in each]
                    if taps is not None:
                        self._add(shares, to)
                        return
                    with k.if_(k.index(i) >= self.low):
                        self._add(shares, to)

                step = (self.step_i, self.step_j)
                each_tap(k, seen, across, taps, planes, tap, step=step)

            where_full(k, self.v.written_out(lanes, full_lanes), inside, emit)

        channel_blocks(k, 0, self.channels, full_lanes, self.v.vectors, block)

    def _add(self, shares: Sequence[Value], to: Buffer) -> None:
        for n, share in enumerate(shares):
            at = n * share.lanes
            self.k.store(self.k.load(to, at, share.lanes) + share, to, at)

    def _round(self, sums: Buffer, gx: Buffer, count: Value) -> None:
        k = self.k

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                k.store(k.load(sums, c + n * lanes, lanes), gx, c + n * lanes)

        channel_blocks(k, 0, count, k.lanes(self.v.element), 2, block)
